"""What of a bot's move may reach the person. Pure."""

from dataclasses import dataclass, replace

from kit import sms
from kit.bot import gate, talk
from kit.bot.gate import Finding, Speaks
from kit.bot.plan import said
from kit.bot.spec import BotSpec, Move, MoveKind, Situation


@dataclass(frozen=True, kw_only=True, slots=True)
class Admitted:
    """A move whose words passed the gate."""

    move: Move
    blocked: tuple[Finding, ...] = ()
    """What was found in the words that the bot had written; they did not go out."""


def admit(spec: BotSpec, situation: Situation, move: Move) -> Admitted:
    """Let a move pass as it is; what the gate stops gives way to one safe sentence, or to silence."""
    found = findings(spec, situation, move, move.reply) if move.reply else ()
    if not found:
        return Admitted(move=move)
    parts = (*talk.head(situation), talk.agent(situation))
    # The person was neither asked nor shown anything: the next turn must not build on it.
    safe = replace(
        move,
        kind=MoveKind.ANSWER,
        reply=said(parts),
        parts=parts,
        question="",
        closing=situation.closed,
        memory=None,
        spoken=(),
        notices=(),
    )
    if findings(spec, situation, safe, safe.reply):
        safe = replace(safe, kind=MoveKind.STAY_SILENT, reply="")
    return Admitted(move=safe, blocked=found)


def findings(spec: BotSpec, situation: Situation, move: Move, text: str) -> tuple[Finding, ...]:
    """Return what keeps a text from going out as the words of a move."""
    return gate.findings(
        text,
        Speaks(
            brokerage=sms.plain(situation.brokerage),
            facts={name: fact.value for name, fact in situation.known.items()},
            records=move.spoken,
            constants=_constants(spec),
            begins=said(talk.head(situation)),
            holds=move.notices,
            channel=situation.messages[-1].channel if situation.messages else "SMS",
        ),
    )


def _constants(spec: BotSpec) -> tuple[str, ...]:
    return tuple(each for slot in spec.slots for each in (slot.question, slot.again, *slot.choices.values()) if each)
