"""How ready a person is to buy, in points per factor with their words. Pure.

Points only add up: what a person tells never costs any, but for an agent of their
own, whom the brokerage must not cut out (NAR Code of Ethics, Article 16).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from kit.lane import Fact

READY_FROM: Final = 70
WARM_FROM: Final = 40

_FINANCING: Final = {"cash": 40, "pre_approved": 40, "not_yet": 10}
_TIMELINE: Final = {
    "under_1_month": 35,
    "1_to_3_months": 30,
    "3_to_6_months": 20,
    "6_to_12_months": 10,
    "over_12_months": 5,
}
_PRICE: Final = 25
_SAID: Final = {
    "cash": "pays cash",
    "pre_approved": "pre-approved for a loan",
    "not_yet": "not pre-approved yet",
    "under_1_month": "within a month",
    "1_to_3_months": "within 3 months",
    "3_to_6_months": "in 3 to 6 months",
    "6_to_12_months": "within a year",
    "over_12_months": "in over a year",
}


class Band(StrEnum):
    """What the points come to."""

    EARLY = "early"
    WARM = "warm"
    READY = "ready"
    HAS_AGENT = "has_agent"
    """Another agent works for the person; nothing more is offered."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Factor:
    """One part of the score."""

    name: str
    points: int
    most: int
    reason: str
    words: str = ""
    """The person's own; empty when they said nothing of it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Readiness:
    """How ready a person is."""

    points: int
    """0 to 100, the sum of the factors."""
    band: Band
    factors: tuple[Factor, ...]


def assess(known: Mapping[str, Fact]) -> Readiness:
    """Assess readiness from `financing`, `timeline`, `price_max_usd` and `has_agent`; what is unknown gives 0."""
    agent = known.get("has_agent")
    factors = [
        _chosen("financing", known.get("financing"), _FINANCING),
        _chosen("timeline", known.get("timeline"), _TIMELINE),
        _price(known.get("price_max_usd")),
    ]
    points = sum(each.points for each in factors)
    if agent is not None and agent.value is True:
        taken = Factor(name="has_agent", points=-points, most=0, reason="has an agent already", words=agent.words)
        return Readiness(points=0, band=Band.HAS_AGENT, factors=(*factors, taken))
    band = Band.READY if points >= READY_FROM else Band.WARM if points >= WARM_FROM else Band.EARLY
    return Readiness(points=points, band=band, factors=tuple(factors))


def _chosen(name: str, fact: Fact | None, points: Mapping[str, int]) -> Factor:
    most = max(points.values())
    value = "" if fact is None else str(fact.value)
    if fact is None or value not in points:
        return Factor(name=name, points=0, most=most, reason="not known")
    return Factor(name=name, points=points[value], most=most, reason=_SAID[value], words=fact.words)


def _price(fact: Fact | None) -> Factor:
    if fact is None or isinstance(fact.value, bool) or not isinstance(fact.value, int):
        return Factor(name="price_max_usd", points=0, most=_PRICE, reason="not known")
    return Factor(name="price_max_usd", points=_PRICE, most=_PRICE, reason=f"up to ${fact.value:,}", words=fact.words)
