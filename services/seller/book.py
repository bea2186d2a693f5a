"""Sales as columns, oldest first, for fast looking. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from kit.homes import Sale
from services.seller.features import COLUMNS, Column

EARTH_RADIUS_MILES: Final = 3_958.76
_LEAST_KNOWN: Final = 0.5

Rows = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Book:
    """All sales of a source."""

    sales: tuple[Sale, ...]
    """Oldest first; every column has this order."""
    day: Rows
    """Proleptic ordinals of sale dates."""
    log_price: Column
    area_sqft: Column
    places: Column
    """Points on the unit sphere, one row a sale."""
    zip_code: NDArray[np.str_]
    home_id: NDArray[np.str_]
    features: dict[str, Column]
    """Only features that the source has for at least half of its sales and that vary; unknown is NaN."""

    def before(self, day: int) -> int:
        """Return how many sales are dated before a day: rows `[:count]`."""
        return int(np.searchsorted(self.day, day, side="left"))


def make_book(sales: Sequence[Sale]) -> Book:
    """Bring sales into columns."""
    ordered = tuple(sorted(sales, key=lambda sale: (sale.sale_date, sale.sale_id)))
    features = {}
    for name in COLUMNS:
        values = np.array([sale.features.get(name, np.nan) for sale in ordered], dtype=np.float64)
        known = values[np.isfinite(values)]
        if len(known) >= max(1, _LEAST_KNOWN * len(ordered)) and np.ptp(known) > 0:
            features[name] = values
    return Book(
        sales=ordered,
        day=np.array([sale.sale_date.toordinal() for sale in ordered], dtype=np.int64),
        log_price=np.log(np.array([sale.price_usd for sale in ordered], dtype=np.float64)),
        area_sqft=np.array([sale.area_sqft for sale in ordered], dtype=np.float64),
        places=on_sphere(np.array([sale.latitude for sale in ordered]), np.array([sale.longitude for sale in ordered])),
        zip_code=np.array([sale.zip_code for sale in ordered], dtype=np.str_),
        home_id=np.array([sale.home_id for sale in ordered], dtype=np.str_),
        features=features,
    )


def on_sphere(latitude: Column, longitude: Column) -> Column:
    """Turn degrees into points on the unit sphere, one row each."""
    phi, lam = np.radians(latitude), np.radians(longitude)
    return np.stack([np.cos(phi) * np.cos(lam), np.cos(phi) * np.sin(lam), np.sin(phi)], axis=-1)


def miles_from(point: Column, places: Column) -> Column:
    """Return great-circle distances in miles; exact for short ones too, as the chord is."""
    chords = np.sqrt(((places - point) ** 2).sum(axis=-1))
    return np.asarray(2 * EARTH_RADIUS_MILES * np.arcsin(np.minimum(chords / 2, 1.0)), dtype=np.float64)
