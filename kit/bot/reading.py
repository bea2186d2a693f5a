"""Rules that several bots read by, and who wins where rules and model both speak. Pure.

The rules win: they speak only where a statement is clear, and then they are right
about numbers, negations and corrections, which models get wrong now and then. The
model adds what the rules cannot see. Where the rules heard "I don't know when",
nobody may fill in a time.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from kit import text
from kit.bot import words
from kit.bot.spec import Heard, Reading, SlotSpec, Value
from kit.bot.wishes import Side, Wish, wishes
from kit.lane import Fact, InboundMessage

RULES: Final = "rules"
LONGEST_WORDS: Final = 500

TIMELINES: Final = {
    "under_1_month": "as soon as possible",
    "1_to_3_months": "within 3 months",
    "3_to_6_months": "in 3 to 6 months",
    "6_to_12_months": "within a year",
    "over_12_months": "in over a year",
}
_BUCKETS: Final = ((1.0, "under_1_month"), (3.0, "1_to_3_months"), (6.0, "3_to_6_months"), (12.0, "6_to_12_months"))


def make_fact(slot: str, value: Value, message: InboundMessage, span: tuple[int, int], confidence: float = 0.9) -> Fact:
    """Make a fact of the words that stand at `span` of a message."""
    return Fact(
        name=slot,
        value=value,
        extractor=RULES,
        confidence=confidence,
        words=message.text[span[0] : span[1]].strip()[:LONGEST_WORDS],
        message_id=message.message_id,
    )


# --- what a contact wants


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """What the messages of a turn say about buying and selling."""

    sides: Mapping[Side, tuple[Wish, InboundMessage]] = field(default_factory=dict)
    denied: frozenset[Side] = frozenset()
    corrects: bool = False
    """Whether one side takes the place of the other: "sorry, I meant buy", "buying, not selling"."""
    adds: bool = False
    """Whether it was said beside something else: "also", "something bigger"."""

    def fact(self, value: str) -> Fact:
        """Make the fact `intent` of the sides that were named."""
        wish, message = next(self.sides[side] for side in self.sides)
        confidence = min(each.confidence for each, _ in self.sides.values())
        start, end = text.sentence(text.fold(message.text), wish.start)
        return make_fact("intent", value, message, (start, end), confidence)


def wanted(heard: Heard) -> Wanted:
    """Read what a contact wants; a later correction takes the place of an earlier wish."""
    sides: dict[Side, tuple[Wish, InboundMessage]] = {}
    denied: set[Side] = set()
    corrects = adds = False
    for message in heard.messages:
        for wish in _wishes(message.text, heard.asked):
            other: Side = "buy" if wish.side == "sell" else "sell"
            if wish.denied:
                sides.pop(wish.side, None)
                denied.add(wish.side)
                continue
            denied.discard(wish.side)
            if wish.corrects and not wish.adds:
                sides.pop(other, None)
                corrects = True
            adds = adds or wish.adds
            if wish.side not in sides or sides[wish.side][0].confidence <= wish.confidence:
                sides[wish.side] = (wish, message)
    if len(sides) == 1:
        corrects = corrects or next(iter(_others(sides))) in denied
    return Wanted(sides=sides, denied=frozenset(denied), corrects=corrects and len(sides) == 1 and not adds, adds=adds)


def _others(sides: Mapping[Side, Any]) -> Iterable[Side]:
    return ("buy" if side == "sell" else "sell" for side in sides)


_ANSWER: Final = re.compile(
    r"^\W*(?:(?:yes|yeah|yep|um|uh|well|oh|ok|ugh|hm+|lol|probably|maybe|actually)\W+)*"
    r"(?:(?:i'?m |i am |we'?re |we are )?(?:an? |the )?(?:home ?|house ?)?(?:(?P<buy>buyer)|(?P<sell>seller))|(?P<both>both)\b)"
)


def _wishes(said: str, asked: str) -> tuple[Wish, ...]:
    """Read wishes; after "buy, sell or both?" a single word is as clear as a sentence."""
    found = wishes(said)
    if asked != "intent":
        return found
    answer = _ANSWER.match(text.fold(said))
    if answer and not found:
        sides: tuple[Side, ...] = ("sell", "buy") if answer["both"] else ("buy",) if answer["buy"] else ("sell",)
        start, end = answer.span()
        return tuple(
            Wish(side=side, start=start, end=end, denied=False, corrects=False, adds=False, confidence=0.92)
            for side in sides
        )
    return tuple(
        replace(wish, confidence=max(wish.confidence, 0.9)) if wish.confidence > 0.8 else wish for wish in found
    )


# --- times and places


def read_timeline(heard: Heard) -> Reading:
    """Read when the contact wants to act, as one of `TIMELINES`."""
    facts: dict[str, Fact] = {}
    denied: set[str] = set()
    for message in heard.messages:
        found = text.timing(text.fold(message.text), today=heard.today, asked=heard.asked == "timeline")
        # "Let me talk to a person right now" says nothing of a home.
        of_a_person = words.asks_for_human(message.text) and not wishes(message.text) and heard.asked != "timeline"
        if found is not None and not of_a_person:
            facts["timeline"] = make_fact("timeline", bucket(found.months), message, (found.start, found.end))
        elif words.is_unsure(message.text) or re.search(r"\bwhen\b", text.fold(message.text)):
            denied.add("timeline")
    return Reading(facts=tuple(facts.values()), denied=frozenset(denied - set(facts)))


def bucket(months: float) -> str:
    """Return the timeline that a number of months falls into.

    >>> bucket(0.5), bucket(3), bucket(18)
    ('under_1_month', '1_to_3_months', 'over_12_months')
    """
    return next((name for most, name in _BUCKETS if months <= most), "over_12_months")


def read_places(heard: Heard, *, slot_of: Mapping[Side, str], default: str) -> tuple[Fact, ...]:
    """Read places; the wish that stands before a place says what it is a place of.

    Args:
        heard: What was said.
        slot_of: The slot of a home to buy and of a home to sell.
        default: The slot of a place that stands alone.
    """
    facts: dict[str, Fact] = {}
    asked = heard.asked in slot_of.values()
    for message in heard.messages:
        said = [wish for wish in wishes(message.text) if not wish.denied]
        for place in words.places(message.text, asked=asked):
            before = [wish for wish in said if wish.start <= place.start]
            slot = slot_of.get(before[-1].side if before else (said[0].side if said else "buy"), default)
            if not said:
                slot = heard.asked if asked else default
            span = (place.start, place.end)
            facts[slot] = make_fact(slot, place.name, message, span)
    return tuple(facts.values())


# --- both together


def settle(
    slots: tuple[SlotSpec, ...], known: Mapping[str, Fact], rules: Reading, model: tuple[Fact, ...]
) -> tuple[Fact, ...]:
    """Return what a turn adds to what is known, the rules before the model.

    The same value again is news only when it is surer than before.
    """
    by_rules = {fact.name: fact for fact in rules.facts}
    by_model = {fact.name: fact for fact in model if fact.name not in rules.denied}
    learned = []
    for slot in slots:
        if slot.firm and slot.name in known:
            by_model.pop(slot.name, None)
        fact = by_rules.get(slot.name) or by_model.get(slot.name)
        old = known.get(slot.name)
        if fact is None or (old is not None and old.value == fact.value and old.confidence >= fact.confidence):
            continue
        learned.append(replace(fact, private_to=slot.private_to))
    return tuple(learned)
