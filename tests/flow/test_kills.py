"""Processes die at their worst moments while ten people text, and the CRM answers badly."""

import asyncio
import collections
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import httpx2
import pytest

from kit.lane import EFFECTS
from tests.support.system import System, until

pytestmark = pytest.mark.timeout(300)

PEOPLE = 10
TEXTS = ("hi", "I need to sell my house", "sorry, I meant I want to buy")
CRM_FAULTS = (
    "503_not_executed:0.1,executed_then_cut:0.1,429:0.05:0.5,entry_503_not_executed:0.1,entry_executed_then_cut:0.1"
)
READ_OFTEN = {"PORCHLIGHT_RECONCILE_SECONDS": "1", "PORCHLIGHT_RECONCILE_SETTLE_SECONDS": "2"}
FINAL = {"REPLIED", "SUPPRESSED", "ESCALATED_HUMAN", "DEAD_LETTER", "RECORDED"}
PROCESSES = ("lead", "seller", "buyer", "handoff", "cache", "gateway", "crm", "claude", "valkey", "postgres")


async def converse(system: System, number: int) -> None:
    """Text like a person: the next text comes when the last one was answered, or its webhook lost for good."""
    contact = await patiently(lambda: system.contact("Ana", f"(206) 555-{1000 + number}"))
    for words in TEXTS:
        before = len(await patiently(lambda: system.replies(contact)))
        await patiently(lambda words=words: system.text(contact, words))

        async def answered_or_lost(before: int = before) -> bool:
            answer = await patiently(lambda: system.http.get(f"{system.phone_page}/phone/contacts/{contact}/messages"))
            messages = answer.json()["messages"]
            mine = [each for each in messages if each["author"] == "person"]
            return mine[-1]["webhook"] == "lost" or sum(each["author"] == "bot" for each in messages) > before

        await until(f"an answer to {words!r}", answered_or_lost, seconds=120)


async def patiently(attempt: Any) -> Any:
    """Try again while the CRM stand-in itself is being killed."""
    for _ in range(200):
        try:
            return await attempt()
        except (httpx2.TransportError, AssertionError):
            await asyncio.sleep(0.1)
    raise AssertionError("the CRM stand-in does not come back")


async def check_invariants(system: System) -> collections.Counter[str]:
    """One outcome for every message, no text twice, nothing unexplained at the CRM; returns outcomes."""

    async def settled() -> bool:
        # What the CRM sent to a dead gateway is read from it, so that nothing that anybody wrote is missing.
        log = (await patiently(lambda: system.http.get(f"{system.phone_page}/control/log"))).json()
        known = {row["crm_message_id"] for row in await system.sql("select crm_message_id from inbox")}
        if not {each["id"] for each in log["messages"] if each["direction"] == "inbound"} <= known:
            return False
        open_rows = await system.sql(
            "select 1 from inbox where outcome = 'WAITING' union all"
            " select 1 from outbox where state in ('PENDING', 'CLAIMED') union all"
            " select 1 from handoff where state in ('PENDING', 'OFFERED')"
        )
        return not open_rows

    await until("everything is settled", settled, seconds=90)
    log = (await patiently(lambda: system.http.get(f"{system.phone_page}/control/log"))).json()
    inbox = await system.sql("select crm_message_id, outcome, cause from inbox where kind = 'MESSAGE_IN'")
    put_out = await system.sql("select contact_id, kind, body, state, cause, crm_message_id from outbox")
    outbox = [row for row in put_out if row["kind"] not in EFFECTS]
    entries = [row for row in put_out if row["kind"] in ("NOTE", "TASK") and row["state"] == "SENT"]
    taken = [each for each in log["messages"] if each["direction"] == "outbound"]
    assert {row["outcome"] for row in inbox} <= FINAL
    assert {each["id"] for each in taken} == {row["crm_message_id"] for row in outbox if row["state"] == "SENT"}, (
        "the CRM has texts that no outbox row knows, or the other way round"
    )
    assert sorted(each["id"] for each in (*log["notes"], *log["tasks"])) == sorted(
        row["crm_message_id"] for row in entries
    ), "the CRM has notes or tasks twice, or such that no outbox row knows"
    assert not duplicates(row["crm_message_id"] for row in put_out if row["crm_message_id"])
    texts = collections.Counter((each["contact_id"], each["body"]) for each in taken)
    meant = collections.Counter((row["contact_id"], row["body"]) for row in outbox)
    assert not texts - meant, "a text went out more often than it was meant"
    return collections.Counter(row["outcome"] for row in inbox)


def duplicates(values: Iterable[str]) -> list[str]:
    """Return values that stand more than once."""
    return [value for value, count in collections.Counter(values).items() if count > 1]


async def test_sigkill_of_every_process_once_loses_nothing_and_repeats_nothing(tmp_path: Path) -> None:
    async with System(tmp_path / "state", {"PORCHLIGHT_CRM_FAULTS": CRM_FAULTS} | READ_OFTEN) as system:
        talk = asyncio.gather(*(converse(system, number) for number in range(PEOPLE)))
        for name in PROCESSES:
            seen = len(system.lines)
            system.kill(name)

            async def back(name: str = name, seen: int = seen) -> bool:
                return any(f"{name} is healthy again" in line for line in system.lines[seen:])

            await until(f"{name} is back", back, seconds=60)
        await talk
        outcomes = await check_invariants(system)
        assert outcomes["REPLIED"] >= PEOPLE
        assert outcomes["DEAD_LETTER"] == 0


@pytest.mark.parametrize(
    ("crash_at", "victims"),
    [
        ("gateway.after_inbox_commit:37,bot.during_model_call:13", ("gateway", "lead")),
        ("gateway.after_claim:17,bot.after_complete_turn:13", ("gateway", "lead")),
        ("gateway.after_crm_post:11,gateway.after_crm_entry:7", ("gateway",)),
    ],
)
async def test_sigkill_at_a_named_point_loses_nothing_and_repeats_nothing(
    tmp_path: Path, crash_at: str, victims: tuple[str, ...]
) -> None:
    """Method: each process kills itself at the n-th pass of its point, in every life anew."""
    settings = {"PORCHLIGHT_CRM_FAULTS": CRM_FAULTS, "PORCHLIGHT_CRASH_AT": crash_at} | READ_OFTEN
    async with System(tmp_path / "state", settings) as system:
        await asyncio.gather(*(converse(system, number) for number in range(PEOPLE)))
        outcomes = await check_invariants(system)
        for name in victims:
            assert any(f"{name} ended with code -9" in line for line in system.lines), f"{name} never died"
        assert outcomes["REPLIED"] >= PEOPLE
