"""Bring a bot's move to words that may go out."""

from dataclasses import dataclass, field, replace
from typing import Any, Final

from kit import metrics, sms
from kit.bot import outbound, plan
from kit.bot.gate import Finding
from kit.bot.spec import BotSpec, Move, Situation
from kit.bot.wording import Worded, Wordings
from kit.log import get_logger

log = get_logger()

MORE_SEGMENTS_MOST: Final = 1
"""By how many SMS other words may be longer than the written ones: each costs money."""

BLOCKED: Final = metrics.counter("bot_replies_blocked", "Written replies that the gate kept back.", ("bot", "finding"))
REPLIES: Final = metrics.counter("bot_replies", "Replies by how they came to their words.", ("bot", "wording", "cause"))


@dataclass(frozen=True, kw_only=True, slots=True)
class Spoken:
    """What goes out, and how it came to its words."""

    move: Move
    worded: Worded = field(default_factory=Worded)
    """What the model gave; its words are in use unless it names a cause."""
    blocked: tuple[Finding, ...] = ()
    """What the gate found in the written words, which then gave way to a safe sentence."""

    @property
    def wording(self) -> str:
        """Whose words go out: `model` or `written`; empty for none."""
        if not self.move.reply:
            return ""
        return "written" if self.worded.cause else "model"

    def record(self, cost_microusd: int) -> dict[str, Any]:
        """Return what a turn's row says of the words, and what the turn cost with them.

        Args:
            cost_microusd: What it cost before.
        """
        kept: dict[str, Any] = {
            "wording": self.wording,
            "wording_cause": self.worded.cause,
            "wording_prompt": self.worded.prompt_version,
            "wording_tier": self.worded.cache_tier,
            "wording_cost_microusd": self.worded.cost_microusd,
            "cost_microusd": cost_microusd + self.worded.cost_microusd,
        }
        if self.blocked:
            kept["gate"] = [{"finding": each.code, "words": each.words} for each in self.blocked]
        return kept


class Speaker:
    """Words one bot's moves."""

    def __init__(self, spec: BotSpec, wordings: Wordings) -> None:
        self._spec = spec
        self._wordings = wordings

    async def speak(
        self, tenant_id: str, contact_id: str, situation: Situation, move: Move, *, model_away: str = ""
    ) -> Spoken:
        """Return the move as it may go out. Never fails: what may not go out is replaced.

        Args:
            tenant_id: The CRM location.
            contact_id: The contact.
            situation: What the move answers.
            move: What was decided.
            model_away: Why the model did not read this turn's messages, as a code: it is not waited for again.
        """
        if not move.reply:
            return Spoken(move=move)
        # Looked at first: what gave way to a safe sentence is not worded.
        admitted = outbound.admit(self._spec, situation, move)
        if admitted.blocked:
            self._tell_blocked(tenant_id, contact_id, admitted)
            worded = Worded(cause="BLOCKED")
        elif model_away:
            worded = Worded(cause=model_away)
        else:
            worded = await self._wordings.word(tenant_id, contact_id, move.parts)
        text, cause = "", worded.cause
        if worded.words:
            text, cause = self._filled(situation, move, worded)
        if cause.startswith(("TEMPLATE_", "GATE_")):
            log.warning(
                "reply.refused",
                bot=self._spec.name,
                tenant_id=tenant_id,
                prompt_version=worded.prompt_version,
                cache_tier=worded.cache_tier,
                cause=cause,
            )
        spoken = Spoken(
            move=admitted.move if cause else replace(move, reply=text),
            worded=replace(worded, cause=cause),
            blocked=admitted.blocked,
        )
        REPLIES.labels(self._spec.name, spoken.wording, cause).inc()
        return spoken

    def _filled(self, situation: Situation, move: Move, worded: Worded) -> tuple[str, str]:
        """Return a template with its values, or why it may not go out: a checked template can still fill badly."""
        text = plan.said(move.parts, worded.words)
        if sms.segments(text) > sms.segments(move.reply) + MORE_SEGMENTS_MOST:
            return "", "TEMPLATE_TOO_LONG"
        found = outbound.findings(self._spec, situation, move, text)
        return ("", f"GATE_{found[0].code}") if found else (text, "")

    def _tell_blocked(self, tenant_id: str, contact_id: str, admitted: outbound.Admitted) -> None:
        """Say that written words did not pass: a mistake of ours."""
        codes = sorted({each.code for each in admitted.blocked})
        for code in codes:
            BLOCKED.labels(self._spec.name, code).inc()
        log.error(
            "reply.blocked",
            bot=self._spec.name,
            tenant_id=tenant_id,
            contact_id=contact_id,
            findings=",".join(codes),
            move=admitted.move.kind.value,
        )
