"""What losing Redis costs: Claude's calls when it is emptied again and again, time when it hangs or is stopped.

    python -m bench.cache_faults [--seconds 20] [--flushes 11] [--seed 1] [--write]

Two cache processes over one Valkey. First it is emptied every 5 seconds under load;
the processes have as little memory of their own then as can be set, so that nearly all
they know is lost each time. Then, under a load of known and of new questions, it hangs (SIGSTOP) and goes on,
and in a run of its own it is stopped and started again. The seed decides who asks what
and is printed.
"""

import argparse
import asyncio
import os
import random
import signal
import statistics
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any, Final

from porchlight.cache.v1.cache_service_pb2_grpc import CacheServiceStub
from redis.asyncio import Redis

from bench.caches import Stores, prepared, question, running_cache, wish
from bench.measure import NO_LIMITS, machine
from bench.walk import write
from kit.errors import PorchlightError
from kit.rpc.client import call
from sandbox import valkey
from tests.support.stores import running_cluster

SECTION: Final = "The cache without Redis"
LONGEST_SECONDS: Final = 14.0
KEYS: Final = 40
CALLERS: Final = 8
FLUSH_SECONDS: Final = 5.0
THINK_SECONDS: Final = 0.2
PAUSE_SECONDS: Final = 0.03
NEW_SHARE: Final = 0.2
MOST_RISE_MS: Final = 150.0
# What is measured is Redis: neither limits nor money shall end the run.
Trouble = Callable[[valkey.Valkey], Awaitable[Callable[[], Awaitable[valkey.Valkey]]]]
"""Brings a server into trouble; gives what ends it, which gives the server there is then."""


@dataclass(frozen=True, kw_only=True)
class Call:
    """One call of the load."""

    is_new: bool
    """Whether nobody asked this before, so that Claude has to be asked."""
    began: float
    seconds: float
    failure: str


@asynccontextmanager
async def two_caches(stores: Stores, **settings: str) -> AsyncIterator[list[CacheServiceStub]]:
    """Start both."""
    async with AsyncExitStack() as stack:
        given = NO_LIMITS | {"student": "off"} | settings
        yield [(await stack.enter_async_context(running_cache(stores, **given)))[0] for _ in range(2)]


async def ask(stub: CacheServiceStub, text: str, *, is_new: bool = False) -> Call:
    """Ask, and say what became of it."""
    now, failure = asyncio.get_running_loop().time, ""
    began = now()
    try:
        await call(stub.Analyze, question(text), seconds=LONGEST_SECONDS)
    except PorchlightError as error:
        failure = error.reason
    return Call(is_new=is_new, began=began, seconds=now() - began, failure=failure)


@asynccontextmanager
async def under_load(
    caches: Sequence[CacheServiceStub], luck: random.Random, *, new_share: float, pause_seconds: float
) -> AsyncIterator[list[Call]]:
    """Ask from all sides until the block ends; gives the list of the calls."""
    made: list[Call] = []
    over = asyncio.Event()

    async def caller(number: int) -> None:
        while not over.is_set():
            is_new = luck.random() < new_share
            text = wish(luck.randrange(KEYS, 10**12) if is_new else luck.randrange(KEYS))
            made.append(await ask(caches[number % len(caches)], text, is_new=is_new))
            await asyncio.sleep(pause_seconds)

    async with asyncio.TaskGroup() as group:
        for number in range(CALLERS):
            group.create_task(caller(number))
        try:
            yield made
        finally:
            over.set()


async def flushed(stores: Stores, luck: random.Random, *, flushes: int) -> str:
    """Empty Redis again and again, and return a row of what Claude was asked."""
    server = await valkey.start(stores.folder / "flushed")
    try:
        # A machine that is busy with this very load is no lost Redis.
        settings = {"l1_bytes": "0", "redis_milliseconds": "1000"}
        async with two_caches(replace(stores, redis_url=server.url), **settings) as caches:
            before = len(stores.claude.requests)
            async with (
                Redis.from_url(server.url) as redis,
                under_load(caches, luck, new_share=0.0, pause_seconds=0.0) as made,
            ):
                for _ in range(flushes):
                    await asyncio.sleep(FLUSH_SECONDS)
                    await redis.flushall()
                await asyncio.sleep(FLUSH_SECONDS)
            asked, most = len(stores.claude.requests) - before, KEYS * (flushes + 1)
    finally:
        await server.stop()
    failed = sum(bool(each.failure) for each in made)
    kept = asked <= most and not failed
    return f"| {len(made)} | {KEYS} | {flushes} | {asked} | {most} | {failed} | {'kept' if kept else '**not kept**'} |"


async def hang(server: valkey.Valkey) -> Callable[[], Awaitable[valkey.Valkey]]:
    """Freeze it; it keeps its connections and answers nothing."""
    assert server.child is not None
    pid = server.child.pid
    os.kill(pid, signal.SIGSTOP)

    async def go_on() -> valkey.Valkey:
        os.kill(pid, signal.SIGCONT)
        return server

    return go_on


