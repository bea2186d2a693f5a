"""What every call to Claude cost: a port, its twin in memory, and who brings the rows there."""

import asyncio
import contextlib
from collections import deque
from dataclasses import dataclass
from typing import Final, Protocol

from kit.clock import Clock
from kit.errors import BudgetExhausted, StoreUnavailable
from kit.log import describe, get_logger
from services.cache import metrics
from services.cache.budget import DayBudget, Reservation
from services.cache.pricing import PRICE_VERSION

log = get_logger()

MOST_WAITING: Final = 10_000
"""Rows that may wait for Postgres; beyond that nothing is asked of Claude, since nobody could account for it."""

_RETRY_SECONDS: Final = 1.0


@dataclass(frozen=True, kw_only=True)
class CallRow:
    """One request to Claude. Counts and codes only, never a word of anybody's."""

    call_id: str
    tenant_id: str
    request_id: str
    prompt_version: str
    model: str
    key_id: str
    attempt: int
    outcome: str
    """ANSWERED, or the defect that kept the answer from being used."""
    stop_reason: str
    input_tokens: int
    output_tokens: int
    cache_write_tokens: int
    cache_read_tokens: int
    cost_microusd: int
    cost_estimated: bool
    """Claude may have worked without telling how much; the cost is the most it can be."""
    latency_ms: int
    price_version: str = PRICE_VERSION


class Ledger(Protocol):
    """Where the rows are kept, for all processes."""

    async def record(self, row: CallRow) -> None:
        """Keep a row; the same `call_id` again changes nothing.

        Raises:
            StoreUnavailable: Whether it is kept is unknown.
        """

    async def spent_today_microusd(self) -> int:
        """Return what all processes spent since midnight UTC.

        Raises:
            StoreUnavailable: Nobody knows.
        """


class MemoryLedger:
    """Keeps rows in a dict; `lost` makes it unavailable."""

    def __init__(self) -> None:
        self.rows: dict[str, CallRow] = {}
        self.lost = False

    async def record(self, row: CallRow) -> None:
        """Keep a row."""
        self._answer()
        self.rows.setdefault(row.call_id, row)

    async def spent_today_microusd(self) -> int:
        """Return the sum of all rows; it never lives past a day."""
        self._answer()
        return sum(row.cost_microusd for row in self.rows.values())

    def _answer(self) -> None:
        if self.lost:
            raise StoreUnavailable("the ledger does not answer", store="memory")


class Recorder:
    """Brings rows to the ledger as they come, and the day's total back.

    Callers never wait for it: a row that Postgres does not take waits here, and its
    cost counts in this process's budget as if it were recorded.
    """

    def __init__(self, ledger: Ledger, day: DayBudget, *, clock: Clock) -> None:
        self._ledger = ledger
        self._day = day
        self._clock = clock
        self._waiting: deque[tuple[CallRow, Reservation]] = deque()
        self._wake = asyncio.Event()

    def check_room(self) -> None:
        """Raise BudgetExhausted when too many rows wait."""
        if len(self._waiting) >= MOST_WAITING:
            raise BudgetExhausted(
                f"{MOST_WAITING} calls to Claude are not on record yet", budget="unrecorded_calls", limit=MOST_WAITING
            )

    def add(self, row: CallRow, reservation: Reservation) -> None:
        """Take a row and the money that was put aside for it."""
        self._waiting.append((row, reservation))
        metrics.UNRECORDED.set(len(self._waiting))
        self._wake.set()

    async def write(self) -> bool:
        """Bring everything that waits to the ledger; False when something still waits."""
        while self._waiting:
            row, reservation = self._waiting[0]
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
            self._day.recorded(reservation)
            metrics.UNRECORDED.set(len(self._waiting))
        return True

    async def read_spent(self) -> None:
        """Learn what all processes spent today.

        Raises:
            StoreUnavailable: The last known stays.
        """
        read = self._day.read_begins()
        self._day.read_ends(read, await self._ledger.spent_today_microusd(), self._clock())

    async def know_spent(self) -> None:
        """Try to learn what was spent today, unless that is known roughly; without it nothing may be spent."""
        if self._day.spent_microusd is None:
            with contextlib.suppress(StoreUnavailable):
                await self.read_spent()

    async def run(self, stop: asyncio.Event) -> None:
        """Write rows as they come, until `stop`."""
        while not stop.is_set():
            self._wake.clear()
            done = await self.write()
            stopping = asyncio.ensure_future(stop.wait())
            waking = asyncio.ensure_future(self._wake.wait() if done else asyncio.sleep(_RETRY_SECONDS))
            try:
                await asyncio.wait({stopping, waking}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                stopping.cancel()
                waking.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await waking
