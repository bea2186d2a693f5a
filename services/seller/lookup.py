"""What the seller bot looks up before it decides."""

import asyncio
from collections.abc import Mapping
from typing import Any, Final

from kit.bot.spec import Situation
from kit.errors import PorchlightError
from kit.log import get_logger
from kit.rest import rest
from kit.rpc.context import remaining_seconds
from services.seller.market import Knowledge
from services.seller.valuation import Valuations
from services.seller.value import DETAILS, LookedUp, home_to_value

log = get_logger()

LONGEST_SECONDS: Final = 5.0
KEPT_SECONDS: Final = 3.0
"""Of a turn's time, for the arbiter (2 s) and the store."""
WARM_EVERY_SECONDS: Final = 20.0
"""How soon sales that are loaded while the process runs are made ready."""
USUAL: Final = (frozenset[str](), frozenset(DETAILS))
"""What is known of a home at the first estimate, and after the questions."""


class Lookup:
    """Values the home that a turn is about, when that is due."""

    def __init__(self, valuations: Valuations) -> None:
        self._valuations = valuations

    async def __call__(self, tenant_id: str, situation: Situation) -> Mapping[str, Any]:
        """Return `LookedUp` under the name "value", or nothing when none is due or there is no time for it.

        Raises:
            SalesSourceNotFound: No sales are loaded.
            StoreUnavailable: Postgres does not answer.
        """
        home = home_to_value(situation)
        left = remaining_seconds()
        seconds = LONGEST_SECONDS if left is None else min(LONGEST_SECONDS, left - KEPT_SECONDS)
        if home is None or seconds <= 0:
            return {}
        try:
            async with asyncio.timeout(seconds):
                valuation = await self._valuations.value(home, tenant_id=tenant_id)
        except TimeoutError:
            # The market is still being made, in a thread; a later turn finds it ready.
            log.warning("lookup.failed", bot="seller", cause="NO_TIME_LEFT")
            return {}
        return {"value": LookedUp(result=valuation.result, title=valuation.source.title)}

    async def keep_warm(self, stopping: asyncio.Event) -> None:
        """Make the usual markets before anybody asks, also of sales that are loaded later."""
        while not stopping.is_set():
            try:
                for known in USUAL:
                    await self._valuations.prepare(Knowledge(features=known, point=False))
            except PorchlightError as error:
                # No sales yet, or no store: the bot talks all the same, and says nothing of value.
                log.info("lookup.failed", bot="seller", cause=error.reason)
            await rest(stopping, WARM_EVERY_SECONDS)
