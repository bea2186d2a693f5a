"""Where answers are kept: the process's memory first, then Redis; reading promotes, never prolongs."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from kit.clock import Clock
from kit.log import get_logger
from services.cache import metrics
from services.cache.canonical import Key
from services.cache.entry import FRESH_SECONDS, CorruptEntry, Entry, pack, unpack

log = get_logger()


class Tier(Protocol):
    """Keeps bytes for a while. A store that is lost is a miss, never an error."""

    async def get(self, key_id: str) -> bytes | None:
        """Return what is kept, or None."""

    async def put(self, key_id: str, data: bytes, *, life_seconds: float) -> None:
        """Keep bytes for at most `life_seconds`, which are above 0; may also not keep them."""

    async def delete(self, key_id: str) -> None:
        """Forget what is kept."""


@dataclass(frozen=True, kw_only=True)
class Hit:
    """A stored answer and where it was found."""

    entry: Entry
    tier: str
    """L1, L2 or L3."""
    age_seconds: float


class Tiers:
    """Two places, three tiers: Redis's one entry per key is L2 while it is fresh and L3 after.

    Args:
        near: The memory of the process.
        far: Redis; None when there is none.
        clock: Decides about age; the stores' own clocks only save memory.
        luck: Gives numbers in [0, 1) for the jitter.
    """

    def __init__(self, near: Tier, far: Tier | None, *, clock: Clock, luck: Callable[[], float]) -> None:
        self._near = near
        self._far = far
        self._clock = clock
        self._luck = luck

    @property
    def now(self) -> float:
        """Seconds since 1970."""
        return self._clock().timestamp()

    def luck(self) -> float:
        """Return the next number for the jitter."""
        return self._luck()

    async def near_hit(self, key: Key) -> Hit | None:
        """Look into the memory of the process; does not wait for anything."""
        found = await self._read(self._near, key, "L1")
        return None if found is None else Hit(entry=found, tier="L1", age_seconds=found.age_seconds(self.now))

    async def far_hit(self, key: Key) -> Hit | None:
        """Look into Redis; a hit moves to the memory of the process with the life it has left."""
        if self._far is None:
            return None
        found = await self._read(self._far, key, "redis")
        if found is None:
            return None
        now = self.now
        await self._near.put(key.key_id, pack(found), life_seconds=found.life_seconds(now))
        age = found.age_seconds(now)
        return Hit(entry=found, tier="L2" if age < FRESH_SECONDS else "L3", age_seconds=age)

    async def store(self, entry: Entry) -> None:
        """Keep a new answer in both places."""
        data, life = pack(entry), entry.life_seconds(self.now)
        if life <= 0:
            return
        await self._near.put(entry.key_id, data, life_seconds=life)
        if self._far is not None:
            await self._far.put(entry.key_id, data, life_seconds=life)

    async def _read(self, tier: Tier, key: Key, name: str) -> Entry | None:
        data = await tier.get(key.key_id)
        if data is None:
            return None
        try:
            entry = unpack(data, key)
        except CorruptEntry as corrupt:
            log.error("entry.corrupted", tier=name, key_id=key.key_id, defect=str(corrupt))
            metrics.CORRUPTED.labels(name).inc()
            await tier.delete(key.key_id)
            return None
        # Stores expire lazily, and on their own clock: this is what keeps the promise.
        return entry if entry.life_seconds(self.now) > 0 else None
