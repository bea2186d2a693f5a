"""Stories of whole conversations, through real processes, real gRPC, Postgres, Valkey and the SDK."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from porchlight.contact.v1 import contact_service_pb2 as pb

from tests.support.system import TENANT, System, until

pytestmark = pytest.mark.asyncio(loop_scope="session")

BEYOND_STUDENTS = "see www.tortoises.example"
"""A value that no answer names, and no seed holds: a student keeps quiet about such a text."""


async def replies(system: System, contact_id: str, count: int) -> list[str]:
    async def enough() -> list[str] | None:
        got = await system.replies(contact_id)
        return got if len(got) >= count else None

    return await until(f"{count} replies", enough)


def events(timeline: pb.GetTimelineResponse, kind: str) -> list:  # type: ignore[type-arg]
    """Events of a kind, oldest first."""
    return [getattr(entry, kind) for entry in reversed(timeline.entries) if entry.WhichOneof("event") == kind]


def texts_of(timeline: pb.GetTimelineResponse) -> list:  # type: ignore[type-arg]
    """What the person wrote, oldest first."""
    return [each for each in events(timeline, "inbound") if each.kind == "MESSAGE_IN"]


async def test_first_text_is_answered_with_who_is_speaking_and_how_to_stop(system: System) -> None:
    contact = await system.contact("Ana", "(206) 555-0101")
    await system.text(contact, "hi")
    (reply,) = await replies(system, contact, 1)
    assert "automated" in reply
    assert "STOP" in reply
    assert (await system.timeline(contact)).owner == "lead"


async def test_lead_who_wants_to_sell_reaches_the_seller_bot_and_a_correction_goes_back(system: System) -> None:
    """Goal: the issue's story. Method: text it, and read the timeline that the phone page shows."""
    contact = await system.contact("Ben", "(206) 555-0102")
    await system.text(contact, "I need to sell my house ASAP")
    (opening,) = await replies(system, contact, 1)
    timeline = await system.timeline(contact)
    (moved,) = events(timeline, "handoff")
    assert (timeline.owner, moved.source_bot, moved.target_bot) == ("seller", "lead", "seller")
    assert [verdict.outcome for verdict in moved.verdicts] == ["PASS"] * 8
    assert "buy or sell" not in opening.lower()

    await system.text(contact, "sorry, I meant I want to buy")
    _, answer = await replies(system, contact, 2)
    timeline = await system.timeline(contact)
    back = events(timeline, "handoff")[-1]
    assert (timeline.owner, back.source_bot, back.target_bot) == ("lead", "seller", "lead")
    assert {verdict.rule: verdict.outcome for verdict in back.verdicts}["cycle"] == "OVERRIDDEN"
    assert back.override_message_id == texts_of(timeline)[-1].message_id
    assert {fact.name: fact.text_value for fact in timeline.facts}["intent"] == "buy"
    assert "buy or sell" not in answer.lower()


async def test_buyer_sees_three_sample_homes_asks_about_one_and_hears_what_comes_before_a_tour(system: System) -> None:
    """Goal: the buyer's story over all processes, with the sample that `up` loads. Method: text it."""
    contact = await system.contact("Ivy", "(206) 555-0109")
    await system.text(contact, "I want to buy a 3 bedroom home in Ballard, up to 750k")
    (matches,) = await replies(system, contact, 1)
    assert "Sample data as of May 2015. 6 listings fit your price, bedrooms and area" in matches
    assert "1) KC-98117-4, ZIP 98117: $585,000, 3 bd" in matches
    assert (await system.timeline(contact)).owner == "buyer"
    await system.text(contact, "does the second one have a view?")
    _, answer = await replies(system, contact, 2)
    second = matches.split(" 2) ")[1].split(",")[0]
    assert f"{second}: the record lists no view." in answer
    await system.text(contact, "can I see it?")
    *_, tour = await replies(system, contact, 3)
    assert f"you would like to see {second}" in tour
    assert "buyer agreement" in tour
    assert "I have booked nothing." in tour

    async def told() -> tuple[str, str, dict[str, Any]] | None:
        log = (await system.http.get(f"{system.phone_page}/control/log")).json()
        note, task = ([each for each in log[name] if each["contactId"] == contact] for name in ("notes", "tasks"))
        fields = log["fields"][contact]
        ready = len(note) == len(task) == 1 and "contact.porchlight_score" in fields
        return (note[0]["body"], task[0]["title"], fields) if ready else None

    note, task, fields = await until("the brokerage is told", told)
    assert note.startswith("Moved from the lead bot to the buyer bot. The contact wants to buy a home. Known: ")
    assert task == f"Wants to see {second}"
    assert (fields["contact.porchlight_grade"], fields["contact.porchlight_area"]) == ("warm", "Ballard")


