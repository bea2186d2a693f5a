"""What makes a bot: its slots, its judgement and its words, as data. Pure.

A bot is a folder with `BOT = BotSpec(...)`; everything else is `kit.bot.runtime`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from typing import Any, Final

from kit.bot.plan import Part
from kit.effects import Effect
from kit.lane import Fact, InboundMessage
from kit.spans import SpanKind

Value = str | int | bool


class SlotKind(StrEnum):
    """What kind of value a slot takes."""

    CHOICE = "choice"
    TEXT = "text"
    """The person's own words."""
    PLACE = "place"
    """The name of a neighborhood or a city, or a ZIP code, in the person's words."""
    INTEGER = "integer"
    BOOLEAN = "boolean"


@dataclass(frozen=True, kw_only=True, slots=True)
class SlotSpec:
    """One thing a bot wants to know."""

    name: str
    """The fact's name; ends in its unit."""
    kind: SlotKind
    meaning: str
    """What it is, for the model and for people."""
    question: str = ""
    """What the person is asked; empty for what is only listened for."""
    again: str = ""
    """The same question in other words, for the second and last time."""
    choices: Mapping[str, str] = field(default_factory=dict)
    """Of a choice: each value, and how it is said back to the person."""
    low: int = 0
    """Of an integer: the least value."""
    high: int = 0
    """Of an integer: the greatest value."""
    said: str = "{value}"
    """How the value is said back; empty keeps it unsaid."""
    private_to: str | None = None
    """The only bot that may see the value."""
    firm: bool = False
    """Once known, only the rules may change it: a model's guess must not move a contact back and forth."""
    modelled: bool = True
    """Whether the model is asked for it."""
    refs: tuple[SpanKind, ...] = ()
    """Kinds of masked values that can stand for it (`kit/spans.py`): the model names one, the bot reads it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Heard:
    """What the rules read from."""

    messages: tuple[InboundMessage, ...]
    """Oldest first."""
    asked: str = ""
    """The slot that was asked for last; empty when none."""
    known: Mapping[str, Fact] = field(default_factory=dict)

    @property
    def today(self) -> date:
        """The day of the last message: "next month" is counted from there."""
        return self.messages[-1].write_time.date()


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """What the rules read."""

    facts: tuple[Fact, ...] = ()
    denied: frozenset[str] = frozenset()
    """Slots that the messages speak of without giving a value: "I don't know when". No model may fill these."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Signals:
    """What a person says to the bot itself."""

    if_bot: bool = False
    human: bool = False
    unsure: bool = False
    unsure_when: bool = False
    """Does not know when, whatever was asked."""
    no_texts: bool = False
    courtesy: bool = False
    question: bool = False
    of_data: bool = False
    """Asks what is kept of them, or wants it deleted."""
    of_people: bool = False
    """Asks who lives somewhere, or whether it is safe or has good schools."""
    chooses_buyers: bool = False
    """Wants a home sold by who the buyers are."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Situation:
    """Everything a decision depends on."""

    brokerage: str
    first_name: str = ""
    messages: tuple[InboundMessage, ...] = ()
    before: Mapping[str, Fact] = field(default_factory=dict)
    """What was known when the turn began."""
    learned: tuple[Fact, ...] = ()
    """What this turn's messages add or change."""
    signals: Signals = Signals()
    asked: str = ""
    times_asked: Mapping[str, int] = field(default_factory=dict)
    first_reply: bool = False
    """Whether no bot has written to the contact yet."""
    opening: bool = False
    """Whether a handoff brought the contact just now."""
    source_bot: str = ""
    """Who handed the contact over; empty when nobody did."""
    closed: bool = False
    """Whether this bot has said that it knows enough."""
    denied_targets: frozenset[str] = frozenset()
    memory: Mapping[str, Any] = field(default_factory=dict)
    """What this bot's last move wanted remembered."""
    found: Mapping[str, Any] = field(default_factory=dict)
    """What the bot's speciality looked up for this turn; empty when it has none, or its store did not answer."""

    @property
    def known(self) -> dict[str, Fact]:
        """What is known now."""
        return {**self.before, **{fact.name: fact for fact in self.learned}}

    def value(self, name: str) -> Value | None:
        """Return what is known of a slot; None when nothing is."""
        fact = self.known.get(name)
        return None if fact is None else fact.value

    def news(self, name: str) -> Fact | None:
        """Return what this turn says of a slot; None when it says nothing new."""
        return next((fact for fact in self.learned if fact.name == name), None)


