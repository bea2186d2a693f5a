"""How much may be asked of Claude: money a day, requests a minute, tries again. Pure."""

from collections import deque
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final

from kit.errors import BudgetExhausted

MINUTE_SECONDS: Final = 60.0


@dataclass(kw_only=True)
class Reservation:
    """Money that is put aside for one call, until the shared ledger knows what it cost."""

    amount_microusd: int
    recorded_before_read: int | None = None
    """None until the ledger has it; then the number of the first read that is sure to see it."""


class DayBudget:
    """Keeps what is spent in a UTC day under a limit, over any number of processes.

    What counts as spent is what the shared ledger said last, plus everything of our
    own that it may not have seen yet. So two processes can overshoot only by what
    each puts aside between two reads, and one process cannot overshoot at all.

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

    def reserve(self, amount_microusd: int, now: datetime) -> Reservation:
        """Put money aside for a call.

        Raises:
            BudgetExhausted: It would go over the limit, or nobody knows yet what was
                spent today: without that there is no limit.
        """
        self._turn_day(now)
        spent = self.spent_microusd
        if spent is None:
            raise BudgetExhausted(
                "what was spent on Claude today is not known yet", budget="daily_microusd", limit=self._limit
            )
        if spent + amount_microusd > self._limit:
            raise BudgetExhausted(
                f"the day's {self._limit} micro-dollars for Claude are used up",
                retry_after_seconds=_until_tomorrow(now),
                budget="daily_microusd",
                limit=self._limit,
            )
        made = Reservation(amount_microusd=amount_microusd)
        self._held.append(made)
        return made

    def settle(self, reservation: Reservation, cost_microusd: int) -> None:
        """Replace what was put aside by what the call cost."""
        reservation.amount_microusd = cost_microusd

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


class MinuteBudget:
    """At most `limit` requests in any 60 seconds: an exact log, so no window lets twice as many through."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._times: deque[float] = deque()

    def take(self, now_seconds: float) -> None:
        """Count one request.

        Args:
            now_seconds: On a clock that never goes back.

        Raises:
            BudgetExhausted: There were `limit` in the last 60 seconds.
        """
        while self._times and self._times[0] <= now_seconds - MINUTE_SECONDS:
            self._times.popleft()
        if len(self._times) >= self._limit:
            raise BudgetExhausted(
                f"{self._limit} requests to Claude were made in the last minute",
                retry_after_seconds=(self._times[0] if self._times else now_seconds) + MINUTE_SECONDS - now_seconds,
                budget="requests_per_minute",
                limit=self._limit,
            )
        self._times.append(now_seconds)


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


def _until_tomorrow(now: datetime) -> float:
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    return (midnight - now).total_seconds()
