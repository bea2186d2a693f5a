"""How often Claude is asked when everybody asks the same at once, when who asks it is killed, and without Redis.

    python -m bench.stampede [--rounds 10] [--seed 1] [--write]

Two cache processes over one Valkey, 50 identical calls to each at the same moment, a
Claude that takes its time. In the second part the process that asked is killed
(SIGKILL) at a random moment while Claude thinks: the other's callers must all be
answered. In the third part the Valkey they share was killed: each process asks for
itself. The seed decides about the moments and is printed.
"""

import argparse
import asyncio
import itertools
import os
import random
import signal
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

from porchlight.cache.v1.cache_service_pb2_grpc import CacheServiceStub

from bench.caches import Stores, prepared, question, running_cache, running_stores, wish
from bench.measure import machine
from bench.walk import write
from kit.errors import PorchlightError
from kit.rpc.client import call
from sandbox import valkey

SECTION = "Stampede"
CALLS = 50
THINK_SECONDS = 0.5
LONGEST_SECONDS = 14.0
WARMING = itertools.count(10**6)
"""Questions that nobody asked yet, so that each process begins with a call to Claude."""

Cache = tuple[CacheServiceStub, int]
"""A stub and the id of its process."""


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What one round showed."""

    asked: int
    """Requests that Claude got."""
    outcomes: tuple[str, ...]
    """Of the calls that count: `answered`, or the reason why not."""
    seconds: float
    """Until the last of them."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """One circumstance, and what is promised in it."""

    name: str
    calls: int
    """Those that must be answered."""
    allowed: Sequence[int]
    """How often Claude may be asked."""
    rounds: Sequence[Seen]

    @property
    def kept(self) -> bool:
        """Whether every round kept the promise."""
        return all(each.asked in self.allowed and each.outcomes == ("answered",) * self.calls for each in self.rounds)

    def row(self) -> str:
        """Write the worst of the rounds."""
        allowed = f"exactly {self.allowed[0]}" if len(self.allowed) == 1 else f"at most {max(self.allowed)}"
        asked = sorted({each.asked for each in self.rounds})
        answered = min(each.outcomes.count("answered") for each in self.rounds)
        others = sorted({outcome for each in self.rounds for outcome in each.outcomes} - {"answered"})
        return (
            f"| {self.name} | {len(self.rounds)} | {' or '.join(map(str, asked))} | {allowed} | {' '.join((f'{answered} of {self.calls}', *others))}"
            f" | {max(each.seconds for each in self.rounds):.1f} s | {'kept' if self.kept else '**not kept**'} |"
        )


@asynccontextmanager
async def two_caches(stores: Stores) -> AsyncIterator[list[Cache]]:
    """Start both; connections and whatever begins with the first call are there before anything counts."""
    async with AsyncExitStack() as stack:
        caches = [await stack.enter_async_context(running_cache(stores, student="off")) for _ in range(2)]
        for cache in caches:
            await at_once([cache], wish(next(WARMING)))
        yield caches


async def ask(stub: CacheServiceStub, text: str) -> str:
    """Return what became of one call: `answered` or the reason why not."""
    try:
        await call(stub.Analyze, question(text), seconds=LONGEST_SECONDS)
    except PorchlightError as error:
        return error.reason
    return "answered"


async def at_once(caches: Sequence[Cache], text: str) -> tuple[str, ...]:
    """Ask all caches the same, `CALLS` times each, and return what became of the calls."""
    return tuple(await asyncio.gather(*(ask(stub, text) for stub, _ in caches for _ in range(CALLS))))


async def think() -> None:
    """Take a while, so that all calls are there before there is an answer."""
    await asyncio.sleep(THINK_SECONDS)


async def together(stores: Stores, caches: Sequence[Cache], text: str) -> Seen:
    """Ask both at once."""
    stores.claude.wait = think
    before, began = len(stores.claude.requests), time.perf_counter()
    outcomes = await at_once(caches, text)
    return Seen(asked=len(stores.claude.requests) - before, outcomes=outcomes, seconds=time.perf_counter() - began)


async def leader_killed(stores: Stores, text: str, *, after_seconds: float) -> Seen:
    """Kill the one that asks, so long after both were asked; what counts is what the survivor's callers get."""
    stores.claude.wait = None
    async with two_caches(stores) as (leader, survivor):
        asked = asyncio.Event()

        async def be_asked() -> None:
            asked.set()
            await think()

        stores.claude.wait = be_asked
        before = len(stores.claude.requests)
        leading = asyncio.create_task(at_once([leader], text))
        hearing = asyncio.create_task(asked.wait())
        await asyncio.wait({hearing, leading}, return_when=asyncio.FIRST_COMPLETED)
        hearing.cancel()
        if leading.done():
            # Claude was never asked: what the callers got instead says why.
            return Seen(asked=len(stores.claude.requests) - before, outcomes=leading.result(), seconds=0.0)
        following = asyncio.create_task(at_once([survivor], text))
        await asyncio.sleep(after_seconds)
        os.kill(leader[1], signal.SIGKILL)
        began = time.perf_counter()
        outcomes = await following
        seconds = time.perf_counter() - began
        await leading
        return Seen(asked=len(stores.claude.requests) - before, outcomes=outcomes, seconds=seconds)


async def without_redis(stores: Stores, *, rounds: int) -> list[Seen]:
    """Kill the Valkey that both share, and ask both at once."""
    server = await valkey.start(stores.folder / "killed")
    assert server.child is not None
    try:
        stores.claude.wait = None
        async with two_caches(replace(stores, redis_url=server.url)) as caches:
            os.kill(server.child.pid, signal.SIGKILL)
            return [await together(stores, caches, wish(2 * rounds + number)) for number in range(rounds)]
    finally:
        await server.stop()


async def run(cluster: Any, redis_url: str, folder: Path, *, rounds: int, seed: int) -> str:
    """Measure and return the report."""
    luck = random.Random(seed)
    async with prepared(cluster, redis_url, folder) as stores:
        async with two_caches(stores) as caches:
            live = [await together(stores, caches, wish(n)) for n in range(rounds)]
        killed = [
            await leader_killed(stores, wish(rounds + n), after_seconds=luck.uniform(0, 0.8 * THINK_SECONDS))
            for n in range(rounds)
        ]
        alone = await without_redis(stores, rounds=rounds)
    parts = [
        Part(name="all live", calls=2 * CALLS, allowed=(1,), rounds=live),
        Part(name="the one that asks is killed", calls=CALLS, allowed=(1, 2), rounds=killed),
        Part(name="Redis is killed", calls=2 * CALLS, allowed=(2,), rounds=alone),
    ]
    return "\n".join(
        [
            f"Machine: {machine()}. Date: {date.today()}. Run: `make bench-stampede`, seed {seed}; of each part the worst"
            " round is shown.",
            "",
            "| 2 processes, 50 identical calls to each at once | rounds | Claude was asked | allowed | answered | until the last | |",
            "|---|---|---|---|---|---|---|",
            *(part.row() for part in parts),
            "",
            f"Claude takes {THINK_SECONDS:g} s, and its requests are counted where they arrive. With a kill only the survivor's"
            " calls count, and the time runs from the kill; the calls to the killed process fail at their callers, who know"
            " that it is gone.",
            "",
        ]
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse, run, print, perhaps write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as path, running_stores(Path(path)) as (cluster, redis_url):
        made = asyncio.run(run(cluster, redis_url, Path(path), rounds=options.rounds, seed=options.seed))
    print(made)
    if options.write:
        write(SECTION, made)


if __name__ == "__main__":
    main()
