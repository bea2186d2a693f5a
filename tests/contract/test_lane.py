"""The promises of the lane, for its twin in memory and for Postgres."""

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from kit.effects import Effect, Fields, Note, Pause, Task
from kit.lane import (
    Accepted,
    CompleteStatus,
    Debounce,
    Delivery,
    DeliveryResult,
    Erased,
    Event,
    EventKind,
    Fact,
    Keyword,
    Lane,
    OpenStatus,
    Resumed,
    Turn,
)
from kit.lane_memory import MemoryLane
from kit.pg.lane import PgLane
from kit.pg.pool import open_pool

LOC = "loc_test"
LEASE = timedelta(seconds=25)
TEXT_LEASE = timedelta(seconds=10)
DEBOUNCE = Debounce(wait=timedelta(seconds=8), longest=timedelta(seconds=30))
AT_ONCE = Debounce(wait=timedelta(0), longest=timedelta(0))


def seconds(number: float) -> timedelta:
    return timedelta(seconds=number)


@dataclass
class World:
    lane: Lane
    step: Callable[[timedelta], Awaitable[None]]
    count_stale: Callable[[], Awaitable[int]]
    now: Callable[[], Awaitable[datetime]]
    ids: itertools.count

    async def says(self, text: str = "hello", *, debounce: Debounce = AT_ONCE, **changes: Any) -> Accepted:
        event = Event(
            tenant_id=LOC,
            source="ghl",
            event_id=f"e_{next(self.ids)}",
            kind=EventKind.MESSAGE_IN,
            contact_id="c_1",
            contact_hash="hash of c_1",
            channel="SMS",
            text=text,
        )
        return await self.lane.accept(replace(event, **changes), debounce=debounce, first_owner="lead")

    async def says_keyword(self, keyword: Keyword) -> Accepted:
        return await self.says(keyword, keyword=keyword, keyword_reply=f"answer to {keyword}")

    async def happens(self, kind: EventKind, *, text: str = "", **changes: Any) -> Accepted:
        return await self.says(text, kind=kind, channel=None, **changes)

    async def claim(self, *, limit: int = 10) -> list[Turn]:
        return await self.lane.claim(limit=limit, lease=LEASE, messages_most=20, attempts_most=3)

    async def claim_one(self) -> Turn:
        (turn,) = await self.claim()
        return turn

    async def open(self, turn: Turn, *, bot: str | None = None):
        return await self.lane.open_turn(
            bot or turn.bot, turn.tenant_id, turn.contact_id, epoch=turn.epoch, turn_no=turn.turn_no
        )

    async def complete(
        self,
        turn: Turn,
        reply: str | None = "hi",
        *,
        facts: tuple[Fact, ...] = (),
        effects: tuple[Effect, ...] = (),
    ) -> CompleteStatus:
        return await self.lane.complete_turn(
            turn.bot,
            turn.tenant_id,
            turn.contact_id,
            epoch=turn.epoch,
            turn_no=turn.turn_no,
            reply=reply,
            facts=facts,
            record={"move": "ask"},
            effects=effects,
        )

    async def replies(self, text: str = "hello", reply: str | None = "hi", *effects: Effect, **changes: Any) -> Turn:
        await self.says(text, **changes)
        turn = await self.claim_one()
        await self.open(turn)
        assert await self.complete(turn, reply, effects=effects) is CompleteStatus.COMPLETED
        return turn

    async def erases(self, contact_id: str = "c_1") -> Erased:
        return await self.lane.erase(LOC, contact_id, contact_hash=f"hash of {contact_id}", actor="operator")

    async def deliveries(self) -> list[Delivery]:
        return await self.lane.claim_deliveries(limit=10, lease=TEXT_LEASE)

    async def delivers(self) -> list[str]:
        sent = []
        # Once more than there are texts: a claim that only suppresses a text returns nothing.
        while (claimed := await self.deliveries()) or (claimed := await self.deliveries()):
            for delivery in claimed:
                crm_message_id = f"crm_{delivery.outbox_id}"
                await self.lane.finish_delivery(delivery, DeliveryResult.SENT, crm_message_id=crm_message_id)
                sent.append(delivery.text)
        return sent

    async def story(self, contact_id: str = "c_1"):
        found = await self.lane.timeline(LOC, contact_id, limit=100, before=None)
        assert found is not None
        return found

    async def bodies(self, kind: str, contact_id: str = "c_1") -> list[dict]:
        story = await self.story(contact_id)
        return [event["body"] for event in reversed(story["events"]) if event["kind"] == kind]

    async def outcomes(self) -> list[str]:
        return [body["outcome"] for body in await self.bodies("inbound")]

    async def texts(self) -> list[tuple[str, str]]:
        return [(body["kind"], body["state"]) for body in await self.bodies("outbound")]


@pytest.fixture
async def memory_world() -> World:
    now = [datetime(2026, 11, 23, 9, tzinfo=UTC)]
    ticks = itertools.count()

    def clock() -> datetime:  # never twice the same time, as a real one
        return now[0] + timedelta(microseconds=next(ticks))

    async def step(by: timedelta) -> None:
        now[0] += by

    lane = MemoryLane(clock)

    async def count_stale() -> int:
        return len(lane.stale)

    async def now_() -> datetime:
        return clock()

    return World(lane=lane, step=step, count_stale=count_stale, now=now_, ids=itertools.count(1))


@pytest.fixture
async def postgres_world(database) -> AsyncIterator[World]:
    pool = await open_pool(database.admin_url, name="test")

    async def step(by: timedelta) -> None:
        await pool.execute(
            "insert into clock_shift (shift) values ($1)"
            " on conflict (only_row) do update set shift = clock_shift.shift + excluded.shift",
            by,
        )

    async def count_stale() -> int:
        return await pool.fetchval("select count(*) from audit where kind = 'STALE_TURN'")

    async def now() -> datetime:
        return await pool.fetchval("select porchlight_now()")

    yield World(lane=PgLane(pool), step=step, count_stale=count_stale, now=now, ids=itertools.count(1))
    await pool.close()


@pytest.fixture(params=["memory", "postgres"])
def world(request) -> World:
    return request.getfixturevalue(f"{request.param}_world")


def a_fact(name: str, value: str | int | bool, **changes: Any) -> Fact:
    return replace(Fact(name=name, value=value, extractor="rules", confidence=0.9), **changes)


# --- what comes in -----------------------------------------------------------------------------------------------


async def test_event_is_stored_once(world):
    first = await world.says("hello", event_id="w_1")
    again = await world.says("hello", event_id="w_1")
    assert (first.duplicate, again.duplicate) == (False, True)
    assert await world.outcomes() == ["WAITING"]


async def test_fifty_copies_at_once_are_one_message(world):
    answers = await asyncio.gather(*(world.says("hello", event_id="w_1") for _ in range(50)), return_exceptions=True)
    assert [answer.duplicate for answer in answers if isinstance(answer, Accepted)].count(False) == 1
    assert await world.outcomes() == ["WAITING"]


