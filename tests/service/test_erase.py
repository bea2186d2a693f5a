"""Contacts are erased: from every table, and from the cache now and once more later."""

import asyncio
from datetime import timedelta

import pytest

from kit.errors import StoreUnavailable
from kit.lane import EventKind, Keyword
from kit.pg.lane import PgLane
from kit.pg.pool import open_pool
from services.gateway.crm import MemoryCrm
from services.gateway.deliver import Deliverer
from services.gateway.erase import Eraser
from tests.support.gateway import ADDRESSES, LOC, running, says, shift_clock
from tests.support.look import rows, until

ADA = {"first_name": "Ada", "phone": "+12065550100"}


class Cache:
    """Counts what it is asked to forget; says no as long as it is told to."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self.down = False

    async def __call__(self, tenant_id: str, contact_id: str) -> None:
        self.asked.append((tenant_id, contact_id))
        if self.down:
            raise StoreUnavailable("redis does not answer", store="redis")


@pytest.fixture
async def lane(database):
    pool = await open_pool(database.url("gateway"), name="gateway")
    yield PgLane(pool)
    await pool.close()


@pytest.fixture
def cache():
    return Cache()


@pytest.fixture
def eraser(lane, cache, monkeypatch):
    monkeypatch.setattr("services.gateway.erase.SWEEP_SECONDS", 0.02)
    return Eraser(lane, cache, ADDRESSES)


async def test_every_table_that_holds_contacts_is_emptied_of_them(database):
    holding = await rows(
        database.admin_url,
        "select table_name from information_schema.columns where table_schema = 'porchlight' and column_name = 'contact_id'",
    )
    (body,) = await rows(database.admin_url, "select prosrc from pg_proc where proname = 'erase_contact'")
    named = body["prosrc"].partition("array['")[2].partition("']")[0].split("', '")
    assert {row["table_name"] for row in holding} - {"erasure"} == set(named)


async def test_cache_is_emptied_at_once_and_again_when_no_turn_can_be_under_way(database, lane, cache, eraser):
    await says(lane, "c_1")
    _, cleared = await eraser.erase(LOC, "c_1", actor="operator")
    assert (cleared, cache.asked) == (True, [(LOC, "c_1")])
    assert await lane.open_erasures(limit=9) == []
    await shift_clock(database.admin_url, timedelta(seconds=31))
    async with running(eraser):
        await until(lambda: _closed(database))
    assert cache.asked == [(LOC, "c_1")] * 2


async def test_decision_made_on_a_contact_that_was_erased_does_not_fit_the_one_that_begins_anew(database, lane, eraser):
    versions = []
    for _ in range(3):
        await says(lane, "c_1")
        (found,) = await rows(database.admin_url, "select version from porchlight.contact")
        versions.append(found["version"])
        await eraser.erase(LOC, "c_1", actor="operator")
    assert len(set(versions)) == 3


async def _closed(database) -> bool:
    found = await rows(database.admin_url, "select contact_id, cache_time from porchlight.erasure")
    return [row["contact_id"] for row in found] == [None] and found[0]["cache_time"] is not None


async def test_cache_that_is_down_is_asked_until_it_answers(database, lane, cache, eraser):
    await says(lane, "c_1")
    cache.down = True
    _, cleared = await eraser.erase(LOC, "c_1", actor="operator")
    assert not cleared
    await shift_clock(database.admin_url, timedelta(seconds=31))
    async with running(eraser):
        await until(lambda: len(cache.asked) >= 2)
        assert not await _closed(database)
        cache.down = False
        await until(lambda: _closed(database))


async def test_contact_deleted_in_the_crm_is_taken_out_of_the_cache_too(database, lane, cache, eraser):
    await says(lane, "c_1")
    await says(lane, "c_1", kind=EventKind.CONTACT_DELETE, contact_hash=ADDRESSES.of_contact(LOC, "c_1"))
    await shift_clock(database.admin_url, timedelta(seconds=31))
    async with running(eraser):
        await until(lambda: _closed(database))
    assert cache.asked == [(LOC, "c_1")]


async def opted_out_and_erased(lane, eraser) -> None:
    hashes = ADDRESSES.of_profile(LOC, ADA)
    await says(lane, "c_1", contact_hash=ADDRESSES.of_contact(LOC, "c_1"), address_hashes=hashes)
    await says(lane, "c_1", "STOP", keyword=Keyword.STOP, keyword_reply="bye")
    erased, _ = await eraser.erase(LOC, "c_1", actor="operator")
    assert erased.opt_out_kept


async def a_reply_to(lane, database, contact_id: str) -> None:
    await says(lane, contact_id, contact_hash=ADDRESSES.of_contact(LOC, contact_id))
    (turn,) = await lane.claim(limit=1, lease=timedelta(seconds=25), messages_most=20, attempts_most=3)
    pool = await open_pool(database.url("lead"), name="lead", size=1)
    fence = {"epoch": turn.epoch, "turn_no": turn.turn_no}
    await PgLane(pool).complete_turn("lead", LOC, contact_id, **fence, reply="hi there", facts=(), record={})
    await pool.close()


class Silent:
    """A bell that lets its loop look every 10 ms."""

    def ring(self) -> None: ...

    async def wait(self, stopping: asyncio.Event) -> None:
        await asyncio.sleep(0.01)


async def test_person_who_opted_out_and_was_erased_gets_no_reply_under_a_new_contact_id(database, lane, eraser):
    await opted_out_and_erased(lane, eraser)
    crm = MemoryCrm(profiles={(LOC, "c_2"): {"phone": "(206) 555-0100"}})
    await a_reply_to(lane, database, "c_2")
    async with running(Deliverer(lane, crm, Silent(), ADDRESSES, live=True, most=4)):
        await until(lambda: _states(database, [("SUPPRESSED", "OPTED_OUT")]))
    assert crm.texts == []


async def test_score_counts_an_opt_out_that_was_learned_by_looking(database, lane, eraser):
    await opted_out_and_erased(lane, eraser)
    await says(lane, "c_2")
    await lane.screen(LOC, "c_2", ADDRESSES.of_profile(LOC, ADA))
    assert await rows(database.admin_url, "select score_due from porchlight.contact") == [{"score_due": True}]


async def test_reply_waits_while_the_crm_cannot_say_to_whom_it_goes(database, lane, eraser):
    await opted_out_and_erased(lane, eraser)
    crm = MemoryCrm(reachable=False, profiles={(LOC, "c_2"): {"phone": "206 555 0199"}})
    await a_reply_to(lane, database, "c_2")
    async with running(Deliverer(lane, crm, Silent(), ADDRESSES, live=True, most=4)):
        await until(lambda: _states(database, [("PENDING", "CRM_NOT_ASKED")]))
        assert crm.texts == []
        crm.reachable = True
        await shift_clock(database.admin_url, timedelta(seconds=60))
        await until(lambda: _states(database, [("SENT", None)]))


async def _states(database, wanted: list[tuple[str, str | None]]) -> bool:
    found = await rows(database.admin_url, "select state, cause from porchlight.outbox where kind = 'REPLY'")
    return [(row["state"], row["cause"]) for row in found] == wanted