def stop(folder: Path) -> Trouble:
    """Return what ends a server that lives in a folder, and starts one there again."""

    async def end(server: valkey.Valkey) -> Callable[[], Awaitable[valkey.Valkey]]:
        port = int(server.url.rpartition(":")[2].partition("/")[0])
        await server.stop()
        return lambda: valkey.start(folder, port=port)

    return end


async def troubled(
    stores: Stores, luck: random.Random, folder: Path, *, name: str, trouble: Trouble, seconds: float
) -> list[str]:
    """Bring Redis into trouble under load, and return rows of how long calls took before, during and after."""
    server = await valkey.start(folder)
    try:
        async with two_caches(replace(stores, redis_url=server.url)) as caches:
            for stub in caches:
                for number in range(KEYS):
                    await ask(stub, wish(number))
            now, marks = asyncio.get_running_loop().time, []
            async with under_load(caches, luck, new_share=NEW_SHARE, pause_seconds=PAUSE_SECONDS) as made:
                marks.append(now())
                await asyncio.sleep(seconds)
                marks.append(now())
                end = await trouble(server)
                try:
                    await asyncio.sleep(seconds)
                finally:
                    server = await end()
                marks.append(now())
                await asyncio.sleep(seconds)
                marks.append(now())
    finally:
        await server.stop()
    return list(rows(name, made, marks))


def rows(name: str, made: Sequence[Call], marks: Sequence[float]) -> Iterator[str]:
    """Write one row for each kind of question and phase; calls belong to the phase in which they began."""
    for is_new in (False, True):
        before_ms = 0.0
        for number, phase in enumerate(("before", "during", "after")):
            calls = [each for each in made if each.is_new is is_new and marks[number] <= each.began < marks[number + 1]]
            p99_ms = statistics.quantiles([each.seconds for each in calls], n=100)[98] * 1e3
            before_ms = p99_ms if phase == "before" else before_ms
            rise_ms, failed = p99_ms - before_ms, sum(bool(each.failure) for each in calls)
            kept = rise_ms <= MOST_RISE_MS and not failed
            yield (
                f"| {name} | {'new' if is_new else 'known'} | {phase} | {len(calls)}"
                f" | {statistics.median(each.seconds for each in calls) * 1e3:.1f} | {p99_ms:.1f}"
                f" | {max(each.seconds for each in calls) * 1e3:.0f} | {failed}"
                f" | {'' if phase == 'before' else f'{rise_ms:+.0f}'} | {'kept' if kept else '**not kept**'} |"
            )


async def run(cluster: Any, folder: Path, *, seconds: float, flushes: int, seed: int) -> str:
    """Measure and return the report."""
    luck = random.Random(seed)
    async with prepared(cluster, "", folder) as stores:
        stores.claude.wait = lambda: asyncio.sleep(THINK_SECONDS)
        emptied = await flushed(stores, luck, flushes=flushes)
        waits = []
        for name, trouble in (("hangs (SIGSTOP)", hang), ("is stopped", stop(folder / "is stopped"))):
            waits += await troubled(stores, luck, folder / name, name=name, trouble=trouble, seconds=seconds)
    return "\n".join(
        [
            f"Machine: {machine()}. Date: {date.today()}. Run: `make bench-cache-faults`, seed {seed}.",
            "",
            f"Emptied (FLUSHALL) every {FLUSH_SECONDS:g} s under load; the processes have as little memory of their own as can be set:",
            "",
            "| calls | different questions | flushes | Claude was asked | allowed: questions x (flushes + 1) | failed | |",
            "|---|---|---|---|---|---|---|",
            emptied,
            "",
            f"Calls of one run while Redis is in trouble for {seconds:g} s; p99 may rise by {MOST_RISE_MS:.0f} ms:",
            "",
            "| Redis | question | phase | calls | p50 ms | p99 ms | longest ms | failed | p99 beside before, ms | |",
            "|---|---|---|---|---|---|---|---|---|---|",
            *waits,
            "",
            f"{CALLERS} callers, 2 processes with the settings that are on by default, a Postgres that does not sync; Claude takes {THINK_SECONDS * 1e3:.0f} ms."
            f" Known questions are in the memory of both processes; {NEW_SHARE:.0%} of the questions are new, so that Claude"
            " is asked. What only the other process knows is, without Redis, a new question.",
            "",
        ]
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse, run, print, perhaps write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--flushes", type=int, default=11)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args(arguments)
    # Redis is measured: a disk that is slow to sync keeps calls to Claude waiting for the ledger, with Redis or without.
    with tempfile.TemporaryDirectory() as path, running_cluster(Path(path) / "postgres") as cluster:
        made = asyncio.run(
            run(cluster, Path(path), seconds=options.seconds, flushes=options.flushes, seed=options.seed)
        )
    print(made)
    if options.write:
        write(SECTION, made)


if __name__ == "__main__":
    main()
