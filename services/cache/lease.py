"""One call at a time over all replicas: who may ask Claude, and what the others do meanwhile.

A replica that wants to ask takes a lease on the key. Who does not get it looks for
the answer until it is there, the lease is gone, or its time is up. A leader that dies
renews nothing, so its lease ends and the next one asks. Without Redis each replica
asks for itself: this saves money and is no promise to anybody.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Protocol, TypeVar

from services.cache import metrics

F = TypeVar("F")
A = TypeVar("A")

LEASE_SECONDS: Final = 1.5
"""How long after its leader's death a key is free again; the leader renews it three times as often."""
LOOK_SECONDS: Final = 0.02
MOST_LOOK_SECONDS: Final = 0.1


@dataclass(frozen=True, kw_only=True)
class Lease:
    """The right to ask for a key, until somebody else has a higher fence."""

    key_id: str
    fence: int


@dataclass(frozen=True, kw_only=True)
class Taken:
    """Somebody else has the lease."""


class Leases(Protocol):
    """Gives leases, one for a key at a time."""

    async def take(self, key_id: str) -> Lease | Taken | None:
        """Take the lease of a key; None when the store is lost."""

    async def renew(self, lease: Lease) -> bool:
        """Prolong a lease; False when it is another's by now, or the store is lost."""

    async def release(self, lease: Lease) -> None:
        """Give a lease back, if it is still ours."""


class MemoryLeases:
    """Leases for replicas inside one process; `lost` makes the store unreachable."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._held: dict[str, tuple[int, float]] = {}
        self._fence = 0
        self.lost = False

    async def take(self, key_id: str) -> Lease | Taken | None:
        """Take the lease of a key."""
        if self.lost:
            return None
        if self._held.get(key_id, (0, 0.0))[1] > self._now():
            return Taken()
        self._fence += 1
        self._held[key_id] = (self._fence, self._now() + LEASE_SECONDS)
        return Lease(key_id=key_id, fence=self._fence)

    async def renew(self, lease: Lease) -> bool:
        """Prolong a lease."""
        if self.lost or not self._has(lease):
            return False
        self._held[lease.key_id] = (lease.fence, self._now() + LEASE_SECONDS)
        return True

    async def release(self, lease: Lease) -> None:
        """Give a lease back."""
        if not self.lost and self._has(lease):
            del self._held[lease.key_id]

    def _has(self, lease: Lease) -> bool:
        fence, until = self._held.get(lease.key_id, (0, 0.0))
        return fence == lease.fence and until > self._now()


class Turns:
    """Makes replicas ask one after the other for the same thing.

    Args:
        leases: Shared with the other replicas; None when there is none.
    """

    def __init__(self, leases: Leases | None) -> None:
        self._leases = leases

    async def one(
        self,
        key_id: str,
        *,
        look: Callable[[], Awaitable[F | None]],
        ask: Callable[[], Awaitable[A]],
        seconds_left: Callable[[], float],
    ) -> F | A:
        """Return what another replica stored meanwhile, or ask.

        Args:
            key_id: What makes two calls the same.
            look: Gives the stored answer, if there is one.
            ask: Makes the call and stores its answer.
            seconds_left: How long anybody waits.
        """
        wait = LOOK_SECONDS
        while self._leases is not None and seconds_left() > 0:
            lease = await self._leases.take(key_id)
            if lease is None:
                break
            # Also with the lease in hand: whoever had it before may have stored the answer a moment ago.
            found = await look()
            if isinstance(lease, Lease):
                async with self._kept(lease):
                    if found is not None:
                        return found
                    # A store that forgot the answer between the two forgot the lease with it.
                    if await self._leases.renew(lease):
                        return await ask()
                continue
            if found is not None:
                metrics.SHARED.inc()
                return found
            if seconds_left() <= wait:
                break
            await asyncio.sleep(wait)
            wait = min(MOST_LOOK_SECONDS, wait * 1.5)
        return await ask()

    @contextlib.asynccontextmanager
    async def _kept(self, lease: Lease) -> AsyncIterator[None]:
        assert self._leases is not None
        over = asyncio.Event()
        renewing = asyncio.create_task(self._renew(self._leases, lease, over))
        try:
            yield
        finally:
            # Not by the cancellation alone: the client of a store may take one for its own, and go on.
            over.set()
            renewing.cancel()
            await asyncio.wait({renewing})
            await self._leases.release(lease)

    async def _renew(self, leases: Leases, lease: Lease, over: asyncio.Event) -> None:
        while not over.is_set():
            await asyncio.sleep(LEASE_SECONDS / 3)
            # One that is lost is not asked for again: its next holder may be at work, and two answers do no harm.
            if not await leases.renew(lease):
                return
