"""A market on one day: what it pays for features, where it moved lately, how far estimates were off. Pure.

How far estimates were off is found by rehearsal: sales of the months before the day are
estimated as a stranger would have done then, from earlier sales, with no more known of
the home than is known of the one that is asked about.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from typing import Final

import numpy as np

from services.seller.book import Book
from services.seller.comparables import Found, Query, find, middle_of
from services.seller.features import Column
from services.seller.hedonic import Hedonic, fit

NOWCAST_DAYS: Final = 45
REHEARSED_DAYS: Final = 150
MOST_REHEARSALS: Final = 1_500
COVERAGE: Final = 0.8
"""The share of sales whose price lies within the range."""

_FEWEST_IN_NOWCAST: Final = 30
_FEWEST_IN_BAND: Final = 30
_FEWEST: Final = 30
_REFIT_DAYS: Final = 30
_BANDS: Final = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class Knowledge:
    """How much is known of a home; what is not known cannot be adjusted for."""

    features: frozenset[str]
    point: bool
    """Whether its own place is known, or only its ZIP code."""

    def within(self, book: Book) -> "Knowledge":
        """Forget features that the sales say nothing of."""
        return Knowledge(features=self.features.intersection(book.features), point=self.point)


@dataclass(frozen=True, kw_only=True, slots=True)
class Band:
    """Rehearsals whose comparables agreed about as well."""

    disagreement: float
    """The highest in this band."""
    low: float
    """Log of the range's lower end over the estimate, at most 0."""
    high: float
    """Log of the range's upper end over the estimate, at least 0."""
    typical_error: float
    """Half of the estimates were closer to the price than this share of it."""


@dataclass(frozen=True, kw_only=True)
class Market:
    """What is needed for estimates as of `day`."""

    book: Book
    day: int
    knowledge: Knowledge
    hedonic: Hedonic
    nowcast: float
    """Log correction: the median by which sales of the last 45 days were above the model."""
    bands: tuple[Band, ...]
    """Best agreement first; a single one when there are too few rehearsals for three."""


def make_market(book: Book, *, on: date, knowledge: Knowledge) -> Market | None:
    """Prepare for estimates as of a day; None when the sales before it are too few to say how sure one is."""
    day = on.toordinal()
    known = knowledge.within(book)
    hedonic = fit(book, before=day, features=known.features)
    if hedonic is None:
        return None
    days, errors, disagreement = _rehearse(book, day, known)
    bands = _bands(*_corrected(days, errors, disagreement, since=day - REHEARSED_DAYS))
    if not bands:
        return None
    nowcast = _nowcast(days, errors, day)
    return Market(book=book, day=day, knowledge=known, hedonic=hedonic, nowcast=nowcast, bands=bands)


def _rehearse(book: Book, day: int, known: Knowledge) -> tuple[Column, Column, Column]:
    """Return day, log of price over estimate, and disagreement of each rehearsed sale, oldest first."""
    low = book.before(day - REHEARSED_DAYS - NOWCAST_DAYS)
    every = max(1, -(-(book.before(day) - low) // MOST_REHEARSALS))
    told = []
    for begin, end in _stretches(day):
        rows = range(book.before(begin), book.before(end), every)
        hedonic = fit(book, before=begin, features=known.features) if rows else None
        if hedonic is None:
            continue
        for row in rows:
            found = _rehearsed(book, hedonic, row, known)
            if found is not None:
                told.append((float(book.day[row]), float(book.log_price[row]) - found.log_value, found.disagreement))
    table = np.array(told, dtype=np.float64).reshape(-1, 3)
    return table[:, 0], table[:, 1], table[:, 2]


def _stretches(day: int) -> Iterator[tuple[int, int]]:
    first = day - REHEARSED_DAYS - NOWCAST_DAYS
    for begin in range(first, day, _REFIT_DAYS):
        yield begin, min(begin + _REFIT_DAYS, day)


def _rehearsed(book: Book, hedonic: Hedonic, row: int, known: Knowledge) -> Found | None:
    before = int(book.day[row])
    zips: tuple[str, ...] = ()
    point = book.places[row]
    if not known.point:
        zips = (str(book.zip_code[row]),)
        middle = middle_of(book, zips, before=before)
        if not zips[0] or middle is None:
            return None
        point = middle
    found = find(
        book,
        hedonic,
        Query(
            effects=hedonic.effects[row],
            area_sqft=float(book.area_sqft[row]),
            zips=zips,
            point=point,
            home_id=str(book.home_id[row]),
            before=before,
        ),
    )
    return None if isinstance(found, int) else found


def _nowcast(days: Column, errors: Column, day: float) -> float:
    recent = errors[(days >= day - NOWCAST_DAYS) & (days < day)]
    return float(np.median(recent)) if len(recent) >= _FEWEST_IN_NOWCAST else 0.0


def _corrected(days: Column, errors: Column, disagreement: Column, *, since: int) -> tuple[Column, Column]:
    """Take from each error what the nowcast of its own day would have taken; drop what is older than `since`."""
    nowcasts = {each: _nowcast(days, errors, each) for each in np.unique(days)}
    kept = days >= since
    left = errors - np.array([nowcasts[each] for each in days])
    return left[kept], disagreement[kept]


def _bands(errors: Column, disagreement: Column) -> tuple[Band, ...]:
    """Cut rehearsals into thirds by disagreement; each third has its own range (split conformal)."""
    if len(errors) < _FEWEST:
        return ()
    parts = _BANDS if len(errors) >= _BANDS * _FEWEST_IN_BAND else 1
    edges = [*np.quantile(disagreement, [part / parts for part in range(1, parts)]), np.inf]
    bands = []
    lower = -np.inf
    for edge in edges:
        inside = errors[(disagreement > lower) & (disagreement <= edge)]
        if len(inside) < _FEWEST:
            return ()
        bands.append(_band(inside, edge))
        lower = edge
    return tuple(bands)


def _band(errors: Column, edge: float) -> Band:
    # One more than there are: the price that is asked about is as likely to be the farthest off as any other.
    share = min(1.0, (1 + COVERAGE) / 2 * (len(errors) + 1) / len(errors))
    return Band(
        disagreement=float(edge),
        low=min(0.0, float(np.quantile(errors, 1 - share))),
        high=max(0.0, float(np.quantile(errors, share))),
        typical_error=float(np.median(np.abs(np.expm1(-errors)))),
    )
