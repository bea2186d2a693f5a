"""A bench that cannot begin measures nothing: the arbiter as benches start it does what they time."""

from pathlib import Path

from bench.fleet import running_arbiters, running_bot
from bench.handoff import Handoffs
from tests.support.stores import Database


async def test_arbiter_as_benches_start_it_moves_and_refuses(database: Database, tmp_path: Path) -> None:
    handoffs = Handoffs()
    async with running_bot("buyer", database, tmp_path) as (_, buyer):
        targets = {"buyer": buyer, "lead": buyer}
        async with running_arbiters(database, tmp_path, targets, heard=handoffs.heard) as (arbiter,):
            stub = await arbiter.desk.stub("lead")
            await handoffs.prepare(arbiter.desk, 3)
            await handoffs.evaluate(stub)
            await handoffs.deny(stub)
            await handoffs.move(stub)
            owners = await arbiter.desk.admin.fetch("select owner, count(*) from contact group by owner")
            assert {row["owner"]: row["count"] for row in owners} == {"lead": 2, "buyer": 1}
