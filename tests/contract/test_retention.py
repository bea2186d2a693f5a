"""Records end by age, on a real Postgres whose clock is moved: what goes, and all that must not."""

import re
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from kit.errors import HandoffNotFound
from kit.lane import CompleteStatus, DeliveryResult, EventKind, Fact, Keyword, OpenedTurn, Turn
from kit.pg.lane import PgLane
from kit.pg.pool import open_pool
from services.gateway.retention import Ended, Retention
from services.gateway.retention_pg import PgRecords
from services.handoff.ledger_pg import PostgresLedger
from services.handoff.review import Review
from services.handoff.values import Handoff, Kind, Proposal, Snapshot, State
from tests.support.arbiter import an_arbiter
from tests.support.gateway import ADDRESSES, LOC, running, says, shift_clock
from tests.support.look import rows, until
from tests.support.stores import Database

DAYS = 365
LONG = timedelta(days=DAYS, minutes=1)
LEASE = timedelta(seconds=25)
NEVER = datetime(2000, 1, 1, tzinfo=UTC)
TABLES = ("contact", "inbox", "turn", "fact", "outbox", "audit", "handoff", "handoff_event")


@dataclass(kw_only=True)
class World:
    """A brokerage's contacts, through the roles that the processes have."""

    database: Database
    lane: PgLane
    bots: dict[str, PgLane]
    ledger: PostgresLedger
    records: PgRecords

    async def passes(self, by: timedelta = LONG) -> None:
        await shift_clock(self.database.admin_url, by)

    async def writes(self, contact_id: str = "c_1", text: str = "hello", **changes: Any) -> None:
        hashed = ADDRESSES.of_contact(LOC, contact_id)
        await says(self.lane, contact_id, text, contact_hash=hashed, **changes)

    async def claims(self) -> tuple[Turn, OpenedTurn]:
        (turn,) = await self.lane.claim(limit=1, lease=LEASE, messages_most=20, attempts_most=3)
        fence = {"epoch": turn.epoch, "turn_no": turn.turn_no}
        return turn, await self.bots[turn.bot].open_turn(turn.bot, LOC, turn.contact_id, **fence)

    async def completes(self, turn: Turn, *facts: Fact) -> None:
        fence: dict[str, Any] = {"epoch": turn.epoch, "turn_no": turn.turn_no}
        completed = await self.bots[turn.bot].complete_turn(
            turn.bot, LOC, turn.contact_id, **fence, reply="hi", facts=facts, record={"move": f"turn {turn.turn_no}"}
        )
        assert completed is CompleteStatus.COMPLETED

    async def delivers(self) -> None:
        while claimed := await self.lane.claim_deliveries(limit=10, lease=LEASE):
            for delivery in claimed:
                crm_id = f"crm_{delivery.outbox_id}"
                await self.lane.finish_delivery(delivery, DeliveryResult.SENT, crm_message_id=crm_id)

    async def talks(self, contact_id: str = "c_1", text: str = "hello", *facts: Fact, **changes: Any) -> None:
        """Let a person write and get an answer."""
        await self.writes(contact_id, text, **changes)
        await self.completes((await self.claims())[0], *facts)
        await self.delivers()

    async def asks(self, source: str, target: str, contact_id: str = "c_1", *, confidence: float = 0.9) -> Handoff:
        kind = Kind.ESCALATION if target == "human" else Kind.HANDOFF
        asked = Proposal(
            tenant_id=LOC, contact_id=contact_id, source_bot=source, target_bot=target, summary="wants", caller=source,
            kind=kind, confidence=confidence,
        )  # fmt: skip
        return (await an_arbiter(self.ledger).request(asked, request_id=uuid.uuid4().hex))[0]

    async def moves(self, source: str, target: str, contact_id: str = "c_1") -> Handoff:
        """Let a bot hand a contact over, and the other take it and answer."""
        await self.writes(contact_id)
        handoff = await self.asks(source, target, contact_id)
        await self.ledger.redeem(handoff.handoff_id, epoch=handoff.epoch)
        await self.completes((await self.claims())[0])
        await self.delivers()
        return handoff

    async def asks_denied(self) -> Handoff:
        denied = await self.asks("lead", "buyer", confidence=0.1)
        assert denied.state is State.DENIED
        return denied

    async def seen(self, target: str) -> Snapshot:
        reading = await self.ledger.read(
            tenant_id=LOC, contact_id="c_1", request_id="", target_bot=target, override_message_id=""
        )
        assert reading.snapshot is not None
        return replace(reading.snapshot, now=NEVER)

    async def ends(self, contact_id: str = "c_1", *, limit: int = 500) -> Ended:
        hashed = ADDRESSES.of_contact(LOC, contact_id)
        return await self.records.end((LOC, contact_id), contact_hash=hashed, limit=limit)

    async def old(self) -> list[str]:
        return [contact_id for _, contact_id in (await self.records.old(("", ""), limit=100))[0]]

    async def counts(self, contact_id: str = "c_1") -> dict[str, int]:
        selects = [
            f"select '{table}' as name, count(*) from porchlight.{table} where contact_id = '{contact_id}'"
            for table in TABLES
        ]
        return {row["name"]: row["count"] for row in await rows(self.database.admin_url, " union all ".join(selects))}


