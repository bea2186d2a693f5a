"""Reads the authored conversations and compares what happened with what a sensible person wants. Pure but for `load`."""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

HERE: Final = Path(__file__).parent
ASK, ANSWER, SILENT, REPLY, NONE = "ask", "answer", "silent", "reply", "none"
_DOES: Final = frozenset({ASK, ANSWER, SILENT, REPLY, NONE})


@dataclass(frozen=True, kw_only=True)
class Turn:
    """One text, and what should come of it."""

    say: str
    does: str = REPLY
    """`ask`, `answer`, `reply` for either, `silent`; `none` when no bot may have a turn."""
    asks: Sequence[str] = ()
    """The slot that is asked for, any of these; empty when it does not matter."""
    not_asks: Sequence[str] = ()
    """Slots that must not be asked for now."""
    route: Sequence[str] = ()
    """Which bots the contact moved between in this turn, such as `lead>seller`."""
    says: Sequence[str] = ()
    """What the replies to this text hold, whatever the case."""
    never_says: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True)
class Conversation:
    """A person's texts, and what should be known and who should own the contact afterwards."""

    name: str
    turns: tuple[Turn, ...]
    owner: str
    facts: Mapping[str, Any] = field(default_factory=dict)
    """A list holds values of which any is right."""
    unknown: Sequence[str] = ()
    """Facts that nobody may have learned."""
    opted_out: bool = False
    known_gap: str = ""
    """Why it cannot pass yet; it is reported and never counted as passing."""


@dataclass(frozen=True, kw_only=True)
class PlayedTurn:
    """What came of one text."""

    does: str
    asks: str = ""
    route: tuple[str, ...] = ()
    replies: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Played:
    """What came of a conversation."""

    turns: tuple[PlayedTurn, ...]
    owner: str
    facts: Mapping[str, str | int | bool]
    opted_out: bool = False


def load(folder: Path = HERE) -> tuple[Conversation, ...]:
    """Read every conversation of a folder, by file and place in it.

    Raises:
        ValueError: A key is unknown, or a name stands twice.
    """
    found: list[Conversation] = []
    for path in sorted(folder.glob("*.toml")):
        for each in tomllib.loads(path.read_text(encoding="utf-8"))["conversation"]:
            try:
                turns = tuple(Turn(**turn) for turn in each.pop("turns"))
                found.append(Conversation(turns=turns, **each))
            except TypeError as error:
                raise ValueError(f"{path.name}: {each.get('name')}: {error}") from error
    names = [each.name for each in found]
    if len(set(names)) != len(names):
        raise ValueError(f"a name stands twice: {sorted(each for each in names if names.count(each) > 1)[0]}")
    strange = {turn.does for each in found for turn in each.turns} - _DOES
    if strange:
        raise ValueError(f"no such move: {', '.join(sorted(strange))}")
    return tuple(found)


def differences(wanted: Conversation, played: Played) -> tuple[str, ...]:
    """Say what differs, one line each; empty when the conversation passed."""
    found: list[str] = []
    if len(played.turns) != len(wanted.turns):
        found.append(f"{len(played.turns)} turns played of {len(wanted.turns)}")
    for number, (turn, seen) in enumerate(zip(wanted.turns, played.turns, strict=False), 1):
        found += [f"{number} {turn.say[:40]!r}: {each}" for each in _turn(turn, seen)]
    for name, value in wanted.facts.items():
        right = value if isinstance(value, list) else [value]
        seen_value = played.facts.get(name)
        if seen_value not in right or isinstance(seen_value, bool) != isinstance(right[0], bool):
            found.append(f"fact {name}: {seen_value!r}, not {value!r}")
    found += [f"fact {name}: {played.facts[name]!r}, never said" for name in wanted.unknown if name in played.facts]
    if played.owner != wanted.owner:
        found.append(f"owner: {played.owner}, not {wanted.owner}")
    if played.opted_out is not wanted.opted_out:
        found.append(f"opted out: {played.opted_out}")
    return tuple(found)


def _turn(wanted: Turn, seen: PlayedTurn) -> list[str]:
    found = []
    if seen.does not in ((ASK, ANSWER) if wanted.does == REPLY else (wanted.does,)):
        found.append(f"{seen.does}, not {wanted.does}")
    if wanted.does in (ASK, ANSWER, REPLY) and not seen.replies:
        found.append("no reply reached the person")
    if wanted.does == SILENT and seen.replies:
        found.append(f"replied {seen.replies[0][:60]!r}")
    if wanted.asks and seen.asks not in wanted.asks:
        found.append(f"asks {seen.asks or 'nothing'}, not {' or '.join(wanted.asks)}")
    if seen.asks in wanted.not_asks:
        found.append(f"asks {seen.asks}")
    if list(seen.route) != list(wanted.route):
        found.append(f"moved {' '.join(seen.route) or 'nowhere'}, not {' '.join(wanted.route) or 'nowhere'}")
    said = " ".join(seen.replies).lower()
    found += [f"does not say {each!r}" for each in wanted.says if each.lower() not in said]
    found += [f"says {each!r}" for each in wanted.never_says if each.lower() in said]
    return found
