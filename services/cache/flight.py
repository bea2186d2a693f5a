"""One call at a time for the same thing; everybody who asks meanwhile gets its outcome."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from kit.errors import ModelUnavailable

V = TypeVar("V")


@dataclass(kw_only=True, eq=False)
class Shared(Generic[V]):
    """A call under way, and until when somebody waits for it."""

    until: float
    """On the event loop's clock."""
    task: "asyncio.Task[V] | None" = None
    limit: asyncio.Timeout | None = None

    def seconds_left(self) -> float:
        """Return how long somebody will wait for the outcome."""
        return self.until - asyncio.get_running_loop().time()

    def extend(self, until: float) -> None:
        """Go on for somebody who has more time than those before."""
        if until <= self.until:
            return
        self.until = until
        if self.limit is not None and not self.limit.expired():
            self.limit.reschedule(until)


class Flight(Generic[V]):
    """Shares calls by key.

    A caller that goes away never takes the call with it: it runs in a task of its
    own, as long as the last caller's deadline, and its answer is stored. A failure
    goes to everybody who waits; who asks next starts anew.
    """

    def __init__(self) -> None:
        self._shared: dict[str, Shared[V]] = {}

    async def share(self, key_id: str, start: Callable[[Shared[V]], Awaitable[V]], *, until: float) -> tuple[V, bool]:
        """Join the call under this key, or start it.

        Args:
            key_id: What makes two calls the same.
            start: Makes the call.
            until: How long this caller can wait, on the event loop's clock.

        Returns:
            The outcome, and whether this caller started the call.

        Raises:
            ModelUnavailable: No outcome in time, or the process stops.
        """
        shared = self._shared.get(key_id)
        leads = shared is None or shared.task is None or shared.task.done()
        if shared is None or leads:
            shared = self._shared[key_id] = Shared(until=until)
            shared.task = asyncio.create_task(self._run(key_id, shared, start))
            shared.task.add_done_callback(_look_at)
        shared.extend(until)
        task = shared.task
        assert task is not None
        await asyncio.wait({task}, timeout=max(0.0, until - asyncio.get_running_loop().time()))
        if not task.done():
            raise ModelUnavailable("no answer came in the time that was left", defect="TIMEOUT")
        if task.cancelled():
            raise ModelUnavailable("the process stops", defect="STOPPING")
        return task.result(), leads

    async def close(self) -> None:
        """Cancel what is under way and wait until it is gone."""
        tasks = [shared.task for shared in self._shared.values() if shared.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(self, key_id: str, shared: Shared[V], start: Callable[[Shared[V]], Awaitable[V]]) -> V:
        try:
            async with asyncio.timeout_at(shared.until) as shared.limit:
                return await start(shared)
        except TimeoutError:
            raise ModelUnavailable("no answer came in the time that was left", defect="TIMEOUT") from None
        finally:
            if self._shared.get(key_id) is shared:
                del self._shared[key_id]


def _look_at(task: "asyncio.Task[object]") -> None:
    """Take the outcome of a call that nobody waited for, or asyncio reports its failure as forgotten."""
    if not task.cancelled():
        task.exception()