async def test_person_who_wants_to_be_left_alone_hears_nothing_until_they_text_start(system: System) -> None:
    contact = await system.contact("Gil", "(206) 555-0110")
    await system.text(contact, "hi")
    await replies(system, contact, 1)
    await system.text(contact, "you people never listen. leave me alone with this")

    async def paused() -> bool:
        return (await system.timeline(contact)).pause_cause == pb.PAUSE_CAUSE_ASKED_TO_STOP

    await until("the contact is paused", paused)
    await system.text(contact, "and another thing")

    async def stored() -> bool:
        return len(texts_of(await system.timeline(contact))) == 3

    await until("the text is stored, as the CRM sends in no order", stored)
    await system.text(contact, "START")
    _, back = await replies(system, contact, 2)
    assert [each.outcome for each in texts_of(await system.timeline(contact))] == [
        "REPLIED", "SUPPRESSED", "SUPPRESSED", "REPLIED",
    ]  # fmt: skip
    assert "STOP" in back


async def test_every_message_says_what_became_of_it_and_what_it_cost(system: System) -> None:
    contact = await system.contact("Cleo", "(206) 555-0103")
    # Words of her own: what others said too would be answered from what is stored, or by the student.
    await system.text(
        contact, f"Looking to purchase property in Ballard, with space for my tortoise, {BEYOND_STUDENTS}"
    )
    await replies(system, contact, 1)
    timeline = await system.timeline(contact)
    assert [each.outcome for each in texts_of(timeline)] == ["REPLIED"]
    turns = events(timeline, "turn")
    assert [turn.state for turn in turns] == ["HANDED_OFF", "REPLIED"]
    assert {turn.cache_tier for turn in turns} == {"UPSTREAM"}
    assert all(turn.cost_microusd > 0 and "@" in turn.extractor for turn in turns)
    assert [each.state for each in events(timeline, "outbound") if each.kind == "REPLY"] == ["SENT"]


async def test_burst_of_texts_gets_fewer_replies_than_texts(system: System) -> None:
    contact = await system.contact("Dee", "(206) 555-0104")
    # At once and many: a slow machine takes longer between two of them than the bot waits for the next.
    burst = ("hello", "are you there", "anybody?", "I have a question", "please", "hello??")
    await asyncio.gather(*(system.text(contact, words) for words in burst))
    await replies(system, contact, 1)

    async def settled() -> bool:
        arrived = texts_of(await system.timeline(contact))
        return len(arrived) == len(burst) and all(each.outcome != "WAITING" for each in arrived)

    await until("every message has its outcome", settled)
    assert len(await system.replies(contact)) < len(burst)


async def test_stop_is_confirmed_once_and_then_nothing_goes_out_until_start(system: System) -> None:
    contact = await system.contact("Eli", "(206) 555-0105")
    await system.text(contact, "STOP!!")
    (confirmation,) = await replies(system, contact, 1)
    assert "START" in confirmation
    await system.text(contact, "stop")
    await system.text(contact, "I want to buy a house")

    async def suppressed() -> bool:
        return [each.outcome for each in texts_of(await system.timeline(contact))] == ["SUPPRESSED"] * 3

    await until("all three are suppressed", suppressed)
    assert len(await system.replies(contact)) == 1
    await system.text(contact, "START")
    await replies(system, contact, 2)