async def test_message_that_comes_under_two_delivery_ids_is_stored_once(world):
    await world.says("hello", event_id="w_1", crm_message_id="msg_1")
    assert (await world.says("hello", event_id="w_2", crm_message_id="msg_1")).duplicate


async def test_same_words_twice_are_two_messages(world):
    await world.says("yes")
    assert not (await world.says("yes")).duplicate


async def test_event_without_a_contact_is_recorded(world):
    stored = await world.happens(EventKind.INSTALL, contact_id=None, tenant_id="-")
    assert stored.outcome == "RECORDED"


async def test_profile_is_merged_and_nothing_is_erased(world):
    await world.happens(EventKind.CONTACT_UPSERT, profile={"first_name": "Ann", "tags": ["x"]})
    await world.happens(EventKind.TAGS, profile={"tags": ["y"]})
    await world.says()
    assert (await world.open(await world.claim_one())).profile == {"first_name": "Ann", "tags": ["y"]}


# --- turns -------------------------------------------------------------------------------------------------------


async def test_burst_is_one_turn_in_the_order_written(world):
    noon = datetime(2026, 11, 23, 12, tzinfo=UTC)
    await world.says("and a garage", write_time=noon + seconds(2))
    await world.says("3 beds", write_time=noon)
    turn = await world.claim_one()
    assert [message.text for message in turn.messages] == ["3 beds", "and a garage"]


async def test_lane_is_claimed_by_one(world):
    await world.says()
    claimed = await asyncio.gather(*(world.claim() for _ in range(8)))
    assert sum(len(turns) for turns in claimed) == 1


async def test_debounce_waits_for_the_last_text_of_a_burst(world):
    await world.says("one", debounce=DEBOUNCE)
    await world.step(seconds(6))
    await world.says("two", debounce=DEBOUNCE)
    await world.step(seconds(6))
    assert await world.claim() == []
    await world.step(seconds(3))
    assert len((await world.claim_one()).messages) == 2


async def test_debounce_ends_after_the_longest_wait(world):
    for number in range(5):
        await world.says(str(number), debounce=DEBOUNCE)
        await world.step(seconds(7))
    assert len((await world.claim_one()).messages) == 5


async def test_text_during_a_turn_waits_for_the_next(world):
    await world.says("one")
    turn = await world.claim_one()
    await world.says("two")
    assert await world.claim() == []
    await world.complete(turn)
    await world.delivers()
    assert [message.text for message in (await world.claim_one()).messages] == ["two"]


async def test_next_turn_waits_for_the_reply_of_the_last_to_go_out(world):
    await world.replies("one")
    await world.says("two")
    assert await world.claim() == []
    await world.delivers()
    assert len(await world.claim()) == 1


async def test_delivery_does_not_cut_a_burst_short(world):
    await world.replies("one")
    await world.says("two", debounce=DEBOUNCE)
    await world.delivers()
    assert await world.claim() == []
    await world.step(seconds(9))
    assert len(await world.claim()) == 1


async def test_contacts_do_not_wait_for_each_other(world):
    await world.says(contact_id="c_1")
    await world.says(contact_id="c_2")
    assert {turn.contact_id for turn in await world.claim()} == {"c_1", "c_2"}
    assert await world.claim() == []


async def test_claim_takes_no_more_lanes_than_asked(world):
    for number in range(3):
        await world.says(contact_id=f"c_{number}")
    assert len(await world.claim(limit=2)) == 2


async def test_completed_turn_gives_every_message_its_outcome(world):
    await world.says("one")
    await world.says("two")
    turn = await world.claim_one()
    await world.open(turn)
    assert await world.complete(turn) is CompleteStatus.COMPLETED
    assert await world.outcomes() == ["REPLIED", "REPLIED"]


async def test_silence_is_an_outcome(world):
    await world.says("ok")
    await world.complete(await world.claim_one(), None)
    assert await world.outcomes() == ["SUPPRESSED"]
    assert await world.texts() == []


async def test_finished_turn_returns_its_outcome_and_writes_nothing(world):
    turn = await world.replies()
    assert await world.complete(turn, "again") is CompleteStatus.FINISHED
    opened = await world.open(turn)
    assert (opened.status, opened.state) == (OpenStatus.FINISHED, "REPLIED")
    assert len(await world.texts()) == 1


async def test_facts_of_a_turn_are_there_in_the_next(world):
    await world.says("up to 500k")
    turn = await world.claim_one()
    await world.complete(turn, facts=(a_fact("price_max_usd", 500_000), a_fact("intent", "buy")))
    await world.delivers()
    await world.says("make it 600k")
    turn = await world.claim_one()
    await world.complete(turn, facts=(a_fact("price_max_usd", 600_000),))
    await world.delivers()
    await world.says("ok")
    opened = await world.open(await world.claim_one())
    assert {fact.name: (fact.value, fact.bot) for fact in opened.facts} == {
        "price_max_usd": (600_000, "lead"),
        "intent": ("buy", "lead"),
    }
    assert (opened.turns_before, opened.last_record) == (2, {"move": "ask"})


async def test_bot_that_is_not_the_owner_is_told_who_is(world):
    await world.says()
    opened = await world.open(await world.claim_one(), bot="buyer")
    assert (opened.status, opened.owner) == (OpenStatus.NOT_THE_OWNER, "lead")


async def test_turn_of_an_unknown_contact_is_refused(world):
    opened = await world.lane.open_turn("lead", LOC, "c_none", epoch=1, turn_no=1)
    assert opened.status is OpenStatus.UNKNOWN_CONTACT


async def test_lease_that_ran_out_gives_the_lane_to_another_and_refuses_the_first(world):
    await world.says()
    zombie = await world.claim_one()
    await world.open(zombie)
    await world.step(LEASE + seconds(1))
    current = await world.claim_one()
    assert current.turn_no == zombie.turn_no + 1
    assert (await world.open(zombie)).status is OpenStatus.STALE
    assert await world.complete(zombie, "from the grave") is CompleteStatus.STALE
    assert await world.count_stale() == 2
    assert await world.complete(current) is CompleteStatus.COMPLETED


async def test_released_turn_comes_back_after_its_wait(world):
    await world.says()
    turn = await world.claim_one()
    assert await world.lane.release(turn, cause="SERVICE_UNAVAILABLE", wait=seconds(4))
    assert await world.claim() == []
    await world.step(seconds(5))
    assert (await world.claim_one()).turn_no == turn.turn_no + 1


async def test_turn_is_released_once(world):
    await world.says()
    turn = await world.claim_one()
    assert await world.lane.release(turn, cause="X", wait=seconds(0))
    assert not await world.lane.release(turn, cause="X", wait=seconds(0))


async def test_finished_turn_cannot_be_released(world):
    turn = await world.replies()
    assert not await world.lane.release(turn, cause="X", wait=seconds(0))
    assert await world.outcomes() == ["REPLIED"]


