"""Write what waits, behind the backs of those who wait for no writing."""

import asyncio
import contextlib
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from itertools import islice
from typing import Final, Generic, TypeVar

from prometheus_client import Counter

from kit.errors import StoreUnavailable
from kit.log import describe, get_logger

log = get_logger()

T = TypeVar("T")

RETRY_SECONDS: Final = 1.0
"""How long a store that did not take everything is left alone."""


async def write_behind(write: Callable[[], Awaitable[bool]], wake: asyncio.Event, stop: asyncio.Event) -> None:
    """Write whenever something was added, until `stop`.

    Args:
        write: Brings everything that waits to its store; False when something still waits.
        wake: Set by whoever adds something.
        stop: Ends it; what waits then is the caller's to write once more.
    """
    while not stop.is_set():
        wake.clear()
        done = await write()
        stopping = asyncio.ensure_future(stop.wait())
        waking = asyncio.ensure_future(wake.wait() if done else asyncio.sleep(RETRY_SECONDS))
        try:
            await asyncio.wait({stopping, waking}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopping.cancel()
            waking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await waking


class Writer(ABC, Generic[T]):
    """Brings what is added to a store behind the callers' backs; of more than `most` the newest are lost.

    Args:
        name: What is written, for the log.
        lost: Counts what is lost.
        most: How many may wait.
        at_once: How many are written together.
        gather_seconds: How long the first waits for others.
    """

    def __init__(self, name: str, lost: Counter, *, most: int, at_once: int = 1, gather_seconds: float = 0.0) -> None:
        self._name = name
        self._lost = lost
        self._most = most
        self._at_once = at_once
        self._gather_seconds = gather_seconds
        self._waiting: deque[T] = deque()
        self._wake = asyncio.Event()
        self._writing = asyncio.Lock()

    @abstractmethod
    async def record(self, some: Sequence[T]) -> None:
        """Write at most `at_once` of them.

        Raises:
            StoreUnavailable: They are to be written again.
        """

    def add(self, one: T) -> None:
        """Take one."""
        if len(self._waiting) >= self._most:
            self._lost.inc()
            return
        self._waiting.append(one)
        self._wake.set()

    async def write(self) -> bool:
        """Bring everything that waits to the store; False when something still waits."""
        async with self._writing:  # whoever reads the store may write first
            while self._waiting:
                some = list(islice(self._waiting, self._at_once))
                try:
                    await self.record(some)
                except StoreUnavailable:
                    return False
                # Protects the worker from what the database refuses: that is lost, the others are not.
                except Exception as error:  # noqa: BLE001
                    log.error("worker.failed", worker=self._name, **describe(error))
                    self._lost.inc(len(some))
                for _ in some:
                    self._waiting.popleft()
        return True

    async def run(self, stop: asyncio.Event) -> None:
        """Write what comes, until `stop`."""

        async def gather_and_write() -> bool:
            if self._waiting:
                await asyncio.sleep(self._gather_seconds)
            return await self.write()

        await write_behind(gather_and_write, self._wake, stop)
