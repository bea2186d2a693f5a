"""How often Claude is asked when everybody asks the same at once, and when who asks it is killed.

    python -m bench.stampede [--rounds 5] [--write]

Two cache processes over one Valkey, 50 identical calls to each at the same moment, a
Claude that takes its time. In the second half the process that asked is killed
(SIGKILL) while Claude thinks: the other's callers must all be answered.
"""

import argparse
import asyncio
import os
import signal
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import date
from pathlib import Path
from typing import Any

from porchlight.cache.v1.cache_service_pb2_grpc import CacheServiceStub

from bench.caches import Stores, prepared, question, running_cache, running_stores
from bench.measure import machine
from bench.walk import write
from kit.errors import PorchlightError
from kit.rpc.client import call

SECTION = "Stampede"
CALLS = 50
THINK_SECONDS = 0.5
LONGEST_SECONDS = 14.0


@asynccontextmanager
async def two_caches(stores: Stores) -> AsyncIterator[list[tuple[CacheServiceStub, int]]]:
    """Start both."""
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(running_cache(stores, student="off")) for _ in range(2)]


async def ask(stub: CacheServiceStub, text: str) -> str:
    """Return what became of one call: `answered` or the reason why not."""
    try:
        await call(stub.Analyze, question(text), seconds=LONGEST_SECONDS)
    except PorchlightError as error:
        return error.reason
    return "answered"


async def at_once(caches: Sequence[tuple[CacheServiceStub, int]], text: str) -> list[list[str]]:
    """Ask all caches the same, `CALLS` times each, and return what became of the calls of each."""
    calls = [asyncio.gather(*(ask(stub, text) for _ in range(CALLS))) for stub, _ in caches]
    return [list(await each) for each in calls]


async def think() -> None:
    """Take a while, so that all calls are there before there is an answer."""
    await asyncio.sleep(THINK_SECONDS)


async def together(stores: Stores, *, round_: int) -> tuple[int, int]:
    """Return how often Claude was asked and how many of all calls were answered."""
    async with two_caches(stores) as caches:
        # Connections and whatever begins with the first call are there before it counts.
        await at_once(caches, f"sell a house in round {'x' * round_}")
        stores.claude.wait = think
        before = len(stores.claude.requests)
        found = await at_once(caches, f"buy a house in round {'x' * round_}")
        return len(stores.claude.requests) - before, sum(each.count("answered") for each in found)


async def leader_killed(stores: Stores, *, round_: int) -> tuple[int, int, float]:
    """Return how often Claude was asked, how many of the survivor's calls were answered, and the time until the last."""
    async with two_caches(stores) as caches:
        asked = asyncio.Event()

        async def be_asked() -> None:
            asked.set()
            await think()

        stores.claude.wait = be_asked
        before, began = len(stores.claude.requests), time.perf_counter()
        (_, leader), survivor = caches
        text = f"buy a house whose leader dies {'x' * round_}"
        leading = asyncio.gather(*(ask(caches[0][0], text) for _ in range(CALLS)))
        await asked.wait()
        following = asyncio.gather(*(ask(survivor[0], text) for _ in range(CALLS)))
        await asyncio.sleep(THINK_SECONDS / 5)
        os.kill(leader, signal.SIGKILL)
        answered = (await following).count("answered")
        seconds = time.perf_counter() - began
        await leading
        return len(stores.claude.requests) - before, answered, seconds


async def run(cluster: Any, redis_url: str, folder: Path, *, rounds: int) -> str:
    """Measure and return the report."""
    async with prepared(cluster, redis_url, folder) as stores:
        whole = [await together(stores, round_=number) for number in range(rounds)]
        killed = [await leader_killed(stores, round_=number) for number in range(rounds)]
    rows = [
        f"| all live | {2 * CALLS} | {max(asked for asked, _ in whole)} | exactly 1 "
        f"| {min(answered for _, answered in whole)} of {2 * CALLS} | |",
        f"| the one that asked is killed | {2 * CALLS} | {max(asked for asked, _, _ in killed)} | at most 2 "
        f"| {min(answered for _, answered, _ in killed)} of the survivor's {CALLS} "
        f"| {max(seconds for _, _, seconds in killed):.1f} s |",
    ]
    good = all(each == (1, 2 * CALLS) for each in whole) and all(
        asked <= 2 and answered == CALLS for asked, answered, _ in killed
    )
    return "\n".join(
        [
            f"Machine: {machine()}. Date: {date.today()}. Run: `make bench-stampede`, {rounds} rounds; the worst round of each is shown.",
            "",
            "| 2 processes, 50 identical calls to each at once | calls | Claude was asked | allowed | answered | until the last |",
            "|---|---|---|---|---|---|",
            *rows,
            "",
            f"Kept: {'yes' if good else '**no**'}. Claude takes {THINK_SECONDS:g} s. The calls to the killed process"
            " fail at their callers, who know that it is gone.",
            "",
        ]
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse, run, print, perhaps write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as path, running_stores(Path(path)) as (cluster, redis_url):
        made = asyncio.run(run(cluster, redis_url, Path(path), rounds=options.rounds))
    print(made)
    if options.write:
        write(SECTION, made)


if __name__ == "__main__":
    main()