async def test_released_turn_cannot_be_completed(world):
    await world.says()
    turn = await world.claim_one()
    await world.lane.release(turn, cause="X", wait=seconds(0))
    assert await world.complete(turn) is CompleteStatus.STALE
    assert await world.texts() == []


async def fail_once(world) -> None:
    turn = await world.claim_one()
    await world.open(turn)
    await world.lane.release(turn, cause="INTERNAL", wait=seconds(0))


async def test_message_that_was_opened_three_times_in_vain_is_a_dead_letter(world):
    await world.says("poison")
    for _ in range(3):
        await fail_once(world)
    assert await world.claim() == []
    (message,) = await world.bodies("inbound")
    assert (message["outcome"], message["cause"]) == ("DEAD_LETTER", "INTERNAL")


async def test_message_that_failed_twice_is_tried_while_its_bot_does_nothing_else(world):
    """A crash counts for all turns in flight, so an innocent message must not share its last attempt with anybody."""
    for contact in ("c_1", "c_2"):
        await world.says("poison or neighbour", contact_id=contact)
    for _ in range(2):
        for turn in await world.claim():
            await world.open(turn)
            await world.lane.release(turn, cause="INTERNAL", wait=seconds(0))
    await world.says("hello", contact_id="c_3")
    alone = []
    for _ in range(2):
        (turn,) = await world.claim()
        assert await world.claim() == []
        await world.open(turn)
        await world.complete(turn)
        await world.delivers()
        alone.append(turn.contact_id)
    assert sorted(alone) == ["c_1", "c_2"]
    assert [turn.contact_id for turn in await world.claim()] == ["c_3"]


async def test_lane_moves_on_after_a_dead_letter(world):
    await world.says("poison")
    for _ in range(3):
        await fail_once(world)
    await world.says("hello?")
    assert [message.text for message in (await world.claim_one()).messages] == ["hello?"]
    assert await world.outcomes() == ["DEAD_LETTER", "WAITING"]


async def test_turn_that_no_bot_opened_is_tried_again_without_end(world):
    await world.says()
    for _ in range(5):
        await world.lane.release(await world.claim_one(), cause="SERVICE_UNAVAILABLE", wait=seconds(0))
    assert len(await world.claim()) == 1


async def test_turn_that_the_bot_refuses_to_read_is_not_tried_without_end(world):
    await world.says()
    for _ in range(3):
        await world.lane.release(await world.claim_one(), cause="INVALID_FIELD", wait=seconds(0), refused=True)
    assert await world.claim() == []
    assert await world.outcomes() == ["DEAD_LETTER"]


# --- what must not wait for a bot --------------------------------------------------------------------------------


async def test_stop_wins_over_waiting_messages(world):
    await world.says("what is it worth?", debounce=DEBOUNCE)
    await world.says_keyword(Keyword.STOP)
    await world.step(seconds(60))
    assert await world.claim() == []
    assert await world.outcomes() == ["SUPPRESSED", "SUPPRESSED"]
    assert await world.delivers() == ["answer to STOP"]


async def test_stop_wins_over_a_queued_reply(world):
    await world.replies(reply="a reply")
    await world.says_keyword(Keyword.STOP)
    assert await world.delivers() == ["answer to STOP"]


async def test_stop_wins_over_a_turn_in_progress(world):
    await world.says()
    turn = await world.claim_one()
    await world.says_keyword(Keyword.STOP)
    await world.complete(turn, "a reply")
    assert await world.delivers() == ["answer to STOP"]
    assert await world.texts() == [("OPT_OUT_CONFIRMATION", "SENT"), ("REPLY", "SUPPRESSED")]


async def test_stop_wins_over_a_claimed_reply_that_is_tried_again(world):
    await world.replies(reply="a reply")
    (delivery,) = await world.deliveries()
    await world.says_keyword(Keyword.STOP)
    await world.lane.finish_delivery(delivery, DeliveryResult.RETRY, cause="CRM_429", wait=seconds(0))
    assert await world.delivers() == ["answer to STOP"]


async def test_stop_is_confirmed_once(world):
    await world.says_keyword(Keyword.STOP)
    await world.says_keyword(Keyword.STOP)
    assert await world.delivers() == ["answer to STOP"]
    assert (await world.story())["opted_out"]


async def test_opted_out_person_is_not_answered(world):
    await world.says_keyword(Keyword.STOP)
    assert (await world.says("hello?")).outcome == "SUPPRESSED"
    assert await world.claim() == []


async def test_start_ends_an_opt_out(world):
    await world.says_keyword(Keyword.STOP)
    await world.says_keyword(Keyword.START)
    assert await world.delivers() == ["answer to STOP", "answer to START"]
    await world.says("hello")
    assert len(await world.claim()) == 1


async def test_start_of_somebody_who_never_opted_out_is_an_ordinary_message(world):
    assert (await world.says_keyword(Keyword.START)).outcome == "WAITING"
    assert await world.texts() == []


async def test_person_who_asked_to_be_left_alone_is_written_to_no_more(world):
    await world.says("what is it worth")
    await world.complete(await world.claim_one(), "a reply")
    await world.says("leave me alone")
    await world.delivers()
    turn = await world.claim_one()
    await world.says("I mean it")
    assert await world.complete(turn, None, effects=(Pause(),)) is CompleteStatus.COMPLETED
    assert (await world.says("hello?")).outcome == "SUPPRESSED"
    assert await world.claim() == []
    assert (await world.outcomes())[1:] == ["SUPPRESSED"] * 3
    assert (await world.story())["pause_cause"] == "ASKED_TO_STOP"
    (task,) = await world.delivers()
    assert "left alone" in json.loads(task)["text"]


async def test_reply_beside_a_wish_to_be_left_alone_stays_in(world):
    await world.says("leave me alone")
    await world.complete(await world.claim_one(), "but why?", effects=(Pause(),))
    await world.delivers()
    assert await world.texts() == [("REPLY", "SUPPRESSED"), ("TASK", "SENT")]


async def test_start_brings_back_whom_nobody_wrote_to_any_more(world):
    await world.replies("leave me alone", None, Pause())
    await world.says_keyword(Keyword.START)
    assert (await world.says("hi again")).outcome == "WAITING"
    assert "answer to START" in await world.delivers()
    assert (await world.story())["pause_cause"] is None


async def test_pause_keeps_a_queued_reply_in_and_answers_nothing(world):
    await world.replies(reply="a reply")
    await world.says("and?")
    assert await world.lane.pause(LOC, "c_1", actor="operator")
    assert (await world.says("hello?")).outcome == "SUPPRESSED"
    assert (await world.claim(), await world.delivers()) == ([], [])
    assert await world.outcomes() == ["REPLIED", "SUPPRESSED", "SUPPRESSED"]


