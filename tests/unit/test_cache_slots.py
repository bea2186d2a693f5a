import asyncio

import pytest

from kit.errors import ModelUnavailable
from services.cache.limits import Priority
from services.cache.slots import Slots


async def settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


class Queue:
    """Callers at slots, in the order in which they got in."""

    def __init__(self, slots: Slots) -> None:
        self.slots = slots
        self.inside: list[str] = []
        self.leave: dict[str, asyncio.Event] = {}

    async def _stay(self, name: str, priority: Priority) -> None:
        async with self.slots.take(priority):
            self.inside.append(name)
            await self.leave[name].wait()

    async def come(self, name: str, priority: Priority = Priority.LIVE) -> asyncio.Task[None]:
        self.leave[name] = asyncio.Event()
        task = asyncio.create_task(self._stay(name, priority))
        await settled()
        return task


async def test_people_go_before_audits_that_came_earlier():
    queue = Queue(Slots(1))
    await queue.come("first")
    for name, priority in (("audit", Priority.AUDIT), ("person", Priority.LIVE)):
        await queue.come(name, priority)
    for name in ("first", "person", "audit"):
        queue.leave[name].set()
        await settled()
    assert queue.inside == ["first", "person", "audit"]


async def test_quarter_of_the_places_is_for_people_only():
    queue = Queue(Slots(4))
    for number in range(4):
        await queue.come(f"audit {number}", Priority.AUDIT)
    assert len(queue.inside) == 3
    await queue.come("person")
    assert queue.inside[-1] == "person"


async def test_full_queue_refuses_the_least_urgent():
    queue = Queue(Slots(1, most_waiting=1))
    await queue.come("first")
    audit = await queue.come("audit", Priority.AUDIT)
    person = await queue.come("person")
    with pytest.raises(ModelUnavailable) as caught:
        await audit
    assert caught.value.metadata == {"defect": "QUEUE_FULL"}
    with pytest.raises(ModelUnavailable):
        await (await queue.come("one too many"))
    queue.leave["first"].set()
    queue.leave["person"].set()
    await person
    assert queue.inside == ["first", "person"]


async def test_caller_who_leaves_the_queue_takes_no_place_with_it():
    queue = Queue(Slots(1))
    await queue.come("first")
    gone, next_one = await queue.come("gone"), await queue.come("next")
    gone.cancel()
    queue.leave["first"].set()
    queue.leave["next"].set()
    await next_one
    assert queue.inside == ["first", "next"]


async def test_place_that_was_given_to_a_caller_who_left_at_that_moment_goes_to_the_next():
    queue = Queue(Slots(1))
    first = await queue.come("first")
    gone, next_one = await queue.come("gone"), await queue.come("next")
    queue.leave["first"].set()
    first.add_done_callback(lambda _: gone.cancel())
    queue.leave["gone"].set()
    queue.leave["next"].set()
    await next_one
    assert queue.inside[-1] == "next"
