"""One contract for leases, and what replicas do with them: the memory twin and Valkey."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from sandbox.child import free_port
from services.cache.lease import LEASE_SECONDS, Lease, Leases, MemoryLeases, Taken, Turns
from services.cache.lease_redis import PREFIX, RedisLeases
from services.cache.link_redis import BREAKER_FAILURES, Link


@pytest.fixture
def memory_leases() -> Leases:
    return MemoryLeases()


@pytest.fixture
async def redis_leases(valkey: str) -> AsyncIterator[Leases]:
    link = Link(valkey, seconds=10)
    yield RedisLeases(link)
    await link.close()


@pytest.fixture(params=["memory", "redis"])
def leases(request: pytest.FixtureRequest) -> Leases:
    chosen: Leases = request.getfixturevalue(f"{request.param}_leases")
    return chosen


async def taken(leases: Leases, key_id: str = "k") -> Lease:
    lease = await leases.take(key_id)
    assert isinstance(lease, Lease)
    return lease


async def test_one_at_a_time_has_the_lease_of_a_key(leases: Leases):
    await taken(leases)
    assert await leases.take("k") == Taken()
    await taken(leases, "other")


async def test_lease_that_was_given_back_is_free(leases: Leases):
    await leases.release(await taken(leases))
    await taken(leases)


async def test_later_holder_has_the_higher_fence(leases: Leases):
    first = await taken(leases)
    await leases.release(first)
    assert (await taken(leases)).fence > first.fence


async def test_lease_of_another_can_be_neither_renewed_nor_given_back(leases: Leases):
    first = await taken(leases)
    await leases.release(first)
    second = await taken(leases)
    assert not await leases.renew(first)
    await leases.release(first)
    assert await leases.take("k") == Taken()
    assert await leases.renew(second)


async def test_memory_lease_ends_by_itself_unless_renewed():
    now = 0.0
    leases = MemoryLeases(lambda: now)
    lease = await taken(leases)
    now = LEASE_SECONDS * 0.9
    assert await leases.renew(lease)
    now = LEASE_SECONDS * 1.8
    assert await leases.take("k") == Taken()
    now = LEASE_SECONDS * 2
    await taken(leases)


async def test_redis_lease_ends_by_itself_and_renewing_gives_it_its_whole_life(redis_leases: RedisLeases, valkey: str):
    lease = await taken(redis_leases)
    link = Link(valkey, seconds=10)
    await link.redis.pexpire(PREFIX + "k", 750)
    assert await redis_leases.renew(lease)
    assert 750 < await link.redis.pttl(PREFIX + "k") <= LEASE_SECONDS * 1000
    await link.close()


async def test_lost_redis_gives_no_lease_and_after_a_few_tries_is_not_even_asked():
    link = Link(f"redis://127.0.0.1:{free_port()}/0", seconds=0.1)
    leases, asked = RedisLeases(link), 0
    assert [await leases.take("k") for _ in range(BREAKER_FAILURES)] == [None] * BREAKER_FAILURES

    async def ask() -> None:
        nonlocal asked
        asked += 1

    assert await link.ask(ask) is None
    assert asked == 0
    await link.close()


class Replica:
    """Asks for one key as the cache does; what was stored is seen by all."""

    stored: list[str]

    def __init__(self, leases: Leases | None, stored: list[str]) -> None:
        self.turns = Turns(leases)
        self.stored = stored
        self.calls = 0
        self.goes_on = asyncio.Event()

    async def look(self) -> str | None:
        await asyncio.sleep(0)
        return self.stored[-1] if self.stored else None

    async def ask(self) -> str:
        self.calls += 1
        await self.goes_on.wait()
        self.stored.append("answer")
        return "answer"

    async def want(self, seconds: float = 10.0) -> str:
        end = asyncio.get_running_loop().time() + seconds
        return await self.turns.one(
            "k", look=self.look, ask=self.ask, seconds_left=lambda: end - asyncio.get_running_loop().time()
        )

    async def under_way(self) -> None:
        while not self.calls:
            await asyncio.sleep(0.001)


def replicas(leases: Leases | None) -> tuple[Replica, Replica]:
    stored: list[str] = []
    return Replica(leases, stored), Replica(leases, stored)


async def test_second_replica_waits_for_the_answer_of_the_first(leases: Leases):
    first, second = replicas(leases)
    leads = asyncio.create_task(first.want())
    await first.under_way()
    follows = asyncio.create_task(second.want())
    await asyncio.sleep(0.05)
    first.goes_on.set()
    assert [await leads, await follows] == ["answer", "answer"]
    assert (first.calls, second.calls) == (1, 0)


async def test_leader_that_fails_hands_over_at_once(leases: Leases):
    first, second = replicas(leases)
    leads = asyncio.create_task(first.want())
    await first.under_way()
    second.goes_on.set()
    follows = asyncio.create_task(second.want())
    leads.cancel()
    assert await follows == "answer"
    assert second.calls == 1


async def test_answer_stored_between_the_last_look_and_the_lease_is_taken(leases: Leases):
    first, second = replicas(leases)
    first.goes_on.set()
    await first.want()
    assert await second.want() == "answer"
    assert second.calls == 0


async def test_lease_that_was_forgotten_with_the_answer_is_taken_anew(leases: Leases):
    first, second = replicas(leases)
    for replica in (first, second):
        replica.goes_on.set()
    looks = iter([leases, None, None])

    async def look_while_the_store_forgets() -> str | None:
        forgets = next(looks)
        if isinstance(forgets, MemoryLeases):
            forgets._held.clear()
        elif isinstance(forgets, RedisLeases):
            await forgets._link.redis.flushall()
        if forgets is not None:
            await second.want()
        return second.stored[-1] if forgets is None else None

    first.look = look_while_the_store_forgets  # type: ignore[method-assign]
    assert await first.want() == "answer"
    assert (first.calls, second.calls) == (0, 1)


async def test_leader_keeps_its_lease_while_it_works(redis_leases: RedisLeases, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("services.cache.lease.LEASE_SECONDS", 0.03)
    first, _ = replicas(redis_leases)
    leads = asyncio.create_task(first.want())
    await first.under_way()
    await redis_leases._link.redis.pexpire(PREFIX + "k", 750)
    while await redis_leases._link.redis.pttl(PREFIX + "k") <= 750:
        await asyncio.sleep(0.005)
    first.goes_on.set()
    await leads


async def test_follower_whose_time_is_up_asks_itself_and_hears_so_from_there(leases: Leases):
    first, second = replicas(leases)
    leads = asyncio.create_task(first.want())
    await first.under_way()
    second.goes_on.set()
    assert await second.want(seconds=0.01) == "answer"
    first.goes_on.set()
    await leads


@pytest.mark.parametrize("lost", ["no store", "store is lost"])
async def test_without_a_store_each_replica_asks_for_itself(lost: str):
    leases = None if lost == "no store" else MemoryLeases()
    if leases is not None:
        leases.lost = True
    both = replicas(leases)
    for replica in both:
        replica.goes_on.set()
        await replica.want()
    assert [replica.calls for replica in both] == [1, 1]


class DeafLeases(MemoryLeases):
    """Leases whose client takes a cancellation for its own, as libraries under load do."""

    def __init__(self) -> None:
        super().__init__()
        self.renewing = asyncio.Event()
        self.end = asyncio.Event()
        self.asked: set[str] = set()

    async def renew(self, lease: Lease) -> bool:
        """Prolong a lease; never cut short."""
        renewed = await super().renew(lease)
        if lease.key_id in self.asked:
            self.renewing.set()
            with contextlib.suppress(asyncio.CancelledError):
                await self.end.wait()
        self.asked.add(lease.key_id)  # the first time by who has just taken it
        return renewed


async def test_answer_is_given_though_a_renewal_does_not_hear_that_it_is_over(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("services.cache.lease.LEASE_SECONDS", 0.03)
    leases = DeafLeases()

    async def ask() -> str:
        await leases.renewing.wait()
        return "asked"

    async def look() -> None:
        return None

    asking = asyncio.create_task(Turns(leases).one("k", look=look, ask=ask, seconds_left=lambda: 9.0))
    done, _ = await asyncio.wait({asking}, timeout=5)
    leases.end.set()
    assert done and asking.result() == "asked"