async def test_turn_under_way_while_a_contact_is_paused_says_nothing(world):
    await world.says()
    turn = await world.claim_one()
    await world.lane.pause(LOC, "c_1", actor="operator")
    await world.complete(turn, "a reply")
    assert await world.delivers() == []
    assert await world.texts() == [("REPLY", "SUPPRESSED")]


async def test_pause_of_the_brokerage_is_not_lifted_by_the_person(world):
    await world.says()
    await world.lane.pause(LOC, "c_1", actor="operator")
    assert (await world.says_keyword(Keyword.START)).outcome == "SUPPRESSED"
    assert (await world.says("hello?")).outcome == "SUPPRESSED"


async def test_resumed_contact_is_answered_from_its_next_message_on(world):
    await world.replies("leave me alone", None, Pause())
    await world.says("hello?")
    assert await world.lane.resume(LOC, "c_1", actor="operator") == Resumed(silence=None)
    assert await world.claim() == []
    await world.says("are you there?")
    assert [message.text for message in (await world.claim_one()).messages] == ["are you there?"]


async def test_resuming_lifts_no_opt_out(world):
    await world.says_keyword(Keyword.STOP)
    await world.lane.pause(LOC, "c_1", actor="operator")
    assert await world.lane.resume(LOC, "c_1", actor="operator") == Resumed(silence="OPTED_OUT")
    assert (await world.says("hello?")).outcome == "SUPPRESSED"


async def test_pausing_by_an_operator_does_not_hide_that_the_person_asked(world):
    await world.replies("leave me alone", None, Pause())
    await world.lane.pause(LOC, "c_1", actor="operator")
    assert (await world.story())["pause_cause"] == "ASKED_TO_STOP"


@pytest.mark.parametrize("first", ["the person", "the brokerage"])
async def test_start_lifts_what_the_person_asked_for_and_leaves_the_pause_of_the_brokerage(world, first):
    await world.says("leave me alone")
    turn = await world.claim_one()
    if first == "the brokerage":
        await world.lane.pause(LOC, "c_1", actor="operator")
    await world.complete(turn, None, effects=(Pause(),))
    if first == "the person":
        await world.lane.pause(LOC, "c_1", actor="operator")
    assert (await world.story())["pause_cause"] == "ASKED_TO_STOP"
    await world.says_keyword(Keyword.START)
    assert (await world.story())["pause_cause"] == "OPERATOR"
    assert (await world.says("hello?")).outcome == "SUPPRESSED"
    assert await world.lane.resume(LOC, "c_1", actor="operator") == Resumed(silence=None)
    assert (await world.says("are you there?")).outcome == "WAITING"


async def test_resuming_lifts_both_pauses(world):
    await world.replies("leave me alone", None, Pause())
    await world.lane.pause(LOC, "c_1", actor="operator")
    assert await world.lane.resume(LOC, "c_1", actor="operator") == Resumed(silence=None)
    assert (await world.story())["pause_cause"] is None


async def test_nobody_can_be_paused_or_resumed_who_never_wrote(world):
    assert not await world.lane.pause(LOC, "c_x", actor="operator")
    assert await world.lane.resume(LOC, "c_x", actor="operator") is None


async def test_help_is_answered_even_after_stop(world):
    await world.says_keyword(Keyword.STOP)
    await world.says_keyword(Keyword.HELP)
    assert await world.delivers() == ["answer to STOP", "answer to HELP"]


async def test_do_not_disturb_stops_what_waits_and_what_is_queued(world):
    await world.replies(reply="a reply")
    await world.says("two")
    await world.happens(EventKind.DND, dnd=True)
    assert await world.delivers() == []
    assert await world.claim() == []
    await world.happens(EventKind.DND, dnd=False)
    assert (await world.says("three")).outcome == "WAITING"


async def test_event_that_is_silent_about_do_not_disturb_changes_nothing(world):
    await world.happens(EventKind.DND, dnd=True)
    await world.happens(EventKind.CONTACT_UPSERT, dnd=None)
    assert (await world.says()).outcome == "SUPPRESSED"


async def test_human_takeover_fences_an_open_turn(world):
    await world.says()
    turn = await world.claim_one()
    await world.open(turn)
    await world.happens(EventKind.HUMAN_MESSAGE, text="I will call you")
    assert await world.complete(turn, "a reply") is CompleteStatus.STALE
    assert await world.outcomes() == ["ESCALATED_HUMAN", "RECORDED"]
    assert await world.delivers() == []
    story = await world.story()
    assert (story["owner"], story["epoch"]) == ("human", turn.epoch + 1)


async def test_human_takeover_stops_a_queued_reply(world):
    await world.replies(reply="a reply")
    await world.happens(EventKind.HUMAN_MESSAGE, text="I will call you")
    assert await world.delivers() == []
    assert (await world.says("thanks")).outcome == "ESCALATED_HUMAN"
    assert await world.claim() == []


async def test_message_whose_reply_stays_in_when_a_human_takes_over_is_the_humans(world):
    await world.replies(reply="a reply")
    await world.happens(EventKind.HUMAN_MESSAGE, text="I will call you")
    assert (await world.outcomes())[0] == "ESCALATED_HUMAN"


async def test_message_whose_reply_was_on_its_way_when_a_human_took_over_is_the_humans_once_it_is_not_sent(world):
    await world.replies(reply="a reply")
    (delivery,) = await world.deliveries()
    await world.happens(EventKind.HUMAN_MESSAGE, text="I will call you")
    assert (await world.outcomes())[0] == "REPLIED"
    await world.lane.finish_delivery(delivery, DeliveryResult.SUPPRESSED, cause="HUMAN_TAKEOVER")
    assert (await world.outcomes())[0] == "ESCALATED_HUMAN"


async def test_message_whose_reply_was_of_an_epoch_that_is_over_is_the_humans_who_has_the_contact_by_then(world):
    await world.replies(reply="a reply")
    (delivery,) = await world.deliveries()
    await world.happens(EventKind.HUMAN_MESSAGE, text="I will call you")
    await world.lane.finish_delivery(delivery, DeliveryResult.SUPPRESSED, cause="STALE_EPOCH")
    assert (await world.outcomes())[0] == "ESCALATED_HUMAN"


async def test_message_of_an_epoch_that_is_over_is_not_answered_once_the_person_wants_no_texts(world):
    await world.replies(reply="a reply")
    (delivery,) = await world.deliveries()
    await world.says_keyword(Keyword.STOP)
    await world.lane.finish_delivery(delivery, DeliveryResult.SUPPRESSED, cause="STALE_EPOCH")
    await world.delivers()
    assert await world.claim() == []


async def test_second_message_of_the_human_changes_no_epoch(world):
    await world.says()
    await world.happens(EventKind.HUMAN_MESSAGE)
    before = (await world.story())["epoch"]
    await world.happens(EventKind.HUMAN_MESSAGE)
    assert (await world.story())["epoch"] == before


