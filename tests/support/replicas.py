"""Services as processes of their own, over one database: the arbiter's replicas, and real bots beside them."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import orjson

from tests.support.arbiter import Desk, ScriptedBot
from tests.support.processes import let_go

Heard = Callable[[Mapping[str, Any]], None]
"""Is given every line that a process logs."""


class Replica:
    """An arbiter process and the desk in front of it."""

    def __init__(self, process: asyncio.subprocess.Process, desk: Desk) -> None:
        self.process = process
        self.desk = desk


@asynccontextmanager
async def running_service(
    module: str, settings: Mapping[str, Any], *, heard: Heard | None = None
) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """Start `python -m module`, wait until it says where it listens, and end it afterwards."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PORCHLIGHT_")}
    given = {f"PORCHLIGHT_{name.upper()}": value for name, value in settings.items()}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", module, env=clean | {"GRPC_VERBOSITY": "NONE"} | given, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    reading = None
    try:
        async with asyncio.timeout(30):
            while (line := orjson.loads(await process.stdout.readline()))["event"] != "process.ready":
                pass
        # Read on, or the pipe fills up.
        reading = asyncio.create_task(_read_on(process.stdout, heard))
        yield process, line["address"]
    finally:
        if process.returncode is None:
            process.terminate()
        await let_go(process)
        if reading is not None:
            await reading


async def _read_on(lines: asyncio.StreamReader, heard: Heard | None) -> None:
    async for line in lines:
        if heard is not None:
            heard(orjson.loads(line))


@asynccontextmanager
async def running_replica(
    settings: Mapping[str, Any], bots: dict[str, ScriptedBot], admin: Any, *, heard: Heard | None = None
) -> AsyncIterator[Replica]:
    """Start an arbiter."""
    async with AsyncExitStack() as stack, running_service("services.handoff", settings, heard=heard) as (process, at):
        yield Replica(process, Desk(address=at, admin=admin, bots=bots, _stack=stack))
