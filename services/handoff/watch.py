"""Tell those who watch what happens to handoffs."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Final

from kit.errors import Overloaded
from kit.pg.listen import Doorbell
from services.handoff.ledger import Change, Cursor, Ledger

MOST_STREAMS: Final = 32
BATCH: Final = 100
# Where nobody rings; the promise is to be told within a second or so.
SWEEP_SECONDS: Final = 1.0


class Watchers:
    """Streams of changes, all woken by one bell.

    Args:
        ledger: Holds what happened.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._news = asyncio.Event()
        self._open = 0

    def ring(self) -> None:
        """Say that something happened."""
        self._news.set()
        self._news = asyncio.Event()

    async def listen(self, url: str, stop: asyncio.Event) -> None:
        """Ring whenever Postgres says so, and now and then anyway, until `stop` is set."""
        while not stop.is_set():
            if not self._open:
                # Postgres wakes whoever listens for whatever is said, and every handoff that is accepted says something.
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(SWEEP_SECONDS):
                        await stop.wait()
                continue
            async with Doorbell(url, "porchlight_handoff", sweep=SWEEP_SECONDS) as bell:
                while self._open and not stop.is_set():
                    await bell.wait(stop)
                    self.ring()

    async def follow(
        self, tenant_id: str, contact_id: str, *, after: Cursor | None, seconds: float
    ) -> AsyncIterator[Cursor | Change]:
        """Yield where the stream begins, then each change, for `seconds`.

        Raises:
            Overloaded: As many streams as this process serves are open.
        """
        if self._open >= MOST_STREAMS:
            raise Overloaded(f"{MOST_STREAMS} watch already", limit=MOST_STREAMS)
        self._open += 1
        try:
            end = asyncio.get_running_loop().time() + seconds
            if after is None:
                after = (await self._ledger.changes(tenant_id, contact_id, after=None, limit=1)).head
            yield after
            while True:
                # Taken before the look, so that what happens during it rings.
                news = self._news
                changes = await self._ledger.changes(tenant_id, contact_id, after=after, limit=BATCH)
                for change in changes.found:
                    yield change
                if len(changes.found) == BATCH:
                    after = changes.found[-1].cursor
                    continue
                after = changes.head
                left = end - asyncio.get_running_loop().time()
                if left <= 0:
                    return
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(left):
                        await news.wait()
        finally:
            self._open -= 1
