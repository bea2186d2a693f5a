"""Texts reach the CRM once each, in order, whatever it does."""

import asyncio
import contextlib
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from kit.effects import Effect, Fields, Note, Task
from kit.lane import Delivery, DeliveryResult, EventKind, Keyword
from kit.pg.lane import PgLane
from kit.pg.listen import Doorbell
from kit.pg.pool import open_pool
from services.gateway.crm import MemoryCrm, SendResult, SendStatus, Text, execute_then_cut, refuse_for_good
from services.gateway.crm_calls import open_client
from services.gateway.crm_ghl import GhlCrm
from services.gateway.deliver import Deliverer, back_off_seconds
from services.gateway.effects import parcel_of
from tests.support.gateway import ADDRESSES, LOC, TOKEN, running, running_crm, says, shift_clock
from tests.support.look import rows, until

TEXTS = "select body, state, cause, attempts, crm_message_id, needs_read_back from porchlight.outbox order by outbox_id"
STEP = timedelta(seconds=40)


@pytest.fixture
async def lane(database):
    pool = await open_pool(database.admin_url, name="test")
    yield PgLane(pool)
    await pool.close()


@pytest.fixture
async def bell(database):
    async with Doorbell(database.url("gateway"), "porchlight_outbox", sweep=0.05) as opened:
        yield opened


@pytest.fixture
async def stand_in(tmp_path):
    async with running_crm(tmp_path) as opened:
        yield opened


@pytest.fixture
async def crm(stand_in):
    async with open_client(str(stand_in.client.base_url), connections=8) as client:
        yield GhlCrm(client, token=TOKEN, monotonic=time.monotonic, call_seconds=1.0)


@pytest.fixture
def texts(database):
    async def read() -> list[dict[str, Any]]:
        return await rows(database.admin_url, TEXTS)

    return read


@pytest.fixture
def states(texts):
    async def read() -> list[str]:
        return [text["state"] for text in await texts()]

    return read


@pytest.fixture
def settled(texts):
    async def read() -> bool:
        return all(text["state"] not in ("PENDING", "CLAIMED") for text in await texts())

    return read


@pytest.fixture
def over_time(database, settled):
    """Move the database's clock on until every text is done with."""

    async def run() -> None:
        async with asyncio.timeout(60):
            while not await settled():
                await shift_clock(database.admin_url, STEP)
                with contextlib.suppress(TimeoutError):
                    await until(settled, seconds=0.3)

    return run


async def reply(lane: PgLane, contact_id: str, words: str | None, *effects: Effect) -> None:
    """Let a bot answer a message; the contact has no text waiting."""
    await says(lane, contact_id)
    turns = await lane.claim(limit=100, lease=timedelta(seconds=25), messages_most=20, attempts_most=3)
    (turn,) = [turn for turn in turns if turn.contact_id == contact_id]
    await lane.complete_turn(
        turn.bot,
        LOC,
        contact_id,
        epoch=turn.epoch,
        turn_no=turn.turn_no,
        reply=words,
        facts=(),
        record={},
        effects=effects,
    )


def deliverer(lane, crm, bell, *, live: bool = True, most: int = 8) -> Deliverer:
    return Deliverer(lane, crm, bell, ADDRESSES, live=live, most=most)


async def test_reply_reaches_the_person_and_is_marked_with_the_crms_id(lane, crm, bell, stand_in, texts, settled):
    await reply(lane, await stand_in.contact(), "hi there")
    async with running(deliverer(lane, crm, bell)):
        await until(settled)
    (text,) = await texts()
    assert (text["state"], await stand_in.sent()) == ("SENT", ["hi there"])
    assert text["crm_message_id"]


async def test_dry_run_sends_nothing_and_says_so(lane, crm, bell, stand_in, states, settled):
    await reply(lane, await stand_in.contact(), "hi there")
    async with running(deliverer(lane, crm, bell, live=False)):
        await until(settled)
    assert (await states(), await stand_in.sent()) == (["DRY_RUN"], [])


