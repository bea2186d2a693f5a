import asyncio

import pytest

from kit.errors import ModelUnavailable
from services.cache.flight import Flight, Shared


class Work:
    """A call that ends when the test says so."""

    def __init__(self) -> None:
        self.started = 0
        self.done = asyncio.Event()
        self.error: Exception | None = None
        self.left: list[float] = []

    async def __call__(self, shared: Shared[str]) -> str:
        self.started += 1
        self.left.append(shared.seconds_left())
        await self.done.wait()
        self.left.append(shared.seconds_left())
        if self.error is not None:
            raise self.error
        return "answer"


def soon(seconds: float = 30.0) -> float:
    return asyncio.get_running_loop().time() + seconds


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_callers_who_overlap_share_one_call_and_one_of_them_led():
    flight, work = Flight[str](), Work()
    callers = [asyncio.create_task(flight.share("k", work, until=soon())) for _ in range(50)]
    await settle()
    work.done.set()
    outcomes = await asyncio.gather(*callers)
    assert work.started == 1
    assert [led for _, led in outcomes].count(True) == 1


async def test_other_keys_do_not_share():
    flight, work = Flight[str](), Work()
    work.done.set()
    await asyncio.gather(*(flight.share(key, work, until=soon()) for key in "abc"))
    assert work.started == 3


async def test_caller_that_is_cancelled_leaves_the_call_to_the_others():
    flight, work = Flight[str](), Work()
    leader, follower = (asyncio.create_task(flight.share("k", work, until=soon())) for _ in range(2))
    await settle()
    leader.cancel()
    await settle()
    work.done.set()
    assert await follower == ("answer", False)
    assert work.started == 1


async def test_call_goes_on_without_anybody_and_is_found_by_the_next():
    flight, work = Flight[str](), Work()
    leader = asyncio.create_task(flight.share("k", work, until=soon()))
    await settle()
    leader.cancel()
    await settle()
    late = asyncio.create_task(flight.share("k", work, until=soon()))
    await settle()
    work.done.set()
    assert await late == ("answer", False)
    assert work.started == 1


async def test_failure_goes_to_all_who_wait_and_the_next_starts_anew():
    flight, work = Flight[str](), Work()
    work.error = ModelUnavailable("no", defect="OVERLOADED")
    callers = [asyncio.create_task(flight.share("k", work, until=soon())) for _ in range(5)]
    await settle()
    work.done.set()
    outcomes = await asyncio.gather(*callers, return_exceptions=True)
    assert all(outcome is work.error for outcome in outcomes)
    work.error = None
    assert await flight.share("k", work, until=soon()) == ("answer", True)
    assert work.started == 2


async def test_caller_without_time_is_told_so_while_the_call_goes_on_for_those_who_have_it():
    flight, work = Flight[str](), Work()
    short = asyncio.create_task(flight.share("k", work, until=soon(0.2)))
    await settle()
    patient = asyncio.create_task(flight.share("k", work, until=soon(30)))
    with pytest.raises(ModelUnavailable) as caught:
        await short
    assert caught.value.metadata == {"defect": "TIMEOUT"}
    work.done.set()
    assert await patient == ("answer", False)
    assert work.left[0] < 1 < work.left[1]  # the second caller's time became the call's


async def test_call_that_outlasts_everybody_is_ended():
    flight, work = Flight[str](), Work()
    with pytest.raises(ModelUnavailable):
        await flight.share("k", work, until=soon(0.02))
    await asyncio.sleep(0.02)
    work.done.set()
    assert await flight.share("k", work, until=soon()) == ("answer", True)
    assert work.started == 2


async def test_closing_ends_calls_and_tells_their_callers():
    flight, work = Flight[str](), Work()
    caller = asyncio.create_task(flight.share("k", work, until=soon()))
    await settle()
    await flight.close()
    with pytest.raises(ModelUnavailable) as caught:
        await caller
    assert caught.value.metadata == {"defect": "STOPPING"}
