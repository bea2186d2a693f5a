"""What a Redis that falls silent costs: one wait for all who ask at the time, and nothing for who asks after."""

import asyncio

import pytest
from redis.exceptions import ConnectionError, ResponseError

from sandbox.child import free_port
from services.cache.link_redis import BREAKER_FAILURES, Link


class Silence:
    """A Redis that says nothing until it is let."""

    def __init__(self, seconds: float = 0.2) -> None:
        self.link = Link(f"redis://127.0.0.1:{free_port()}/0", seconds=seconds)
        self.speaks = asyncio.Event()
        self.asked = 0
        self.pinged = asyncio.Event()
        self.link.redis.ping = self._ping  # type: ignore[method-assign, assignment]

    async def answer(self) -> str:
        self.asked += 1
        await self.speaks.wait()
        return "answer"

    async def _ping(self) -> bool:
        self.pinged.set()
        await self.speaks.wait()
        return True


@pytest.fixture
async def silent():
    made = Silence()
    yield made
    await made.link.close()


async def test_who_asks_at_the_time_waits_no_longer_than_the_first(silent: Silence):
    first = asyncio.create_task(silent.link.ask(silent.answer))
    await asyncio.sleep(0.15)
    second = asyncio.create_task(silent.link.ask(silent.answer))
    assert await first is None
    for _ in range(5):
        await asyncio.sleep(0)
    assert second.done() and second.result() is None


async def test_nobody_asks_a_silent_redis_and_nobody_has_to_try_for_the_others(silent: Silence):
    assert await silent.link.ask(silent.answer) is None
    assert [await silent.link.ask(silent.answer) for _ in range(20)] == [None] * 20
    assert silent.asked == 1
    silent.speaks.set()
    while await silent.link.ask(silent.answer) is None:
        await asyncio.sleep(0.01)
    assert silent.asked == 2


async def test_redis_that_answers_others_is_not_lost(silent: Silence):
    async def answer() -> str:
        return "answer"

    first = asyncio.create_task(silent.link.ask(silent.answer))
    await asyncio.sleep(0.05)
    assert await silent.link.ask(answer) == "answer"
    assert await first is None
    assert await silent.link.ask(answer) == "answer"
    assert not silent.pinged.is_set()


async def test_redis_that_is_gone_is_asked_no_more(silent: Silence):
    async def gone() -> None:
        silent.asked += 1
        raise ConnectionError("no server")

    assert [await silent.link.ask(gone) for _ in range(20)] == [None] * 20
    assert silent.asked == 1


async def test_redis_that_refuses_is_no_silent_one(silent: Silence):
    async def refused() -> None:
        silent.asked += 1
        raise ResponseError("WRONGTYPE")

    assert [await silent.link.ask(refused) for _ in range(20)] == [None] * 20
    assert silent.asked == BREAKER_FAILURES
    assert not silent.pinged.is_set()


async def test_finder_that_breaks_leaves_the_asking_to_the_breaker(silent: Silence, monkeypatch: pytest.MonkeyPatch):
    async def breaks() -> bool:
        silent.pinged.set()
        raise RuntimeError("nobody foresaw this")

    monkeypatch.setattr(silent.link.redis, "ping", breaks)
    assert await silent.link.ask(silent.answer) is None
    await silent.pinged.wait()
    silent.speaks.set()
    async with asyncio.timeout(30):
        while await silent.link.ask(silent.answer) is None:
            await asyncio.sleep(0.01)
    assert silent.asked == 2
