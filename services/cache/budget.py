"""How much may be asked of Claude: money a day, tries again. Pure."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final

from kit.errors import BudgetExhausted


@dataclass(kw_only=True, eq=False)
class Reservation:
    """Money that is put aside for one call, until the shared ledger knows what it cost."""

    amount_microusd: int
    recorded_before_read: int | None = None
    """None until the ledger has it; then the number of the first read that is sure to see it."""


class DayBudget:
    """What this process knows about a day's money; decides about it while the shared ledger is away.

    What counts as spent is what the ledger said last, plus everything of our own that
    it may not have seen yet. Of what the ledger said was left, each of several
    processes takes its part alone, so together they stay within it.

    Args:
        limit_microusd: The most that may be spent in a day.
    """

    def __init__(self, limit_microusd: int) -> None:
        self._limit = limit_microusd
        self._day: date | None = None
        self._known: int | None = None
        self._held: list[Reservation] = []
        self._reads = 0

    @property
    def spent_microusd(self) -> int | None:
        """What counts as spent today; None before the ledger was read once."""
        return None if self._known is None else self._known + sum(each.amount_microusd for each in self._held)

    @property
    def known_microusd(self) -> int | None:
        """What the ledger said last; None before it was read once."""
        return self._known

    def reserve(
        self,
        amount_microusd: int,
        now: datetime,
        *,
        replicas: int = 1,
        share: float = 1.0,
        budget: str = "daily_microusd",
    ) -> Reservation:
        """Put money aside for a call without asking anybody.

        Args:
            amount_microusd: The most it can cost.
            now: When.
            replicas: How many processes share what is left.
            share: How much of the limit a call of this urgency may use.
            budget: What the limit is called.

        Raises:
            BudgetExhausted: It would go over the limit, or nobody knows yet what was
                spent today: without that there is no limit.
        """
        self._turn_day(now)
        if self._known is None:
            raise BudgetExhausted("what was spent on Claude today is not known yet", budget=budget, limit=self._limit)
        ours = sum(each.amount_microusd for each in self._held)
        if ours + amount_microusd > (int(self._limit * share) - self._known) // replicas:
            raise BudgetExhausted(
                f"the day's {self._limit} micro-dollars for Claude are used up",
                retry_after_seconds=until_tomorrow(now),
                budget=budget,
                limit=self._limit,
            )
        return self.hold(amount_microusd)

    def hold(self, amount_microusd: int) -> Reservation:
        """Count money that the ledger put aside for us."""
        made = Reservation(amount_microusd=amount_microusd)
        self._held.append(made)
        return made

    def settle(self, reservation: Reservation, cost_microusd: int) -> None:
        """Replace what was put aside by what the call cost."""
        reservation.amount_microusd = cost_microusd

    def release(self, reservation: Reservation) -> None:
        """Count it no more: there will be no call."""
        self._held.remove(reservation)

    def recorded(self, reservation: Reservation) -> None:
        """Note that the shared ledger has the call."""
        reservation.recorded_before_read = self._reads + 1

    def read_begins(self) -> int:
        """Return a number for a read of the shared ledger, to be given to `read_ends`."""
        self._reads += 1
        return self._reads

    def read_ends(self, read: int, spent_microusd: int, now: datetime) -> None:
        """Take over what the shared ledger said about today."""
        self._turn_day(now)
        self._known = spent_microusd
        self._held = [
            each for each in self._held if each.recorded_before_read is None or each.recorded_before_read > read
        ]

    def _turn_day(self, now: datetime) -> None:
        """Start the day at zero; what is still held stays, it may be booked on the new day."""
        today = now.date()
        if self._day is not None and today > self._day and self._known is not None:
            self._known = 0
        self._day = today


class RetryBudget:
    """Lets about one in ten requests be a second try, so that retries cannot feed an overload.

    Source: "Addressing Cascading Failures", Site Reliability Engineering, 2016.
    """

    FIRST_TRIES_PER_RETRY: Final = 10
    MOST_SAVED: Final = 100

    def __init__(self, saved: int = 30) -> None:
        self._saved = saved

    def first_try(self) -> None:
        """Count a request that is not a retry."""
        self._saved = min(self.MOST_SAVED, self._saved + 1)

    def take(self) -> bool:
        """Say whether one retry may be made, and count it."""
        if self._saved < self.FIRST_TRIES_PER_RETRY:
            return False
        self._saved -= self.FIRST_TRIES_PER_RETRY
        return True


def until_tomorrow(now: datetime) -> float:
    """Return the seconds until the next UTC day."""
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    return (midnight - now).total_seconds()
