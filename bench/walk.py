"""What the walking system costs beside a bare gRPC echo, in one interleaved run.

    python -m bench.walk [--rounds 8] [--calls 100] [--turns 20] [--write]

Everything runs as `make up` runs it (own Postgres with fsync, own Valkey, stand-in for
Claude without latency), with the logs and metrics that are on by default. `--write`
replaces this bench's part of bench/RESULTS.md.
"""

import argparse
import asyncio
import itertools
import json
import sys
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path

from porchlight.cache.v1 import cache_service_pb2 as pb
from porchlight.cache.v1.cache_service_pb2_grpc import CacheServiceStub

from bench.measure import NO_LIMITS, Way, cpu_of, machine, run_calls, table
from kit.rpc.client import call, open_channel
from sandbox.child import free_port
from tests.support.system import System, until

RESULTS = Path(__file__).parent / "RESULTS.md"
SERVING = ("lead", "buyer", "seller", "handoff", "cache", "gateway", "postgres", "valkey")
PROMPT = "lead.extract"


def request(words: str) -> pb.AnalyzeRequest:
    """Ask for what the lead bot asks for."""
    return pb.AnalyzeRequest(tenant_id="loc_bench", contact_id="c_bench", prompt=PROMPT, texts=[words])


async def measure_calls(system: System, ways: dict[str, Way], *, rounds: int, calls: int) -> None:
    """Echo, cached and uncached Analyze, turn and turn about."""
    port = free_port()
    echo = await asyncio.create_subprocess_exec(sys.executable, "-m", "bench.echo", str(port))
    try:
        async with (
            open_channel(f"127.0.0.1:{port}", token="none", service="echo") as bare,
            system.channel("cache") as cache,
        ):
            await bare.channel_ready()
            echo_stub, cache_stub = CacheServiceStub(bare), CacheServiceStub(cache)
            same = request("I want to buy a house")
            bare_request = pb.CompleteRequest(variables={"messages": same.texts[0]})
            await call(cache_stub.Analyze, same, seconds=10)
            served = {"echo": [echo.pid], "hit": [system.pid("cache")], "miss": [system.pid("cache")]}
            for _ in range(rounds):
                for in_flight, tail in ((1, ""), (16, ", 16 in flight")):
                    await run_calls(
                        ways["echo" + tail],
                        lambda: echo_stub.Complete(bare_request, timeout=5),
                        count=calls,
                        in_flight=in_flight,
                        pids=served["echo"],
                    )
                    await run_calls(
                        ways["hit" + tail],
                        lambda: call(cache_stub.Analyze, same, seconds=5),
                        count=calls,
                        in_flight=in_flight,
                        pids=served["hit"],
                    )
                await run_calls(
                    ways["miss"],
                    lambda: call(cache_stub.Analyze, request(f"I want {uuid.uuid4()}"), seconds=10),
                    count=calls // 2,
                    in_flight=1,
                    pids=served["miss"],
                )
    finally:
        echo.terminate()
        await echo.wait()


async def measure_turns(system: System, way: Way, words: str, *, turns: int, phones: Iterator[int]) -> None:
    """Text as `turns` new people, one after the other; times are the database's, webhook stored to text sent."""
    pids = [system.pid(name) for name in SERVING]
    before = cpu_of(pids)
    contacts = []
    for _ in range(turns):
        contact = await system.contact("Bench", f"(206) 555-{next(phones):04d}")
        contacts.append(contact)
        await system.text(contact, words)

        async def answered(contact: str = contact) -> bool:
            rows = await system.sql(
                "select 1 from outbox where contact_id = $1 and kind = 'REPLY' and state = 'SENT'", contact
            )
            return bool(rows)

        await until("the text is sent", answered)
    way.cpu_seconds += cpu_of(pids) - before
    way.calls += turns
    rows = await system.sql(
        "select extract(epoch from min(o.send_time) - min(i.receive_time))::double precision as seconds"
        " from inbox i join outbox o using (tenant_id, contact_id)"
        " where i.contact_id = any($1) and i.kind = 'MESSAGE_IN' and o.kind = 'REPLY' group by contact_id",
        contacts,
    )
    way.seconds += [row["seconds"] for row in rows]


async def run(*, rounds: int, calls: int, turns: int) -> str:
    """Run everything and return the report."""
    names = {
        "echo": "bare grpc.aio echo",
        "hit": "Analyze, cached (L1)",
        "miss": "Analyze, uncached (stand-in without latency)",
        "echo, 16 in flight": "bare grpc.aio echo, 16 in flight",
        "hit, 16 in flight": "Analyze, cached, 16 in flight",
        "turn": "webhook to text sent, no handoff",
        "handoff": "webhook to text sent, one handoff",
    }
    ways = {key: Way(name) for key, name in names.items()}
    settings = {
        "PORCHLIGHT_DEBOUNCE_SECONDS": "0",
        "PORCHLIGHT_CRM_LIMIT": "1000000",
        # It learns what ships in the first seconds, and might answer what is meant to be asked of Claude.
        "PORCHLIGHT_STUDENT": "off",
    } | {f"PORCHLIGHT_{name.upper()}": value for name, value in NO_LIMITS.items()}
    with tempfile.TemporaryDirectory() as folder:
        async with System(Path(folder) / "state", settings) as system:
            await measure_calls(system, ways, rounds=rounds, calls=calls)
            phones = itertools.count(1000)
            for _ in range(rounds):
                await measure_turns(system, ways["turn"], "hello there", turns=turns // 2, phones=phones)
                await measure_turns(
                    system, ways["handoff"], "I need to sell my house ASAP", turns=turns // 2, phones=phones
                )
    note = json.dumps({"rounds": rounds, "calls": calls, "turns": turns})
    return (
        f"Machine: {machine()}. Date: {date.today()}. Run: `make bench`, {note}, one call at a time unless said.\n\n"
        + table(list(ways.values()), ways["echo"])
        + "\n\nEcho and Analyze are timed by the caller; turns by the database's clock, from the stored webhook to the text that"
        " the CRM took. CPU of a turn is that of all six services, Postgres and Valkey together; the stand-ins are left out.\n"
    )


def write(section: str, report: str) -> None:
    """Replace the part of RESULTS.md under `## section`."""
    text = RESULTS.read_text(encoding="utf-8") if RESULTS.exists() else "# Results\n"
    head, mark, rest = text.partition(f"## {section}\n")
    tail = rest[rest.index("\n## ") + 1 :] if mark and "\n## " in rest else ""
    RESULTS.write_text(f"{head.rstrip()}\n\n## {section}\n\n{report}\n{tail}", encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse, run, print, perhaps write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--calls", type=int, default=100)
    parser.add_argument("--turns", type=int, default=20)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args(arguments)
    report = asyncio.run(run(rounds=options.rounds, calls=options.calls, turns=options.turns))
    print(report)
    if options.write:
        write("The walking system", report)


if __name__ == "__main__":
    main()
