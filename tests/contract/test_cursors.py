"""How far the CRM was read: the twin in memory and Postgres."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import pytest

from kit.pg.pool import open_pool
from services.gateway.cursors import Cursor, Cursors, MemoryCursors
from services.gateway.cursors_pg import PgCursors

NOW = datetime(2026, 11, 23, 9, tzinfo=UTC)
LEASE = timedelta(seconds=90)
MINUTE = timedelta(minutes=1)


@dataclass
class World:
    cursors: Cursors
    step: Callable[[timedelta], Awaitable[None]]

    async def claim(self, *, tenant: str = "loc_1", now: datetime = NOW) -> Cursor | None:
        return await self.cursors.claim(tenant, now=now, lease=LEASE)

    async def claimed(self) -> Cursor:
        cursor = await self.claim()
        assert cursor is not None
        return cursor


@pytest.fixture
async def memory_world() -> World:
    now = [NOW]

    async def step(by: timedelta) -> None:
        now[0] += by

    return World(cursors=MemoryCursors(lambda: now[0]), step=step)


@pytest.fixture
async def postgres_world(database) -> AsyncIterator[World]:
    # The gateway's own role: what it may not call, it does not get.
    pool = await open_pool(database.url("gateway"), name="test")
    admin = await open_pool(database.admin_url, name="test")

    async def step(by: timedelta) -> None:
        await admin.execute(
            "insert into clock_shift (shift) values ($1)"
            " on conflict (only_row) do update set shift = clock_shift.shift + excluded.shift",
            by,
        )

    yield World(cursors=PgCursors(pool), step=step)
    await pool.close()
    await admin.close()


@pytest.fixture(params=["memory", "postgres"])
def world(request) -> World:
    return request.getfixturevalue(f"{request.param}_world")


async def test_location_begins_when_it_is_first_asked_for(world):
    first = await world.claimed()
    assert (first.begin_time, first.whole_time, first.read_time) == (NOW, NOW, NOW)
    await world.cursors.move(first, wait=timedelta(0))
    later = await world.claim(now=NOW + MINUTE)
    assert later is not None and later.begin_time == NOW


async def test_round_belongs_to_one_replica_and_each_location_has_its_own(world):
    claims = await asyncio.gather(*(world.claim() for _ in range(4)))
    assert sum(claim is not None for claim in claims) == 1
    assert await world.claim(tenant="loc_2") is not None


async def test_next_round_waits_as_long_as_it_was_told_and_begins_where_the_last_ended(world):
    first = await world.claimed()
    assert await world.cursors.move(replace(first, whole_time=NOW + MINUTE, read_time=NOW + 2 * MINUTE), wait=MINUTE)
    assert await world.claim() is None
    await world.step(MINUTE)
    again = await world.claimed()
    assert (again.whole_time, again.read_time) == (NOW + MINUTE, NOW + 2 * MINUTE)


async def test_round_of_a_replica_that_died_is_taken_over_and_its_late_word_counts_for_nothing(world):
    dead = await world.claimed()
    await world.step(LEASE)
    alive = await world.claimed()
    assert not await world.cursors.move(replace(dead, read_time=NOW + MINUTE), wait=timedelta(0))
    assert await world.cursors.move(alive, wait=timedelta(0))
    assert (await world.claimed()).read_time == NOW


async def test_cursor_never_goes_back(world):
    first = await world.claimed()
    await world.cursors.move(replace(first, whole_time=NOW - MINUTE, read_time=NOW - MINUTE), wait=timedelta(0))
    again = await world.claimed()
    assert (again.whole_time, again.read_time) == (NOW, NOW)
