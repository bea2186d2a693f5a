"""Comparative market analysis: what a home may sell for, and every step of how that comes about. Pure.

Not an appraisal. Each comparable is a real sale before the valuation date; what differs
from the home is adjusted by what this market paid for it; the estimate is the weighted
mean of the adjusted prices. Every column adds up to the dollar.

Source: Fannie Mae B4-1.3-08 and -09 for the practice; `bench/cma.py` for how far off it is.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from typing import Final

import numpy as np

from services.seller import shares
from services.seller.book import on_sphere
from services.seller.comparables import AREA_RATIO, NEEDED, OLDEST_DAYS, RADII_MILES, Found, Query, find, middle_of
from services.seller.features import LABELS, Column
from services.seller.market import Band, Knowledge, Market

_DESERVES: Final = (0.10, 0.14)

NOT_AN_APPRAISAL: Final = "An estimate for discussion with an agent, not an appraisal."


@dataclass(frozen=True, kw_only=True, slots=True)
class Subject:
    """The home that is asked about."""

    area_sqft: float
    zips: tuple[str, ...] = ()
    """Where it is, when no more is known; 1 or more unless there is a point."""
    point: tuple[float, float] | None = None
    """Latitude and longitude, degrees."""
    features: Mapping[str, float] = field(default_factory=dict)
    """What is known, by the names of `kit.homes.HOME_FIELDS`."""
    home_id: str = ""
    """Its id in the source, so that its own earlier sales are left out; empty when not known."""

    @property
    def knowledge(self) -> Knowledge:
        """How much is known."""
        return Knowledge(features=frozenset(self.features), point=self.point is not None)


class Confidence(StrEnum):
    """How well the comparables agree, measured against this market's own rehearsals.

    Low where all of them are remote, however well they agree: the rehearsals had sales nearby.
    Never better than what the rehearsals deserve: when half of the estimates that knew as
    little of the home missed by more than 10 %, good agreement is medium, past 14 % low.
    """

    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"


@dataclass(frozen=True, kw_only=True, slots=True)
class Adjustment:
    """What a difference from the home is worth."""

    name: str
    """A feature, `time` (from the sale to the valuation date) or `recent_sales` (all sales of the last 45 days
    against the model)."""
    amount_usd: int

    @property
    def label(self) -> str:
        """The name for people."""
        return LABELS[self.name]


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparable:
    """A sale that the estimate rests on: `price_usd` + its adjustments = `adjusted_price_usd`, exactly."""

    sale_id: str
    sale_date: date
    zip_code: str
    distance_miles: float
    """From the home, or from the middle of its ZIP codes."""
    area_sqft: float
    price_usd: int
    adjustments: tuple[Adjustment, ...]
    adjusted_price_usd: int
    weight_ppm: int
    """Millionths; those of all comparables add up to 1,000,000."""
    share_usd: int
    """Its part of the estimate: weight x adjusted price, rounded so that all parts add up to the estimate."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Estimate:
    """What a home may sell for: `value_usd` = sum of `share_usd`, and `low_usd` <= `value_usd` <= `high_usd`."""

    value_usd: int
    low_usd: int
    high_usd: int
    """8 of 10 sales of the rehearsal were between such ends."""
    confidence: Confidence
    typical_error: float
    """Half of the rehearsed estimates of this confidence were closer than this share of the price."""
    comparables: tuple[Comparable, ...]
    """Weightiest first."""
    remote: bool
    """Whether the home's point is known and no comparable lies within the nearest radius of it."""
    valuation_date: date


@dataclass(frozen=True, kw_only=True, slots=True)
class TooFewSales:
    """There is no estimate, because not enough was sold: an answer, not an error."""

    found: int
    """Comparable sales that there were."""
    needed: int
    because: str
    """One sentence for people, with the limits."""
    valuation_date: date


