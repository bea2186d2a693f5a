"""What the market pays for each feature, read from its own sales. Pure.

Log price on features and a time index, within small cells of the map: what a place is
worth drops out, and what is left is what buyers of that place paid for a bathroom more.
No rule of thumb takes part (Fannie Mae B4-1.3-09 names those as wrong).
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from services.seller.book import Book, Rows
from services.seller.features import AREA, COLUMNS, Column, area_columns, area_knots

LEAST_SALES: Final = 60
"""Fewer sales than this say nothing of single features."""

_CELL_DEGREES: Final = 0.01
_DAYS_A_STEP: Final = 30.4
# How strongly the slope of the time index may not change from month to month, in sales.
_TIME_STIFFNESS: Final = 30.0
_ROUNDS: Final = 3
_SMALLEST_SPREAD: Final = 0.02


@dataclass(frozen=True, kw_only=True)
class Hedonic:
    """What each sale's features are worth, in log price, fitted on sales before one day."""

    names: tuple[str, ...]
    """Living area first, then the other features."""
    effects: Column
    """A row for each sale of the book, a column for each name; NaN where it is not known."""
    time: Column
    """The index at each sale's date."""
    time_now: float
    """The index at the last day fitted."""
    _knots: Column
    _slopes: dict[str, Column]

    def effects_of(self, area_sqft: float, features: Mapping[str, float]) -> Column:
        """Return what the features of one home are worth, as a row of `effects`."""
        return np.array([self._effect(name, area_sqft if name == AREA else features.get(name)) for name in self.names])

    def _effect(self, name: str, value: float | None) -> float:
        if value is None:
            return float("nan")
        values = np.array([value], dtype=np.float64)
        columns = area_columns(values, self._knots) if name == AREA else COLUMNS[name](values)
        return float(sum(column[0] * slope for column, slope in zip(columns, self._slopes[name], strict=True)))


def fit(book: Book, *, before: int, features: Collection[str]) -> Hedonic | None:
    """Fit on the sales before a day.

    Args:
        book: All sales; later ones are not looked at.
        before: Proleptic ordinal of the day.
        features: Which to use beside living area; those the book lacks are left out.

    Returns:
        None when there are fewer than `LEAST_SALES`.
    """
    count = book.before(before)
    if count < LEAST_SALES:
        return None
    knots = area_knots(book.area_sqft[:count])
    groups = {AREA: area_columns(book.area_sqft, knots)}
    groups |= {name: COLUMNS[name](book.features[name]) for name in book.features if name in features}
    begin, end = int(book.day[0]), before - 1
    columns = [column for group in groups.values() for column in group]
    steps = _time_columns(book.day, begin=begin, end=end)
    matrix = np.stack([_known(column, count) for column in (*columns, *steps)], axis=1)
    slopes = _regress(matrix[:count], book.log_price[:count], _cells(book, count), stiff_from=len(columns))
    kept, place = {}, 0
    for name, group in groups.items():
        kept[name] = slopes[place : place + len(group)]
        place += len(group)
    kept[AREA] = np.maximum(kept[AREA], 0.0)
    drift = slopes[len(columns) :]
    return Hedonic(
        names=tuple(groups),
        effects=np.stack(
            [
                sum(column * slope for column, slope in zip(group, kept[name], strict=True))
                for name, group in groups.items()
            ],
            axis=1,
        ),
        time=np.asarray(sum(step * slope for step, slope in zip(steps, drift, strict=True))),
        time_now=float(
            sum(
                step[0] * slope
                for step, slope in zip(_time_columns(np.array([end]), begin=begin, end=end), drift, strict=True)
            )
        ),
        _knots=knots,
        _slopes=kept,
    )


def _time_columns(day: Column | Rows, *, begin: int, end: int) -> list[Column]:
    """Return a line that may bend once a month; flat after `end`, since nothing is known of later."""
    months = np.minimum(np.asarray(day, dtype=np.float64) - begin, end - begin) / _DAYS_A_STEP
    # No bend in the last month: its slope would rest on a handful of sales.
    bends = np.arange(1.0, (end - begin) / _DAYS_A_STEP - 1.0)
    return [months, *(np.maximum(months - bend, 0.0) for bend in bends)]


def _known(column: Column, count: int) -> Column:
    """Put the mean of what was known before the day in place of what is not known."""
    missing = ~np.isfinite(column)
    if not missing.any():
        return column
    seen = column[:count][~missing[:count]]
    return np.where(missing, seen.mean() if len(seen) else 0.0, column)


def _cells(book: Book, count: int) -> Rows:
    """Number the squares of the map, somewhat below a mile wide, in which sales lie."""
    latitude = np.degrees(np.arcsin(book.places[:count, 2]))
    longitude = np.degrees(np.arctan2(book.places[:count, 1], book.places[:count, 0]))
    wide = _CELL_DEGREES / max(0.2, float(np.cos(np.radians(np.median(latitude)))))
    squares = np.stack([np.floor(latitude / _CELL_DEGREES), np.floor(longitude / wide)], axis=1)
    _, cells = np.unique(squares, axis=0, return_inverse=True)
    return np.asarray(cells.reshape(-1), dtype=np.int64)


def _regress(matrix: Column, target: Column, cells: Rows, *, stiff_from: int) -> Column:
    """Return the slopes within cells; sales far off the rest count less (three rounds of reweighting)."""
    both = np.concatenate([matrix, target[:, None]], axis=1)
    size = np.bincount(cells).astype(np.float64)
    means = np.stack([np.bincount(cells, both[:, each]) for each in range(both.shape[1])], axis=1) / size[:, None]
    within = both - means[cells]
    inputs, output = within[:, :-1], within[:, -1]
    penalty = np.full(inputs.shape[1], 1e-3)
    penalty[stiff_from + 1 :] = _TIME_STIFFNESS
    weights: Column = np.ones(len(output))
    slopes: Column = np.zeros(inputs.shape[1])
    for _ in range(_ROUNDS):
        weighted = inputs * weights[:, None]
        slopes = np.asarray(np.linalg.solve(inputs.T @ weighted + np.diag(penalty), weighted.T @ output), np.float64)
        left = output - inputs @ slopes
        spread = max(_SMALLEST_SPREAD, 1.4826 * float(np.median(np.abs(left))))
        weights = 1 / (1 + (left / (2 * spread)) ** 2)
    return slopes
