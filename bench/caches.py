"""The cache service as benches run it: processes of their own, over stores that sync, and a Claude that says one thing."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from porchlight.cache.v1 import cache_service_pb2 as pb
from porchlight.cache.v1.cache_service_pb2_grpc import CacheServiceStub

from bench.fleet import fresh_database
from kit import tokens
from kit.rpc.client import open_channel
from migrations.prompts import load_prompts
from sandbox.child import free_port
from tests.support.analyses import PROMPT, analysis
from tests.support.claude_script import ScriptedClaude, message, scripted_claude
from tests.support.stores import Database, running_cluster, running_valkey

SECRET = "secret-of-lead"
START_SECONDS = 60
GREET = """+++
name = "lead.greet"
model = "claude-haiku-5-5"
max_tokens = 200
scope = "tenant"
+++
You write one short greeting for a text message.
+++
<season>{season}</season>
"""
WORDS = ("garden", "porch", "kitchen", "attic", "cellar", "garage", "window", "staircase", "fireplace", "balcony")
"""One for each digit: a number itself would be masked, and with it the difference between two questions."""


@dataclass(frozen=True, kw_only=True)
class Stores:
    """What cache processes share."""

    database: Database
    redis_url: str
    claude: ScriptedClaude
    folder: Path


@contextmanager
def running_stores(folder: Path) -> Iterator[tuple[Any, str]]:
    """Start Postgres and Valkey."""
    with running_cluster(folder / "postgres", durable=True) as cluster, running_valkey(folder / "valkey") as redis_url:
        yield cluster, redis_url


@asynccontextmanager
async def prepared(cluster: Any, redis_url: str, folder: Path) -> AsyncIterator[Stores]:
    """Make a database with a prompt of each kind, and a Claude that answers both."""
    prompts = folder / "services" / "lead" / "prompts"
    prompts.mkdir(parents=True)
    (prompts / "extract.md").write_text(PROMPT)
    (prompts / "greet.md").write_text(GREET)
    tokens.write_callers(folder / "callers.json", {"lead": tokens.digest(SECRET)})
    async with fresh_database(cluster) as database, scripted_claude() as claude:
        await load_prompts(database.admin_url, folder)
        claude.body = message(analysis(words=""))
        yield Stores(database=database, redis_url=redis_url, claude=claude, folder=folder)


@asynccontextmanager
async def running_cache(stores: Stores, **settings: str) -> AsyncIterator[tuple[CacheServiceStub, int]]:
    """Start a cache process; gives its stub and its process id."""
    given = {
        "state_dir": str(stores.folder),
        "callers_file": str(stores.folder / "callers.json"),
        "database_url": stores.database.url("cache"),
        "redis_url": stores.redis_url,
        "anthropic_base_url": stores.claude.url,
    }
    address = f"127.0.0.1:{free_port()}"
    environment = {
        f"PORCHLIGHT_{key.upper()}": value for key, value in (given | settings | {"listen": address}).items()
    }
    # Its log goes to a file: by its log nobody could tell when one that logs errors only is ready.
    with (stores.folder / f"cache-{address}.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "services.cache",
            env=os.environ | {"GRPC_VERBOSITY": "NONE"} | environment,
            stdout=log,
        )
    try:
        async with open_channel(address, token=SECRET, service="cache") as channel:
            async with asyncio.timeout(START_SECONDS):
                await channel.channel_ready()
            yield CacheServiceStub(channel), process.pid
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


def question(text: str, contact_id: str = "c_bench") -> pb.AnalyzeRequest:
    """Ask what a text means."""
    return pb.AnalyzeRequest(
        tenant_id="loc_1",
        contact_id=contact_id,
        prompt="lead.extract",
        texts=[text],
        state=pb.DialogueState(asked="intent"),
    )


def wish(number: int) -> str:
    """Return a text that says something else for each number, and nothing of one person."""
    return "buy a house with " + " ".join(WORDS[int(digit)] for digit in str(number))
