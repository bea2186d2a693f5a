"""Which sales are like a home, and how much each of them counts. Pure.

Near, recent, of similar size and in need of little adjustment; among those, a sale that
disagrees with the others counts less, so one distressed sale moves nothing.
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from services.seller.book import Book, Rows, miles_from
from services.seller.features import Column
from services.seller.hedonic import Hedonic

NEEDED: Final = 5
"""Fewest comparables that make an estimate; an appraiser needs 3, a range needs more."""
MOST: Final = 20
"""More add little and are hard to read."""
RADII_MILES: Final = (1.5, 3.0, 8.0)
"""Widened in steps until there are `MOST`; farther away is another market."""
OLDEST_DAYS: Final = 365
AREA_RATIO: Final = 1.6
"""How many times larger or smaller a comparable may be."""

# What counts as much as one step away: these miles, this log adjustment, these days.
_MILES, _ADJUSTMENT, _DAYS = 0.45, 0.14, 200.0
_TOLERANCE: Final = 1.5
_SMALLEST_SPREAD: Final = 0.05


@dataclass(frozen=True, kw_only=True)
class Query:
    """A home to find comparables for."""

    effects: Column
    """What its features are worth, as a row of `Hedonic.effects`."""
    area_sqft: float
    zips: tuple[str, ...]
    """Where it is, when the point is only the middle of these; empty when the point is its own."""
    point: Column
    """On the unit sphere."""
    home_id: str
    before: int
    """Sales dated on or after this day do not exist yet."""


@dataclass(frozen=True, kw_only=True)
class Found:
    """Comparables, the weightiest first."""

    rows: Rows
    miles: Column
    effects: Column
    """Log adjustment of each (row) for each feature (column); 0 where either side is not known."""
    time: Column
    """Log adjustment of each for the time since its sale."""
    weights: Column
    """Above 0; they add up to 1."""
    log_value: float
    """Log of the weighted mean of adjusted prices."""
    disagreement: float
    """How far adjusted prices are apart: weighted standard deviation around the median, in log."""


def find(book: Book, hedonic: Hedonic, query: Query) -> Found | int:
    """Find comparables, or return how few there are."""
    rows, miles = _candidates(book, query)
    if len(rows) < NEEDED:
        return len(rows)
    effects = np.nan_to_num(query.effects - hedonic.effects[rows], nan=0.0)
    change = effects.sum(axis=1)
    away = np.zeros(len(rows)) if query.zips else miles / _MILES
    unlike = away**2 + (change / _ADJUSTMENT) ** 2 + ((query.before - book.day[rows]) / _DAYS) ** 2
    best = np.argsort(unlike, kind="stable")[:MOST]
    rows, miles, effects, change = rows[best], miles[best], effects[best], change[best]
    time = hedonic.time_now - hedonic.time[rows]
    adjusted = book.log_price[rows] + change + time
    near = 1 / (1 + unlike[best])
    middle = _weighted_median(adjusted, near)
    off = np.abs(adjusted - middle)
    spread = max(_SMALLEST_SPREAD, 1.4826 * _weighted_median(off, near))
    weights = near / (1 + (off / (_TOLERANCE * spread)) ** 2)
    weights = weights / weights.sum()
    order = np.argsort(-weights, kind="stable")
    return Found(
        rows=rows[order],
        miles=miles[order],
        effects=effects[order],
        time=time[order],
        weights=weights[order],
        log_value=math.log(float((weights * np.exp(adjusted)).sum())),
        disagreement=math.sqrt(float((near * off**2).sum() / near.sum())),
    )


def middle_of(book: Book, zips: tuple[str, ...], *, before: int) -> Column | None:
    """Return the middle of what was sold in ZIP codes before a day; None when nothing was."""
    inside = np.flatnonzero(np.isin(book.zip_code[: book.before(before)], zips))
    if not len(inside):
        return None
    middle = np.median(book.places[inside], axis=0)
    return np.asarray(middle / np.linalg.norm(middle), dtype=np.float64)


def _candidates(book: Book, query: Query) -> tuple[Rows, Column]:
    low, high = book.before(query.before - OLDEST_DAYS), book.before(query.before)
    ratio = book.area_sqft[low:high] / query.area_sqft
    alike = (ratio < AREA_RATIO) & (ratio > 1 / AREA_RATIO)
    if query.home_id:
        alike &= book.home_id[low:high] != query.home_id
    if query.zips:
        alike &= np.isin(book.zip_code[low:high], query.zips)
    rows = low + np.flatnonzero(alike)
    miles = miles_from(query.point, book.places[rows])
    if query.zips:
        return rows, miles
    for radius in RADII_MILES:
        near = miles <= radius
        if near.sum() >= MOST:
            break
    return rows[near], miles[near]


def _weighted_median(values: Column, weights: Column) -> float:
    order = np.argsort(values, kind="stable")
    running = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(running, running[-1] / 2)])
