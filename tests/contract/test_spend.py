"""One contract for money that is put aside for calls: the ledger in memory and in Postgres."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

import asyncpg
import pytest

from kit.pg.pool import open_pool
from services.cache.ledger import LOST, CallRow, Ledger, MemoryLedger, Spent
from services.cache.ledger_pg import PgLedger
from tests.support.stores import Database

GRANTED = ""


class World(Protocol):
    ledger: Ledger

    async def pass_time(self, span: timedelta) -> None: ...


class MemoryWorld:
    def __init__(self) -> None:
        self._now = datetime(2026, 11, 23, 12, tzinfo=UTC)
        self.ledger: Ledger = MemoryLedger(clock=lambda: self._now)

    async def pass_time(self, span: timedelta) -> None:
        self._now += span


class PostgresWorld:
    def __init__(self, ledger: Ledger, admin: Any) -> None:
        self.ledger = ledger
        self._admin = admin
        self._shift = timedelta(0)

    async def pass_time(self, span: timedelta) -> None:
        self._shift += span
        await self._admin.execute(
            "insert into clock_shift (shift) values ($1) on conflict (only_row) do update set shift = excluded.shift",
            self._shift,
        )


@pytest.fixture
async def memory_world() -> World:
    return MemoryWorld()


@pytest.fixture
async def postgres_world(database: Database) -> AsyncIterator[World]:
    pool = await open_pool(database.url("cache"), name="test")
    admin = await asyncpg.connect(database.admin_url, server_settings={"search_path": "porchlight"})
    # Noon, so that no test steps over midnight by chance.
    world = PostgresWorld(PgLedger(pool), admin)
    now = await admin.fetchval("select porchlight_now()")
    await world.pass_time(now.replace(hour=12) - now)
    yield world
    await admin.close()
    await pool.close()


@pytest.fixture(params=["memory", "postgres"])
def world(request: pytest.FixtureRequest) -> World:
    chosen: World = request.getfixturevalue(f"{request.param}_world")
    return chosen


def a_call(call_id: str = "call_1", most: int = 60, tenant_id: str = "loc_1") -> CallRow:
    return CallRow(
        call_id=call_id,
        tenant_id=tenant_id,
        request_id="r_1",
        prompt_version="lead.extract@1",
        model="claude-haiku-5-5",
        key_id="0" * 32,
        attempt=1,
        outcome=LOST,
        stop_reason="",
        input_tokens=0,
        output_tokens=0,
        cache_write_tokens=0,
        cache_read_tokens=0,
        cost_microusd=most,
        cost_estimated=True,
        latency_ms=0,
    )


async def reserve(world: World, call: CallRow, *, total: int = 100, tenant: int = 100) -> Spent:
    return await world.ledger.reserve(call, total_microusd=total, tenant_microusd=tenant)


def ended(call: CallRow, cost: int) -> CallRow:
    return replace(call, outcome="ANSWERED", cost_microusd=cost, cost_estimated=False)


async def test_calls_under_way_count_with_the_most_they_can_cost(world: World):
    assert (await reserve(world, a_call("one"))).budget == GRANTED
    assert (await reserve(world, a_call("two"))).budget != GRANTED


async def test_ended_calls_count_with_what_they_cost(world: World):
    await reserve(world, a_call("one"))
    await world.ledger.record(ended(a_call("one"), 40))
    assert await reserve(world, a_call("two")) == Spent(
        budget=GRANTED, total_spent_microusd=40, tenant_spent_microusd=40
    )
    assert (await reserve(world, a_call("three", 1))).budget != GRANTED


async def test_tenant_over_its_own_limit_is_told_so_and_others_go_on(world: World):
    await reserve(world, a_call("one"), total=1_000)
    assert (await reserve(world, a_call("two"), total=1_000)).budget == "tenant_daily_microusd"
    assert (await reserve(world, a_call("three", tenant_id="loc_2"), total=1_000)).budget == GRANTED


async def test_all_tenants_together_have_a_limit(world: World):
    await reserve(world, a_call("one"))
    assert (await reserve(world, a_call("two", tenant_id="loc_2"))).budget == "daily_microusd"


async def test_what_was_spent_is_told_for_the_tenant_and_for_all(world: World):
    await world.ledger.record(ended(a_call("one"), 10))
    await world.ledger.record(ended(a_call("two", tenant_id="loc_2"), 20))
    answer = await reserve(world, a_call("three", 1, "loc_2"))
    assert (answer.total_spent_microusd, answer.tenant_spent_microusd) == (30, 20)


async def test_same_call_is_put_aside_once_however_often_it_is_asked_for(world: World):
    for _ in range(3):
        assert (await reserve(world, a_call("one"))).budget == GRANTED
    await world.ledger.record(ended(a_call("one"), 5))
    assert (await reserve(world, a_call("one"))).budget == GRANTED
    assert (await reserve(world, a_call("two", 95))).budget == GRANTED


async def test_call_that_nobody_ended_is_booked_with_the_most_after_a_minute(world: World):
    await reserve(world, a_call("one"))
    await world.pass_time(timedelta(seconds=61))
    assert (await reserve(world, a_call("two"))).budget != GRANTED
    assert await world.ledger.spent_today_microusd() == 60


async def test_late_word_of_a_lost_call_takes_the_place_of_the_estimate(world: World):
    await reserve(world, a_call("one"))
    await world.pass_time(timedelta(seconds=61))
    await reserve(world, a_call("two", 1))
    for cost in (7, 9):
        await world.ledger.record(ended(a_call("one"), cost))
    assert await world.ledger.spent_today_microusd() == 7


async def test_new_day_begins_at_nothing(world: World):
    await world.ledger.record(ended(a_call("one"), 100))
    assert (await reserve(world, a_call("two"))).budget != GRANTED
    await world.pass_time(timedelta(hours=12))
    assert await reserve(world, a_call("two")) == Spent(budget=GRANTED, total_spent_microusd=0, tenant_spent_microusd=0)


async def test_hundred_at_once_with_money_for_one_get_it_once(world: World):
    answers = await asyncio.gather(*(reserve(world, a_call(f"call {n}")) for n in range(100)))
    assert sum(answer.budget == GRANTED for answer in answers) == 1


async def test_records_of_many_tenants_at_once_do_not_wait_in_a_circle(world: World):
    calls = [a_call(f"call {n}", 1, f"loc_{n % 7}") for n in range(70)]
    await asyncio.gather(
        *(reserve(world, call, total=1_000, tenant=1_000) for call in calls),
        *(world.ledger.record(ended(call, 1)) for call in reversed(calls)),
    )
    assert await world.ledger.spent_today_microusd() == 70


async def test_money_is_never_free_between_the_end_of_a_call_and_its_cost(world: World):
    for number in range(20):
        await world.pass_time(timedelta(days=1))
        one = a_call(f"one {number}")
        await reserve(world, one)
        ending = asyncio.create_task(world.ledger.record(ended(one, 50)))
        answers = await asyncio.gather(*(reserve(world, a_call(f"more {number} {n}")) for n in range(20)))
        await ending
        assert all(answer.budget != GRANTED for answer in answers)