@pytest.fixture
async def world(database: Database) -> AsyncIterator[World]:
    async with AsyncExitStack() as stack:
        pools = {}
        for name in ("gateway", "lead", "buyer", "handoff"):
            pools[name] = await open_pool(database.url(name), name=name, size=2)
            stack.push_async_callback(pools[name].close)
        yield World(
            database=database,
            lane=PgLane(pools["gateway"]),
            bots={name: PgLane(pools[name]) for name in ("lead", "buyer")},
            ledger=PostgresLedger(pools["handoff"]),
            records=PgRecords(pools["gateway"], keep_days=DAYS),
        )


def a_fact(name: str, value: str, message_id: str = "") -> Fact:
    return Fact(name=name, value=value, words=value, message_id=message_id, extractor="rules", confidence=0.9)


# --- contacts of whom something is heard ---------------------------------------------------------------------------


async def test_old_rows_go_and_young_ones_stay(world):
    await world.talks("c_1", "hello", a_fact("area", "Ballard", "m_1"), a_fact("budget", "low", "m_1"))
    await world.moves("lead", "buyer")
    await world.passes()
    await world.talks("c_1", "me again", a_fact("budget", "high", "m_3"))
    young = {"contact": 1, "inbox": 1, "fact": 3, "outbox": 1, "audit": 0}
    # What the bots go on from stays however old it is: their last turns, and what brought the contact to its bot.
    young |= {"turn": 3 - 1, "handoff": 1, "handoff_event": 3}
    assert await world.old() == ["c_1"]
    ended = await world.ends()
    assert (ended.erased, ended.more) == (False, False)
    assert await world.counts() == young
    story = await world.lane.timeline(LOC, "c_1", limit=100, before=None)
    assert [event["body"]["body"] for event in story["events"] if event["kind"] == "inbound"] == ["me again"]


async def test_what_is_known_stays_and_names_no_message_that_is_gone(world):
    await world.talks("c_1", "hello", a_fact("area", "Ballard", "m_1"), a_fact("budget", "low", "m_1"))
    await world.passes(timedelta(days=2))
    await world.talks("c_1", "more", a_fact("budget", "high", "m_2"))
    await world.passes(LONG - timedelta(days=1))
    await world.ends()
    found = await rows(world.database.admin_url, "select name, value::text, words, message_id from porchlight.fact")
    known = [("area", '"Ballard"', "Ballard", ""), ("budget", '"high"', "high", "m_2")]
    assert sorted(tuple(row.values()) for row in found) == [*known, ("budget", '"low"', "low", "")]
    await world.talks()
    await world.passes(timedelta(days=2))
    await world.ends()
    story = await world.lane.timeline(LOC, "c_1", limit=100, before=None)
    assert sorted((fact["name"], fact["value"]) for fact in story["facts"]) == [("area", "Ballard"), ("budget", "high")]
    assert (await world.counts())["fact"] == 2


