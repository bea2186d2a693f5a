"""What every call to Claude cost, and what calls under way may cost yet: a port and its twin in memory."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
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


@dataclass(frozen=True, kw_only=True)
class SpendLine:
    """What one tenant spent in one UTC day on one prompt with one model."""

    day: str
    tenant_id: str
    prompt: str
    model: str
    calls: int
    answered_calls: int
    input_tokens: int
    output_tokens: int
    cache_write_tokens: int
    cache_read_tokens: int
    cost_microusd: int
    estimated_microusd: int
    """The part of the cost that nobody told."""

    @property
    def place(self) -> tuple[str, str, str, str]:
        """What lines are told apart by."""
        return self.day, self.tenant_id, self.prompt, self.model


@dataclass(frozen=True, kw_only=True)
class Spends:
    """A page of lines, newest day first, and the sum over all pages."""

    total_microusd: int
    spends: Sequence[SpendLine]


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

    async def spends(self, tenant_id: str, *, days: int, after: Sequence[str] = (), most: int = 200) -> Spends:
        """Return what was spent in the last days, today included, by day, tenant, prompt and model.

        Args:
            tenant_id: Empty means all.
            days: From 1.
            after: The `place` of the last line of the page before.
            most: How many lines.

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

    async def spends(self, tenant_id: str, *, days: int, after: Sequence[str] = (), most: int = 200) -> Spends:
        """Return what was spent in the last days."""
        self._answer()
        first = (self._clock() - timedelta(days=days - 1)).date().isoformat()
        lines: dict[tuple[str, ...], SpendLine] = {}
        for row in self.rows.values():
            line = _line(row, self._ends[row.call_id].date().isoformat())
            if line.day >= first and tenant_id in ("", row.tenant_id):
                lines[line.place] = _added(lines[line.place], line) if line.place in lines else line
        in_order = sorted(
            sorted(lines.values(), key=lambda line: line.place[1:]), key=lambda line: line.day, reverse=True
        )
        rest = [line for line in in_order if not after or _follows(line, after)]
        return Spends(total_microusd=sum(line.cost_microusd for line in in_order), spends=rest[:most])

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


def _line(row: CallRow, day: str) -> SpendLine:
    return SpendLine(
        day=day,
        tenant_id=row.tenant_id,
        prompt=row.prompt_version.partition("@")[0],
        model=row.model,
        calls=1,
        answered_calls=int(row.outcome == "ANSWERED"),
        input_tokens=row.input_tokens,
        output_tokens=row.output_tokens,
        cache_write_tokens=row.cache_write_tokens,
        cache_read_tokens=row.cache_read_tokens,
        cost_microusd=row.cost_microusd,
        estimated_microusd=row.cost_microusd if row.cost_estimated else 0,
    )


def _follows(line: SpendLine, after: Sequence[str]) -> bool:
    return line.day < after[0] or (line.day == after[0] and line.place[1:] > tuple(after[1:]))


def _added(one: SpendLine, other: SpendLine) -> SpendLine:
    sums = {name: value + getattr(other, name) for name, value in asdict(one).items() if isinstance(value, int)}
    return replace(one, **sums)
