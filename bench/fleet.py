"""The arbiter as benches run it: over a Postgres that syncs, with real bots, each a process of its own."""

import asyncio
import json
import time
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import asyncpg

from kit import tickets
from tests.support.arbiter import KEY, TENANT, Desk, ScriptedBot, environment
from tests.support.replicas import Heard, Replica, running_replica, running_service
from tests.support.stores import Cluster, Database, create_database, drop_database

COMMON = ("state_dir", "listen", "callers_file", "token_file")


@asynccontextmanager
async def fresh_database(cluster: Cluster) -> AsyncIterator[Database]:
    """A migrated database of our own."""
    made = await create_database(cluster)
    try:
        yield made
    finally:
        await drop_database(made)


@asynccontextmanager
async def running_bot(
    name: str, database: Database, folder: Path, *, heard: Heard | None = None, **settings: Any
) -> AsyncIterator[Any]:
    """A bot as `up` runs it, without a model; gives its process and address."""
    common = {key: value for key, value in environment(database, folder, {}).items() if key in COMMON}
    keys = folder / "ticket.pub.json"
    keys.write_text(tickets.public_json(KEY.public))
    own = {"database_url": database.url(name), "ticket_public_keys_file": str(keys), "use_model": "false"}
    async with running_service(f"services.{name}", common | own | settings, heard=heard) as started:
        yield started


@asynccontextmanager
async def running_arbiters(
    database: Database,
    folder: Path,
    targets: Mapping[str, str],
    *,
    count: int = 1,
    bots: dict[str, ScriptedBot] | None = None,
    heard: Heard | None = None,
    **settings: Any,
) -> AsyncIterator[list[Replica]]:
    """Arbiter processes with the settings that `up` leaves at their defaults.

    Args:
        targets: Where each bot is.
        bots: Those of them that answer by a script.
        heard: Is given every line that an arbiter logs.
        settings: What is not left at its default.
    """
    async with AsyncExitStack() as stack:
        schema = {"search_path": "porchlight"}
        admin = await stack.enter_async_context(asyncpg.create_pool(database.admin_url, server_settings=schema))
        given = environment(database, folder, {})
        del given["sweep_seconds"]
        given |= {"bot_targets": ",".join(f"{name}={target}" for name, target in targets.items())} | settings
        made = [
            await stack.enter_async_context(running_replica(given, bots or {}, admin, heard=heard))
            for _ in range(count)
        ]
        yield made


async def put_turns(desk: Desk, count: int) -> list[tuple[str, int]]:
    """Make `count` contacts that the lead bot owns, each with a message that its open turn is about.

    Returns:
        Contact and number of the turn.
    """
    names = [f"c_{uuid.uuid4().hex[:16]}" for _ in range(count)]
    async with desk.admin.acquire() as admin, admin.transaction():
        # As if the bots had answered those that were made before: the lane must give out the new ones.
        await admin.execute("update inbox set outcome = 'REPLIED' where outcome = 'WAITING'")
        await admin.execute("update contact set ready_time = null where ready_time is not null")
        await admin.execute(
            "select accept_inbound(jsonb_build_object('tenant_id', $1::text, 'contact_id', name, 'source', 'bench',"
            " 'event_id', name, 'kind', 'MESSAGE_IN', 'channel', 'SMS', 'text', 'I want to buy a house in Ballard',"
            " 'first_owner', 'lead', 'debounce_seconds', 0, 'debounce_longest_seconds', 0))"
            " from unnest($2::text[]) as name",
            TENANT,
            names,
        )
    rows = await desk.admin.fetch("select claim_turn($1, interval '1 hour', 20, 3) as turn", count)
    turns = [json.loads(row["turn"]) for row in rows]
    assert {turn["contact_id"] for turn in turns} == set(names)
    return [(turn["contact_id"], turn["turn_no"]) for turn in turns]


@dataclass(frozen=True, kw_only=True)
class Writes:
    """What Postgres counted, and over how many seconds."""

    commits: float
    syncs: float
    seconds: float

    def __sub__(self, earlier: "Writes") -> "Writes":
        return Writes(
            commits=self.commits - earlier.commits,
            syncs=self.syncs - earlier.syncs,
            seconds=self.seconds - earlier.seconds,
        )

    def beyond(self, idle: "Writes") -> "Writes":
        """Return what is left without that which goes on while nobody calls."""
        part = self.seconds / idle.seconds
        return replace(self, commits=self.commits - idle.commits * part, syncs=self.syncs - idle.syncs * part)


async def written(admin: Any) -> Writes:
    """Count the transactions of all databases and the syncs of the log so far.

    Waits until backends that idle have told what they did, which takes them 10 s.
    """
    await asyncio.sleep(11)
    version = await admin.fetchval("select current_setting('server_version_num')::int")
    syncs = (
        "select sum(fsyncs) from pg_stat_io where object = 'wal'"
        if version >= 180000
        else "select wal_sync from pg_stat_wal"
    )
    row = await admin.fetchrow(f"select (select sum(xact_commit) from pg_stat_database), ({syncs})")
    return Writes(commits=float(row[0]), syncs=float(row[1]), seconds=time.monotonic())
