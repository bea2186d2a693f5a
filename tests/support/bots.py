"""Bots without their process: what they read, decide and say, from texts alone."""

import json
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from kit.bot import outbound, reading, talk
from kit.bot.gate import Finding
from kit.bot.plan import describe, read_template, said
from kit.bot.spec import BotSpec, Heard, Move, MoveKind, Situation, Value
from kit.lane import Fact, InboundMessage
from kit.prompt_file import PromptFile, parse
from sandbox.claude_reword import reworded
from services.buyer.bot import BOT as BUYER
from services.buyer.listings import MemoryListings
from services.buyer.lookup import Lookup
from services.lead.bot import BOT as LEAD
from services.seller.bot import BOT as SELLER
from services.seller.value import LookedUp, home_to_value
from tests.support.sales import Town

SERVICES = Path(__file__).parent.parent.parent / "services"
BOTS = {"lead": LEAD, "buyer": BUYER, "seller": SELLER}
NOVEMBER = datetime(2026, 11, 23, 12, tzinfo=UTC)
BROKERAGE = "Porchlight Realty (sample)"


def a_message(text: str, message_id: str = "m_1") -> InboundMessage:
    return InboundMessage(message_id=message_id, text=text, channel="SMS", write_time=NOVEMBER)


def a_fact(name: str, value: Value, *, confidence: float = 0.9, private_to: str | None = None) -> Fact:
    return Fact(
        name=name,
        value=value,
        extractor="rules",
        confidence=confidence,
        words=str(value),
        message_id="m_0",
        private_to=private_to,
    )


def facts_of(values: Mapping[str, Value]) -> dict[str, Fact]:
    return {name: a_fact(name, value) for name, value in values.items()}


def learned(
    spec: BotSpec, *texts: str, known: Mapping[str, Value] | None = None, asked: str = "", model: tuple[Fact, ...] = ()
) -> dict[str, Value]:
    """What a bot reads out of a turn's texts, by name."""
    return {fact.name: fact.value for fact in learned_facts(spec, *texts, known=known, asked=asked, model=model)}


def learned_facts(
    spec: BotSpec, *texts: str, known: Mapping[str, Value] | None = None, asked: str = "", model: tuple[Fact, ...] = ()
) -> tuple[Fact, ...]:
    messages = tuple(a_message(text, f"m_{number}") for number, text in enumerate(texts, 1))
    before = facts_of(known or {})
    rules = spec.read(Heard(messages=messages, asked=asked, known=before))
    return reading.settle(spec.slots, before, rules, model)


def a_situation(
    spec: BotSpec, *texts: str, known: Mapping[str, Value] | None = None, asked: str = "", **rest: object
) -> Situation:
    messages = tuple(a_message(text, f"m_{number}") for number, text in enumerate(texts, 1))
    return Situation(
        brokerage=BROKERAGE,
        messages=messages,
        before=facts_of(known or {}),
        learned=learned_facts(spec, *texts, known=known, asked=asked),
        signals=talk.hear_signals(messages),
        asked=asked,
        **rest,  # type: ignore[arg-type]
    )


def at_once(work: Coroutine[Any, Any, Any]) -> Any:
    """Run what waits for nothing, such as a twin in memory."""
    try:
        work.send(None)
    except StopIteration as done:
        return done.value
    raise AssertionError("it waits for something")


def reply_prompt(spec: BotSpec) -> PromptFile:
    """The prompt that words a bot's replies."""
    return parse((SERVICES / spec.name / "prompts" / "reply.md").read_text(encoding="utf-8"))


def in_other_words(move: Move, *, seed: int = 0) -> str:
    """What goes out when the Claude stand-in words a reply."""
    schema = reply_prompt(LEAD).schema
    worded = reworded(schema or {}, describe(move.parts), seed=seed)
    return said(move.parts, read_template(json.dumps(worded), move.parts)) if worded else move.reply


def decided(spec: BotSpec, *texts: str, **rest: object) -> Move:
    return spec.decide(a_situation(spec, *texts, **rest))  # type: ignore[arg-type]


@dataclass
class Conversation:
    """A contact that moves between bots as they ask for it, but for what the arbiter refuses."""

    owner: str = "lead"
    refused: frozenset[str] = frozenset()
    thresholds: Mapping[str, float] = field(default_factory=dict)
    """Routes that the arbiter refuses to who is less sure."""
    listings: MemoryListings | None = None
    """What the buyer bot can look up."""
    sales: Town | None = None
    """What the seller bot can look up."""
    known: dict[str, Fact] = field(default_factory=dict)
    route: list[str] = field(default_factory=list)
    moves: list[Move] = field(default_factory=list)
    blocked: list[Finding] = field(default_factory=list)
    """What the gate found in what the bots wrote."""
    watch: Callable[[BotSpec, Situation, Move], None] = lambda spec, situation, move: None
    """Gets every move with what it answers."""
    memory: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    _records: dict[str, tuple[str, dict[str, int], bool]] = field(default_factory=dict)
    _source: str = ""
    _turn: int = 0

    def say(self, text: str) -> Move:
        """Text the bots, and return the move that answers."""
        self._turn += 1
        message, opening = a_message(text, f"m_{self._turn}"), False
        denied: frozenset[str] = frozenset()
        while True:
            spec = BOTS[self.owner]
            asked, times, closed = self._records.get(self.owner, ("", {}, False))
            rules = spec.read(Heard(messages=(message,), asked=asked, known=self.known))
            situation = Situation(
                brokerage=BROKERAGE,
                first_name="Sam",
                messages=(message,),
                before=dict(self.known),
                learned=reading.settle(spec.slots, self.known, rules, ()),
                signals=talk.hear_signals((message,)),
                asked=asked,
                times_asked=times,
                first_reply=not self.moves,
                opening=opening,
                source_bot=self._source,
                closed=closed,
                denied_targets=denied,
                memory=self.memory.get(self.owner, {}),
            )
            if self.listings is not None and self.owner == "buyer":
                situation = replace(situation, found=at_once(Lookup(self.listings)("loc_1", situation)))
            if self.sales is not None and self.owner == "seller" and (home := home_to_value(situation)):
                looked = LookedUp(result=self.sales.value(home), title=self.sales.title)
                situation = replace(situation, found={"value": looked})
            move = spec.decide(situation)
            way = f"{self.owner}>{move.target}"
            unsure = move.confidence < self.thresholds.get(way, 0.0)
            if move.kind is MoveKind.HAND_OFF and (way in self.refused or unsure):
                denied |= {move.target}
                continue
            self.known = situation.known
            if move.kind is not MoveKind.HAND_OFF:
                break
            self.route.append(f"{self.owner}>{move.target}")
            self._source, self.owner, opening, denied = self.owner, move.target, True, frozenset()
            assert len(self.route) < 9, self.route
        self.blocked += outbound.admit(spec, situation, move).blocked
        self.watch(spec, situation, move)
        self._records[self.owner] = (move.question, talk.count_asked(situation, move), move.closing or closed)
        if move.memory is not None:
            # Through JSON and back, as the record of a turn goes.
            self.memory[self.owner] = json.loads(json.dumps(move.memory))
        self.moves.append(move)
        return move

    @property
    def values(self) -> dict[str, Value]:
        return {name: fact.value for name, fact in self.known.items()}
