"""What the database itself refuses, even if every function above it were wrong. Postgres alone has these."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import asyncpg
import pytest

from kit import errors
from kit.lane import CompleteStatus, Debounce, Event, EventKind, Turn
from kit.pg.lane import PgLane
from kit.pg.pool import Pool, open_pool
from services.handoff import wire
from services.handoff.ledger_pg import PostgresLedger
from tests.support.arbiter import a_proposal, an_arbiter
from tests.support.stores import Database

LOC, CONTACT = "loc_1", "c_81"
AT_ONCE = Debounce(wait=timedelta(0), longest=timedelta(0))


@pytest.fixture
async def pool(database: Database) -> AsyncIterator[Pool]:
    made = await open_pool(database.admin_url, name="test")
    yield made
    await made.close()


@pytest.fixture
async def admin(database: Database) -> AsyncIterator[Any]:
    made = await asyncpg.connect(database.admin_url, server_settings={"search_path": "porchlight"})
    yield made
    await made.close()


async def put_handoff(
    admin: Any, state: str, *, override: str | None = None, contact_id: str = CONTACT, request_id: str = ""
) -> None:
    """Write a handoff past every function."""
    await admin.execute(
        "insert into handoff (handoff_id, tenant_id, contact_id, request_id, request_digest, actor, source_bot, target_bot,"
        " state, verdicts, confidence, summary, override_message_id, policy_version, source_epoch, epoch, decide_time)"
        " values ($1, $2, $3, $4, 'd', 'lead', 'lead', 'buyer', $5, '[]', 0.9, 'Wants to buy.', $6, 1, 1, 2, now())",
        uuid.uuid4().hex, LOC, contact_id, request_id or uuid.uuid4().hex, state, override,
    )  # fmt: skip


async def a_turn(pool: Pool) -> tuple[PgLane, Turn]:
    lane = PgLane(pool)
    event = Event(tenant_id=LOC, source="ghl", event_id="e_1", kind=EventKind.MESSAGE_IN, contact_id=CONTACT, text="hi")
    await lane.accept(event, debounce=AT_ONCE, first_owner="lead")
    (turn,) = await lane.claim(limit=1, lease=timedelta(seconds=25), messages_most=20, attempts_most=3)
    return lane, turn


async def complete(lane: PgLane, turn: Turn) -> CompleteStatus:
    return await lane.complete_turn(
        turn.bot, LOC, CONTACT, epoch=turn.epoch, turn_no=turn.turn_no, reply="hello", facts=(), record={}
    )


@pytest.mark.parametrize("second", ["PENDING", "OFFERED"])
async def test_second_open_handoff_of_a_contact_is_refused_by_the_table_itself(admin: Any, second: str) -> None:
    await put_handoff(admin, "PENDING")
    with pytest.raises(asyncpg.UniqueViolationError):
        await put_handoff(admin, second)
    await put_handoff(admin, "PENDING", contact_id="c_82")


async def test_message_overrides_once_by_the_table_itself(admin: Any) -> None:
    await put_handoff(admin, "COMPLETED", override="m_1")
    await put_handoff(admin, "DENIED", override="m_1")
    with pytest.raises(asyncpg.UniqueViolationError):
        await put_handoff(admin, "COMPLETED", override="m_1")


@pytest.mark.parametrize("moved", ["owner = 'buyer'", "epoch = epoch + 1", "turn_no = turn_no + 1"])
async def test_turn_is_completed_only_while_all_of_its_fence_holds(pool: Pool, admin: Any, moved: str) -> None:
    """Each part of the fence alone: what no function does to a contact is done to it by hand."""
    lane, turn = await a_turn(pool)
    await admin.execute(f"update contact set {moved}")
    assert await complete(lane, turn) is CompleteStatus.STALE
    assert await admin.fetchval("select count(*) from outbox") == 0
    assert await admin.fetchval("select detail->>'step' from audit where kind = 'STALE_TURN'") == "complete"


async def test_reply_of_an_epoch_that_is_over_is_not_claimed_though_it_waits(pool: Pool, admin: Any) -> None:
    lane, turn = await a_turn(pool)
    assert await complete(lane, turn) is CompleteStatus.COMPLETED
    await admin.execute("update contact set epoch = epoch + 1")
    assert await lane.claim_deliveries(limit=5, lease=timedelta(seconds=10)) == []
    assert await admin.fetchrow("select state, cause from outbox") == ("SUPPRESSED", "STALE_EPOCH")


async def test_request_id_that_another_contact_is_using_at_this_very_moment_is_sent_back(
    pool: Pool, admin: Any
) -> None:
    """Two contacts have two locks, so only the table can tell; the second then finds the first one's decision."""
    await a_turn(pool)
    blocked = "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
    async with admin.transaction():
        await put_handoff(admin, "DENIED", contact_id="c_82", request_id="r_1")
        asked = wire.proposal(a_proposal("lead>buyer"), caller="lead")
        asking = asyncio.create_task(an_arbiter(PostgresLedger(pool)).request(asked, request_id="r_1"))
        while not await admin.fetchval(blocked):
            await admin.execute("select pg_stat_clear_snapshot()")
    with pytest.raises(errors.RequestIdReused):
        await asking
    assert await admin.fetchval("select owner from contact") == "lead"
