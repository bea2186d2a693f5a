"""What sales and listings say of a home, in our own words. Pure.

Every county and every export has other columns; a column map leads from theirs to
these names, and everything behind the map knows these only. What is optional may be
missing in a whole source.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Final

SAMPLE_TENANTS: Final = ("loc_sandbox", "preview")
"""The sandbox's own CRM location, and what PreviewTurn looks into: no sample data ever speaks to another location."""


@dataclass(frozen=True, kw_only=True, slots=True)
class HomeField:
    """A number that describes a home."""

    name: str
    meaning: str
    low: float
    high: float
    """Closed range; what lies outside is a mistake in the data."""


HOME_FIELDS: Final = (
    HomeField(name="lot_sqft", meaning="Area of the land, square feet.", low=100, high=50_000_000),
    HomeField(name="bedrooms", meaning="Bedrooms.", low=0, high=20),
    HomeField(name="bathrooms", meaning="Bathrooms; a half bath counts .5.", low=0, high=20),
    HomeField(name="floors", meaning="Floors above ground; a half floor counts .5.", low=0.5, high=10),
    HomeField(name="waterfront", meaning="1 on the water, else 0.", low=0, high=1),
    HomeField(name="view", meaning="How good the view is, on the source's scale, 0 for none.", low=0, high=10),
    HomeField(name="condition", meaning="State of repair, on the source's scale, higher is better.", low=0, high=20),
    HomeField(name="quality", meaning="Construction and finish, on the source's scale, higher is better.", low=0, high=20),
    HomeField(name="basement_sqft", meaning="Basement, square feet, 0 for none.", low=0, high=20_000),
    HomeField(name="year_built", meaning="Year of construction.", low=1600, high=2100),
    HomeField(name="year_renovated", meaning="Year of the last renovation, 0 for never.", low=0, high=2100),
    HomeField(name="neighbors_area_sqft", meaning="Usual living area of the nearest homes, square feet.", low=100, high=50_000),
)  # fmt: skip
"""What may be known of a home beside its living area and its place."""

AREA_SQFT: Final = (150, 30_000)
"""Closed range of a home's living area, square feet."""
PRICE_USD: Final = (10_000, 1_000_000_000)
"""Closed range of a price; below are gifts and slips, not sales."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Sale:
    """One home that was sold."""

    sale_id: str
    """Unique within its source."""
    home_id: str
    """The same for every sale of the same home."""
    sale_date: date
    price_usd: int
    latitude: float
    longitude: float
    zip_code: str = ""
    """Empty when the source has none."""
    area_sqft: float
    """Finished living area, above 0."""
    features: Mapping[str, float] = field(default_factory=dict)
    """What else is known, by the names of `HOME_FIELDS`."""
