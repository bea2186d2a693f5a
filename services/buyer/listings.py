"""Where listings come from: the port, its twin in memory, and the search over either."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from services.buyer import matching
from services.buyer.values import Found, Listing, Order, Relaxation, Wishes

IDS_MOST: Final = 20
"""How many listings are read at once by id."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Page:
    """The first listings that keep the hard wishes, and how many keep them in all."""

    listings: tuple[Listing, ...]
    total_count: int


class Listings(Protocol):
    """What is for sale, by CRM location."""

    async def search(self, tenant_id: str, wishes: Wishes, *, order: Order = Order.NEWEST, limit: int) -> Page:
        """Return the first `limit` listings that keep every hard wish.

        Raises:
            StoreUnavailable: The store does not answer.
        """
        ...

    async def get(self, tenant_id: str, listing_ids: Sequence[str]) -> tuple[Listing, ...]:
        """Return listings in the order of their ids; those that are gone are left out.

        Raises:
            StoreUnavailable: The store does not answer.
        """
        ...


class MemoryListings:
    """Listings in memory."""

    def __init__(self, by_tenant: dict[str, Sequence[Listing]]) -> None:
        self._by_tenant = by_tenant

    async def search(self, tenant_id: str, wishes: Wishes, *, order: Order = Order.NEWEST, limit: int) -> Page:
        """See `Listings`."""
        fitting = [each for each in self._by_tenant.get(tenant_id, ()) if not matching.broken(wishes, each)]
        return Page(listings=tuple(matching.in_order(fitting, order)[:limit]), total_count=len(fitting))

    async def get(self, tenant_id: str, listing_ids: Sequence[str]) -> tuple[Listing, ...]:
        """See `Listings`."""
        by_id = {each.listing_id: each for each in self._by_tenant.get(tenant_id, ())}
        return tuple(by_id[each] for each in listing_ids[:IDS_MOST] if each in by_id)


async def find(listings: Listings, tenant_id: str, wishes: Wishes) -> Found:
    """Search, rank, and where nothing fits say which single wish stands in the way.

    Raises:
        StoreUnavailable: The store does not answer.
    """
    page = await listings.search(tenant_id, wishes, limit=matching.RANKED_MOST)
    if page.listings:
        proposals = matching.rank(wishes, page.listings)
        return Found(wishes=wishes, proposals=proposals, total_count=page.total_count)
    relaxations = []
    for trial in matching.trials(wishes):
        nearest = (await listings.search(tenant_id, trial.wishes, order=trial.order, limit=1)).listings
        if not nearest:
            continue
        relaxed = matching.relaxed(wishes, trial, nearest[0])
        opened = await listings.search(tenant_id, relaxed, limit=1)
        if opened.total_count:
            relaxations.append(
                Relaxation(wish=trial.wish, wishes=relaxed, opens_count=opened.total_count, nearest=nearest[0])
            )
    empty = not relaxations and not (await listings.search(tenant_id, Wishes(), limit=1)).total_count
    smallest_first = matching.smallest_first(wishes, relaxations)
    return Found(wishes=wishes, proposals=(), total_count=0, relaxations=smallest_first, empty=empty)
