"""What a round of reading the CRM takes, leaves, and keeps to; over the twins of CRM, cursor and lane."""

import asyncio
import itertools
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from kit.errors import StoreUnavailable
from kit.lane import Debounce, EventKind
from kit.lane_memory import MemoryLane
from services.gateway.crm_history import MemoryHistory
from services.gateway.cursors import MemoryCursors
from services.gateway.keywords import Brokerage
from services.gateway.reconcile import LEASE, OVERLAP, Bounds, Reconciler
from services.gateway.translate import Ignored, Reader

LOC = "loc_1"
NINE = datetime(2026, 11, 23, 9, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
AT_ONCE = Debounce(wait=timedelta(0), longest=timedelta(0))
READER = Reader(tenants=frozenset({LOC}), app_id="app_1", brokerage=Brokerage(name="Acme Homes"))
BOUNDS = Bounds(
    every=2 * MINUTE,
    settle=timedelta(seconds=30),
    answer_within=timedelta(hours=1),
    reach=timedelta(hours=24),
    calls=60,
)


class World:
    """A CRM, our inbox, and a clock that only the tests move."""

    def __init__(self, bounds: Bounds = BOUNDS) -> None:
        self.now = NINE
        self.history = MemoryHistory()
        self.cursors = MemoryCursors(lambda: self.now)
        self.ids = itertools.count(1)
        ticks = itertools.count()  # never twice the same time, as a real clock
        self.lane = MemoryLane(lambda: self.now + timedelta(microseconds=next(ticks)))
        self.accepted: list[str] = []
        self.broken: Exception | None = None
        self.reconciler = self.another(bounds)

    def another(self, bounds: Bounds = BOUNDS) -> Reconciler:
        return Reconciler(
            self.history, self.cursors, self.accept, READER, tenants={LOC}, bounds=bounds, clock=lambda: self.now
        )

    async def accept(self, event: Any) -> Any:
        if self.broken is not None:
            raise self.broken
        self.accepted.append(event.crm_message_id)
        return await self.lane.accept(event, debounce=AT_ONCE, first_owner="lead")

    def writes(self, text: str = "hello", *, contact: str = "c_1", **changes: Any) -> dict[str, Any]:
        """Let a message stand in the CRM, of which nobody told us."""
        message = {
            "id": f"m_{next(self.ids)}",
            "type": 2,
            "messageType": "TYPE_SMS",
            "locationId": LOC,
            "contactId": contact,
            "conversationId": f"conv_{contact}",
            "dateAdded": self.now.isoformat(),
            "body": text,
            "direction": "inbound",
        } | changes
        self.history.conversations.setdefault(f"conv_{contact}", []).append(message)
        return message

    async def round(self, reconciler: Reconciler | None = None) -> None:
        await (reconciler or self.reconciler).round(LOC, asyncio.Event())

    async def rounds(self, count: int = 1) -> None:
        for _ in range(count):
            self.now += BOUNDS.every
            await self.round()

    async def inbox(self, contact: str = "c_1") -> list[tuple[str, str]]:
        story = await self.lane.timeline(LOC, contact, limit=100, before=None)
        bodies = [event["body"] for event in reversed(story["events"]) if event["kind"] == "inbound"] if story else []
        return [(body["body"], body["outcome"]) for body in bodies]


@pytest.fixture
async def world() -> World:
    made = World()
    await made.round()  # where it begins
    made.now += timedelta(seconds=1)
    return made


async def test_text_that_nobody_told_us_of_waits_for_a_bot(world):
    world.writes("is it still for sale?")
    await world.rounds(3)
    assert await world.inbox() == [("is it still for sale?", "WAITING")]


async def test_what_was_written_before_we_began_is_not_ours(world):
    world.now = NINE - MINUTE
    world.writes("before")
    world.now = NINE + MINUTE
    world.writes("after")
    await world.rounds()
    assert await world.inbox() == [("after", "WAITING")]


async def test_young_text_is_left_to_its_webhook_for_a_while(world):
    world.now += BOUNDS.every
    world.writes()
    await world.round()
    assert world.accepted == []
    await world.rounds()
    assert await world.inbox() == [("hello", "WAITING")]


async def test_what_people_of_the_brokerage_wrote_is_stored_first(world):
    world.writes("can I see it?")
    world.now += timedelta(seconds=1)
    world.writes("Hi, this is Dana", direction="outbound", userId="u_1", source="app")
    await world.rounds()
    assert await world.inbox() == [("Hi, this is Dana", "RECORDED"), ("can I see it?", "ESCALATED_HUMAN")]


@pytest.mark.parametrize(
    "changes",
    [
        {"direction": "outbound", "source": "api"},
        {"direction": "outbound", "source": "workflow", "userId": "u_1"},
        {"messageType": "TYPE_CALL"},
        {"messageType": "TYPE_EMAIL", "body": None},
        {"messageType": "TYPE_ACTIVITY_CONTACT"},
        {"direction": "sideways"},
        {"id": None},
        {"id": "x" * 100},
        {"contactId": None},
    ],
)
async def test_what_is_no_text_of_a_person_is_left_out_and_stops_nothing(world, changes):
    world.writes("not this", **changes)
    world.writes("but this")
    await world.rounds()
    assert await world.inbox() == [("but this", "WAITING")]


async def test_text_that_cannot_be_stored_stops_nothing(world):
    world.writes("poison")
    world.broken = TypeError("poison")
    await world.rounds()
    world.broken = None
    world.writes("fine")
    await world.rounds()
    assert ("fine", "WAITING") in await world.inbox()


async def test_late_text_is_a_task_for_people(world):
    world.writes()
    world.now += BOUNDS.answer_within
    await world.rounds()
    assert await world.inbox() == [("hello", "ESCALATED_HUMAN")]


async def test_text_out_of_reach_is_left_alone(world):
    world.writes("long ago")
    world.now += BOUNDS.reach + MINUTE
    world.writes("now")
    await world.rounds()
    assert await world.inbox() == [("now", "WAITING")]


async def test_days_without_a_text_are_no_gap(world, capsys):
    world.writes()
    for _ in range(60):
        world.now += timedelta(hours=1)
        await world.round()
    assert "reconcile.gap" not in capsys.readouterr().out
    world.now += BOUNDS.reach + timedelta(hours=1)
    await world.round()
    assert "reconcile.gap" in capsys.readouterr().out, "of a day without a round it is told"


async def test_conversation_that_did_not_change_costs_no_call(world):
    world.writes()
    await world.rounds()
    before = world.history.calls
    await world.rounds(3)
    assert world.history.calls == before + 3, "one search a round"


async def test_round_that_is_cut_goes_on_where_it_ended_and_loses_nothing():
    """Goal: an earlier lost text of a conversation that the cut round did not get to is found. Method: 12 calls."""
    world = World(replace(BOUNDS, calls=12))
    await world.round()
    world.now += MINUTE
    world.writes("first of the last", contact="last")
    for number in range(30):
        world.now += timedelta(seconds=20)
        world.writes(contact=f"c_{number}")
    world.now += timedelta(seconds=20)
    world.writes("second of the last", contact="last")
    used = []
    for _ in range(4):
        before = world.history.calls
        await world.rounds()
        used.append(world.history.calls - before)
    assert max(used) <= 12
    assert [await world.inbox(f"c_{number}") for number in range(30)] == [[("hello", "WAITING")]] * 30
    assert [text for text, _ in await world.inbox("last")] == ["first of the last", "second of the last"]


async def test_more_conversations_than_a_page_that_changed_in_one_moment_are_all_read():
    world = World(replace(BOUNDS, calls=500))
    await world.round()
    world.now += MINUTE
    for number in range(99):
        world.writes(contact=f"c_{number}")
    world.now += timedelta(seconds=1)
    for number in range(99, 150):
        world.writes(contact=f"c_{number}")
    await world.rounds()
    assert all([await world.inbox(f"c_{number}") for number in range(150)])


async def test_long_conversation_is_read_page_by_page(world):
    world.history.page = 3
    for number in range(8):
        world.writes(f"text {number}")
        world.now += timedelta(seconds=1)
    await world.rounds()
    assert [text for text, _ in await world.inbox()] == [f"text {number}" for number in range(8)]


async def test_text_that_the_crm_shows_late_is_found(world):
    """Goal: what comes into the search behind something newer is not passed over."""
    hidden = world.writes("shown late")
    del world.history.conversations["conv_c_1"]
    world.now += MINUTE
    world.writes(contact="c_2")
    world.now += timedelta(seconds=30)
    await world.round()
    world.history.conversations["conv_c_1"] = [hidden]
    await world.rounds()
    assert OVERLAP >= MINUTE
    assert await world.inbox() == [("shown late", "WAITING")]


async def test_crm_that_fails_is_asked_ever_more_seldom_and_nothing_is_lost(world):
    world.writes()
    world.history.reachable = False
    asked = []
    for minute in range(60):
        before = world.history.calls
        world.now += MINUTE
        await world.round()
        asked += [minute] if world.history.calls > before else []
    assert asked == [1, 5, 13, 28, 43, 58]
    world.history.reachable = True
    world.now += timedelta(minutes=15)
    await world.round()
    assert [text for text, _ in await world.inbox()] == ["hello"]


async def test_store_that_is_away_in_the_middle_loses_nothing(world):
    world.writes()
    world.broken = StoreUnavailable("postgres does not answer", store="postgres")
    await world.rounds()
    world.broken = None
    await world.rounds(3)
    assert await world.inbox() == [("hello", "WAITING")]


async def test_two_replicas_make_one_round(world):
    world.now += BOUNDS.every
    before = world.history.calls
    await asyncio.gather(world.round(), world.round(world.another()))
    assert world.history.calls == before + 1


async def test_round_of_a_replica_that_died_is_made_by_another(world):
    world.writes()
    world.now += BOUNDS.every
    assert await world.cursors.claim(LOC, now=world.now, lease=LEASE) is not None
    world.now += LEASE
    await world.round(world.another())
    assert await world.inbox() == [("hello", "WAITING")]


async def test_round_ends_when_the_process_does(world):
    world.writes()
    world.now += BOUNDS.every
    stopping = asyncio.Event()
    stopping.set()
    await world.reconciler.round(LOC, stopping)
    assert world.accepted == []
    await world.rounds()
    assert await world.inbox() == [("hello", "WAITING")]


# --- a message as an event -----------------------------------------------------------------------------------------


def read(world: World, **changes: Any) -> Any:
    message = world.writes(**changes)
    return READER.read_stored(LOC, message, now=world.now + MINUTE, answer_within=timedelta(hours=1))


def test_stored_message_is_the_event_of_its_webhook_under_its_own_id():
    world = World()
    stored = read(world, text="STOP")
    payload = world.history.conversations["conv_c_1"][0] | {"type": "InboundMessage", "messageId": "m_1"}
    webhook = READER.read(payload, body=b"", now=world.now + MINUTE)
    assert stored == replace(webhook, source="ghl-reconcile", event_id="m_1", late=False)
    assert (stored.kind, stored.crm_message_id, stored.write_time) == (EventKind.MESSAGE_IN, "m_1", NINE)
    assert stored.keyword == "STOP"


def test_message_of_another_location_is_not_read():
    assert isinstance(read(World(), locationId="loc_2"), Ignored)


def test_what_no_store_holds_is_taken_out_of_the_words():
    assert read(World(), text="a\0b\ud800c").text == "ab?c"


@pytest.mark.parametrize(("minutes", "late"), [(59, False), (61, True)])
def test_age_decides_whether_a_message_is_late(minutes, late):
    world = World()
    message = world.writes()
    now = NINE + minutes * MINUTE
    event = READER.read_stored(LOC, message, now=now, answer_within=timedelta(hours=1))
    assert isinstance(event, Ignored) is False and event.late is late