class MoveKind(StrEnum):
    """What a bot does with a turn."""

    ASK = "ask"
    ANSWER = "answer"
    HAND_OFF = "hand_off"
    STAY_SILENT = "stay_silent"


@dataclass(frozen=True, kw_only=True, slots=True)
class Move:
    """A decision."""

    kind: MoveKind
    reply: str = ""
    """What is said, as we write it."""
    parts: tuple[Part, ...] = ()
    """What the reply is made of, so that it can be said in other words; empty keeps the written ones."""
    question: str = ""
    """The slot that the reply asks for."""
    closing: bool = False
    """Whether the reply says that the bot knows enough."""
    target: str = ""
    confidence: float = 0.0
    summary: str = ""
    override_message_id: str = ""
    """The message that contradicts the way the contact came."""
    memory: Mapping[str, Any] | None = None
    """What the bot's next turn with the contact gets back, as JSON; None: what it had before."""
    spoken: tuple[Any, ...] = ()
    """The records that the reply speaks of: no other number than theirs and those of facts may go out."""
    notices: tuple[str, ...] = ()
    """Sentences that must stand in the reply, however it is worded."""
    effects: tuple[Effect, ...] = ()
    """What happens beside the reply, when the turn is completed; none of a move that hands over."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BotSpec:
    """A bot."""

    name: str
    slots: tuple[SlotSpec, ...]
    read: Callable[[Heard], Reading]
    """The rules, pure."""
    decide: Callable[[Situation], Move]
    """The judgement, pure. Never asks for what is known, never targets `denied_targets`."""
    capsule_versions: frozenset[int] = frozenset({1})
    """Which capsules it understands; others it declines."""

    @property
    def prompt(self) -> str:
        """The name of the prompt that reads facts."""
        return f"{self.name}.extract"

    @property
    def reply_prompt(self) -> str:
        """The name of the prompt that puts replies into other words; a bot without one says what is written."""
        return f"{self.name}.reply"

    def slot(self, name: str) -> SlotSpec | None:
        """Return the declaration of a slot; None when the bot has none of that name."""
        return next((slot for slot in self.slots if slot.name == name), None)


# The model answers every slot: null, or the value with the words that it stands on.
_REFS_MOST: Final = 4
"""A turn with more values of a kind is left to the rules."""


def answer_schema(slots: tuple[SlotSpec, ...]) -> dict[str, Any]:
    """Return the JSON schema of a model's answer about these slots; the prompt file holds the same."""
    modelled = [slot for slot in slots if slot.modelled]
    return {
        "type": "object",
        "properties": {slot.name: _slot_schema(slot) for slot in modelled},
        "required": [slot.name for slot in modelled],
        "additionalProperties": False,
    }


def _slot_schema(slot: SlotSpec) -> dict[str, Any]:
    """A value is one of a closed list wherever one can be written down, so that no model can invent any."""
    refs = [f"{kind}_{number}" for kind in slot.refs for number in range(1, _REFS_MOST + 1)]
    value: dict[str, Any] = {"type": "string"}
    if slot.kind is SlotKind.BOOLEAN:
        value = {"type": "boolean"}
    elif slot.kind in (SlotKind.CHOICE, SlotKind.INTEGER):
        value = {"type": "string", "enum": [*slot.choices, *refs]}
    found = {
        "type": "object",
        "properties": {"value": value, "words": {"type": "string"}, "confidence": {"type": "number"}},
        "required": ["value", "words", "confidence"],
        "additionalProperties": False,
    }
    return {"description": slot.meaning, "anyOf": [found, {"type": "null"}]}