@pytest.mark.parametrize("fault", ["503_not_executed", "executed_then_cut", "429"])
async def test_fault_of_the_crm_neither_loses_nor_doubles_a_text(
    lane, crm, bell, stand_in, texts, database, over_time, fault
):
    await stand_in.fault(fault, next=1)
    await reply(lane, await stand_in.contact(), "hi there")
    async with running(deliverer(lane, crm, bell)):
        await until(lambda: _tried(texts))
        assert (await texts())[0]["needs_read_back"] == (fault != "429")
        await over_time()
    (text,) = await texts()
    assert (text["state"], await stand_in.sent()) == ("SENT", ["hi there"])


async def _tried(texts) -> bool:
    return all(text["attempts"] > 0 and text["state"] != "CLAIMED" for text in await texts())


async def test_text_that_lands_after_we_stopped_waiting_is_not_sent_again(lane, crm, bell, stand_in, texts, over_time):
    await stand_in.fault("late", next=1, value=1.5)
    await reply(lane, await stand_in.contact(), "hi there")
    async with running(deliverer(lane, crm, bell)):
        await until(lambda: _tried(texts))
        assert (await texts())[0]["cause"] == "CRM_TIMEOUT"
        await until(lambda: _arrived(stand_in))
        await over_time()
    (text,) = await texts()
    assert (text["state"], text["cause"], await stand_in.sent()) == ("SENT", "FOUND_IN_CRM", ["hi there"])


async def _arrived(stand_in) -> bool:
    return bool(await stand_in.sent())


async def test_text_of_unknown_fate_is_not_sent_again_before_a_lease_has_passed(
    lane, crm, bell, stand_in, texts, database
):
    await stand_in.fault("503_not_executed", next=1)
    await reply(lane, await stand_in.contact(), "hi there")
    async with running(deliverer(lane, crm, bell)):
        await until(lambda: _tried(texts))
        await shift_clock(database.admin_url, timedelta(seconds=5))
        await asyncio.sleep(0.2)  # several sweeps, in which it could go wrong
        assert await stand_in.sent() == []
        await shift_clock(database.admin_url, timedelta(seconds=6))
        await until(lambda: _arrived(stand_in))


async def test_many_texts_through_a_faulty_crm_arrive_once_each_in_order(
    lane, crm, bell, stand_in, states, settled, over_time
):
    await stand_in.fault("503_not_executed", probability=0.2)
    await stand_in.fault("executed_then_cut", probability=0.25)
    await stand_in.fault("429", probability=0.1)
    contacts = [await stand_in.contact() for _ in range(8)]
    expected = {contact: [] for contact in contacts}
    async with running(deliverer(lane, crm, bell)):
        for turn in range(4):
            for contact in contacts:
                words = f"{contacts.index(contact)}: {turn}"
                expected[contact].append(words)
                await reply(lane, contact, words)
            await over_time()
    assert set(await states()) == {"SENT"}
    sent = await stand_in.sent()
    for number, contact in enumerate(contacts):
        assert [words for words in sent if words.startswith(f"{number}: ")] == expected[contact]
    assert len(sent) == 32


async def test_sender_that_died_after_the_crm_took_the_text_leaves_one_text(
    lane, crm, bell, stand_in, texts, database, over_time
):
    contact_id = await stand_in.contact()
    await reply(lane, contact_id, "hi there")
    (claimed,) = await lane.claim_deliveries(limit=1, lease=timedelta(seconds=10))
    await crm.send(_text(claimed))  # ... and here the process dies.
    async with running(deliverer(lane, crm, bell)):
        await over_time()
    (text,) = await texts()
    assert (text["state"], text["cause"], await stand_in.sent()) == ("SENT", "FOUND_IN_CRM", ["hi there"])


