"""The tier in Redis or Valkey, on the short leash of `link_redis.Link`."""

from typing import Final

from services.cache.link_redis import Link

PREFIX: Final = "porchlight:answer:"
GENERATION: Final = "porchlight:generation"
INDEX: Final = "porchlight:entries_of:"
# KEYS[1] is raised to ARGV[1] unless it is higher: a replica that is late takes nothing back.
_RAISE: Final = (
    "if tonumber(redis.call('GET', KEYS[1]) or '-1') < tonumber(ARGV[1]) then redis.call('SET', KEYS[1], ARGV[1]) end"
    " return 1"
)

LONGEST_LIFE_MS: Final = 86_400_000


class RedisTier:
    """Keeps bytes in Redis. Never raises for a lost store: a read is then a miss, a write is left out."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._redis = link.redis

    async def get(self, key_id: str) -> bytes | None:
        """Return what is kept, or None."""
        found = await self._link.ask(lambda: self._redis.get(PREFIX + key_id))
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

        await self._link.ask(write)

    async def delete(self, key_id: str) -> None:
        """Forget what is kept."""
        await self._link.ask(lambda: self._redis.delete(PREFIX + key_id))

    async def erase(self, owner: str) -> bool:
        """Forget everything that was put with this owner; False when it may still be there."""

        async def remove() -> bool:
            names = await self._redis.smembers(INDEX + owner)
            await self._redis.delete(
                INDEX + owner, *(PREFIX + (name.decode() if isinstance(name, bytes) else name) for name in names)
            )
            return True

        return await self._link.ask(remove) is True

    async def latest_generation(self) -> int | None:
        """Return the last invalidation's number, or None when it is not known here."""
        found = await self._link.ask(lambda: self._redis.get(GENERATION))
        return int(found) if isinstance(found, bytes) and found.isdigit() else None

    async def publish_generation(self, generation: int) -> bool:
        """Raise the last invalidation's number; False when that may not have been done."""
        return bool(await self._link.ask(lambda: self._redis.eval(_RAISE, 1, GENERATION, str(generation))) == 1)
