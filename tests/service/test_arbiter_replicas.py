"""Four arbiter processes over one Postgres: what holds for one holds for all of them together."""

import asyncio
import itertools
import random
import signal
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import asyncpg
import orjson
import pytest
from porchlight.bot.v1 import bot_service_pb2 as bot_pb
from porchlight.handoff.v1 import handoff_service_pb2 as pb

from kit.errors import Conflict, Unavailable
from tests.support.arbiter import Desk, ScriptedBot, environment, running_bots
from tests.support.replicas import Replica, running_replica
from tests.support.stores import Database

REPLICAS = 4
BOTS = ("lead", "buyer", "seller", "escrow", "loans", "rentals")
POLICY = {
    # Every way is open and every bot new, so that the cycle rule leaves the limit to the quota.
    "routes": {f"{source}>{target}": 0.5 for source, target in itertools.permutations(BOTS, 2)},
    "cycle_window_minutes": 1,
    "hourly_limit": 3,
    "daily_limit": 10,
    "intent_bots": {},
}


@pytest.fixture
async def replicas(database: Database, tmp_path: Path) -> AsyncIterator[list[Replica]]:
    async with AsyncExitStack() as stack:
        bots = await stack.enter_async_context(running_bots(BOTS))
        admin = await asyncpg.connect(database.admin_url, server_settings={"search_path": "porchlight"})
        stack.push_async_callback(admin.close)
        await admin.execute("insert into policy (body) values ($1::text::jsonb)", orjson.dumps(POLICY).decode())
        settings = environment(database, tmp_path, bots)
        made = [await stack.enter_async_context(running_replica(settings, bots, admin)) for _ in range(REPLICAS)]
        await made[0].desk.put_contact()
        yield made


async def ask(desk: Desk, route: str, request_id: str) -> Any:
    """Ask until there is an answer, as a careful caller does: always under the same request id."""
    while True:
        try:
            return await desk.request(route, 1.0, request_id=request_id, caller="operator")
        except (Unavailable, Conflict):
            await asyncio.sleep(0.02)


async def settle_all(desk: Desk) -> Sequence[Any]:
    async with asyncio.timeout(30):
        while await desk.admin.fetchval("select count(*) from handoff where state in ('PENDING', 'OFFERED')"):
            await asyncio.sleep(0.02)
    found: Sequence[Any] = await desk.admin.fetch("select * from handoff where state <> 'DENIED' order by decide_time")
    return found


async def test_400_requests_at_once_over_four_processes_never_exceed_the_limit(replicas: list[Replica]) -> None:
    dice = random.Random(400)
    routes = [">".join(dice.sample(BOTS, 2)) for _ in range(400)]
    responses = await asyncio.gather(
        *(ask(replicas[index % REPLICAS].desk, route, f"r_{index}") for index, route in enumerate(routes))
    )
    desk = replicas[0].desk
    approved = await settle_all(desk)
    assert len(approved) == sum(response.approved for response in responses) <= 3
    # Whatever the storm left of the limit is used up now, and not more.
    for _ in range(5):
        owner = (await desk.owner()).owner
        fresh = next(bot for bot in BOTS if bot not in {row["source_bot"] for row in approved} | {owner})
        last = await ask(desk, f"{owner}>{fresh}", uuid.uuid4().hex)
        approved = await settle_all(desk)
    assert len(approved) == 3
    assert last.handoff.blocking_rule == pb.RULE_QUOTA
    assert await desk.admin.fetchval("select count(*) from handoff") == 405
    assert [(row["source_epoch"], row["epoch"]) for row in approved] == [(1, 2), (2, 3), (3, 4)]
    for earlier, later in itertools.pairwise(approved):
        assert later["decide_time"] > earlier["accept_time"], "two handoffs were under way at once"
        assert later["source_bot"] == earlier["target_bot"]
    changes = await desk.admin.fetch("select epoch from audit where kind = 'OWNER_CHANGED' order by audit_id")
    assert [row["epoch"] for row in changes] == [2, 3, 4]


async def test_copies_of_one_request_over_four_processes_are_one_decision(replicas: list[Replica]) -> None:
    responses = await asyncio.gather(
        *(ask(replicas[index % REPLICAS].desk, "lead>buyer", "r_1") for index in range(48))
    )
    assert len({response.handoff.handoff_id for response in responses}) == 1
    assert sum(not response.replayed for response in responses) <= 1
    assert len(await settle_all(replicas[0].desk)) == 1
    assert (await replicas[0].desk.owner()).epoch == 2


async def test_offer_of_a_killed_replica_is_made_again_by_another(replicas: list[Replica]) -> None:
    victim, *others = replicas
    desk = others[0].desk
    desk.bots["buyer"].answers = [ScriptedBot.HANG, bot_pb.OFFER_ANSWER_ACCEPT]
    for other in others:
        # Asleep, so that the victim is the one that claims the offer.
        other.process.send_signal(signal.SIGSTOP)
    response = await ask(victim.desk, "lead>buyer", "r_1")
    await desk.offered("buyer")
    victim.process.kill()
    await victim.process.wait()
    for other in others:
        other.process.send_signal(signal.SIGCONT)
    assert (await desk.get(response.handoff.handoff_id)).state == pb.HANDOFF_STATE_OFFERED
    # The victim's claim runs out.
    await desk.pass_time(seconds=5)
    assert (await desk.settled(response)).state == pb.HANDOFF_STATE_ACCEPTED
    assert len(desk.bots["buyer"].offers) == 2