async def test_bots_fall_silent_when_a_human_of_the_brokerage_writes(system: System) -> None:
    contact = await system.contact("Fay", "(206) 555-0106")
    await system.text(contact, "hi")
    await replies(system, contact, 1)
    answer = await system.http.post(
        f"{system.phone_page}/phone/contacts/{contact}/agent", json={"text": "Hi, this is Dana, I will help you."}
    )
    assert answer.status_code == 201

    async def human() -> bool:
        return (await system.timeline(contact)).owner == "human"

    await until("a human owns the contact", human)
    await system.text(contact, "great, I want to sell")

    async def left_to_the_human() -> bool:
        return texts_of(await system.timeline(contact))[-1].outcome == "ESCALATED_HUMAN"

    await until("the message is left to the human", left_to_the_human)
    assert len(await system.replies(contact)) == 1


async def test_text_whose_webhook_was_lost_is_found_in_the_crm_and_answered_once(system: System) -> None:
    contact = await system.contact("Lou", "(206) 555-0111")
    await system.control("crm", {"faults": [{"kind": "webhook_lost", "probability": 1.0}]})
    await system.text(contact, "hi")
    await system.control("crm", {"reset": True})
    log = (await system.http.get(f"{system.phone_page}/control/log")).json()
    (text,) = [each["id"] for each in log["messages"] if each["contact_id"] == contact]
    assert [each["state"] for each in log["webhooks"] if each["message_id"] == text] == ["lost"]
    await replies(system, contact, 1)
    (rounds,) = await system.sql("select claim_no from crm_cursor")

    async def read_again() -> bool:
        (later,) = await system.sql("select claim_no from crm_cursor")
        return bool(later["claim_no"] > rounds["claim_no"] + 1)

    await until("the conversation is read once more", read_again)
    assert [each.outcome for each in texts_of(await system.timeline(contact))] == ["REPLIED"]
    assert len(await system.replies(contact)) == 1


async def test_conversation_goes_on_by_rules_when_claude_is_overloaded(system: System) -> None:
    claude = f"http://127.0.0.1:{await claude_port(system)}"
    await system.control(claude, {"faults": [{"kind": "overloaded", "probability": 1.0}]})
    try:
        contact = await system.contact("Gus", "(206) 555-0107")
        await system.text(contact, f"I want to buy a house, {BEYOND_STUDENTS}")
        await replies(system, contact, 1)
        timeline = await system.timeline(contact)
        assert timeline.owner == "buyer"
        turns = events(timeline, "turn")
        assert {turn.extractor for turn in turns} == {"rules"}
        assert {turn.cache_tier for turn in turns} == {"NONE"}
        assert all(turn.fallback_cause for turn in turns)
    finally:
        await system.control(claude, {"reset": True})


async def claude_port(system: System) -> str:
    """Find where the Claude stand-in listens: the launcher tells only the cache service."""
    environ = Path(f"/proc/{system.pid('claude')}/environ").read_text(encoding="utf-8").split("\0")
    values = dict(pair.split("=", 1) for pair in environ if "=" in pair)
    return (values.get("PORCHLIGHT_CLAUDE_LISTEN") or values["PORCHLIGHT_LISTEN"]).rsplit(":", 1)[1]


async def test_nothing_personal_stands_in_any_log(system: System) -> None:
    """Goal: canaries in name, phone, address and text show up in no process's output."""
    contact = await system.contact("Zyxcanaryname", "(206) 555-0199")
    await system.text(contact, "I want to sell my house at 4711 Zyxcanaryroad, call me at 206-555-0142, zyxcanarytext")
    await replies(system, contact, 1)
    assert any("turn.completed" in line for line in system.lines)
    output = "\n".join(system.lines).lower()
    logs = "".join(path.read_text(errors="replace").lower() for path in system.state_dir.glob("**/*.log"))
    for canary in ("zyxcanary", "5550142", "555-0142", "5550199"):
        assert canary not in output
        assert canary not in logs


async def test_contact_of_another_location_is_not_shown(system: System) -> None:
    contact = await system.contact("Hal", "(206) 555-0108")
    await system.text(contact, "hi")
    await replies(system, contact, 1)
    rows = await system.sql("select distinct tenant_id from inbox where contact_id = $1", contact)
    assert [row["tenant_id"] for row in rows] == [TENANT]