def estimate(market: Market | None, subject: Subject, *, on: date) -> Estimate | TooFewSales:
    """Estimate the price of a home as of a day, from sales before that day.

    Args:
        market: Made for this day and `subject.knowledge`; None when sales are too few to make one.
        subject: The home.
        on: The valuation date.
    """
    if market is None:
        because = f"There are too few sales before {on} to learn from."
        return TooFewSales(found=0, needed=NEEDED, because=because, valuation_date=on)
    assert market.day == on.toordinal(), "a market is made for one day"
    found = _find(market, subject)
    if isinstance(found, int):
        return TooFewSales(found=found, needed=NEEDED, because=_because(found, subject, on), valuation_date=on)
    comparables = _comparables(market, found)
    value = sum(each.share_usd for each in comparables)
    band, confidence = _band(market.bands, found.disagreement)
    remote = subject.point is not None and bool(found.miles.min() > RADII_MILES[0])
    return Estimate(
        value_usd=value,
        low_usd=min(value, round(value * math.exp(band.low))),
        high_usd=max(value, round(value * math.exp(band.high))),
        confidence=Confidence.LOW if remote else confidence,
        typical_error=band.typical_error,
        comparables=comparables,
        remote=remote,
        valuation_date=on,
    )


def _find(market: Market, subject: Subject) -> Found | int:
    point: Column | None
    if subject.point is not None:
        point = on_sphere(np.array(subject.point[0]), np.array(subject.point[1]))
    else:
        point = middle_of(market.book, subject.zips, before=market.day)
    if point is None:
        return 0
    query = Query(
        effects=market.hedonic.effects_of(subject.area_sqft, subject.features),
        area_sqft=subject.area_sqft,
        zips=() if subject.point is not None else subject.zips,
        point=point,
        home_id=subject.home_id,
        before=market.day,
    )
    return find(market.book, market.hedonic, query)


def _because(found: int, subject: Subject, on: date) -> str:
    where = f"in {' and '.join(subject.zips)}" if subject.point is None else f"within {RADII_MILES[-1]:g} miles"
    count = {0: "No home", 1: "Only 1 home"}.get(found, f"Only {found} homes")
    return (
        f"{count} between {subject.area_sqft / AREA_RATIO:,.0f} and {subject.area_sqft * AREA_RATIO:,.0f} sq ft"
        f" sold {where} in the {OLDEST_DAYS} days before {on}; {NEEDED} are needed."
    )


def _comparables(market: Market, found: Found) -> tuple[Comparable, ...]:
    names = (*market.hedonic.names, "time", "recent_sales")
    sales = [market.book.sales[row] for row in found.rows]
    worked = [
        shares.split(sale.price_usd, [*map(float, effects), float(time), market.nowcast])
        for sale, effects, time in zip(sales, found.effects, found.time, strict=True)
    ]
    weights = shares.per_million([float(weight) for weight in found.weights])
    _, parts = shares.weighted([after for after, _ in worked], weights)
    return tuple(
        Comparable(
            sale_id=sale.sale_id,
            sale_date=sale.sale_date,
            zip_code=sale.zip_code,
            distance_miles=float(miles),
            area_sqft=sale.area_sqft,
            price_usd=sale.price_usd,
            adjustments=tuple(
                Adjustment(name=name, amount_usd=amount) for name, amount in zip(names, amounts, strict=True) if amount
            ),
            adjusted_price_usd=after,
            weight_ppm=weight,
            share_usd=part,
        )
        for sale, miles, (after, amounts), weight, part in zip(sales, found.miles, worked, weights, parts, strict=True)
    )


def _band(bands: tuple[Band, ...], disagreement: float) -> tuple[Band, Confidence]:
    if len(bands) == 1:
        return bands[0], Confidence.LOW  # agreement was never put to the test here
    place = next(number for number, band in enumerate(bands) if disagreement <= band.disagreement)
    deserved = sum(bands[place].typical_error > limit for limit in _DESERVES)
    return bands[place], tuple(Confidence)[max(place, deserved)]
