"""Erases contacts: every row at once, and what the cache holds of them now and once more later."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Final

from kit.errors import PorchlightError, StoreUnavailable
from kit.lane import Erased, Lane
from kit.log import get_logger
from kit.rest import rest
from services.gateway.addresses import Addresses

SWEEP_SECONDS: Final = 2.0
_AT_ONCE: Final = 20

Invalidate = Callable[[str, str], Awaitable[None]]
"""Takes the stored answers of a contact, by tenant and id, out of the cache.

Raises:
    PorchlightError: They may be there still.
"""

log = get_logger()


class Eraser:
    """Erases, and as a worker of the process takes out of the cache what turns under way put there meanwhile."""

    def __init__(self, lane: Lane, invalidate: Invalidate, addresses: Addresses) -> None:
        self._lane = lane
        self._invalidate = invalidate
        self._addresses = addresses

    async def erase(self, tenant_id: str, contact_id: str, *, actor: str) -> tuple[Erased, bool]:
        """Erase a contact; the second value says whether the cache was emptied of it already.

        Raises:
            StoreUnavailable: Postgres does not answer; it may or may not have happened.
        """
        hashed = self._addresses.of_contact(tenant_id, contact_id)
        erased = await self._lane.erase(tenant_id, contact_id, contact_hash=hashed, actor=actor)
        return erased, await self._cleared(erased)

    async def __call__(self, stopping: asyncio.Event) -> None:
        """Close erasures until `stopping`."""
        while not stopping.is_set():
            with contextlib.suppress(StoreUnavailable):
                for erased in await self._lane.open_erasures(limit=_AT_ONCE):
                    if await self._cleared(erased):
                        await self._lane.close_erasure(erased)
            await rest(stopping, SWEEP_SECONDS)

    async def _cleared(self, erased: Erased) -> bool:
        try:
            await self._invalidate(erased.tenant_id, erased.contact_id)
        except PorchlightError as error:
            log.warning("erasure.delayed", tenant_id=erased.tenant_id, entry_id=erased.erasure_id, reason=error.reason)
            return False
        return True
