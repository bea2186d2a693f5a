"""The connection to Redis or Valkey, on a short leash: whatever happens to it costs a set time at most."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any, Final

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError

from kit.log import get_logger
from services.cache import metrics
from services.cache.breaker import Breaker

log = get_logger()

CONNECTIONS: Final = 32
BREAKER_FAILURES: Final = 5
BREAKER_SECONDS: Final = 1.0
PING_SECONDS: Final = 0.5
"""How long a lost Redis is left alone; nobody waits for its pings."""


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
        self._asking: set[asyncio.Timeout] = set()
        self._finding: asyncio.Task[None] | None = None
        self._heard_at = 0.0

    async def ask(self, ask: Callable[[], Awaitable[Any]]) -> Any:
        """Return what Redis says; None when it is lost.

        The first that gets no answer is enough, if nobody else got one meanwhile: whoever
        waits beside it, or comes after it, goes on without, and a ping of ours finds out
        when Redis is back. A refusal is an answer; only some in a row stop the asking,
        for a second.
        """
        now = asyncio.get_running_loop().time
        began = now()
        if self._finding is not None or not self._breaker.allows(began):
            return None
        try:
            async with asyncio.timeout(self._seconds) as limit:
                self._asking.add(limit)
                try:
                    found = await ask()
                finally:
                    self._asking.discard(limit)
        except (RedisError, OSError, TimeoutError) as error:
            metrics.TIER_FAILURES.inc()
            silent = not isinstance(error, ResponseError) and self._heard_at < began
            if self._breaker.failed(now(), at_once=silent):
                log.warning("tier.lost", tier="redis", error=type(error).__name__)
            metrics.BREAKER.set(self._breaker.state)
            if silent and self._finding is None:
                self._finding = asyncio.create_task(self._find())
                for other in self._asking:
                    if not other.expired():
                        other.reschedule(now())
            return None
        self._heard_at = now()
        if self._finding is None:  # an answer from before the silence says nothing about it
            self._answers()
        return found

    async def close(self) -> None:
        """Close all connections."""
        if self._finding is not None:
            self._finding.cancel()
            await asyncio.wait({self._finding})
        await self.redis.aclose()

    def _answers(self) -> None:
        if self._breaker.succeeded():
            log.info("tier.recovered", tier="redis")
        metrics.BREAKER.set(self._breaker.state)

    async def _find(self) -> None:
        """Ping until there is an answer."""
        try:
            while not await self._pinged():
                with contextlib.suppress(RedisError, OSError, TimeoutError):
                    # They are of a server that may be gone; the next to use one would take the new server for lost too.
                    await self.redis.connection_pool.disconnect(inuse_connections=False)
                await asyncio.sleep(PING_SECONDS)
        finally:  # however this ends: while it is set, nobody asks
            self._finding = None
        self._answers()

    async def _pinged(self) -> bool:
        try:
            async with asyncio.timeout(self._seconds):
                await self.redis.ping()
        except (RedisError, OSError, TimeoutError):
            return False
        return True
