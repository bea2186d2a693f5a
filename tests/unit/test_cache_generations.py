"""What a replica knows of invalidations, by a clock that tests turn."""

import asyncio

import pytest

from kit.errors import StoreUnavailable
from kit.prompt_file import parse
from services.cache.canonical import key, tag
from services.cache.entry import About, Entry, new_entry
from services.cache.generations import POLL_SECONDS, TRUST_SECONDS, Generations, MemoryGenerationStore, key_tag
from services.cache.prompt_archive import MemoryPromptStore
from services.cache.prompts import LABELS, PRODUCTION, Prompts

PROMPT = """+++
name = "lead.greet"
model = "claude-haiku-5-5"
max_tokens = 400
scope = "tenant"
+++
Be kind.
+++
<season>{season}</season>
"""


class LosablePrompts(MemoryPromptStore):
    lost = False

    async def read(self):
        if self.lost:
            raise StoreUnavailable("gone", store="memory")
        return await super().read()


class SlowPrompts(MemoryPromptStore):
    """Reads at once, and tells what it read when it is let go."""

    held: asyncio.Event | None = None

    async def read(self):
        found = await super().read()
        if self.held is not None:
            await self.held.wait()
        return found


class Redis:
    """The last generation, as replicas share it."""

    def __init__(self) -> None:
        self.generation: int | None = None
        self.lost = False

    async def latest_generation(self) -> int | None:
        return None if self.lost else self.generation

    async def publish_generation(self, generation: int) -> bool:
        if not self.lost:
            self.generation = max(self.generation or 0, generation)
        return not self.lost


class House:
    """Replicas with a truth each can lose, and one Redis."""

    def __init__(self, *, redis: bool = True) -> None:
        self.seconds = 100.0
        self.truth = MemoryGenerationStore()
        self.redis = Redis() if redis else None
        self.forgotten = 0

    def replica(self, store: MemoryGenerationStore | None = None) -> Generations:
        def forget() -> None:
            self.forgotten += 1

        return Generations(store or self.truth, self.redis, seconds=lambda: self.seconds, forget=forget)


class LostStore(MemoryGenerationStore):
    """One replica's way to a truth that others still reach."""

    def __init__(self, truth: MemoryGenerationStore) -> None:
        super().__init__()
        self.truth = truth

    async def since(self, generation):
        self._answer()
        return await self.truth.since(generation)


