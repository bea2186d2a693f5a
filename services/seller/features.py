"""How each thing that is known of a home enters the regression. Pure.

A feature becomes one or more columns; its share of a log price is their sum, so that
an adjustment can be shown feature by feature. Which features take part is decided by
what the data has, never by the name of a county's column.
"""

from collections.abc import Callable, Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

Column = NDArray[np.float64]

AREA: Final = "area_sqft"
_AREA_STEPS: Final = (0.0, 1 / 3, 2 / 3)
_USUAL_AREA_SQFT: Final = 2_000.0


def area_columns(area_sqft: Column, knots: Column) -> list[Column]:
    """Return log area cut into pieces at `knots`: a slope for small, middle and large homes.

    Pieces, because each slope can be held at or above 0: a larger home is then never
    adjusted to be worth less, whatever the data says.
    """
    logs = np.log(area_sqft / _USUAL_AREA_SQFT)
    pieces = [np.minimum(logs, knots[0])]
    pieces += [np.clip(logs, low, high) - low for low, high in zip(knots, [*knots[1:], np.inf], strict=True)]
    return pieces


def area_knots(area_sqft: Column) -> Column:
    """Return where the slope of area may change: at the terciles of what was sold."""
    logs = np.log(area_sqft / _USUAL_AREA_SQFT)
    return np.asarray(np.quantile(logs, _AREA_STEPS[1:]), dtype=np.float64)


def _log_and_square(values: Column) -> list[Column]:
    logs = np.log(np.maximum(values, 200.0) / 7_500.0)
    return [logs, logs**2]


def _with_square(values: Column) -> list[Column]:
    return [values / 10, (values / 10) ** 2]


def _any_and_more(values: Column) -> list[Column]:
    # np.sign keeps "not known" (NaN), which a comparison would turn into "none".
    return [np.sign(values), values]


def _built(values: Column) -> list[Column]:
    years = (values - 1_970) / 50
    # Homes of the last two decades are a kind of their own.
    return [years, years**2, np.maximum(years - 0.6, 0.0)]


def _renovated(values: Column) -> list[Column]:
    # A renovation wears off: nothing is left of one before 1960. 0 stands for never.
    return [np.clip((values - 1_960) / 50, 0.0, 1.5)]


def _plain(scale: float, most: float = np.inf) -> Callable[[Column], list[Column]]:
    return lambda values: [np.minimum(values, most) / scale]


COLUMNS: Final[Mapping[str, Callable[[Column], list[Column]]]] = {
    "lot_sqft": _log_and_square,
    "bedrooms": _plain(1, most=8),
    "bathrooms": _plain(1),
    "floors": _plain(1),
    "waterfront": _plain(1),
    "view": _any_and_more,
    "condition": _plain(1),
    "quality": _with_square,
    "basement_sqft": _plain(1_000),
    "year_built": _built,
    "year_renovated": _renovated,
    "neighbors_area_sqft": lambda values: [np.log(np.maximum(values, 100.0) / _USUAL_AREA_SQFT)],
}
"""Features in the order in which adjustments are shown; the names are those of `kit.homes`."""

LABELS: Final[Mapping[str, str]] = {
    AREA: "living area",
    "lot_sqft": "lot size",
    "bedrooms": "bedrooms",
    "bathrooms": "bathrooms",
    "floors": "floors",
    "waterfront": "waterfront",
    "view": "view",
    "condition": "condition",
    "quality": "quality and finish",
    "basement_sqft": "basement",
    "year_built": "year built",
    "year_renovated": "renovation",
    "neighbors_area_sqft": "size of homes around",
    "time": "market since the sale",
    "recent_sales": "recent sales above or below the model",
}
