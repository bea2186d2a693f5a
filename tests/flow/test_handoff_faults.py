"""Processes die or sleep at every named point of a handoff, and the person gets one answer all the same.

Method: one system runs all of it. A trap kills or stops one process at one point
(kit/crash.py), one person texts once, and the database and the CRM are asked what
became of it. A lease that the dead process held is let run out by the database's clock.
"""

import os
import signal
import tempfile
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
import pytest_asyncio
from porchlight.bot.v1 import bot_service_pb2 as bot_pb

from kit.rpc.client import call
from services.gateway import dispatch
from tests.support.system import TENANT, until
from tests.support.traps import POINTS, Traps, killed_meanwhile, running_traps, wake

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.timeout(180),
]

AFTER_LEASE = timedelta(seconds=2)
SLACK = timedelta(seconds=20)
"""For a machine that is busy with something else; what was measured stands in docs/claims.md."""
CHOSEN = [case for case, held in POINTS.items() if held.always or os.environ.get("PORCHLIGHT_TEST_POINTS") == "all"]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def traps() -> AsyncIterator[Traps]:
    with tempfile.TemporaryDirectory(prefix="porchlight-traps-") as path:
        directory = Path(path) / "traps"
        directory.mkdir()
        async with running_traps(Path(path) / "state", directory) as running:
            yield running


@pytest.mark.parametrize(("process", "point"), CHOSEN)
async def test_sigkill_at_a_point_of_a_handoff_loses_nothing_and_answers_once(
    traps: Traps, process: str, point: str
) -> None:
    """Recovery is measured from when the process is back and what it held has run out, whichever is later."""
    seen = len(traps.system.lines)
    contact, trap = await traps.moving(process, point)
    ready = await killed_meanwhile(traps, trap, seen, lease=POINTS[process, point].lease)
    late = await traps.answered_once(contact) - ready
    print(f"{process} killed at {point}: answered {late.total_seconds():.1f} s after the lease and its return")
    assert late < AFTER_LEASE + SLACK


async def test_bot_that_sleeps_in_its_turn_while_the_contact_moves_is_refused_on_record(traps: Traps) -> None:
    contact = await traps.person()
    trap = traps.set("lead", "bot.before_complete_turn", signal.SIGSTOP)
    await traps.system.text(contact, "hi")
    sleeper = await traps.stopped(trap)
    await traps.hand_over(contact, "lead>seller")
    await traps.answered_once(contact)
    wake(sleeper)
    assert await traps.refused(contact) == ("lead", "complete")
    await traps.answered_once(contact)


async def test_bot_that_sleeps_before_it_asks_for_a_handoff_that_was_made_meanwhile_is_refused_on_record(
    traps: Traps,
) -> None:
    contact = await traps.person()
    trap = traps.set("lead", "bot.before_request_handoff", signal.SIGSTOP)
    await traps.system.text(contact, "I need to sell my house")
    sleeper = await traps.stopped(trap)
    await traps.hand_over(contact, "lead>seller")
    await traps.answered_once(contact)
    wake(sleeper)
    assert await traps.refused(contact) == ("lead", "handoff")
    await traps.answered_once(contact)


async def test_bot_that_sleeps_while_a_person_of_the_brokerage_takes_over_says_nothing_afterwards(
    traps: Traps,
) -> None:
    contact = await traps.person()
    trap = traps.set("lead", "bot.before_complete_turn", signal.SIGSTOP)
    await traps.system.text(contact, "hi")
    sleeper = await traps.stopped(trap)
    answer = await traps.system.http.post(
        f"{traps.system.phone_page}/phone/contacts/{contact}/agent", json={"text": "Hi, this is Dana."}
    )
    assert answer.status_code == 201

    async def taken() -> bool:
        return bool(await traps.admin.fetch("select 1 from contact where contact_id = $1 and owner = 'human'", contact))

    await until("a person has the contact", taken)
    wake(sleeper)
    assert await traps.refused(contact) == ("lead", "complete")
    await traps.settled(contact)
    assert await traps.system.replies(contact) == []


async def test_bot_that_sleeps_until_its_lease_is_out_and_another_process_has_answered_is_refused_on_record(
    traps: Traps,
) -> None:
    contact = await traps.person()
    async with traps.second("lead") as other:
        trap = traps.set("lead", "bot.before_complete_turn", signal.SIGSTOP)
        await traps.system.text(contact, "hi")
        sleeper = await traps.stopped(trap)
        await traps.pass_time(dispatch.LEASE)

        async def claimed_again() -> bool:
            return await traps.admin.fetchval("select turn_no from contact where contact_id = $1", contact) == 2

        await until("the turn is claimed again", claimed_again)
        request = bot_pb.HandleTurnRequest(
            tenant_id=TENANT,
            contact_id=contact,
            epoch=1,
            turn_no=2,
            messages=[bot_pb.Message(message_id="m_1", text="hi")],
        )
        answer = await call(other.HandleTurn, request, seconds=10)
        assert answer.outcome == bot_pb.TURN_OUTCOME_REPLIED
        await traps.answered_once(contact)
        wake(sleeper)
        assert await traps.refused(contact) == ("lead", "complete")
        await traps.answered_once(contact)