async def test_our_own_text_in_a_users_name_is_no_takeover(world):
    await world.replies(reply="a reply")
    (delivery,) = await world.deliveries()
    await world.happens(EventKind.HUMAN_MESSAGE, text="a reply", crm_message_id="crm_echo")
    await world.lane.finish_delivery(delivery, DeliveryResult.SENT, crm_message_id="crm_sent")
    await world.happens(EventKind.HUMAN_MESSAGE, text="whatever", crm_message_id="crm_sent")
    assert (await world.story())["owner"] == "lead"


# --- erasing -----------------------------------------------------------------------------------------------------


async def test_erased_contact_is_unknown_and_nothing_of_it_goes_out(world):
    await world.says("my secret")
    await world.complete(await world.claim_one(), "your secret", facts=(a_fact("area", "Ballard"),))
    erased = await world.erases()
    assert {name: erased.rows[name] for name in ("contact", "inbox", "turn", "fact", "outbox")} == {
        "contact": 1, "inbox": 1, "turn": 1, "fact": 1, "outbox": 1,
    }  # fmt: skip
    assert not erased.opt_out_kept
    assert await world.delivers() == []
    assert await world.lane.timeline(LOC, "c_1", limit=10, before=None) is None


async def test_contact_deleted_in_the_crm_is_erased_and_hears_nothing_more(world):
    await world.says("my secret")
    await world.happens(EventKind.CONTACT_DELETE)
    assert await world.lane.timeline(LOC, "c_1", limit=10, before=None) is None
    # It was on its way already.
    assert (await world.says("are you there?")).outcome == "SUPPRESSED"


async def test_contact_deleted_in_the_crm_that_never_opted_out_silences_no_other_of_its_address(world):
    await world.says("hello", address_hashes=("phone",))
    await world.happens(EventKind.CONTACT_DELETE)
    again = await world.says("hi", contact_id="c_2", contact_hash="hash of c_2", address_hashes=("phone",))
    assert again.outcome == "WAITING"


@pytest.mark.parametrize("how", ["erased here", "deleted in the CRM"])
async def test_turn_in_progress_cannot_write_an_erased_contact_anew(world, how):
    await world.says("my secret")
    turn = await world.claim_one()
    await (world.erases() if how == "erased here" else world.happens(EventKind.CONTACT_DELETE))
    assert await world.complete(turn, "your secret", facts=(a_fact("area", "Ballard"),)) is CompleteStatus.STALE
    assert (await world.open(turn)).status is OpenStatus.UNKNOWN_CONTACT
    assert not await world.lane.release(turn, cause="BOT_DOWN", wait=seconds(0))
    assert await world.lane.timeline(LOC, "c_1", limit=10, before=None) is None


async def test_turn_in_progress_at_an_erasure_cannot_write_into_the_contact_that_begins_anew(world):
    old = []
    for _ in range(3):
        await world.says("my secret")
        old.append(await world.claim_one())
        await world.erases()
    await world.says("me again")
    new = await world.claim_one()
    for turn in old:
        assert not await world.lane.release(turn, cause="BOT_DOWN", wait=seconds(0))
        assert (await world.open(turn)).status is OpenStatus.STALE
        assert await world.complete(turn, "your secret") is CompleteStatus.STALE
    assert await world.complete(new) is CompleteStatus.COMPLETED


async def test_delivery_under_way_finds_nothing_to_mark_after_an_erasure(world):
    await world.replies(reply="a reply")
    (delivery,) = await world.deliveries()
    await world.erases()
    assert not await world.lane.finish_delivery(delivery, DeliveryResult.SENT, crm_message_id="crm_1")


# --- what was read from the CRM, because its webhook may be lost ---------------------------------------------------


async def reads(world: World, text: str = "hello", *, crm_message_id: str = "crm_1", **changes: Any) -> Accepted:
    """Let the reconciliation bring a message, as old as it may be."""
    read: dict[str, Any] = {"source": "ghl-reconcile", "event_id": crm_message_id, "crm_message_id": crm_message_id}
    read |= {"late": False, "write_time": await written(world)} | changes
    return await world.says(text, **read)


async def written(world: World, ago: timedelta = timedelta(0)) -> datetime:
    """Return the store's own time, or some time before it."""
    return (await world.now()) - ago


@pytest.mark.parametrize("named", [True, False], ids=["with its id", "without"])
@pytest.mark.parametrize("first", ["webhook", "reconciliation"])
async def test_message_that_comes_both_ways_is_one(world, first, named):
    time = await written(world)
    webhook: dict[str, Any] = {
        "write_time": time,
        "crm_message_id": "crm_1" if named else None,
        "event_id": "webhook_1",
    }
    for _ in range(2):
        if first == "webhook":
            await world.says("hello  there", **webhook)
        await reads(world, "hello there", write_time=time)
        await world.says("hello  there", **webhook)
    assert await world.outcomes() == ["WAITING"]


async def test_webhook_without_time_or_id_is_the_message_that_was_read(world):
    await reads(world, write_time=await written(world, timedelta(minutes=30)))
    assert (await world.says(source="ghl-workflow")).duplicate
    assert not (await world.says(source="ghl-workflow")).duplicate, "the person wrote the same again"


async def test_same_words_written_twice_are_two_messages(world):
    """Goal: a lost message is not taken for an earlier one that the webhook did not name."""
    await world.says(write_time=await written(world, seconds(60)))
    assert (await reads(world, write_time=await written(world, seconds(60)))).duplicate
    assert not (await reads(world, crm_message_id="crm_2")).duplicate
    assert await world.outcomes() == ["WAITING", "WAITING"]


async def test_other_words_of_the_same_time_are_two_messages(world):
    time = await written(world)
    await world.says("yes", write_time=time)
    assert not (await reads(world, "no", write_time=time)).duplicate


async def test_both_ways_at_the_same_time_are_one(world):
    time = await written(world)
    for number in range(10):
        name = f"crm_{number}"
        contact: dict[str, Any] = {"contact_id": f"c_{number}", "write_time": time}
        answers = await asyncio.gather(
            reads(world, crm_message_id=name, **contact),
            world.says(crm_message_id=name if number % 2 else None, **contact),
        )
        assert sorted(answer.duplicate for answer in answers) == [False, True]


async def test_late_message_is_a_task_for_people_and_no_text(world):
    old = await written(world, timedelta(hours=2))
    assert (await reads(world, late=True, write_time=old)).outcome == "ESCALATED_HUMAN"
    await reads(world, "hello?", crm_message_id="crm_2", late=True, write_time=old)
    assert await world.claim() == []
    assert await world.texts() == [("TASK", "PENDING")], "one task a day, however many texts"
    assert [body["cause"] for body in await world.bodies("inbound")] == ["LATE", "LATE"]


async def test_message_older_than_what_is_answered_is_a_task(world):
    """Goal: "I want to sell", lost, must not follow "sorry, I meant buy", answered."""
    before = await written(world, seconds(60))
    await world.replies("sorry, I meant buy", write_time=await written(world))
    assert (await reads(world, "I want to sell", write_time=before)).outcome == "ESCALATED_HUMAN"


