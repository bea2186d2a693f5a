"""The connection to Redis or Valkey, on a short leash: whatever happens to it costs a set time at most."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from kit.log import get_logger
from services.cache import metrics
from services.cache.breaker import Breaker

log = get_logger()

CONNECTIONS: Final = 32
BREAKER_FAILURES: Final = 5
BREAKER_SECONDS: Final = 1.0


class Link:
    """Asks Redis, or says at once that it is lost. One for all that a process keeps there, so that all learn together."""

    def __init__(self, url: str, *, seconds: float) -> None:
        """Make a connection when somebody asks.

        Args:
            url: Of the server.
            seconds: The most that a command may take, waiting for a connection included.
        """
        # The library's own defaults wait 59 s for a hung server.
        self._seconds = seconds
        pool = BlockingConnectionPool.from_url(
            url,
            max_connections=CONNECTIONS,
            timeout=seconds,
            socket_timeout=seconds / 2,
            socket_connect_timeout=seconds / 2,
            # A second try of ours would wait for the same hung server.
            retry=Retry(NoBackoff(), 0),
            health_check_interval=0,
        )
        self.redis: Redis = Redis.from_pool(pool)
        self._breaker = Breaker(failures=BREAKER_FAILURES, open_seconds=BREAKER_SECONDS)

    async def ask(self, ask: Callable[[], Awaitable[Any]]) -> Any:
        """Return what Redis says; None when it is lost."""
        now = asyncio.get_running_loop().time
        if not self._breaker.allows(now()):
            return None
        try:
            async with asyncio.timeout(self._seconds):
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

    async def close(self) -> None:
        """Close all connections."""
        await self.redis.aclose()
