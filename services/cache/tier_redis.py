"""The tier in Redis or Valkey, on a short leash: whatever happens to it costs 100 ms at most."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from kit.log import get_logger
from services.cache import metrics
from services.cache.breaker import Breaker

log = get_logger()
T = TypeVar("T")

PREFIX: Final = "porchlight:answer:"
GENERATION: Final = "porchlight:generation"
INDEX: Final = "porchlight:entries_of:"
# KEYS[1] is raised to ARGV[1] unless it is higher: a replica that is late takes nothing back.
_RAISE: Final = (
    "if tonumber(redis.call('GET', KEYS[1]) or '-1') < tonumber(ARGV[1]) then redis.call('SET', KEYS[1], ARGV[1]) end"
    " return 1"
)

# Source: reliability page, sections 6.4 and 8. The library's own defaults wait 59 s for a hung server.
SOCKET_SECONDS: Final = 0.05
TOTAL_SECONDS: Final = 0.1
CONNECTIONS: Final = 32
BREAKER_FAILURES: Final = 5
LONGEST_LIFE_MS: Final = 86_400_000
BREAKER_SECONDS: Final = 1.0


class RedisTier:
    """Keeps bytes in Redis. Never raises for a lost store: a read is then a miss, a write is left out."""

    def __init__(self, url: str) -> None:
        pool = BlockingConnectionPool.from_url(
            url,
            max_connections=CONNECTIONS,
            timeout=TOTAL_SECONDS,
            socket_timeout=SOCKET_SECONDS,
            socket_connect_timeout=SOCKET_SECONDS,
            # A second try of ours would wait for the same hung server.
            retry=Retry(NoBackoff(), 0),
            health_check_interval=0,
        )
        self._redis: Redis = Redis.from_pool(pool)
        self._breaker = Breaker(failures=BREAKER_FAILURES, open_seconds=BREAKER_SECONDS)

    async def get(self, key_id: str) -> bytes | None:
        """Return what is kept, or None."""
        found = await self._guarded(lambda: self._redis.get(PREFIX + key_id))
        return found if isinstance(found, bytes) else None

    async def put(self, key_id: str, data: bytes, *, life_seconds: float, owner: str = "") -> None:
        """Keep bytes for at most `life_seconds`."""
        life_ms = max(1, int(life_seconds * 1000))

        async def write() -> None:
            if not owner:
                await self._redis.set(PREFIX + key_id, data, px=life_ms)
                return
            # The index first: an entry that it does not name could not be erased.
            pipe = self._redis.pipeline(transaction=True)
            pipe.sadd(INDEX + owner, key_id)
            pipe.pexpire(INDEX + owner, LONGEST_LIFE_MS)
            pipe.set(PREFIX + key_id, data, px=life_ms)
            await pipe.execute()

        await self._guarded(write)

    async def delete(self, key_id: str) -> None:
        """Forget what is kept."""
        await self._guarded(lambda: self._redis.delete(PREFIX + key_id))

    async def erase(self, owner: str) -> bool:
        """Forget everything that was put with this owner; False when it may still be there."""

        async def remove() -> bool:
            names = await self._redis.smembers(INDEX + owner)
            await self._redis.delete(
                INDEX + owner, *(PREFIX + (name.decode() if isinstance(name, bytes) else name) for name in names)
            )
            return True

        return await self._guarded(remove) is True

    async def latest_generation(self) -> int | None:
        """Return the last invalidation's number, or None when it is not known here."""
        found = await self._guarded(lambda: self._redis.get(GENERATION))
        return int(found) if isinstance(found, bytes) and found.isdigit() else None

    async def publish_generation(self, generation: int) -> bool:
        """Raise the last invalidation's number; False when that may not have been done."""
        return bool(await self._guarded(lambda: self._redis.eval(_RAISE, 1, GENERATION, str(generation))) == 1)

    async def close(self) -> None:
        """Close all connections."""
        await self._redis.aclose()

    async def _guarded(self, ask: Callable[[], Awaitable[Any]]) -> Any:
        now = asyncio.get_running_loop().time
        if not self._breaker.allows(now()):
            return None
        try:
            async with asyncio.timeout(TOTAL_SECONDS):
                found = await ask()
        except (RedisError, OSError, TimeoutError) as error:
            metrics.TIER_FAILURES.inc()
            if self._breaker.failed(now()):
                log.warning("tier.lost", tier="redis", error=type(error).__name__)
            metrics.BREAKER.set(self._breaker.state)
            return None
        if self._breaker.succeeded():
            log.info("tier.recovered", tier="redis")
        metrics.BREAKER.set(self._breaker.state)
        return found