async def test_message_older_than_what_is_being_answered_is_a_task(world):
    before = await written(world, seconds(60))
    await world.says(write_time=await written(world))
    await world.claim_one()
    assert (await reads(world, "what came first", write_time=before)).outcome == "ESCALATED_HUMAN"


async def test_message_that_was_read_is_answered_in_the_order_of_writing(world):
    before = await written(world, seconds(60))
    await world.says("second", write_time=await written(world))
    await reads(world, "first", write_time=before)
    assert [message.text for message in (await world.claim_one()).messages] == ["first", "second"]


async def test_late_stop_is_obeyed_without_a_text(world):
    await reads(world, "STOP", keyword=Keyword.STOP, keyword_reply="bye", late=True)
    assert (await world.outcomes(), await world.texts()) == (["SUPPRESSED"], [])
    assert (await world.says("hello")).outcome == "SUPPRESSED"


@pytest.mark.parametrize("late", [True, False])
async def test_start_that_was_overtaken_by_stop_opts_nobody_in(world, late):
    before = await written(world, seconds(60))
    await world.says("STOP", keyword=Keyword.STOP, keyword_reply="bye", write_time=await written(world))
    start = await reads(world, "START", keyword=Keyword.START, keyword_reply="back", late=late, write_time=before)
    assert start.outcome == "SUPPRESSED"


async def test_stop_of_a_webhook_without_an_id_is_obeyed_though_the_same_was_read_before(world):
    stop = {"keyword": Keyword.STOP, "keyword_reply": "bye"}
    await reads(world, "STOP", **stop)
    await world.says_keyword(Keyword.START)
    await world.says("STOP", **stop)
    assert (await world.says("hello")).outcome == "SUPPRESSED"


async def test_stop_and_start_that_were_both_lost_are_heard_in_their_order(world):
    before = await written(world, seconds(60))
    await reads(world, "STOP", keyword=Keyword.STOP, keyword_reply="bye", write_time=before)
    start = await reads(world, "START", crm_message_id="crm_2", keyword=Keyword.START, keyword_reply="back")
    assert start.outcome == "REPLIED"


async def test_message_of_a_person_that_a_human_has_is_left_to_them(world):
    await world.happens(EventKind.HUMAN_MESSAGE, text="Hi, this is Dana")
    assert (await reads(world, late=True)).outcome == "ESCALATED_HUMAN"
    assert ([body["cause"] for body in await world.bodies("inbound")], await world.texts()) == ([None, "LATE"], [])


async def test_takeover_that_nobody_told_silences_the_bots(world):
    await world.says()
    await reads(world, "Hi, this is Dana", kind=EventKind.HUMAN_MESSAGE, late=True)
    assert await world.outcomes() == ["ESCALATED_HUMAN", "RECORDED"]


@pytest.mark.parametrize("named", [True, False], ids=["with its id", "without"])
async def test_message_from_before_an_erasure_does_not_come_back(world, named):
    time = await written(world)
    await world.says(write_time=time, crm_message_id="crm_1" if named else None)
    await world.erases()
    assert (await reads(world, write_time=time)).duplicate
    assert (await reads(world, crm_message_id="crm_2", write_time=time)).duplicate, "nor one that was never known"
    assert await world.lane.timeline(LOC, "c_1", limit=1, before=None) is None


async def test_stop_from_before_an_erasure_holds(world):
    time = await written(world)
    await world.says(write_time=time)
    await world.erases()
    await reads(world, "STOP", crm_message_id="crm_2", keyword=Keyword.STOP, keyword_reply="bye", write_time=time)
    await world.step(timedelta(minutes=6))
    assert (await world.says("hello again")).outcome == "SUPPRESSED"


async def test_events_of_an_erased_contact_that_come_again_are_known(world):
    await world.says("my secret", event_id="w_1", crm_message_id="in_1")
    await world.complete(await world.claim_one(), "a reply")
    (delivery,) = await world.deliveries()
    await world.lane.finish_delivery(delivery, DeliveryResult.SENT, crm_message_id="out_1")
    await world.erases()
    assert (await world.says("my secret", event_id="w_1")).duplicate
    assert (await world.says("my secret", crm_message_id="in_1")).duplicate
    assert (await world.happens(EventKind.MESSAGE_OUT, text="a reply", crm_message_id="out_1")).duplicate
    assert await world.lane.timeline(LOC, "c_1", limit=10, before=None) is None


async def test_erased_contact_that_writes_again_begins_anew(world):
    await world.says("hello")
    await world.erases()
    assert (await world.says("me again")).outcome == "WAITING"
    assert await world.outcomes() == ["WAITING"]


@pytest.mark.parametrize("known_by", [{"contact_id": "c_1"}, {"contact_id": "c_2", "address_hashes": ("phone",)}])
@pytest.mark.parametrize("silenced", ["STOP", "left alone", "do not disturb"])
async def test_opt_out_survives_an_erasure_under_contact_id_and_address(world, silenced, known_by):
    await world.says("hello", address_hashes=("phone", "mail"))
    match silenced:
        case "STOP":
            await world.says_keyword(Keyword.STOP)
        case "left alone":
            await world.complete(await world.claim_one(), None, effects=(Pause(),))
        case _:
            await world.happens(EventKind.DND, dnd=True)
    assert (await world.erases()).opt_out_kept
    again = await world.says("me again", contact_hash=f"hash of {known_by['contact_id']}", **known_by)
    assert again.outcome == "SUPPRESSED"


async def test_start_after_an_erasure_takes_the_opt_out_back_for_good(world):
    await world.says("hello", address_hashes=("phone",))
    await world.says_keyword(Keyword.STOP)
    await world.erases()
    await world.says_keyword(Keyword.START)
    # The phone is told only now: what was kept under it is older than START.
    assert (await world.says("me again", address_hashes=("phone",))).outcome == "WAITING"
    await world.erases()
    assert (await world.says("and again", address_hashes=("phone",))).outcome == "WAITING"


async def test_reply_to_somebody_of_unknown_address_is_screened_while_opt_outs_are_kept(world):
    await world.says("hello", address_hashes=("phone",))
    await world.says_keyword(Keyword.STOP)
    await world.delivers()
    await world.replies(contact_id="c_2", contact_hash="hash of c_2")
    await world.erases()
    (delivery,) = await world.deliveries()
    assert delivery.unscreened
    assert await world.lane.screen(LOC, "c_2", ["phone"]) == "OPTED_OUT"
    assert (await world.says("hi", contact_id="c_2")).outcome == "SUPPRESSED"


async def test_event_that_names_one_address_does_not_save_the_look_at_the_others(world):
    await world.says_keyword(Keyword.STOP)
    await world.erases()
    await world.replies(contact_id="c_2", contact_hash="hash of c_2", address_hashes=("mail",))
    assert [delivery.unscreened for delivery in await world.deliveries()] == [True]


