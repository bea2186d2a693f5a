"""Forged and used tickets at the arbiter's own door: AcceptHandoff over a socket, over Postgres."""

import asyncio
import os
import random
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from porchlight.bot.v1 import bot_service_pb2 as bot_pb
from porchlight.handoff.v1 import handoff_service_pb2 as pb

from kit import errors, tickets
from tests.support.arbiter import KEY, TENANT, Desk, fresh_desk, running_bots, running_desk
from tests.support.forgeries import forgeries
from tests.support.stores import Database

AT_ONCE = 16
FORGERIES, REPLAYS = 700, 72
"""A round; a ticket does not live for ever, so more of them are more rounds."""
UNHURRIED = {"offer_seconds": 60, "offer_call_seconds": 5}
"""A ticket's life is real time, and what is asked here is not how soon a busy machine shows one."""
OWNERS = "select contact_id, owner, epoch from contact order by contact_id"
ROUNDS = int(os.environ.get("PORCHLIGHT_TEST_ROUNDS", "1"))


@pytest.fixture
async def desk(database: Database, tmp_path: Path) -> AsyncIterator[Desk]:
    async with fresh_desk(database, tmp_path, **UNHURRIED) as made:
        made.bots["buyer"].answers = [bot_pb.OFFER_ANSWER_DEFER]
        yield made


async def present(
    desk: Desk, tickets: list[bot_pb.Ticket], *, caller: str = "buyer", method: str = "AcceptHandoff"
) -> Counter[str]:
    """Show each ticket, some at a time, and count what was answered."""
    answers: Counter[str] = Counter()
    waiting = iter(tickets)
    declining = method == "DeclineHandoff"

    async def show() -> None:
        for ticket in waiting:
            try:
                await desk.call(
                    caller,
                    method,
                    pb.DeclineHandoffRequest(ticket=ticket, reason="full")
                    if declining
                    else pb.AcceptHandoffRequest(ticket=ticket),
                )
                answers["TAKEN"] += 1
            except errors.PorchlightError as error:
                answers[error.reason] += 1

    await asyncio.gather(*(show() for _ in range(AT_ONCE)))
    return answers


async def an_open_offer(desk: Desk) -> tuple[Any, bot_pb.Ticket]:
    response = await desk.request("lead>buyer")
    return response, (await desk.offered("buyer")).ticket


async def open_offers(desk: Desk, count: int) -> list[bot_pb.Ticket]:
    """Have one contact after the other offered to the buyer, who decides later."""
    before = len(desk.bots["buyer"].offers)
    await desk.admin.execute(
        "insert into contact (tenant_id, contact_id, owner) select $1, 'c_' || n, 'lead' from generate_series($2::int, $3::int) n",
        TENANT, 1000 + before, 999 + before + count,
    )  # fmt: skip
    for number in range(1000 + before, 1000 + before + count):
        assert (await desk.request("lead>buyer", contact_id=f"c_{number}")).approved
    await desk.offered("buyer", before + count)
    return [offer.ticket for offer in desk.bots["buyer"].offers[before:]]


async def test_of_many_forged_tickets_none_is_taken_at_either_door_and_the_good_one_still_is(desk: Desk) -> None:
    for _ in range(ROUNDS):
        seed = random.SystemRandom().randrange(1 << 32)
        print(f"{FORGERIES} forgeries, seed {seed}")
        (ticket,) = await open_offers(desk, 1)
        forged = list(forgeries(ticket, count=FORGERIES, seed=seed))
        assert await present(desk, forged[::2]) == {"BAD_TICKET": FORGERIES // 2}
        assert await present(desk, forged[1::2], method="DeclineHandoff") == {"BAD_TICKET": FORGERIES // 2}
        assert await present(desk, [ticket]) == {"TAKEN": 1}


async def test_of_a_thousand_showings_of_one_ticket_at_once_one_is_taken(desk: Desk) -> None:
    _, ticket = await an_open_offer(desk)
    assert await present(desk, [ticket] * 1001) == {"TAKEN": 1, "WRONG_HANDOFF_STATE": 1000}
    assert (await desk.owner()).epoch == 2
    assert await desk.admin.fetchval("select count(*) from audit where kind = 'STALE_TICKET'") == 1000


async def test_key_is_changed_and_no_ticket_under_way_is_lost(database: Database, tmp_path: Path) -> None:
    """As docs/deploy.md says: everybody knows both keys, then the new one signs, then the old one goes."""
    new = tickets.new_signing_key("k2")
    both = {**KEY.public, **new.public}
    async with running_bots() as bots:
        bots["buyer"].keys, bots["buyer"].answers = both, [bot_pb.OFFER_ANSWER_DEFER]
        async with running_desk(database, tmp_path, bots, KEY, both, **UNHURRIED) as desk:
            await desk.put_contact()
            _, old_ticket = await an_open_offer(desk)
        async with running_desk(database, tmp_path, bots, new, both, **UNHURRIED) as desk:
            assert await present(desk, [old_ticket]) == {"TAKEN": 1}
            await desk.put_contact("c_82")
            await desk.request("lead>buyer", contact_id="c_82")
            new_ticket = (await desk.offered("buyer", 2)).ticket
        assert (old_ticket.key_id, new_ticket.key_id) == ("k1", "k2")
        async with running_desk(database, tmp_path, bots, new, new.public) as desk:
            assert await present(desk, [old_ticket]) == {"BAD_TICKET": 1}
            assert await present(desk, [new_ticket]) == {"TAKEN": 1}


async def test_ticket_of_a_handoff_that_ended_is_worth_nothing_however_it_ended(desk: Desk) -> None:
    """A quarter each: taken, declined, too late, taken over by a person; then each is shown anew at both doors."""
    answers: Counter[str] = Counter()
    for _ in range(ROUNDS):
        used = await ended_every_way(desk, REPLAYS // 4)
        before = await desk.admin.fetch(OWNERS)
        for method in ("AcceptHandoff", "DeclineHandoff"):
            answers += await present(desk, used, method=method)
        answers += await present(desk, used, caller="operator")
        assert await present(desk, used, caller="seller") == {"BAD_TICKET": len(used)}
        assert await desk.admin.fetch(OWNERS) == before
    assert answers == {"WRONG_HANDOFF_STATE": 3 * REPLAYS * ROUNDS}


async def ended_every_way(desk: Desk, share: int) -> list[bot_pb.Ticket]:
    """Give tickets of handoffs that are over, `share` of each way."""
    taken, declined = await open_offers(desk, share), await open_offers(desk, share)
    assert await present(desk, taken) == {"TAKEN": share}
    assert await present(desk, declined, method="DeclineHandoff") == {"TAKEN": share}
    late, preempted = await open_offers(desk, share), await open_offers(desk, share)
    for ticket in preempted:
        contact_id = bot_pb.TicketPayload.FromString(ticket.payload).contact_id
        person = pb.EscalateToHumanRequest(
            tenant_id=TENANT, contact_id=contact_id, reason=pb.ESCALATION_REASON_COMPLAINT, summary="Angry.", request_id=contact_id
        )  # fmt: skip
        assert (await desk.call("operator", "EscalateToHuman", person)).approved
    await desk.pass_time(seconds=UNHURRIED["offer_seconds"] + 1)
    async with asyncio.timeout(30):
        while await desk.admin.fetchval("select 1 from handoff where state in ('PENDING', 'OFFERED') limit 1"):
            await asyncio.sleep(0.02)
    return [*taken, *declined, *late, *preempted]
