"""Who goes next to Claude: a bounded number at once, people who wait before everything else."""

import asyncio
import contextlib
import heapq
import itertools
from collections.abc import AsyncIterator
from typing import Final

from kit.errors import ModelUnavailable
from services.cache import metrics
from services.cache.limits import Priority

MOST_WAITING: Final = 1_000


class Slots:
    """A semaphore with priorities.

    A quarter of the places is for people only, so that a burst of audits cannot make
    them wait for a whole call. Within one priority the first come is the first served.
    """

    def __init__(self, count: int, *, most_waiting: int = MOST_WAITING) -> None:
        self._free = count
        self._kept = count // 4
        self._most_waiting = most_waiting
        self._queue: list[tuple[Priority, int, asyncio.Future[None]]] = []
        self._numbers = itertools.count()

    @contextlib.asynccontextmanager
    async def take(self, priority: Priority) -> AsyncIterator[None]:
        """Hold a place while inside.

        Raises:
            ModelUnavailable: Too many wait already.
        """
        await self._enter(priority)
        try:
            yield
        finally:
            self._free += 1
            self._serve()

    async def _enter(self, priority: Priority) -> None:
        if len(self._queue) >= self._most_waiting:
            self._turn_away(priority)
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._queue, (priority, next(self._numbers), turn))
        self._serve()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # the place had been given already
                self._free += 1
                self._serve()
            else:
                self._queue = [each for each in self._queue if each[2] is not turn]
                heapq.heapify(self._queue)
            raise

    def _turn_away(self, priority: Priority) -> None:
        """Make room for a more urgent one by refusing the least urgent, or refuse the newcomer."""
        last = max(self._queue)
        if last[0] <= priority:
            raise _full(self._most_waiting)
        self._queue.remove(last)
        heapq.heapify(self._queue)
        last[2].set_exception(_full(self._most_waiting))

    def _serve(self) -> None:
        while self._queue and self._free > (0 if self._queue[0][0] is Priority.LIVE else self._kept):
            _, _, turn = heapq.heappop(self._queue)
            if not turn.done():
                self._free -= 1
                turn.set_result(None)
        metrics.WAITING.set(len(self._queue))


def _full(most: int) -> ModelUnavailable:
    return ModelUnavailable(f"{most} calls wait for the model already", defect="QUEUE_FULL")
