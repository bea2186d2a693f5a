"""Listings for tests: made up ones, and the sample that comes with the source."""

from datetime import date

from hypothesis import strategies as st

from kit import column_map
from migrations.load_listings import FIELDS, SAMPLE_AS_OF, SAMPLE_FILE
from services.buyer.listings import MemoryListings
from services.buyer.values import HomeType, Listing, Wishes
from tests.support.system import ROOT

MAY = date(2015, 5, 1)
ZIPS = ("98103", "98107", "98117")


def a_listing(listing_id: str = "KC-98107-1", **changes: object) -> Listing:
    made: dict[str, object] = {
        "listing_id": listing_id,
        "source": "sample",
        "as_of": SAMPLE_AS_OF,
        "sample": True,
        "zip": "98107",
        "price_usd_cents": 600_000_00,
        "bedrooms": 3,
        "list_date": MAY,
    }
    return Listing(**(made | changes))  # type: ignore[arg-type]


def sample_listings() -> tuple[Listing, ...]:
    """The sample, read without a database."""
    with (ROOT / SAMPLE_FILE).open(encoding="utf-8", newline="") as file:
        rows = [row for row in column_map.read_rows(file, FIELDS, {}) if isinstance(row, column_map.Row)]
    listings = []
    for row in rows:
        values = dict(row.values)
        price, home_type = values.pop("price_usd"), values.pop("home_type")
        values |= {"neighborhood": values["neighborhood"] or "", "year_renovated": values["year_renovated"] or None}
        listings.append(
            a_listing(**values, price_usd_cents=price, home_type=HomeType(home_type) if home_type else None)
        )
    return tuple(listings)


def in_memory(*listings: Listing) -> MemoryListings:
    return MemoryListings({"loc_1": listings or sample_listings()})


def maybe(strategy: st.SearchStrategy) -> st.SearchStrategy:  # type: ignore[type-arg]
    return st.none() | strategy


@st.composite
def many_listings(draw: st.DrawFn, *, most: int = 12) -> tuple[Listing, ...]:
    """Listings close enough to one another for wishes to tell them apart."""
    return tuple(
        a_listing(
            f"L-{number}",
            zip=draw(st.sampled_from(ZIPS)),
            price_usd_cents=draw(st.integers(1, 40)) * 25_000_00 + draw(st.sampled_from([0, 1, 950_00])),
            bedrooms=draw(st.integers(0, 6)),
            list_date=date(2015, 5, draw(st.integers(1, 5))),
            bathrooms=draw(maybe(st.integers(1, 16).map(lambda quarters: quarters / 4))),
            area_sqft=draw(maybe(st.integers(300, 9_000))),
            lot_sqft=draw(maybe(st.integers(300, 90_000))),
            year_built=draw(maybe(st.integers(1900, 2015))),
            waterfront=draw(maybe(st.booleans())),
            view=draw(maybe(st.integers(0, 4))),
            home_type=draw(maybe(st.sampled_from(list(HomeType)))),
        )
        for number in range(draw(st.integers(0, most)))
    )


def some_wishes() -> st.SearchStrategy[Wishes]:
    return st.builds(
        Wishes,
        price_max_usd_cents=maybe(st.integers(1, 40).map(lambda step: step * 25_000_00)),
        bedrooms_min=maybe(st.integers(1, 7)),
        zips=st.lists(st.sampled_from(ZIPS), unique=True, max_size=2).map(tuple),
        home_type=maybe(st.sampled_from(list(HomeType))),
        price_min_usd_cents=maybe(st.integers(1, 40).map(lambda step: step * 25_000_00)),
        bathrooms_min=maybe(st.integers(1, 16).map(lambda quarters: quarters / 4)),
        area_sqft_min=maybe(st.integers(300, 9_000)),
        lot_sqft_min=maybe(st.integers(300, 90_000)),
        year_built_min=maybe(st.integers(1900, 2015)),
        waterfront=st.booleans(),
        view=st.booleans(),
    )
