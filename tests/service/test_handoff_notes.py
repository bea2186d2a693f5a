"""People of the brokerage are told why a contact was moved, and nothing that was confided."""

import json
from datetime import timedelta
from typing import Any

import pytest

from kit.lane import EventKind, Fact
from kit.pg.lane import PgLane
from kit.pg.pool import open_pool
from services.gateway.effects import note_text, words_of
from tests.support.gateway import LOC, says
from tests.support.look import rows

CONFIDED = "getting divorced"


@pytest.fixture
async def desk(database):
    pool = await open_pool(database.admin_url, name="test")
    lane = PgLane(pool)
    await says(lane, "c_1")
    (turn,) = await lane.claim(limit=1, lease=timedelta(seconds=25), messages_most=20, attempts_most=3)
    facts = [
        Fact(name="address_area", value="Ballard", extractor="rules", confidence=0.9),
        Fact(name="motivation", value=CONFIDED, extractor="rules", confidence=0.9, private_to="seller"),
        # The policy calls this one private as well, whoever stored it.
        Fact(name="price_expectation_usd", value=612_345, extractor="rules", confidence=0.9),
    ]
    await lane.complete_turn(
        "lead", LOC, "c_1", epoch=turn.epoch, turn_no=turn.turn_no, reply=None, facts=facts, record={}
    )
    yield database
    await pool.close()


async def record(database, *, target: str, state: str, **more: Any) -> None:
    values = {"handoff_id": "h_1", "tenant_id": LOC, "contact_id": "c_1", "request_id": "r_1", "request_digest": "d",
              "actor": "lead", "source_bot": "lead", "target_bot": target, "state": state, "verdicts": "[]",
              "confidence": 0.9, "summary": "The contact wants to sell a home. Known: address_area: Ballard.",
              "policy_version": 1, "source_epoch": 1, "epoch": 2, "kind": "ESCALATION" if target == "human" else "HANDOFF", "reason": "", "person": "",
              "decide_time": "2026-11-27 09:00+00"} | more  # fmt: skip
    names = ", ".join(values)
    await rows(
        database.admin_url,
        f"insert into porchlight.handoff ({names}) select {names}"
        " from jsonb_populate_record(null::porchlight.handoff, $1::jsonb)",
        values | {"verdicts": []},
    )


async def put_out(database) -> list[tuple[str, str]]:
    found = await rows(database.admin_url, "select kind, body from porchlight.outbox order by outbox_id")
    return [(row["kind"], row["body"]) for row in found]


async def test_accepted_handoff_puts_a_note_out_with_what_anybody_may_know(desk):
    await record(desk, target="seller", state="OFFERED")
    assert await put_out(desk) == []
    await rows(desk.admin_url, "update porchlight.handoff set state = 'ACCEPTED'")
    await rows(desk.admin_url, "update porchlight.handoff set state = 'COMPLETED'")
    ((kind, body),) = await put_out(desk)
    assert (kind, words_of(kind, body)) == (
        "NOTE",
        "Moved from the lead bot to the seller bot. The contact wants to sell a home. Known: address area: Ballard.",
    )
    assert CONFIDED not in body and "612" not in body


async def test_refused_handoff_puts_nothing_out(desk):
    await record(desk, target="seller", state="DENIED")
    assert await put_out(desk) == []


async def test_user_who_takes_a_contact_from_the_crm_is_told_nothing(desk):
    pool = await open_pool(desk.admin_url, name="test")
    await says(PgLane(pool), "c_1", "I will call you", kind=EventKind.HUMAN_MESSAGE)
    await pool.close()
    assert await put_out(desk) == []


async def test_contact_that_a_person_gives_back_puts_nothing_out(desk):
    await record(desk, target="lead", state="ACCEPTED", kind="RETURN")
    assert await put_out(desk) == []


async def test_contact_that_a_bot_gives_to_a_person_gets_a_note_and_a_task(desk):
    await record(desk, target="human", state="ACCEPTED")
    (_, note), (kind, task) = await put_out(desk)
    assert note_text(json.loads(note)).startswith("Needs a person of the brokerage.")
    assert (kind, json.loads(task)["due_hours"]) == ("TASK", 4)
    assert CONFIDED not in note + task and "612" not in note + task


def test_note_says_money_areas_and_counts_in_words():
    facts = {"price_max_usd": 500_000, "area_sqft": 1_500, "bathrooms_min_quarters": 10, "has_agent": False}
    handoff = {"source_bot": "buyer", "target_bot": "human", "reason": "ASKED_FOR_HUMAN", "facts": facts}
    assert note_text({"handoff": handoff | {"open_question": "Which street?"}}) == (
        "Needs a person of the brokerage (asked for human). Known: price max: $500,000; area: 1,500 sq ft;"
        " bathrooms min: 2.5; has agent: no. Not answered yet: Which street?"
    )
