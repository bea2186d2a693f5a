"""Where answers are kept: the process's memory first, then Redis; reading promotes, never prolongs."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar

from kit.clock import Clock
from kit.log import get_logger
from services.cache import metrics
from services.cache.canonical import Key
from services.cache.entry import FRESH_SECONDS, CorruptEntry, Entry, pack, unpack
from services.cache.generations import Generations, key_tag

log = get_logger()

T = TypeVar("T")


class Tier(Protocol[T]):
    """Keeps entries or their bytes for a while. A store that is lost is a miss, never an error."""

    async def get(self, key_id: str) -> T | None:
        """Return what is kept, or None."""

    async def put(self, key_id: str, data: T, *, life_seconds: float, owner: str = "") -> None:
        """Keep something for at most `life_seconds`, which are above 0; may also not keep it.

        Args:
            key_id: Where.
            data: What.
            life_seconds: For how long at most.
            owner: Whose it is, for `erase`; empty when nobody's.
        """

    async def delete(self, key_id: str) -> None:
        """Forget what is kept."""

    async def erase(self, owner: str) -> bool:
        """Forget everything that was put with this owner; False when it may still be there."""


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
        generations: What was invalidated; None when nothing ever is.
    """

    def __init__(
        self,
        near: Tier[Entry],
        far: Tier[bytes] | None,
        *,
        clock: Clock,
        luck: Callable[[], float],
        generations: Generations | None = None,
    ) -> None:
        self._near = near
        self._far = far
        self._clock = clock
        self._luck = luck
        self._generations = generations

    @property
    def now(self) -> float:
        """Seconds since 1970."""
        return self._clock().timestamp()

    def luck(self) -> float:
        """Return the next number for the jitter."""
        return self._luck()

    @property
    def generation(self) -> int:
        """The last invalidation that is known here, for entries that are begun now."""
        return 0 if self._generations is None else self._generations.known

    async def near_hit(self, key: Key) -> Hit | None:
        """Look into the memory of the process."""
        found = await self._read(self._near, key, "L1")
        return None if found is None else Hit(entry=found[0], tier="L1", age_seconds=found[0].age_seconds(found[1]))

    async def far_hit(self, key: Key) -> Hit | None:
        """Look into Redis; a hit moves to the memory of the process with the life it has left."""
        if self._far is None:
            return None
        read = await self._read(self._far, key, "redis")
        if read is None:
            return None
        found, now = read
        await self._near.put(key.key_id, found, life_seconds=found.life_seconds(now))
        age = found.age_seconds(now)
        return Hit(entry=found, tier="L2" if age < FRESH_SECONDS else "L3", age_seconds=age)

    async def store(self, entry: Entry, *, owner: str = "") -> None:
        """Keep a new answer in both places.

        Args:
            entry: The answer.
            owner: The contact whose words it holds, as a tag; empty when it holds nobody's.
        """
        life = entry.life_seconds(self.now)
        if life <= 0 or not self._holds(entry):
            return
        await self._near.put(entry.key_id, entry, life_seconds=life)
        if self._far is not None:
            await self._far.put(entry.key_id, pack(entry), life_seconds=life, owner=owner)

    async def remove(self, key_id: str) -> None:
        """Forget one answer here and in Redis."""
        await self._near.delete(key_id)
        if self._far is not None:
            await self._far.delete(key_id)

    def was_removed(self, key_id: str) -> bool:
        """Say whether an answer was invalidated by itself lately, on any replica: somebody said that it was wrong."""
        return self._generations is not None and self._generations.last(key_tag(key_id)) > 0

    async def erase(self, owner: str) -> bool:
        """Forget a contact's answers in Redis; False when they may still be there."""
        return self._far is None or await self._far.erase(owner)

    def _holds(self, entry: Entry) -> bool:
        return self._generations is None or self._generations.holds(entry)

    async def _read(self, tier: Tier[Entry] | Tier[bytes], key: Key, name: str) -> tuple[Entry, float] | None:
        """Return an entry that may be served, and when that was decided."""
        kept = await tier.get(key.key_id)
        if kept is None:
            return None
        try:
            entry = unpack(kept, key)
        except CorruptEntry as corrupt:
            log.error("entry.corrupted", tier=name, key_id=key.key_id, defect=str(corrupt))
            metrics.CORRUPTED.labels(name).inc()
            await tier.delete(key.key_id)
            return None
        if self._generations is not None and not await self._generations.trust():
            return None
        # Stores expire lazily, and on their own clock: this is what keeps the promise.
        now = self.now
        return (entry, now) if entry.life_seconds(now) > 0 and self._holds(entry) else None
