"""How promising a lead is, as points with the words behind each. Pure.

Points add up, so that an agent can see why somebody was called hot. Only what is
listed here counts: the words of a fact explain, they never score, and nothing about
who a person is (family, faith, origin, disability, age, source of income, ...) has a
row. Why somebody sells has none either: a divorce or a retirement says who they are.
Where in town somebody looks is not rated either: an area is known or it is not.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from kit.lane import Fact


class Part(StrEnum):
    """What a factor speaks of."""

    FIT = "fit"
    INTENT = "intent"
    READINESS = "readiness"
    ENGAGEMENT = "engagement"
    MINUS = "minus"


class Grade(StrEnum):
    """What the score asks of the brokerage."""

    HOT = "hot"
    WARM = "warm"
    NURTURE = "nurture"


@dataclass(frozen=True, kw_only=True, slots=True)
class Factor:
    """One row of a score."""

    part: Part
    name: str
    points: int
    """Below 0 for a minus."""
    because: str
    """One sentence for people."""
    words: str = ""
    """The person's own words; empty when the factor rests on no single text."""
    message_id: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Qualification:
    """A score, its grade, every factor: the factors' points add up to the score, held in 0 to 100."""

    score: int
    grade: Grade
    factors: tuple[Factor, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Scale:
    """What counts how much. Data: a brokerage may weigh otherwise."""

    values: Mapping[str, Mapping[str, int]] = field(default_factory=lambda: VALUES)
    """Points of a fact's value, by name of the fact."""
    presence: Mapping[str, int] = field(default_factory=lambda: PRESENCE)
    """Points of a fact that is known, whatever it says."""
    hot_from: int = 60
    warm_from: int = 30
    per_message: int = 2
    opted_out: int = -100
    messages_most: int = 5
    """How many messages count at most."""
    hedged_below: float = 0.7
    """An intent less sure than this counts half: "might maybe sell someday"."""


VALUES: Final[Mapping[str, Mapping[str, int]]] = {
    "intent": {"buy": 25, "sell": 25, "both": 30},
    # Never less for knowing: even a far date is an answer.
    "timeline": {"under_1_month": 20, "1_to_3_months": 16, "3_to_6_months": 10, "6_to_12_months": 5, "over_12_months": 1},
    "financing": {"cash": 20, "pre_approved": 20, "not_yet": 4},
    "has_agent": {"True": -60},
    "renting": {"True": -30},
}  # fmt: skip
PRESENCE: Final[Mapping[str, int]] = {
    "area": 8,
    "address_area": 8,
    "price_max_usd": 8,
    "price_expectation_usd": 8,
    "bedrooms_min": 4,
    "condition": 6,
    "wants_showing": 15,
}
_PARTS: Final[Mapping[str, Part]] = {
    "intent": Part.INTENT,
    "wants_showing": Part.INTENT,
    "timeline": Part.READINESS,
    "financing": Part.READINESS,
}
_BECAUSE: Final[Mapping[str, str]] = {
    "intent": "Says what they want: {value}.",
    "timeline": "Says when: {value}.",
    "financing": "Says how they pay: {value}.",
    "has_agent": "Has an agent already, who must not be bypassed.",
    "renting": "Looks for a home to rent.",
    "wants_showing": "Asked to see a home.",
}
_SAID: Final[Mapping[str, str]] = {
    "area": "where to look",
    "address_area": "where the home is",
    "price_max_usd": "a budget",
    "price_expectation_usd": "a price",
    "bedrooms_min": "the size",
    "condition": "the condition",
}
STANDARD: Final = Scale()


def qualify(
    facts: Iterable[Fact], *, messages_count: int = 0, opted_out: bool = False, scale: Scale = STANDARD
) -> Qualification:
    """Score a lead.

    Args:
        facts: What is known of the person; what has no row in the scale counts nothing.
        messages_count: How many texts they wrote; 0 when that is not known. The first one counts nothing:
            everybody wrote it, and "hi" is not warm.
        opted_out: Whether they asked for no more messages.
        scale: Points and thresholds.

    >>> qualify(()).grade
    <Grade.NURTURE: 'nurture'>
    """
    known = {fact.name: fact for fact in facts}
    factors = [row for fact in known.values() for row in _factor(fact, scale)]
    counted = min(max(0, messages_count - 1), scale.messages_most)
    # Keeping up a talk says something only about a talk that is about a home.
    if counted and any(factor.points > 0 for factor in factors):
        because = f"Wrote {messages_count} messages."
        points = counted * scale.per_message
        factors.append(Factor(part=Part.ENGAGEMENT, name="messages", points=points, because=because))
    if opted_out:
        because = "Asked for no more messages."
        factors.append(Factor(part=Part.MINUS, name="opted_out", points=scale.opted_out, because=because))
    score = max(0, min(100, sum(factor.points for factor in factors)))
    return Qualification(score=score, grade=grade(score, scale), factors=tuple(sorted(factors, key=_order)))


def grade(score: int, scale: Scale = STANDARD) -> Grade:
    """Return what a score asks for.

    >>> grade(60), grade(59), grade(0)
    (<Grade.HOT: 'hot'>, <Grade.WARM: 'warm'>, <Grade.NURTURE: 'nurture'>)
    """
    if score >= scale.hot_from:
        return Grade.HOT
    return Grade.WARM if score >= scale.warm_from else Grade.NURTURE


def _factor(fact: Fact, scale: Scale) -> list[Factor]:
    points = scale.values.get(fact.name, {}).get(str(fact.value), 0)
    if fact.name in scale.presence and fact.value is not False:
        points = scale.presence[fact.name]
    hedged = fact.name == "intent" and fact.confidence < scale.hedged_below
    if hedged:
        points //= 2
    if not points:
        return []
    because = _BECAUSE.get(fact.name, f"Says {_SAID.get(fact.name, fact.name)}.")
    because = because.format(value=str(fact.value).replace("_", " "))
    return [
        Factor(
            part=Part.MINUS if points < 0 else _PARTS.get(fact.name, Part.FIT),
            name=fact.name,
            points=points,
            because=because + (" Not sure yet, so half." if hedged else ""),
            words=fact.words,
            message_id=fact.message_id,
        )
    ]


def _order(factor: Factor) -> tuple[int, int, str]:
    return list(Part).index(factor.part), -factor.points, factor.name
