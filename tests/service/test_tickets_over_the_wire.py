"""Forged and used tickets at the arbiter's own door: AcceptHandoff over a socket, over Postgres."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from porchlight.bot.v1 import bot_service_pb2 as bot_pb
from porchlight.handoff.v1 import handoff_service_pb2 as pb

from kit import errors, tickets
from tests.support.arbiter import KEY, Desk, fresh_desk, running_bots, running_desk
from tests.support.forgeries import forgeries
from tests.support.stores import Database

AT_ONCE = 16


@pytest.fixture
async def desk(database: Database, tmp_path: Path) -> AsyncIterator[Desk]:
    async with fresh_desk(database, tmp_path) as made:
        made.bots["buyer"].answers = [bot_pb.OFFER_ANSWER_DEFER]
        yield made


async def present(desk: Desk, tickets: list[bot_pb.Ticket]) -> Counter[str]:
    """Show each ticket as the buyer, some at a time, and count what was answered."""
    answers: Counter[str] = Counter()
    waiting = iter(tickets)

    async def show() -> None:
        for ticket in waiting:
            try:
                await desk.call("buyer", "AcceptHandoff", pb.AcceptHandoffRequest(ticket=ticket))
                answers["ACCEPTED"] += 1
            except errors.PorchlightError as error:
                answers[error.reason] += 1

    await asyncio.gather(*(show() for _ in range(AT_ONCE)))
    return answers


async def an_open_offer(desk: Desk) -> tuple[Any, bot_pb.Ticket]:
    response = await desk.request("lead>buyer")
    return response, (await desk.offered("buyer")).ticket


async def test_of_seven_hundred_forged_tickets_none_is_taken_and_the_good_one_still_is(desk: Desk) -> None:
    response, ticket = await an_open_offer(desk)
    assert await present(desk, list(forgeries(ticket, count=700, seed=700))) == {"BAD_TICKET": 700}
    assert (await desk.get(response.handoff.handoff_id)).state == pb.HANDOFF_STATE_OFFERED
    assert await present(desk, [ticket]) == {"ACCEPTED": 1}


async def test_of_a_thousand_showings_of_one_ticket_at_once_one_is_taken(desk: Desk) -> None:
    _, ticket = await an_open_offer(desk)
    assert await present(desk, [ticket] * 1001) == {"ACCEPTED": 1, "WRONG_HANDOFF_STATE": 1000}
    assert (await desk.owner()).epoch == 2
    assert await desk.admin.fetchval("select count(*) from audit where kind = 'STALE_TICKET'") == 1000


async def test_key_is_changed_and_no_ticket_under_way_is_lost(database: Database, tmp_path: Path) -> None:
    """As docs/deploy.md says: everybody knows both keys, then the new one signs, then the old one goes."""
    new = tickets.new_signing_key("k2")
    both = {**KEY.public, **new.public}
    async with running_bots() as bots:
        bots["buyer"].keys, bots["buyer"].answers = both, [bot_pb.OFFER_ANSWER_DEFER]
        async with running_desk(database, tmp_path, bots, KEY, both) as desk:
            await desk.put_contact()
            _, old_ticket = await an_open_offer(desk)
        async with running_desk(database, tmp_path, bots, new, both) as desk:
            assert await present(desk, [old_ticket]) == {"ACCEPTED": 1}
            await desk.put_contact("c_82")
            await desk.request("lead>buyer", contact_id="c_82")
            new_ticket = (await desk.offered("buyer", 2)).ticket
        assert (old_ticket.key_id, new_ticket.key_id) == ("k1", "k2")
        async with running_desk(database, tmp_path, bots, new, new.public) as desk:
            assert await present(desk, [old_ticket]) == {"BAD_TICKET": 1}
            assert await present(desk, [new_ticket]) == {"ACCEPTED": 1}