async def test_decisions_of_a_contact_with_young_handoffs_are_the_same_before_and_after(world):
    await world.talks()
    await world.moves("lead", "buyer")
    await world.passes()
    await world.talks()
    await world.moves("buyer", "lead")
    targets = ("lead", "buyer", "seller")
    before = [await world.seen(target) for target in targets]
    assert [past.source_bot for past in before[0].history] == ["buyer"]
    assert (await world.ends()).rows["inbox"] == 2
    assert [await world.seen(target) for target in targets] == before
    assert (await world.asks("lead", "buyer")).block_reason.startswith("circular")


async def test_bot_goes_on_with_an_active_contact_as_with_one_whose_old_rows_are_all_there(world):
    for contact_id in ("c_1", "c_2"):
        await world.talks(contact_id)
        await world.moves("lead", "buyer", contact_id)
    await world.passes()
    for contact_id in ("c_1", "c_2"):
        await world.writes(contact_id, kind=EventKind.TAGS)
    assert (await world.ends("c_1")).rows["inbox"] == 2
    opened = {}
    for contact_id in ("c_1", "c_2"):
        await world.writes(contact_id)
        turn, found = await world.claims()
        opened[contact_id] = (
            turn.bot,
            turn.turn_no,
            found.last_record,
            found.handoff["source_bot"],
            found.turns_before > 0,
        )
        await world.completes(turn)
    assert opened["c_1"] == opened["c_2"]


@pytest.mark.parametrize("open_still", ["message", "turn", "text", "task", "offer"])
async def test_nothing_of_a_contact_goes_while_something_of_it_is_under_way(world, open_still):
    await world.talks()
    await world.passes(timedelta(days=1))
    await world.writes()
    match open_still:
        case "turn":
            await world.claims()
        case "text":
            await world.completes((await world.claims())[0])
        case "task":
            await world.asks("lead", "human")
        case "offer":
            await world.asks("lead", "buyer")
    await world.passes()
    before = await world.counts()
    assert (await world.ends(), await world.counts()) == (Ended(rows={}, erased=False, more=False), before)


async def test_escalation_that_nobody_ended_stays_and_so_does_the_contact(world):
    await world.talks()
    await world.writes()
    escalated = await world.asks("lead", "human")
    await world.delivers()
    await world.passes()
    ended = await world.ends()
    assert (ended.erased, (await world.counts())["inbox"]) == (False, 0)
    assert [each.handoff_id for each in await world.ledger.escalations(LOC, limit=9, before=None)] == [
        escalated.handoff_id
    ]


async def test_event_that_comes_again_is_known_as_long_as_its_row_is_kept(world):
    await world.talks("c_1", "hello", crm_message_id="in_1")
    await world.passes(timedelta(days=DAYS - 1))
    await world.talks()
    await world.ends()
    before = await world.counts()
    await world.writes("c_1", "hello", crm_message_id="in_1")
    assert await world.counts() == before


async def test_handoff_that_ended_by_age_is_not_found(world):
    await world.talks()
    denied = await world.asks_denied()
    await world.passes()
    await world.talks()
    await world.ends()
    with pytest.raises(HandoffNotFound, match=denied.handoff_id):
        await Review(world.ledger).explain(denied.handoff_id)
    assert (await world.counts())["handoff_event"] == 0


async def test_no_more_rows_go_at_once_than_the_limit_and_no_event_outlives_its_handoff(world):
    await world.talks()
    for source, target in (("lead", "buyer"), ("buyer", "lead"), ("lead", "buyer")):
        await world.moves(source, target)
        await world.passes(timedelta(days=1))
    await world.passes()
    await world.writes(kind=EventKind.TAGS)
    orphans = """select count(*) from porchlight.handoff_event where handoff_id not in (select handoff_id from porchlight.handoff)"""
    more = True
    while more:
        before = sum((await world.counts()).values())
        ended = await world.ends(limit=2)
        assert sum(ended.rows.values()) == before - sum((await world.counts()).values()) <= 2
        assert await rows(world.database.admin_url, orphans) == [{"count": 0}]
        more = ended.more
    assert await world.counts() == {
        "contact": 1, "inbox": 1, "turn": 2, "fact": 0, "outbox": 0, "audit": 0, "handoff": 2, "handoff_event": 6,
    }  # fmt: skip


