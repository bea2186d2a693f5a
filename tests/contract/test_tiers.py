"""What every cache tier promises: the one in memory and the one in Redis."""

from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from sandbox.child import free_port
from services.cache.link_redis import Link
from services.cache.tier_memory import MemoryTier
from services.cache.tier_redis import PREFIX, RedisTier
from services.cache.tiers import Tier


@pytest.fixture
def memory_tier() -> Tier[bytes]:
    return MemoryTier(1_000_000)


@pytest.fixture
async def redis_tier(valkey: str) -> AsyncIterator[Tier[bytes]]:
    link = Link(valkey, seconds=10)
    yield RedisTier(link)
    await link.close()


@pytest.fixture(params=["memory", "redis"])
def tier(request: pytest.FixtureRequest) -> Tier[bytes]:
    found: Tier[bytes] = request.getfixturevalue(f"{request.param}_tier")
    return found


async def test_bytes_come_back_as_they_were_put(tier: Tier[bytes]):
    data = bytes(range(256)) * 100
    await tier.put("k1", data, life_seconds=60)
    assert await tier.get("k1") == data


async def test_key_that_was_never_put_is_a_miss(tier: Tier[bytes]):
    assert await tier.get("k1") is None


async def test_last_put_counts(tier: Tier[bytes]):
    await tier.put("k1", b"one", life_seconds=60)
    await tier.put("k1", b"two", life_seconds=60)
    assert await tier.get("k1") == b"two"


async def test_keys_do_not_touch_each_other(tier: Tier[bytes]):
    await tier.put("k1", b"one", life_seconds=60)
    await tier.put("k2", b"two", life_seconds=60)
    await tier.delete("k1")
    assert (await tier.get("k1"), await tier.get("k2")) == (None, b"two")


async def test_deleting_what_is_not_there_is_no_error(tier: Tier[bytes]):
    await tier.delete("k1")


async def test_owner_is_erased_and_others_stay(tier: Tier[bytes]):
    for key_id, owner in (("k1", "one"), ("k2", "one"), ("k3", "other"), ("k4", "")):
        await tier.put(key_id, b"x", life_seconds=60, owner=owner)
    assert await tier.erase("one")
    assert [await tier.get(key_id) for key_id in ("k1", "k2", "k3", "k4")] == [None, None, b"x", b"x"]
    assert await tier.erase("nobody")


async def test_generation_in_redis_never_goes_back(redis_tier: RedisTier):
    assert await redis_tier.latest_generation() is None
    assert [await redis_tier.publish_generation(number) for number in (3, 7, 5)] == [True] * 3
    assert await redis_tier.latest_generation() == 7


async def test_redis_forgets_by_itself_after_the_life_it_was_given(redis_tier: Tier[bytes], valkey: str):
    await redis_tier.put("k1", b"one", life_seconds=3_600)
    async with Redis.from_url(valkey) as client:
        assert 3_590_000 < await client.pttl(PREFIX + "k1") <= 3_600_000
        await redis_tier.get("k1")
        assert await client.pttl(PREFIX + "k1") <= 3_600_000


async def test_redis_that_is_not_there_is_a_miss_and_no_error():
    link = Link(f"redis://127.0.0.1:{free_port()}/0", seconds=0.1)
    tier = RedisTier(link)
    for _ in range(20):
        await tier.put("k1", b"one", life_seconds=60)
        assert await tier.get("k1") is None
        await tier.delete("k1")
    assert not await tier.erase("one")
    assert (await tier.latest_generation(), await tier.publish_generation(1)) == (None, False)
    await link.close()


async def test_redis_that_wants_another_password_is_a_miss_and_no_error(valkey: str):
    link = Link("redis://:wrong@" + valkey.removeprefix("redis://").rpartition("@")[2], seconds=0.1)
    tier = RedisTier(link)
    await tier.put("k1", b"one", life_seconds=60)
    assert await tier.get("k1") is None
    await link.close()


async def test_text_that_somebody_else_put_is_given_as_bytes(redis_tier: Tier[bytes], valkey: str):
    async with Redis.from_url(valkey) as client:
        await client.set(PREFIX + "k1", "words")
        assert await redis_tier.get("k1") == b"words"
        await client.delete(PREFIX + "k1")
        await client.lpush(PREFIX + "k1", "a list")
    assert await redis_tier.get("k1") is None
