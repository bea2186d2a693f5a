"""The board in Redis or Valkey: a hash per model, a field per replica, one script."""

from typing import Final

from services.cache.limiter import SILENT_SECONDS, Sheet
from services.cache.limits import NAMES
from services.cache.link_redis import Link

PREFIX: Final = "porchlight:limit:"

# A field is "number until verdict requests input output", times in milliseconds of the server's clock. A sheet that is
# sent twice finds its own number and gets the same verdict; one that comes late finds a higher number.
_WRITE: Final = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local replica, number = ARGV[1], tonumber(ARGV[2])
local total = {tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])}
local fields = redis.call('HGETALL', KEYS[1])
for at = 1, #fields, 2 do
  local parts = {}
  for part in string.gmatch(fields[at + 1], '%S+') do parts[#parts + 1] = tonumber(part) end
  if fields[at] == replica then
    if number == parts[1] then return parts[3] end
    if number < parts[1] then return 1 end
  elseif parts[2] <= now then
    redis.call('HDEL', KEYS[1], fields[at])
  else
    for place = 1, 3 do total[place] = total[place] + parts[3 + place] end
  end
end
local verdict, use, asks = 0, {}, false
for place = 1, 3 do
  local wanted, limit = tonumber(ARGV[6 + place]), tonumber(ARGV[9 + place])
  use[place] = tonumber(ARGV[3 + place]) + wanted
  asks = asks or wanted > 0
  if verdict == 0 and limit > 0 and total[place] + wanted > limit then verdict = place end
end
if not asks then verdict = 0 end
if verdict > 0 then use = {ARGV[4], ARGV[5], ARGV[6]} end
local until_ = now + tonumber(ARGV[3])
redis.call('HSET', KEYS[1], replica,
  string.format('%d %d %d %d %d %d', number, until_, verdict, use[1], use[2], use[3]))
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return verdict
"""


class RedisBoard:
    """Keeps sheets in Redis; lost is what does not answer in the time that its link has."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._write = link.redis.register_script(_WRITE)

    async def write(self, sheet: Sheet) -> str | None:
        """Put a sheet in the place of the replica's last one."""
        numbers = [getattr(use, name) for use in (sheet.used, sheet.wanted, sheet.limit) for name in NAMES]
        arguments = [sheet.replica, sheet.number, round(SILENT_SECONDS * 1000), *numbers]
        verdict = await self._link.ask(lambda: self._write(keys=[PREFIX + sheet.model], args=arguments))
        if verdict is None:
            return None
        return "" if verdict == 0 else NAMES[int(verdict) - 1]
