"""Listings, and what a person wishes of one. Pure."""

from dataclasses import dataclass
from datetime import date
from enum import StrEnum


class HomeType(StrEnum):
    """What kind of home it is."""

    HOUSE = "house"
    CONDO = "condo"
    TOWNHOUSE = "townhouse"


@dataclass(frozen=True, kw_only=True, slots=True)
class Listing:
    """A home for sale, as its record says. None is what the record does not say."""

    listing_id: str
    source: str
    """Who the record is from."""
    as_of: date
    """The day the source speaks of."""
    sample: bool
    """Whether it is no home for sale but sample data, which every text that shows it says."""
    zip: str
    neighborhood: str = ""
    price_usd_cents: int
    bedrooms: int
    list_date: date
    bathrooms: float | None = None
    """In quarters: 2.25."""
    area_sqft: int | None = None
    """Finished area."""
    lot_sqft: int | None = None
    floors: float | None = None
    basement_sqft: int | None = None
    """Finished area below ground; 0: none."""
    year_built: int | None = None
    year_renovated: int | None = None
    waterfront: bool | None = None
    view: int | None = None
    """How good the view is, 1 to 4; 0: none worth recording."""
    condition: int | None = None
    """1 (poor) to 5 (very good)."""
    home_type: HomeType | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Wishes:
    """What a person wishes of a home: of the home, never of who lives around it. None: does not matter."""

    price_max_usd_cents: int | None = None
    bedrooms_min: int | None = None
    zips: tuple[str, ...] = ()
    """Five-digit ZIP codes of which it is to be in one; empty: anywhere."""
    home_type: HomeType | None = None
    # The wishes above are hard: what breaks one is no match. Those below only rank.
    price_min_usd_cents: int | None = None
    bathrooms_min: float | None = None
    area_sqft_min: int | None = None
    lot_sqft_min: int | None = None
    year_built_min: int | None = None
    waterfront: bool = False
    view: bool = False


class HardWish(StrEnum):
    """The wishes that a match keeps."""

    PRICE_MAX = "price_max"
    BEDROOMS_MIN = "bedrooms_min"
    HOME_TYPE = "home_type"
    AREA = "area"


class Order(StrEnum):
    """Which listings come first; among equals the newest, then by id."""

    NEWEST = "newest"
    CHEAPEST = "cheapest"
    MOST_BEDROOMS = "most_bedrooms"


@dataclass(frozen=True, kw_only=True, slots=True)
class Proposal:
    """A listing that keeps every hard wish, and why it is shown."""

    listing: Listing
    reasons: tuple[str, ...]
    """In words; every number in them stands in the listing's record."""
    missed: tuple[str, ...] = ()
    """Soft wishes that its record does not keep, in words."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Relaxation:
    """One hard wish that is given up in part, and what that opens. The other wishes stay."""

    wish: HardWish
    wishes: Wishes
    """The wishes after it."""
    opens_count: int
    """How many listings keep them, above 0."""
    nearest: Listing
    """One of them, the nearest to the wish."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """What a search found."""

    wishes: Wishes
    proposals: tuple[Proposal, ...]
    """Best first."""
    total_count: int
    """How many listings keep the hard wishes; may be more than were ranked."""
    relaxations: tuple[Relaxation, ...] = ()
    """Smallest first; only when there is no proposal."""
    empty: bool = False
    """Whether there are no listings at all, whatever one wishes."""
