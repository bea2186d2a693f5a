"""Leases in Redis or Valkey: a key with a fence in it, and scripts that change only what is ours."""

from typing import Final

from services.cache.lease import LEASE_SECONDS, Lease, Taken
from services.cache.link_redis import Link

PREFIX: Final = "porchlight:lease:"
_MILLISECONDS: Final = round(LEASE_SECONDS * 1000)

# The fence is the server's clock in microseconds: it rises even over a store that forgot everything. Taken twice by a
# command that was sent again, a lease is somebody else's, and ends by itself.
_TAKE: Final = """
local time = redis.call('TIME')
local fence = string.format('%d', time[1] * 1000000 + time[2])
if redis.call('SET', KEYS[1], fence, 'NX', 'PX', ARGV[1]) then return fence end
return ''
"""
_RENEW: Final = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
"""
_RELEASE: Final = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0"


class RedisLeases:
    """Gives leases; a store that does not answer in the time that its link has is lost."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._take = link.redis.register_script(_TAKE)
        self._renew = link.redis.register_script(_RENEW)
        self._release = link.redis.register_script(_RELEASE)

    async def take(self, key_id: str) -> Lease | Taken | None:
        """Take the lease of a key; None when the store is lost."""
        fence = await self._link.ask(lambda: self._take(keys=[PREFIX + key_id], args=[_MILLISECONDS]))
        if fence is None:
            return None
        return Lease(key_id=key_id, fence=int(fence)) if fence else Taken()

    async def renew(self, lease: Lease) -> bool:
        """Prolong a lease; False when it is another's by now, or the store is lost."""
        arguments = [lease.fence, _MILLISECONDS]
        return bool(await self._link.ask(lambda: self._renew(keys=[PREFIX + lease.key_id], args=arguments)))

    async def release(self, lease: Lease) -> None:
        """Give a lease back, if it is still ours."""
        await self._link.ask(lambda: self._release(keys=[PREFIX + lease.key_id], args=[lease.fence]))