async def test_sender_that_died_before_the_crm_took_the_text_leaves_one_text(lane, crm, bell, stand_in, over_time):
    await reply(lane, await stand_in.contact(), "hi there")
    await lane.claim_deliveries(limit=1, lease=timedelta(seconds=10))
    async with running(deliverer(lane, crm, bell)):
        await over_time()
    assert await stand_in.sent() == ["hi there"]


async def test_same_words_twice_are_sent_twice(lane, crm, bell, stand_in, over_time):
    contact_id = await stand_in.contact()
    async with running(deliverer(lane, crm, bell)):
        await reply(lane, contact_id, "which area?")
        await over_time()
        await stand_in.fault("503_not_executed", next=1)
        await reply(lane, contact_id, "which area?")
        await over_time()
    assert await stand_in.sent() == ["which area?", "which area?"]


def _text(delivery: Delivery):
    return Text(tenant_id=LOC, contact_id=delivery.contact_id, channel="SMS", text=delivery.text)


async def test_refused_text_is_dead_with_its_cause_and_the_next_goes_on(lane, crm, bell, stand_in, texts, over_time):
    async with running(deliverer(lane, crm, bell)):
        await reply(lane, "nobody_the_crm_knows", "hi there")
        await over_time()
        await reply(lane, await stand_in.contact(), "hello")
        await over_time()
    # The task that tells of it is refused too: the CRM knows nobody of that id.
    fates = [(text["state"], text["cause"]) for text in await texts()]
    assert fates == [("DEAD", "CRM_400"), ("DEAD", "CRM_404"), ("SENT", None)]


async def test_text_the_crm_never_takes_is_dead_after_a_day(lane, bell, texts, database):
    crm = MemoryCrm(reachable=False)
    await reply(lane, "c_1", "hi there")
    async with running(deliverer(lane, crm, bell)):
        await until(lambda: _tried(texts))
    # The day passes between two attempts: in the middle of one its lease would end, and the text might be out.
    await shift_clock(database.admin_url, timedelta(hours=25))
    async with running(deliverer(lane, crm, bell)):
        await until(lambda: _first_ended(texts))
    text, task = await texts()
    assert (text["state"], text["cause"], "TOO_OLD" in task["body"]) == ("DEAD", "TOO_OLD", True)


async def test_text_whose_fate_can_never_be_asked_is_left_to_a_person(lane, bell, texts, database):
    crm = MemoryCrm()
    crm.faults.append(execute_then_cut)
    await reply(lane, "c_1", "hi there")
    async with running(deliverer(lane, crm, bell)):
        await until(lambda: _tried(texts))
        crm.reachable = False
        await shift_clock(database.admin_url, timedelta(hours=25))
        await until(lambda: _first_ended(texts))
    text, task = await texts()
    assert (text["state"], len(crm.texts)) == ("AMBIGUOUS", 1)
    assert "may or may not have been sent" in task["body"]


async def _first_ended(texts) -> bool:
    return (await texts())[0]["state"] not in ("PENDING", "CLAIMED")


async def test_text_of_unknown_fate_is_not_sent_again_after_stop(lane, bell, texts, over_time):
    crm = MemoryCrm()
    crm.faults.append(lambda *_: execute_nothing())
    await reply(lane, "c_1", "hi there")
    async with running(deliverer(lane, crm, bell)):
        await until(lambda: _tried(texts))
        await says(lane, "c_1", "STOP", keyword=Keyword.STOP, keyword_reply="you are opted out")
        await over_time()
    assert [text["state"] for text in await texts()] == ["SUPPRESSED", "SENT"]
    assert [text.text for _, text, _ in crm.texts] == ["you are opted out"]


def execute_nothing():
    return SendResult(status=SendStatus.UNKNOWN, cause="CRM_503")


async def test_human_who_writes_first_keeps_a_queued_reply_from_going_out(lane, crm, bell, stand_in, states, settled):
    contact_id = await stand_in.contact()
    await reply(lane, contact_id, "hi there")
    await says(lane, contact_id, "I will call you", kind=EventKind.HUMAN_MESSAGE)
    async with running(deliverer(lane, crm, bell)):
        await until(settled)
    assert (await states(), await stand_in.sent()) == (["SUPPRESSED"], [])


