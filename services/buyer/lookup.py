"""What the buyer bot looks up before it decides."""

from collections.abc import Mapping
from typing import Any

from kit.bot.spec import Situation
from services.buyer.homes import LookedUp, shown_ids, wishes_to_search
from services.buyer.listings import Listings, find


class Lookup:
    """Fetches the listings that a decision may speak of: those that fit, and those shown before."""

    def __init__(self, listings: Listings) -> None:
        self._listings = listings

    async def __call__(self, tenant_id: str, situation: Situation) -> Mapping[str, Any]:
        """Return `LookedUp` under the name "homes".

        Raises:
            StoreUnavailable: The store does not answer.
        """
        ids, wishes = shown_ids(situation), wishes_to_search(situation)
        shown = await self._listings.get(tenant_id, ids) if ids else ()
        found = await find(self._listings, tenant_id, wishes) if wishes else None
        return {"homes": LookedUp(shown=shown, found=found)}