async def test_second_run_ends_nothing(world):
    await world.talks("c_1", "hello", a_fact("area", "Ballard", "m_1"))
    await world.moves("lead", "buyer")
    await world.passes()
    await world.talks()
    await world.ends()
    before = await world.counts()
    assert (await world.old(), await world.ends()) == ([], Ended(rows={}, erased=False, more=False))
    assert await world.counts() == before


async def test_contact_that_somebody_else_holds_is_left_to_the_next_look(world):
    await world.talks()
    await world.passes()
    connection = await asyncpg.connect(world.database.admin_url)
    async with connection.transaction():
        await connection.execute("select from porchlight.contact for update")
        assert await world.ends() == Ended(rows={}, erased=False, more=False)
    await connection.close()
    assert (await world.ends()).erased


# --- contacts that nothing happened to -----------------------------------------------------------------------------


async def test_contact_that_nothing_happened_to_is_erased_and_leaves_a_receipt(world):
    await world.talks("c_1", "hello", a_fact("area", "Ballard", "m_1"))
    await world.moves("lead", "buyer")
    await world.passes()
    assert await world.old() == ["c_1"]
    first = await world.ends(limit=2)
    assert (sum(first.rows.values()), first.erased, first.more) == (2, False, True)
    assert (await world.ends()).erased
    assert not any((await world.counts()).values())
    receipts = await rows(world.database.admin_url, "select actor, opt_out_kept from porchlight.erasure")
    assert receipts == [{"actor": "retention", "opt_out_kept": False}]


async def test_contact_is_kept_to_the_last_moment_of_its_days(world):
    await world.talks()
    await world.passes(timedelta(days=DAYS) - timedelta(minutes=5))
    assert (await world.old(), await world.ends()) == ([], Ended(rows={}, erased=False, more=False))


@pytest.mark.parametrize(
    ("silenced", "known_by"),
    [
        ("do not disturb", {"contact_id": "c_1"}),
        ("STOP", {"contact_id": "c_2", "address_hashes": ("phone",)}),
    ],
)
async def test_opted_out_person_stays_opted_out(world, silenced, known_by):
    await world.talks("c_1", address_hashes=("phone",))
    if silenced == "STOP":
        await world.writes("c_1", "STOP", keyword=Keyword.STOP, keyword_reply="bye")
    else:
        await world.writes("c_1", kind=EventKind.DND, dnd=True)
    await world.delivers()
    await world.passes()
    assert (await world.ends()).erased
    await world.writes(text="me again", **known_by)
    assert await rows(world.database.admin_url, "select outcome, cause from porchlight.inbox") == [
        {"outcome": "SUPPRESSED", "cause": "OPTED_OUT"}
    ]


async def test_text_whose_webhook_was_lost_while_its_contact_was_forgotten_is_taken_from_the_crm(world):
    await world.talks()
    await world.passes()
    (now,) = await rows(world.database.admin_url, "select porchlight.porchlight_now() as now")
    assert (await world.ends()).erased
    await world.writes(text="me again", late=False, write_time=now["now"])
    turn, _ = await world.claims()
    assert [message.text for message in turn.messages] == ["me again"]


@pytest.mark.parametrize("whose", ["a person's of the brokerage", "paused by an operator"])
async def test_contact_that_no_bot_may_write_to_stays_so(world, whose):
    await world.talks("c_1", "hello", a_fact("area", "Ballard", "m_1"))
    if whose == "paused by an operator":
        await world.lane.pause(LOC, "c_1", actor="operator")
    else:
        await world.writes(text="Ben here", kind=EventKind.HUMAN_MESSAGE)
    await world.delivers()
    await world.passes()
    assert not (await world.ends()).erased
    assert await world.old() == []
    kept = await world.counts()
    assert (kept["contact"], kept["fact"], kept["inbox"]) == (1, 1, 0)
    await world.writes()
    assert await world.lane.claim(limit=9, lease=LEASE, messages_most=20, attempts_most=3) == []


