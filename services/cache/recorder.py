"""Brings rows to the ledger as calls end, and the day's total back."""

import asyncio
import contextlib
from collections import deque
from typing import Final

from kit.errors import BudgetExhausted, StoreUnavailable
from kit.log import describe, get_logger
from services.cache import metrics
from services.cache.behind import write_behind
from services.cache.ledger import CallRow, Ledger
from services.cache.money import Hold, Money

log = get_logger()

MOST_WAITING: Final = 10_000
"""Rows that may wait for Postgres; beyond that nothing is asked of Claude, since nobody could account for it."""


class Recorder:
    """Brings rows to the ledger as they come, and the day's total back.

    Callers never wait for it: a row that Postgres does not take waits here, and its
    cost counts in this process's budget as if it were recorded.
    """

    def __init__(self, ledger: Ledger, money: Money) -> None:
        self._ledger = ledger
        self._money = money
        self._waiting: deque[tuple[CallRow, Hold]] = deque()
        self._wake = asyncio.Event()

    def check_room(self) -> None:
        """Raise BudgetExhausted when too many rows wait."""
        if len(self._waiting) >= MOST_WAITING:
            raise BudgetExhausted(
                f"{MOST_WAITING} calls to Claude are not on record yet", budget="unrecorded_calls", limit=MOST_WAITING
            )

    def add(self, row: CallRow, hold: Hold) -> None:
        """Take a row and the money that was put aside for it."""
        self._waiting.append((row, hold))
        metrics.UNRECORDED.set(len(self._waiting))
        self._wake.set()

    async def write(self) -> bool:
        """Bring everything that waits to the ledger; False when something still waits."""
        while self._waiting:
            row, hold = self._waiting[0]
            try:
                await self._ledger.record(row)
            except StoreUnavailable:
                return False
            # Protects the worker, and with it the process, from a row that the database
            # refuses; the others go first from now on.
            except Exception as error:  # noqa: BLE001
                log.error("worker.failed", worker="recorder", entry_id=row.call_id, **describe(error))
                self._waiting.rotate(-1)
                return False
            self._waiting.popleft()
            self._money.recorded(row, hold)
            metrics.UNRECORDED.set(len(self._waiting))
        return True

    async def read_spent(self) -> None:
        """Learn what all processes spent today.

        Raises:
            StoreUnavailable: The last known stays.
        """
        await self._money.read_spent()

    async def know_spent(self) -> None:
        """Try to learn what was spent today, unless that is known roughly; without it nothing may be spent."""
        if self._money.spent_microusd is None:
            with contextlib.suppress(StoreUnavailable):
                await self.read_spent()

    async def run(self, stop: asyncio.Event) -> None:
        """Write rows as they come, until `stop`."""
        await write_behind(self.write, self._wake, stop)
