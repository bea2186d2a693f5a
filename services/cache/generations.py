"""Which stored answers still hold: what was invalidated, known on every replica within a second or not trusted.

Every invalidation has a number, its generation, in Postgres. An entry carries the
generation that was known when Claude was asked, and its tags; it holds unless one of
its tags was invalidated later. A replica asks Postgres for news every `POLL_SECONDS`.

A replica that Postgres does not answer asks Redis for the last number alone: the same
as its own means that nothing was invalidated. Any other number, or no answer from
Redis either, means that it cannot know: then it serves nothing that is stored, and
asks Claude. Without Redis there are no replicas that share anything, so a lost
Postgres, through which alone one invalidates, leaves nothing to be learned.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

from kit.errors import StoreUnavailable
from kit.log import get_logger
from kit.rest import rest
from services.cache import metrics
from services.cache.entry import LIFE_SECONDS, Entry
from services.cache.prompts import LABELS

log = get_logger()

POLL_SECONDS: Final = 0.4
TRUST_SECONDS: Final = 0.9
"""How old the last news may be. With a poll that begins just before an invalidation this is how long an old answer
can still be served; what is left of the second is for the caller's way back."""
ASK_SECONDS: Final = 0.3


@dataclass(frozen=True, kw_only=True)
class News:
    """What was invalidated."""

    generation: int
    """The last one."""
    tags: Mapping[str, int]
    """Tag to its last generation, of those that were asked for."""


def key_tag(key_id: str) -> str:
    """Return the tag by which one answer alone is invalidated."""
    return "key:" + key_id


class GenerationStore(Protocol):
    """The truth about invalidations."""

    async def invalidate(self, tags: Iterable[str]) -> int:
        """Make what was stored with any of these tags unusable, and return the generation.

        Raises:
            StoreUnavailable: Whether it was done is unknown.
        """

    async def since(self, generation: int) -> News:
        """Return what was invalidated after a generation.

        Raises:
            StoreUnavailable: Nobody knows.
        """


class Mirror(Protocol):
    """Where replicas find the last generation when the truth does not answer. Never raises."""

    async def latest_generation(self) -> int | None:
        """Return it, or None when it is not known."""

    async def publish_generation(self, generation: int) -> bool:
        """Raise it to `generation`, unless it is higher; False when that may not have been done."""


@dataclass
class MemoryGenerationStore:
    """Keeps invalidations in a dict; `lost` makes it unavailable."""

    tags: dict[str, int] = field(default_factory=dict)
    generation: int = 0
    lost: bool = False

    async def invalidate(self, tags: Iterable[str]) -> int:
        """Make what was stored with any of these tags unusable, and return the generation."""
        self._answer()
        self.generation += 1
        self.tags |= dict.fromkeys(tags, self.generation)
        return self.generation

    async def since(self, generation: int) -> News:
        """Return what was invalidated after a generation."""
        self._answer()
        return News(
            generation=self.generation, tags={tag: last for tag, last in self.tags.items() if last > generation}
        )

    def _answer(self) -> None:
        if self.lost:
            raise StoreUnavailable("the invalidations do not answer", store="memory")


class Generations:
    """What this replica knows of invalidations.

    Args:
        store: The truth.
        mirror: Where to look when the truth does not answer; None when nothing is shared with other replicas.
        seconds: A clock that never goes back, such as `time.monotonic`.
        forget: Called when a contact's bytes must leave the memory of the process.
    """

    def __init__(
        self, store: GenerationStore, mirror: Mirror | None, *, seconds: Callable[[], float], forget: Callable[[], None]
    ) -> None:
        self._store = store
        self._mirror = mirror
        self._seconds = seconds
        self._forget = forget
        self._tags: dict[str, tuple[int, float]] = {}
        self._sure_at: float | None = None
        self._asking = asyncio.Lock()
        self._looks = 0
        self.known = 0

    @property
    def trusted(self) -> bool:
        """Whether what is known is new enough to serve stored answers by."""
        return self._sure_at is not None and self._seconds() - self._sure_at <= TRUST_SECONDS

    async def trust(self) -> bool:
        """Say whether stored answers may be served, asking for news first where those are too old."""
        if not self.trusted:
            looks = self._looks
            async with self._asking:
                if self._looks == looks:  # or the look that was waited for says it: a lost store is not asked by each
                    await self.refresh()
                    self._looks += 1
        return self.trusted

    def holds(self, entry: Entry) -> bool:
        """Say whether neither an entry nor one of its tags was invalidated since Claude was asked."""
        names = (key_tag(entry.key_id), *entry.tags.split())
        return self._tags.keys().isdisjoint(names) or all(self.last(name) <= entry.generation for name in names)

    def last(self, tag: str) -> int:
        """Return the number of a tag's last invalidation in the last days; 0 when there is none."""
        return self._tags.get(tag, (0, 0.0))[0]

    async def refresh(self) -> None:
        """Ask for news. Never fails: what is not learned is not trusted."""
        began = self._seconds()
        try:
            async with asyncio.timeout(ASK_SECONDS):
                news = await self._store.since(self.known)
        except (StoreUnavailable, TimeoutError):
            if self._sure_at is None:
                return
            nothing_new = self._mirror is None or await self._mirror.latest_generation() == self.known
            if nothing_new:
                self._sure_at = began
            return
        self._learn(news, began)
        if self._mirror is not None:
            await self._mirror.publish_generation(news.generation)

    async def invalidate(self, tags: Iterable[str]) -> int:
        """Make what was stored with any of these tags unusable on all replicas.

        Raises:
            StoreUnavailable: It may be true on some of them.
        """
        generation = await self._store.invalidate(tags)
        await self.publish(generation)
        return generation

    async def publish(self, generation: int) -> None:
        """Let all replicas hear of an invalidation that is in the store.

        Raises:
            StoreUnavailable: Some of them may not hear of it.
        """
        await self.refresh()
        if self._mirror is not None and not await self._mirror.publish_generation(generation):
            raise StoreUnavailable("redis does not answer", store="redis")

    async def run(self, stop: asyncio.Event) -> None:
        """Ask for news until `stop`."""
        while not stop.is_set():
            began = self._seconds()
            await self.refresh()
            metrics.TRUSTED.set(self.trusted)
            await rest(stop, max(0.05, POLL_SECONDS - (self._seconds() - began)))

    def _learn(self, news: News, at: float) -> None:
        if self._sure_at is not None and any(tag != LABELS and not tag.startswith(key_tag("")) for tag in news.tags):
            # A few fetches from Redis are the price of an erasure that leaves nothing in memory. A moved label and an
            # answer that was called wrong are none, and come often.
            self._forget()
        # Looks overtake each other; what a later one learned stays.
        self._tags |= {tag: (max(generation, self.last(tag)), at) for tag, generation in news.tags.items()}
        if news.tags:
            self._tags = {tag: known for tag, known in self._tags.items() if at - known[1] <= 2 * LIFE_SECONDS}
        self.known = max(self.known, news.generation)
        self._sure_at = at