# --- the rest ------------------------------------------------------------------------------------------------------


async def test_records_of_no_contact_end_too(world):
    admin = world.database.admin_url
    await says(world.lane, None, kind=EventKind.INSTALL)
    await world.talks("c_1")
    erased = await world.lane.erase(LOC, "c_1", contact_hash="hash", actor="operator")
    await world.lane.close_erasure(erased)
    await world.lane.erase(LOC, "c_2", contact_hash="hash", actor="operator")
    await rows(admin, "insert into porchlight.spend select '', porchlight.porchlight_now()::date, 7")
    nothing = {"inbox": 0, "erasure": 0, "spend": 0, "erased_event": 0}
    assert await world.records.end_others(limit=9) == nothing
    await world.passes(timedelta(days=8))
    assert await world.records.end_others(limit=9) == {**nothing, "erased_event": 2}
    await world.passes()
    # The receipt of an erasure that the cache was not yet emptied after stays.
    assert await world.records.end_others(limit=9) == {**nothing, "inbox": 1, "erasure": 1, "spend": 1}
    assert await world.records.end_others(limit=9) == nothing


async def test_pages_hold_every_contact_once(world):
    names = [f"c_{number}" for number in range(5)]
    for name in names:
        await world.talks(name)
    await world.passes()
    found: list[str] = []
    place = ("", "")
    while place is not None:
        page, place = await world.records.old(place, limit=2)
        found += [contact_id for _, contact_id in page]
    assert found == names


async def refused(database: Database, service: str, *, keep_days: int | None, by: type[Exception]) -> None:
    pool = await open_pool(database.url(service), name=service, size=1)
    records = PgRecords(pool, keep_days=keep_days)  # type: ignore[arg-type]
    for call in (
        records.old(("", ""), limit=1),
        records.end((LOC, "c_1"), contact_hash="", limit=1),
        records.end_others(limit=1),
    ):
        with pytest.raises(by):
            await call
    await pool.close()


async def test_nobody_but_the_gateway_ends_records(database):
    for service in ("lead", "buyer", "seller", "handoff", "cache"):
        await refused(database, service, keep_days=DAYS, by=asyncpg.InsufficientPrivilegeError)
    parts = (
        "keep_since(90)",
        "old_rows(null, now())",
        "active_time(null)",
        "is_forgotten(null, now())",
        "is_busy(null)",
    )
    for part in parts:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await rows(database.url("gateway"), f"select porchlight.{part}")


async def test_database_refuses_to_end_what_may_be_looked_at_again(database):
    for days in (0, 89, None):
        await refused(database, "gateway", keep_days=days, by=asyncpg.InvalidParameterValueError)


async def test_two_workers_end_everything_between_them(world, monkeypatch):
    monkeypatch.setattr("services.gateway.retention.CONTACTS", 2)
    monkeypatch.setattr("services.gateway.retention.PAGE_SECONDS", 0.01)
    for number in range(5):
        await world.talks(f"c_{number}")
    await world.passes()

    async def nobody_is_left() -> bool:
        return await rows(world.database.admin_url, "select from porchlight.contact") == []

    async with running(*(Retention(world.records, ADDRESSES) for _ in range(2))):
        await until(nobody_is_left)
    receipts = await rows(world.database.admin_url, "select contact_hash from porchlight.erasure order by 1")
    assert [row["contact_hash"] for row in receipts] == sorted(
        ADDRESSES.of_contact(LOC, f"c_{each}") for each in range(5)
    )


async def test_page_says_of_every_table_what_ends_it(database):
    """A table that nobody thought about would grow for good."""
    page = (Path(__file__).parents[2] / "docs/retention.md").read_text(encoding="utf-8")
    said = [
        name for line in re.findall(r"^\| (`.+?) \|", page, flags=re.MULTILINE) for name in re.findall(r"`(\w+)`", line)
    ]
    found = await rows(database.admin_url, "select tablename from pg_tables where schemaname = 'porchlight'")
    assert sorted(said) == sorted(row["tablename"] for row in found)