async def test_text_of_a_kind_without_rules_is_not_sent(lane, crm, bell, stand_in, texts, database, settled):
    await reply(lane, await stand_in.contact(), "buy now")
    await rows(database.admin_url, "update porchlight.outbox set kind = 'FOLLOW_UP'")
    async with running(deliverer(lane, crm, bell)):
        await until(settled)
    (text,) = await texts()
    assert (text["state"], text["cause"], await stand_in.sent()) == ("DEAD", "UNKNOWN_KIND", [])


@pytest.mark.parametrize(
    ("words", "cause"),
    [("Hi {first_name}!", "PLACEHOLDER"), ("x" * 613, "TOO_LONG"), ("pay\u200bment", "CONTROL_CHARACTER")],
)
async def test_text_that_no_gate_would_let_through_is_not_sent(lane, crm, bell, stand_in, texts, settled, words, cause):
    await reply(lane, await stand_in.contact(), words)
    async with running(deliverer(lane, crm, bell)):
        await until(settled)
    text, _task = await texts()
    assert (text["state"], text["cause"], await stand_in.sent()) == ("DEAD", cause, [])


async def test_two_deliverers_send_no_text_twice(lane, crm, bell, stand_in, settled):
    for number in range(12):
        await reply(lane, await stand_in.contact(), f"text {number}")
    async with running(*(deliverer(lane, crm, bell, most=4) for _ in range(2))):
        await until(settled)
    assert sorted(await stand_in.sent()) == sorted(f"text {number}" for number in range(12))


async def test_lost_token_is_waited_for(lane, bell, stand_in, texts):
    async with open_client(str(stand_in.client.base_url), connections=2) as client:
        await reply(lane, await stand_in.contact(), "hi there")
        async with running(deliverer(lane, GhlCrm(client, token="old", monotonic=time.monotonic), bell)):
            await until(lambda: _tried(texts))
    (text,) = await texts()
    assert (text["state"], text["cause"], text["needs_read_back"]) == ("PENDING", "CRM_401", False)


async def test_mark_that_fails_leaves_the_text_to_be_looked_up(lane, crm, bell, stand_in, texts, over_time):
    await reply(lane, await stand_in.contact(), "hi there")

    class Forgetful:
        claim_deliveries = lane.claim_deliveries
        failures = 1

        async def finish_delivery(self, *arguments: Any, **keywords: Any) -> bool:
            if self.failures and arguments[1] is DeliveryResult.SENT:
                self.failures -= 1
                raise RuntimeError("the store is gone")
            return await lane.finish_delivery(*arguments, **keywords)

    async with running(deliverer(Forgetful(), crm, bell)):
        await over_time()
    (text,) = await texts()
    assert (text["cause"], await stand_in.sent()) == ("FOUND_IN_CRM", ["hi there"])


# --- notes, tasks and custom fields ------------------------------------------------------------------------------

A_NOTE = Note(text="asked for a tour")
A_TASK = Task(title="Call", text="asked for a tour", due_hours=2)
SCORED = Fields(values={"contact.porchlight_score": 40})


async def test_effects_reach_the_crm_with_their_reference(lane, crm, bell, stand_in, texts, settled):
    contact_id = await stand_in.contact()
    await reply(lane, contact_id, "hi there", A_NOTE, A_TASK, SCORED)
    async with running(deliverer(lane, crm, bell)):
        await until(settled)
    log = await stand_in.log()
    assert {text["state"] for text in await texts()} == {"SENT"}
    assert [note["body"].partition("\n")[0] for note in log["notes"]] == ["asked for a tour"]
    (task,) = log["tasks"]
    assert (task["title"], task["completed"], "Porchlight reference" in task["body"]) == ("Call", False, True)
    assert timedelta(hours=1) < datetime.fromisoformat(task["dueDate"]) - datetime.now(UTC) < timedelta(hours=3)
    assert log["fields"][contact_id] == {"contact.porchlight_score": 40}


