"""Put money aside for every call, by tenant and in all, before it is made: the ledger decides, and while it is away a share."""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from kit.clock import Clock
from kit.errors import BudgetExhausted, StoreUnavailable
from services.cache.budget import DayBudget, Reservation, until_tomorrow
from services.cache.ledger import CallRow, Ledger

MOST_TENANTS: Final = 1_000
"""Whose spending this process remembers, for when the ledger is away."""


@dataclass(frozen=True, kw_only=True)
class Hold:
    """Money put aside for one call, in the tenant's budget and in that of all."""

    parts: tuple[Reservation, Reservation]


class Money:
    """The day's money for Claude.

    Args:
        ledger: Shared by all replicas; what it says is the truth.
        total_microusd: The most that all tenants together may spend in a UTC day.
        tenant_microusd: The most that one may.
        replicas: How many processes share what is left while the ledger is away.
        clock: For the day, while the ledger is away.
    """

    def __init__(
        self, ledger: Ledger, *, total_microusd: int, tenant_microusd: int, replicas: int, clock: Clock
    ) -> None:
        self._ledger = ledger
        self._limits = {"daily_microusd": total_microusd, "tenant_daily_microusd": tenant_microusd}
        self._replicas = replicas
        self._clock = clock
        self._total = DayBudget(total_microusd)
        self._tenants: OrderedDict[str, DayBudget] = OrderedDict()

    @property
    def spent_microusd(self) -> int | None:
        """What counts as spent today in this process's eyes; None before the ledger was read once."""
        return self._total.spent_microusd

    async def reserve(self, row: CallRow, *, share: float) -> Hold:
        """Put money aside for a call.

        Args:
            row: What is on record should nobody ever say what became of the call; its cost is what is put aside.
            share: How much of each limit a call of this urgency may use, above 0 and at most 1.

        Raises:
            BudgetExhausted: It would go over a limit, or nobody knows what was spent today.
        """
        tenant = self._tenant(row.tenant_id)
        reads = self._total.read_begins(), tenant.read_begins()
        limits = {name: int(limit * share) for name, limit in self._limits.items()}
        try:
            answer = await self._ledger.reserve(
                row, total_microusd=limits["daily_microusd"], tenant_microusd=limits["tenant_daily_microusd"]
            )
        except StoreUnavailable:
            return self._alone(tenant, row.cost_microusd, share)
        now = self._clock()
        self._total.read_ends(reads[0], answer.total_spent_microusd, now)
        tenant.read_ends(reads[1], answer.tenant_spent_microusd, now)
        if answer.budget:
            limit = self._limits[answer.budget]
            raise BudgetExhausted(
                f"the day's {limit} micro-dollars for Claude are used up",
                retry_after_seconds=until_tomorrow(now),
                budget=answer.budget,
                limit=limit,
            )
        return Hold(parts=(self._total.hold(row.cost_microusd), tenant.hold(row.cost_microusd)))

    def settle(self, hold: Hold, cost_microusd: int) -> None:
        """Replace what was put aside by what the call cost."""
        for part in hold.parts:
            part.amount_microusd = cost_microusd

    def recorded(self, row: CallRow, hold: Hold) -> None:
        """Note that the ledger has the call."""
        for budget, part in zip((self._total, self._tenant(row.tenant_id)), hold.parts, strict=True):
            budget.recorded(part)

    async def read_spent(self) -> None:
        """Learn what all processes spent today.

        Raises:
            StoreUnavailable: The last known stays.
        """
        read = self._total.read_begins()
        self._total.read_ends(read, await self._ledger.spent_today_microusd(), self._clock())

    def _alone(self, tenant: DayBudget, amount: int, share: float) -> Hold:
        now = self._clock()
        total = self._total.reserve(amount, now, replicas=self._replicas, share=share)
        if tenant.spent_microusd is None and self._total.known_microusd is not None:
            # Never seen: it spent at most what all spent.
            tenant.read_ends(tenant.read_begins(), self._total.known_microusd, now)
        try:
            return Hold(
                parts=(
                    total,
                    tenant.reserve(amount, now, replicas=self._replicas, share=share, budget="tenant_daily_microusd"),
                )
            )
        except BudgetExhausted:
            self._total.release(total)
            raise

    def _tenant(self, tenant_id: str) -> DayBudget:
        found = self._tenants.get(tenant_id)
        if found is None:
            found = self._tenants[tenant_id] = DayBudget(self._limits["tenant_daily_microusd"])
            if len(self._tenants) > MOST_TENANTS:
                self._tenants.popitem(last=False)
        self._tenants.move_to_end(tenant_id)
        return found