async def test_opt_out_kept_at_an_erasure_silences_another_contact_of_the_same_address(world):
    other = {"contact_id": "c_2", "contact_hash": "hash of c_2"}
    await world.says("hello", address_hashes=("phone",))
    await world.says_keyword(Keyword.STOP)
    await world.delivers()
    await world.replies(**other, address_hashes=("phone",))
    await world.erases()
    assert await world.delivers() == []
    assert await world.lane.resume(LOC, "c_2", actor="operator") == Resumed(silence="OPTED_OUT")
    assert (await world.says("hi", **other)).outcome == "SUPPRESSED"
    assert (await world.story("c_2"))["opted_out"]
    await world.says("START", keyword=Keyword.START, keyword_reply="welcome", **other)
    assert (await world.says("hi", **other)).outcome == "WAITING"


async def test_start_outweighs_an_older_opt_out_that_is_kept_only_afterwards(world):
    other = {"contact_id": "c_2", "contact_hash": "hash of c_2"}
    await world.says("hello", address_hashes=("phone",))
    await world.says_keyword(Keyword.STOP)
    await world.says("STOP", keyword=Keyword.STOP, keyword_reply="bye", **other, address_hashes=("phone",))
    await world.says("START", keyword=Keyword.START, keyword_reply="welcome", **other)
    await world.erases()
    assert (await world.says("hi", **other)).outcome == "WAITING"


async def test_nobody_needs_screening_while_no_opt_out_is_kept(world):
    await world.replies(contact_id="c_2", contact_hash="hash of c_2")
    assert [delivery.unscreened for delivery in await world.deliveries()] == [False]


async def test_screened_contact_is_not_looked_up_again(world):
    await world.says_keyword(Keyword.STOP)
    await world.erases()
    await world.replies(contact_id="c_2", contact_hash="hash of c_2")
    assert await world.lane.screen(LOC, "c_2", []) is None
    await world.step(seconds(11))
    assert [delivery.unscreened for delivery in await world.deliveries()] == [False]


async def test_erasing_twice_gives_a_receipt_without_rows(world):
    await world.says("hello")
    await world.erases()
    assert not any((await world.erases()).rows.values())


async def test_erasure_stays_open_until_no_turn_can_be_under_way(world):
    await world.says("hello")
    erased = await world.erases()
    assert await world.lane.open_erasures(limit=10) == []
    await world.step(seconds(31))
    (found,) = await world.lane.open_erasures(limit=10)
    assert (found.erasure_id, found.contact_id) == (erased.erasure_id, "c_1")
    await world.lane.close_erasure(found)
    assert await world.lane.open_erasures(limit=10) == []


# --- what goes out -----------------------------------------------------------------------------------------------


async def test_texts_of_a_contact_go_out_in_order_one_at_a_time(world):
    await world.says_keyword(Keyword.HELP)
    await world.says_keyword(Keyword.STOP)
    (first,) = await world.deliveries()
    assert first.text == "answer to HELP"
    assert await world.deliveries() == []
    await world.lane.finish_delivery(first, DeliveryResult.SENT, crm_message_id="a")
    (second,) = await world.deliveries()
    assert second.text == "answer to STOP"


async def test_text_is_claimed_by_one(world):
    await world.replies()
    claimed = await asyncio.gather(*(world.deliveries() for _ in range(8)))
    assert sum(map(len, claimed)) == 1


async def test_claim_that_ran_out_must_be_looked_up_before_it_is_sent_again(world):
    await world.replies()
    (lost,) = await world.deliveries()
    assert not lost.needs_read_back
    await world.step(TEXT_LEASE + seconds(1))
    (again,) = await world.deliveries()
    assert (again.needs_read_back, again.attempts) == (True, 2)
    assert again.first_attempt_time == lost.first_attempt_time
    assert seconds(10) < again.claim_time - again.first_attempt_time < seconds(60)


async def test_claim_that_ran_out_can_no_longer_be_finished(world):
    await world.replies()
    (lost,) = await world.deliveries()
    await world.step(TEXT_LEASE + seconds(1))
    (current,) = await world.deliveries()
    assert not await world.lane.finish_delivery(lost, DeliveryResult.DEAD, cause="late")
    assert await world.lane.finish_delivery(current, DeliveryResult.SENT, crm_message_id="crm_1")
    assert await world.texts() == [("REPLY", "SENT")]


async def test_text_of_unknown_fate_is_looked_up_before_it_is_suppressed(world):
    await world.replies(reply="a reply")
    (delivery,) = await world.deliveries()
    await world.lane.finish_delivery(
        delivery, DeliveryResult.RETRY, cause="CRM_CUT", wait=seconds(0), needs_read_back=True
    )
    await world.says_keyword(Keyword.STOP)
    (again,) = await world.deliveries()
    assert (again.needs_read_back, again.suppress_cause) == (True, "OPTED_OUT")


async def test_retry_waits_as_long_as_it_was_told(world):
    await world.replies()
    (delivery,) = await world.deliveries()
    await world.lane.finish_delivery(delivery, DeliveryResult.RETRY, cause="CRM_429", wait=seconds(20))
    await world.step(seconds(15))
    assert await world.deliveries() == []
    await world.step(seconds(6))
    assert len(await world.deliveries()) == 1


async def test_reply_of_an_earlier_epoch_does_not_go_out(world):
    await world.replies(reply="a reply")
    (delivery,) = await world.deliveries()
    await world.happens(EventKind.HUMAN_MESSAGE, text="me")
    await world.lane.finish_delivery(delivery, DeliveryResult.RETRY, cause="CRM_429", wait=seconds(0))
    assert await world.deliveries() == []
    assert await world.texts() == [("REPLY", "SUPPRESSED")]


async def test_ids_of_earlier_texts_are_known_when_a_text_is_looked_up(world):
    await world.replies(reply="same words")
    await world.delivers()
    await world.replies(reply="same words")
    (delivery,) = await world.deliveries()
    assert len(delivery.known_crm_message_ids) == 1


async def test_crm_that_gives_one_id_twice_does_not_keep_the_second_text_open(world):
    await world.replies()
    (first,) = await world.deliveries()
    await world.lane.finish_delivery(first, DeliveryResult.SENT, crm_message_id="crm_same")
    await world.replies()
    (second,) = await world.deliveries()
    assert await world.lane.finish_delivery(second, DeliveryResult.SENT, crm_message_id="crm_same")
    assert await world.texts() == [("REPLY", "SENT"), ("REPLY", "SENT")]


async def test_text_goes_to_the_conversation_and_channel_it_answers(world):
    await world.says("hello", conversation_id="conv_1", channel="Live_Chat")
    await world.complete(await world.claim_one())
    (delivery,) = await world.deliveries()
    assert (delivery.conversation_id, delivery.channel) == ("conv_1", "Live_Chat")


# --- effects -----------------------------------------------------------------------------------------------------

A_NOTE = Note(text="wants to see it")
A_TASK = Task(title="Call", text="wants to see it", due_hours=2)


