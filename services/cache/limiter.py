"""Keep all replicas together under the model's limits per minute.

Each replica knows exactly what it used itself, and writes that sum on a board where
the others see it. The board adds up and says yes or no in one step. Whatever happens
to the board, each replica writes its sum again within half a second, so nothing has
to survive there; without a board each keeps to its share.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from kit.errors import BudgetExhausted
from kit.rest import rest
from services.cache import metrics
from services.cache.limits import NOTHING, SHARES, Priority, Use, Window

BEAT_SECONDS: Final = 0.5
SILENT_SECONDS: Final = 75.0
"""After this a replica that wrote nothing counts no more: its last call is over, and a window and a bit."""


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """What one replica writes on the board about one model."""

    model: str
    replica: str
    number: int
    """Counted up; one that comes late changes nothing, the same once more gets the same answer."""
    used: Use
    wanted: Use = NOTHING
    """Added to `used` if all replicas together stay within `limit`."""
    limit: Use = NOTHING


class Board(Protocol):
    """Where replicas write what they use."""

    async def write(self, sheet: Sheet) -> str | None:
        """Put a sheet in the place of the replica's last one.

        Returns:
            "" when what is wanted is granted, else the name of the limit it would go
            over; None when the board is lost.
        """


class MemoryBoard:
    """A board for replicas inside one process; `lost` makes it unreachable."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._sheets: defaultdict[str, dict[str, tuple[Sheet, Use, float, str]]] = defaultdict(dict)
        self.lost = False

    async def write(self, sheet: Sheet) -> str | None:
        """Put a sheet in the place of the replica's last one."""
        if self.lost:
            return None
        now, sheets = self._now(), self._sheets[sheet.model]
        last = sheets.get(sheet.replica)
        if last is not None and sheet.number <= last[0].number:
            return last[3] if sheet.number == last[0].number else "requests"
        for name in [name for name, (_, _, until, _) in sheets.items() if until <= now]:
            del sheets[name]
        total = sum((use for name, (_, use, _, _) in sheets.items() if name != sheet.replica), sheet.used)
        over = "" if sheet.wanted == NOTHING else (total + sheet.wanted).over(sheet.limit)
        use = sheet.used if over else sheet.used + sheet.wanted
        sheets[sheet.replica] = (sheet, use, now + SILENT_SECONDS, over)
        return over


class Limiter:
    """Lets calls to the models through.

    Args:
        board: Shared with the other replicas; None when there is none.
        limit: For each model, of all replicas together; what the model itself says may lower it.
        replicas: How many there are: what one may take alone when the board is lost.
        replica: A name that no other process ever had.
        now: Seconds on a clock that never goes back.
    """

    def __init__(
        self,
        board: Board | None,
        *,
        limit: Use,
        replicas: int,
        replica: str,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._board = board
        self._limit = limit
        self._replicas = replicas
        self._replica = replica
        self._now = now
        self._windows: defaultdict[str, Window] = defaultdict(Window)
        self._learned: dict[str, Use] = {}
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._number = 0

    def limit_of(self, model: str) -> Use:
        """Return the limit of a model: ours, or the model's own where that is stricter."""
        return self._limit.least(self._learned.get(model, NOTHING))

    def learn(self, model: str, limit: Use | None) -> None:
        """Take over what the model says about its limits; None when it says nothing."""
        if limit is not None:
            self._learned[model] = limit

    async def take(self, model: str, call_id: str, most: Use, priority: Priority) -> None:
        """Count a call with the most it can use; `settle` ends it.

        Raises:
            BudgetExhausted: It would go over a limit.
        """
        window, limit = self._windows[model], self.limit_of(model).part(SHARES[priority])
        # One after the other: a sheet that overtook another would be newer than what it says.
        async with self._locks[model]:
            used = window.used(self._now())
            over = await self._write(model, used, most, limit)
            if over is None:
                over = (used + most).over(limit.part(1 / self._replicas))
            if over:
                metrics.LIMITED.labels(model, over).inc()
                raise BudgetExhausted(
                    f"{model} was asked for as many {over} as a minute allows",
                    retry_after_seconds=window.frees_in(self._now()),
                    budget=f"{over}_per_minute",
                    limit=getattr(limit, over),
                )
            window.begin(call_id, most)

    def settle(self, model: str, call_id: str, used: Use) -> None:
        """Count what a call used in place of the most it could; others see it at the next beat."""
        self._windows[model].end(call_id, used, self._now())

    def settle_at_most(self, model: str, call_id: str) -> None:
        """Let a call count with the most it could use: nobody knows what it did."""
        self._windows[model].end(call_id, None, self._now())

    async def beat(self) -> None:
        """Write anew what is used, for others to see, and for a board that forgot it."""
        for model, window in list(self._windows.items()):
            async with self._locks[model]:
                await self._write(model, window.used(self._now()), NOTHING, NOTHING)

    async def run(self, stop: asyncio.Event) -> None:
        """Beat until `stop`."""
        while not stop.is_set():
            await self.beat()
            await rest(stop, BEAT_SECONDS)

    async def _write(self, model: str, used: Use, wanted: Use, limit: Use) -> str | None:
        if self._board is None:
            return None
        self._number += 1
        return await self._board.write(
            Sheet(model=model, replica=self._replica, number=self._number, used=used, wanted=wanted, limit=limit)
        )
