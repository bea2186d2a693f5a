"""What every call to Claude cost, and what calls under way may cost yet: a port and its twin in memory."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Protocol

from kit.clock import Clock, utc_now
from kit.errors import StoreUnavailable
from services.cache.pricing import PRICE_VERSION

HOLD: Final = timedelta(minutes=1)
"""After this a call whose outcome nobody recorded is booked with the most it can have cost."""
LOST: Final = "LOST"
"""The outcome of such a call; what its process says later takes its place."""


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


@dataclass(frozen=True, kw_only=True)
class Spent:
    """What the ledger says when money is asked for."""

    budget: str
    """The budget that is used up; "" when the money is put aside."""
    total_spent_microusd: int
    """Of today, by all tenants, calls under way left out."""
    tenant_spent_microusd: int


class Ledger(Protocol):
    """Where the rows are kept, for all processes."""

    async def reserve(self, row: CallRow, *, total_microusd: int, tenant_microusd: int) -> Spent:
        """Put a call's cost aside in one step, unless that with all else would go over a limit.

        A row that nobody records within `HOLD` is recorded as it is given here. The
        same `call_id` again changes nothing.

        Raises:
            StoreUnavailable: Whether it is put aside is unknown.
        """

    async def record(self, row: CallRow) -> None:
        """Keep a row and let go what was put aside for it; the same `call_id` again changes nothing.

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

    def __init__(self, clock: Clock = utc_now) -> None:
        self.rows: dict[str, CallRow] = {}
        self.lost = False
        self._clock = clock
        self._ends: dict[str, datetime] = {}
        self._holds: dict[str, tuple[CallRow, datetime]] = {}

    async def reserve(self, row: CallRow, *, total_microusd: int, tenant_microusd: int) -> Spent:
        """Put a call's cost aside in one step."""
        self._answer()
        now = self._clock()
        for held, _ in [hold for hold in self._holds.values() if hold[1] <= now]:
            self._keep(held, now)
        mine = self._sum(lambda each: each.tenant_id == row.tenant_id)
        total = self._sum(lambda _: True)
        held_total = sum(held.cost_microusd for held, _ in self._holds.values())
        held_mine = sum(held.cost_microusd for held, _ in self._holds.values() if held.tenant_id == row.tenant_id)
        budget = ""
        if row.call_id not in self._holds and row.call_id not in self.rows:
            if mine + held_mine + row.cost_microusd > tenant_microusd:
                budget = "tenant_daily_microusd"
            elif total + held_total + row.cost_microusd > total_microusd:
                budget = "daily_microusd"
            else:
                self._holds[row.call_id] = (row, now + HOLD)
        return Spent(budget=budget, total_spent_microusd=total, tenant_spent_microusd=mine)

    async def record(self, row: CallRow) -> None:
        """Keep a row."""
        self._answer()
        self._keep(row, self._clock())

    async def spent_today_microusd(self) -> int:
        """Return the sum of today's rows."""
        self._answer()
        return self._sum(lambda _: True)

    def _keep(self, row: CallRow, now: datetime) -> None:
        self._holds.pop(row.call_id, None)
        known = self.rows.get(row.call_id)
        if known is None or known.outcome == LOST:
            self.rows[row.call_id] = row
            self._ends.setdefault(row.call_id, now)

    def _sum(self, counts: Callable[[CallRow], bool]) -> int:
        today = self._clock().date()
        rows = (row for row in self.rows.values() if counts(row) and self._ends[row.call_id].date() == today)
        return sum(row.cost_microusd for row in rows)

    def _answer(self) -> None:
        if self.lost:
            raise StoreUnavailable("the ledger does not answer", store="memory")