def scored(score: int) -> Fields:
    return Fields(values={"contact.porchlight_score": score, "contact.porchlight_grade": "warm"})


async def test_effects_go_out_after_the_reply_in_their_order(world):
    await world.replies("hello", "hi", A_TASK, scored(40), A_NOTE)
    assert [json.loads(text) if text != "hi" else text for text in await world.delivers()] == [
        "hi",
        {"title": "Call", "text": "wants to see it", "due_hours": 2},
        {"fields": {"contact.porchlight_score": 40, "contact.porchlight_grade": "warm"}},
        {"text": "wants to see it"},
    ]


async def test_effects_of_a_silent_turn_go_out(world):
    await world.replies("hello", None, A_NOTE)
    assert len(await world.delivers()) == 1


async def test_effects_of_a_stale_turn_are_not_written(world):
    await world.says()
    turn = await world.claim_one()
    await world.happens(EventKind.HUMAN_MESSAGE)
    assert await world.complete(turn, effects=(A_NOTE, scored(40))) is CompleteStatus.STALE
    assert [kind for kind, _ in await world.texts() if kind in ("REPLY", "FIELDS")] == []


async def test_effects_of_a_finished_turn_are_written_once(world):
    turn = await world.replies("hello", "hi", A_NOTE)
    assert await world.complete(turn, effects=(A_NOTE,)) is CompleteStatus.FINISHED
    assert await world.texts() == [("REPLY", "PENDING"), ("NOTE", "PENDING")]


async def test_only_fields_that_changed_go_out(world):
    await world.replies("hello", "hi", scored(40))
    await world.delivers()
    await world.replies("and?", "well", scored(40))
    assert await world.delivers() == ["well"]
    await world.replies("oh", "yes", scored(60))
    assert [json.loads(text) for text in (await world.delivers())[1:]] == [{"fields": {"contact.porchlight_score": 60}}]


@pytest.mark.parametrize(
    ("result", "cause"),
    [
        (DeliveryResult.DEAD, "CRM_400"),
        (DeliveryResult.DRY_RUN, None),
        (DeliveryResult.SUPPRESSED, "FIELDS_MISSING"),
        (DeliveryResult.SENT, "FIELDS_MISSING"),
    ],
)
async def test_fields_that_the_crm_did_not_take_go_out_again(world, result, cause):
    await world.replies("hello", None, scored(40))
    (delivery,) = await world.deliveries()
    await world.lane.finish_delivery(delivery, result, cause=cause)
    await world.replies("hello", None, scored(40))
    assert len(await world.deliveries()) == 1


@pytest.mark.parametrize(
    "happening",
    [EventKind.HUMAN_MESSAGE, EventKind.DND, "STOP"],
)
async def test_effect_goes_out_whatever_keeps_texts_back(world, happening):
    await world.replies("hello", "hi", A_NOTE)
    if happening == "STOP":
        await world.says_keyword(Keyword.STOP)
    else:
        await world.happens(happening, dnd=True)
    states = {kind: state for kind, state in await world.texts()}
    assert states["REPLY"] == "SUPPRESSED"
    sent = await world.delivers()
    assert json.dumps({"text": "wants to see it"}) in [json.dumps(json.loads(text)) for text in sent if text[0] == "{"]


async def test_effect_that_waits_holds_up_neither_the_next_turn_nor_its_reply(world):
    await world.replies("hello", "hi", A_NOTE)
    reply = (await world.deliveries())[0]
    await world.lane.finish_delivery(reply, DeliveryResult.SENT, crm_message_id="crm_1")
    (note,) = await world.deliveries()
    await world.lane.finish_delivery(note, DeliveryResult.RETRY, cause="CRM_503", wait=seconds(300))
    await world.replies("again", "yes", scored(40))
    assert [delivery.text for delivery in await world.deliveries()] == ["yes"]


async def test_effects_of_a_contact_keep_their_order_when_one_must_wait(world):
    await world.replies("hello", None, A_TASK, A_NOTE)
    (task,) = await world.deliveries()
    assert task.kind == "TASK"
    await world.lane.finish_delivery(task, DeliveryResult.RETRY, cause="CRM_503", wait=seconds(300))
    assert await world.deliveries() == []
    await world.step(seconds(301))
    assert [delivery.kind for delivery in await world.deliveries()] == ["TASK"]


async def test_every_effect_has_a_reference_of_its_own_that_stays(world):
    await world.replies("hello", None, A_TASK, A_NOTE)
    (task,) = await world.deliveries()
    await world.step(TEXT_LEASE + seconds(1))
    (again,) = await world.deliveries()
    assert (again.reference, again.needs_read_back) == (task.reference, True)
    await world.lane.finish_delivery(again, DeliveryResult.SENT, crm_message_id="task_1")
    (note,) = await world.deliveries()
    assert note.reference != task.reference


@pytest.mark.parametrize("result", [DeliveryResult.DEAD, DeliveryResult.AMBIGUOUS])
async def test_reply_that_never_left_is_made_known_to_the_brokerage(world, result):
    await world.replies()
    (reply,) = await world.deliveries()
    await world.lane.finish_delivery(reply, result, cause="CRM_NEVER_ANSWERED")
    (task,) = await world.deliveries()
    assert (task.kind, "CRM_NEVER_ANSWERED" in task.text) == ("TASK", True)
    await world.lane.finish_delivery(task, result, cause="TOO_OLD")
    assert await world.deliveries() == []


# --- what people look at -----------------------------------------------------------------------------------------


async def test_timeline_of_an_unknown_contact_is_none(world):
    assert await world.lane.timeline(LOC, "c_none", limit=10, before=None) is None


async def test_timeline_is_read_page_by_page_newest_first(world):
    for number in range(5):
        await world.says(str(number))
    whole = [event["body"]["body"] for event in (await world.story())["events"]]
    assert whole == ["4", "3", "2", "1", "0"]
    first = await world.lane.timeline(LOC, "c_1", limit=2, before=None)
    before = datetime.fromisoformat(first["events"][-1]["event_time"])
    rest = await world.lane.timeline(LOC, "c_1", limit=10, before=before)
    assert [event["body"]["body"] for event in rest["events"]] == ["2", "1", "0"]


async def test_lanes_that_wait_are_listed_longest_waiting_first(world):
    await world.says(contact_id="c_old")
    await world.says(contact_id="c_new")
    await world.says(contact_id="c_done")
    for turn in await world.claim():
        if turn.contact_id == "c_done":
            await world.complete(turn, None)
    lanes = await world.lane.lanes(limit=10, after=None)
    assert [lane["contact_id"] for lane in lanes] == ["c_old", "c_new"]
    after = (datetime.fromisoformat(lanes[0]["wait_time"]), "c_old")
    assert [lane["contact_id"] for lane in await world.lane.lanes(limit=10, after=after)] == ["c_new"]
    assert (lanes[0]["waiting_messages"], lanes[0]["waiting_deliveries"]) == (1, 0)
