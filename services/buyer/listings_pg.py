"""Listings in Postgres."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from kit.pg.pool import Pool
from services.buyer.listings import IDS_MOST, Page
from services.buyer.values import HomeType, Listing, Order, Wishes


class PgListings:
    """Reads listings through the functions of `migrations/sql/0004_listings.sql`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def search(self, tenant_id: str, wishes: Wishes, *, order: Order = Order.NEWEST, limit: int) -> Page:
        """See `Listings`."""
        asked = {
            "price_max_usd_cents": wishes.price_max_usd_cents,
            "bedrooms_min": wishes.bedrooms_min,
            "home_type": wishes.home_type,
            "zips": list(wishes.zips) or None,
        }
        found = await self._pool.fetchval(
            "select search_listings($1, $2, $3, $4)", tenant_id, asked, order.value, limit
        )
        return Page(listings=tuple(map(_listing, found["listings"])), total_count=found["total_count"])

    async def get(self, tenant_id: str, listing_ids: Sequence[str]) -> tuple[Listing, ...]:
        """See `Listings`."""
        found = await self._pool.fetch("select get_listings($1, $2)", tenant_id, list(listing_ids[:IDS_MOST]))
        return tuple(_listing(row[0]) for row in found)


def _listing(row: Mapping[str, Any]) -> Listing:
    read = dict(row)
    read |= {name: date.fromisoformat(row[name]) for name in ("as_of", "list_date")}
    read |= {name: None if row[name] is None else float(row[name]) for name in ("bathrooms", "floors")}
    read["home_type"] = None if row["home_type"] is None else HomeType(row["home_type"])
    return Listing(**read)