async def test_effects_of_a_dry_run_are_stored_and_not_sent(lane, crm, bell, stand_in, states, settled):
    await reply(lane, await stand_in.contact(), "hi there", A_NOTE, A_TASK, SCORED)
    async with running(deliverer(lane, crm, bell, live=False)):
        await until(settled)
    log = await stand_in.log()
    assert (await states(), log["notes"], log["tasks"]) == (["DRY_RUN"] * 4, [], [])


async def test_many_effects_through_a_faulty_crm_arrive_once_each(lane, crm, bell, stand_in, states, over_time):
    await stand_in.fault("entry_503_not_executed", probability=0.2)
    await stand_in.fault("entry_executed_then_cut", probability=0.25)
    await stand_in.fault("entry_429", probability=0.1)
    contacts = [await stand_in.contact() for _ in range(6)]
    async with running(deliverer(lane, crm, bell)):
        for turn in range(3):
            for contact in contacts:
                words = f"{contacts.index(contact)}: {turn}"
                scored = Fields(values={"contact.porchlight_score": turn})
                await reply(lane, contact, None, Note(text=words), Task(title=words, text="x"), scored)
            await over_time()
    log = await stand_in.log()
    expected = [f"{contact}: {turn}" for contact in range(6) for turn in range(3)]
    assert sorted(note["body"].partition("\n")[0] for note in log["notes"]) == expected
    assert sorted(task["title"] for task in log["tasks"]) == expected
    assert set(await states()) == {"SENT"}
    assert all(fields == {"contact.porchlight_score": 2} for fields in log["fields"].values())


async def test_sender_that_died_after_the_crm_took_a_note_leaves_one_note(lane, crm, bell, stand_in, texts, over_time):
    await reply(lane, await stand_in.contact(), None, A_NOTE)
    (claimed,) = await lane.claim_deliveries(limit=1, lease=timedelta(seconds=10))
    await crm.create_note(parcel_of(claimed))  # ... and here the process dies.
    async with running(deliverer(lane, crm, bell)):
        await over_time()
    (text,) = await texts()
    assert (text["cause"], len((await stand_in.log())["notes"])) == ("FOUND_IN_CRM", 1)


async def test_same_note_twice_is_written_twice(lane, crm, bell, stand_in, over_time):
    await stand_in.fault("entry_executed_then_cut", next=1)
    await reply(lane, await stand_in.contact(), None, A_NOTE, A_NOTE)
    async with running(deliverer(lane, crm, bell)):
        await over_time()
    assert len((await stand_in.log())["notes"]) == 2


async def test_reply_that_the_crm_refused_leaves_a_task(lane, bell, texts, over_time):
    crm = MemoryCrm()
    crm.faults.append(refuse_for_good)
    await reply(lane, "c_1", "hi there")
    async with running(deliverer(lane, crm, bell)):
        await over_time()
    assert [text["state"] for text in await texts()] == ["DEAD", "SENT"]
    assert "was not sent (CRM_422)" in crm.entries[0][1].text


async def test_effect_that_cannot_be_read_is_dead(lane, crm, bell, stand_in, texts, database, settled):
    await reply(lane, await stand_in.contact(), None, A_NOTE)
    await rows(database.admin_url, "update porchlight.outbox set body = '{}'")
    async with running(deliverer(lane, crm, bell)):
        await until(settled)
    (text,) = await texts()
    assert (text["state"], text["cause"]) == ("DEAD", "UNREADABLE")


def test_back_off_grows_to_five_minutes_and_stays():
    waits = [back_off_seconds(attempts) for attempts in range(1, 200)]
    assert waits == sorted(waits) and (waits[0], waits[-1]) == (1.0, 300.0)