class SlowStore(MemoryGenerationStore):
    """Looks at once, and tells what it saw when it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.looks = 0
        self.held: list[asyncio.Event] = []

    async def since(self, generation):
        self.looks += 1
        await asyncio.sleep(0)
        self._answer()
        news = await super().since(generation)
        if self.held:
            await self.held.pop(0).wait()
        return news


def an_entry(*tags: str, generation: int = 0) -> Entry:
    named = key(
        tenant_id="loc_1",
        contact_id=None,
        prompt="p",
        version=1,
        model="m",
        parameters={},
        schema_hash="",
        variables={},
    )
    return new_entry(
        named, content="x", prompt_version="p@1", model="m", cost_microusd=1, now=0.0, luck=0.0,
        about=About(tags=tags, generation=generation),
    )  # fmt: skip


ONE, OTHER = tag("tag", "loc_1", "one"), tag("tag", "loc_1", "other")


async def test_entry_holds_until_one_of_its_tags_is_invalidated_later():
    replica = House().replica()
    await replica.invalidate([ONE])
    assert [replica.holds(entry) for entry in (an_entry(ONE), an_entry(OTHER), an_entry(OTHER, ONE))] == [
        False,
        True,
        False,
    ]
    assert replica.holds(an_entry(ONE, generation=1))
    await replica.invalidate([ONE])
    assert not replica.holds(an_entry(ONE, generation=1))


async def test_replica_that_has_not_asked_for_too_long_asks_before_it_serves():
    house = House()
    one, other = house.replica(), house.replica()
    assert await other.trust()
    await one.invalidate([ONE])
    house.seconds += TRUST_SECONDS + 0.01
    assert not other.trusted
    assert await other.trust()
    assert not other.holds(an_entry(ONE))


async def test_old_answer_is_served_for_less_than_a_second_whatever_a_replica_can_reach():
    assert POLL_SECONDS < TRUST_SECONDS < 1.0
    house = House()
    way = LostStore(house.truth)
    one, other = house.replica(), house.replica(way)
    assert await other.trust()
    way.lost = True
    await one.invalidate([ONE])
    house.seconds += TRUST_SECONDS + 0.01
    # Redis says that there is news, and not which: nothing may be served.
    assert not await other.trust()
    way.lost = False
    assert await other.trust() and not other.holds(an_entry(ONE))


async def test_replica_goes_on_without_postgres_while_redis_says_that_nothing_is_new():
    house = House()
    way = LostStore(house.truth)
    replica = house.replica(way)
    assert await replica.trust()
    way.lost = True
    for _ in range(5):
        house.seconds += TRUST_SECONDS + 0.01
        assert await replica.trust()
    assert house.redis is not None
    house.redis.lost = True
    house.seconds += TRUST_SECONDS + 0.01
    assert not await replica.trust()


async def test_flushed_redis_says_nothing_and_is_not_taken_for_no_news():
    house = House()
    way = LostStore(house.truth)
    replica = house.replica(way)
    assert await replica.trust()
    assert house.redis is not None
    house.redis.generation, way.lost = None, True
    house.seconds += TRUST_SECONDS + 0.01
    assert not await replica.trust()


async def test_without_redis_a_lost_postgres_leaves_nothing_to_be_heard():
    house = House(redis=False)
    replica = house.replica()
    assert await replica.trust()
    house.truth.lost = True
    house.seconds += 60
    assert await replica.trust()


async def test_replica_that_never_asked_successfully_serves_nothing():
    house = House()
    house.truth.lost = True
    assert not await house.replica().trust()


async def test_invalidation_that_redis_did_not_take_is_told_and_can_be_repeated():
    house = House()
    replica = house.replica()
    assert house.redis is not None
    house.redis.lost = True
    with pytest.raises(StoreUnavailable):
        await replica.invalidate([ONE])
    house.redis.lost = False
    assert await replica.invalidate([ONE]) == 2


async def test_memory_is_emptied_by_news_and_not_by_the_first_look():
    house = House()
    one, other = house.replica(), house.replica()
    await one.refresh()
    await one.invalidate([ONE])
    assert house.forgotten == 1
    await other.refresh()
    await other.refresh()
    assert house.forgotten == 1


@pytest.mark.parametrize("tag_", [LABELS, key_tag("k")])
async def test_moved_label_and_one_wrong_answer_leave_what_is_in_memory(tag_: str):
    house = House()
    replica = house.replica()
    await replica.refresh()
    await replica.invalidate([tag_])
    assert house.forgotten == 0
    await replica.invalidate([tag_, ONE])
    assert house.forgotten == 1


async def test_look_that_comes_back_late_takes_no_later_invalidation_back():
    truth = SlowStore()
    replica = House().replica(truth)
    await replica.refresh()
    await truth.invalidate([ONE])
    let_go = asyncio.Event()
    truth.held.append(let_go)
    late = asyncio.create_task(replica.refresh())
    await asyncio.sleep(0)
    entry = an_entry(ONE, generation=1)
    await replica.invalidate([ONE])
    let_go.set()
    await late
    assert not replica.holds(entry)


async def test_who_waits_through_a_look_shares_its_outcome_also_when_nothing_was_learned():
    house, truth = House(), SlowStore()
    replica = house.replica(truth)
    truth.lost = True
    assert await asyncio.gather(*(replica.trust() for _ in range(5))) == [False] * 5
    assert truth.looks == 1
    truth.lost = False
    assert await replica.trust()


async def test_poll_that_began_before_a_label_moved_puts_no_old_prompt_back():
    house = House()
    store = SlowPrompts(house.truth)
    await store.put(parse(PROMPT))
    replica = house.replica()
    prompts = Prompts(store, replica)
    await prompts.get("lead.greet", PRODUCTION)
    store.held = asyncio.Event()
    poll = asyncio.create_task(prompts.refresh())
    await asyncio.sleep(0)
    let_go, store.held = store.held, None
    await store.put(parse(PROMPT.replace("kind", "brief")))
    await replica.refresh()
    assert (await prompts.get("lead.greet", PRODUCTION)).version == 2
    let_go.set()
    await poll
    assert (await prompts.get("lead.greet", PRODUCTION)).version == 2


async def test_replica_that_knows_of_a_moved_label_and_cannot_read_it_answers_nothing():
    house = House()
    store = LosablePrompts(house.truth)
    await store.put(parse(PROMPT))
    prompts = Prompts(store, house.replica())
    store.lost = True
    with pytest.raises(StoreUnavailable):
        await prompts.get("lead.greet", PRODUCTION)
    store.lost = False
    assert (await prompts.get("lead.greet", PRODUCTION)).version == 1
    await store.put(parse(PROMPT.replace("kind", "brief")))
    store.lost = True
    house.seconds += TRUST_SECONDS / 2
    assert (await prompts.get("lead.greet", PRODUCTION)).version == 1
    house.seconds += TRUST_SECONDS
    with pytest.raises(StoreUnavailable):
        await prompts.get("lead.greet", PRODUCTION)
    store.lost = False
    assert (await prompts.get("lead.greet", PRODUCTION)).version == 2


async def test_replica_that_hears_of_no_moved_label_goes_on_without_the_store():
    house = House()
    store, way = LosablePrompts(house.truth), LostStore(house.truth)
    await store.put(parse(PROMPT))
    prompts = Prompts(store, house.replica(way))
    await prompts.get("lead.greet", PRODUCTION)
    store.lost = way.lost = True
    house.seconds += 2 * TRUST_SECONDS
    assert (await prompts.get("lead.greet", PRODUCTION)).version == 1


async def test_answer_that_was_called_wrong_is_invalidated_by_its_own_key():
    house = House()
    replica = house.replica()
    entry = an_entry("a")
    await replica.refresh()
    assert replica.holds(entry) and replica.last(key_tag(entry.key_id)) == 0
    generation = await replica.invalidate([key_tag(entry.key_id)])
    assert not replica.holds(entry)
    assert replica.holds(an_entry("a", generation=generation))
    assert replica.last(key_tag(entry.key_id)) == generation
