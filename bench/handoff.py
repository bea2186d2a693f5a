"""What a handoff costs beside a bare gRPC echo, a durable commit, and LangGraph over the same Postgres.

    python -m bench.handoff [--rounds 5] [--calls 100] [--write]

One interleaved run under the full policy: arbiter and buyer bot are processes of their
own with the settings and logs that are on by default, over a Postgres that syncs. Each
handoff ends an open turn of a contact of its own and brings facts along. LangGraph runs
without a server in between, which is to its advantage. `--write` replaces this bench's
part of bench/RESULTS.md.
"""

import argparse
import asyncio
import itertools
import json
import sys
import tempfile
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import date
from pathlib import Path
from typing import Any

import asyncpg
from porchlight.bot.v1 import bot_service_pb2 as bot_pb
from porchlight.cache.v1 import cache_service_pb2 as cache_pb
from porchlight.cache.v1.cache_service_pb2_grpc import CacheServiceStub
from porchlight.handoff.v1 import handoff_service_pb2 as pb

from bench.fleet import Writes, fresh_database, put_turns, running_arbiters, running_bot, written
from bench.measure import Way, family, machine, run_calls
from bench.walk import write
from kit.rpc.client import open_channel
from sandbox.child import free_port
from tests.support.arbiter import Desk, a_proposal
from tests.support.stores import Cluster, running_cluster

LANGGRAPH = Path(__file__).parent / "handoff_safety" / "langgraph" / ".venv" / "bin" / "python"
IN_FLIGHT = (1, 32)
SECTION = "Handoffs"
FACTS = (
    bot_pb.Fact(name="intent", text_value="buy", words="want to buy", extractor="rules", confidence=1.0),
    bot_pb.Fact(name="area", text_value="Ballard", words="in Ballard", extractor="rules", confidence=1.0),
)
NAMES = {
    "echo": "bare grpc.aio echo",
    "commit": "one durable commit (insert of one row)",
    "evaluate": "EvaluateHandoff",
    "denied": "RequestHandoff, denied",
    "decided": "RequestHandoff, approved: until the decision",
    "accepted": "RequestHandoff, approved: until the target owns the contact",
    "langgraph": "LangGraph, Postgres, sync: lead to buyer in one invocation",
}

Call = Callable[[], Awaitable[object]]


class Handoffs:
    """Calls of a running arbiter, each about a contact of its own."""

    def __init__(self) -> None:
        self.decided: Way | None = None
        """Gets the time until the decision of each approved request."""
        self._turns: Iterator[tuple[str, int]] = iter(())
        self._awaited: dict[str, asyncio.Future[None]] = {}

    def heard(self, line: Mapping[str, Any]) -> None:
        """Note what the arbiter logs once a target owns a contact, after the commit."""
        if line["event"] == "handoff.accepted":
            self._awaited.pop(line["contact_id"]).set_result(None)

    async def prepare(self, desk: Desk, count: int) -> None:
        """Make contacts for the next `count` calls."""
        self._turns = iter(await put_turns(desk, count))

    async def evaluate(self, stub: Any) -> None:
        """Ask what would be decided."""
        answer = await stub.EvaluateHandoff(pb.EvaluateHandoffRequest(proposal=self._proposal(0.85)), timeout=5)
        assert answer.approved, answer

    async def deny(self, stub: Any) -> None:
        """Be refused for too little confidence."""
        answer = await stub.RequestHandoff(_request(self._proposal(0.1)), timeout=5)
        assert not answer.approved, answer

    async def move(self, stub: Any) -> None:
        """Be approved, and wait until the target owns the contact."""
        proposal = self._proposal(0.85)
        accepted = self._awaited[proposal.contact_id] = asyncio.get_running_loop().create_future()
        began = asyncio.get_running_loop().time()
        answer = await stub.RequestHandoff(_request(proposal), timeout=5)
        if self.decided is not None:
            self.decided.seconds.append(asyncio.get_running_loop().time() - began)
        assert answer.approved, answer
        async with asyncio.timeout(10):
            await accepted

    def _proposal(self, confidence: float) -> pb.HandoffProposal:
        contact, turn_no = next(self._turns)
        return a_proposal("lead>buyer", confidence, contact_id=contact, turn_no=turn_no, facts=FACTS)


def _request(proposal: pb.HandoffProposal) -> pb.RequestHandoffRequest:
    return pb.RequestHandoffRequest(proposal=proposal, request_id=uuid.uuid4().hex)


class LangGraph:
    """The other system's process: takes a line, makes that many handoffs, answers with their durations."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    async def run(self, way: Way, *, count: int, in_flight: int, pids: Sequence[int]) -> None:
        """Make handoffs and add what they cost to `way`."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with way.costs(pids, count=count):
            self._process.stdin.write(json.dumps({"count": count, "in_flight": in_flight}).encode() + b"\n")
            line = await self._process.stdout.readline()
        way.seconds += json.loads(line)


@asynccontextmanager
async def running_langgraph(cluster: Cluster) -> AsyncIterator[LangGraph]:
    """Start LangGraph in its own environment, over a database of its own in the same Postgres."""
    name = "langgraph_bench"
    admin = await asyncpg.connect(cluster.admin_url)
    await admin.execute(f"create database {name}")
    url = cluster.admin_url.rpartition("/")[0] + f"/{name}"
    command = (str(LANGGRAPH), "-m", "bench.handoff_safety.langgraph.latency", url)
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, limit=1 << 24)
    try:
        assert process.stdout is not None
        assert json.loads(await process.stdout.readline()) == "ready"
        yield LangGraph(process)
    finally:
        assert process.stdin is not None
        process.stdin.close()
        await process.wait()
        await admin.execute(f"drop database {name} with (force)")
        await admin.close()


@asynccontextmanager
async def running_echo() -> AsyncIterator[tuple[Call, int]]:
    """Start the yardstick; gives a call of it and its process id."""
    port = free_port()
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "bench.echo", str(port))
    try:
        async with open_channel(f"127.0.0.1:{port}", token="none", service="echo") as channel:
            await channel.channel_ready()
            stub = CacheServiceStub(channel)
            request = cache_pb.CompleteRequest(variables={"messages": "I want to buy a house in Ballard"})
            yield lambda: stub.Complete(request, timeout=5), process.pid
    finally:
        process.terminate()
        await process.wait()


async def run(cluster: Cluster, folder: Path, *, rounds: int, calls: int) -> str:
    """Measure everything, turn and turn about, and return the report."""
    handoffs = Handoffs()
    ways = {(key, many): Way(name) for many in IN_FLIGHT for key, name in NAMES.items()}
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(fresh_database(cluster))
        echo, echo_pid = await stack.enter_async_context(running_echo())
        buyer, buyer_target = await stack.enter_async_context(running_bot("buyer", database, folder))
        # The caller is the source, and nobody hands over to it: its address only makes it known.
        targets = {"buyer": buyer_target, "lead": buyer_target}
        started = running_arbiters(database, folder, targets, heard=handoffs.heard)
        arbiter = (await stack.enter_async_context(started))[0]
        desk, stub = arbiter.desk, await arbiter.desk.stub("lead")
        other = await stack.enter_async_context(running_langgraph(cluster))
        pool = await stack.enter_async_context(asyncpg.create_pool(database.admin_url, min_size=8, max_size=8))
        await pool.execute("create table bench_commit (body text)")
        serving = [arbiter.process.pid, buyer.pid]
        served: dict[str, tuple[Call, Sequence[int]]] = {
            "echo": (echo, [echo_pid]),
            "commit": (lambda: pool.execute("insert into bench_commit values ('one row')"), []),
            "evaluate": (lambda: handoffs.evaluate(stub), serving),
            "denied": (lambda: handoffs.deny(stub), serving),
            "accepted": (lambda: handoffs.move(stub), serving),
        }

        async def measure(key: str, way: Way, *, count: int, in_flight: int) -> None:
            stores = family(cluster.pid) if key != "echo" else []
            if key == "langgraph":
                await other.run(way, count=count, in_flight=in_flight, pids=[other.pid, *stores])
                return
            call, pids = served[key]
            if pids is serving:
                await handoffs.prepare(desk, count)
            await run_calls(way, call, count=count, in_flight=in_flight, pids=[*pids, *stores])

        for key in (*served, "langgraph"):
            await measure(key, Way("warming up"), count=32, in_flight=8)
        for _, many in itertools.product(range(rounds), IN_FLIGHT):
            handoffs.decided = ways["decided", many]
            for key in (*served, "langgraph"):
                await measure(key, ways[key, many], count=calls, in_flight=many)
        handoffs.decided = None
        costs = {}
        before = await written(desk.admin)
        for key in ("idle", "evaluate", "denied", "accepted", "langgraph"):
            if key != "idle":
                await measure(key, Way("counted"), count=calls, in_flight=1)
            after = await written(desk.admin)
            costs[key] = after - before
            before = after
    return report(ways, costs, rounds=rounds, calls=calls)


def report(ways: Mapping[tuple[str, int], Way], costs: Mapping[str, Writes], *, rounds: int, calls: int) -> str:
    """Write everything as Markdown."""
    lines = [
        f"Machine: {machine()}. Date: {date.today()}. Run: `make bench-handoff`, {rounds} rounds of {calls} calls a path.",
        "",
        "| path | in flight | calls | p50 ms | p50 x echo | p99 ms | calls/s | calls/s x echo | CPU us/call | CPU x echo | caller's CPU us/call |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for (key, many), way in ways.items():
        echo = ways["echo", many]
        lines.append(
            f"| {way.name} | {many} | {len(way.seconds)} | {way.p50_ms:.2f} | {way.p50_ms / echo.p50_ms:.1f} | {way.p99_ms:.2f} |"
            + (
                " | | | | |"
                if key == "decided"
                else f" {way.per_second:.0f} | {way.per_second / echo.per_second:.3f} "
                f"| {way.cpu_us:.0f} | {way.cpu_us / echo.cpu_us:.1f} | {way.caller_us:.0f} |"
            )
        )
    lines += ["", "| path | transactions a call | syncs of the log a call |", "|---|---|---|"]
    idle = costs["idle"]
    for key, cost in costs.items():
        if key != "idle":
            lines.append(
                f"| {NAMES[key]} | {cost.beyond(idle).commits / calls:.1f} | {cost.beyond(idle).syncs / calls:.1f} |"
            )
    lines += ["", "| bar | allowed | measured | |", "|---|---|---|---|"]
    lines += [
        f"| {name} | {limit} | {seen} | {'met' if met else '**not met**'} |" for name, limit, seen, met in bars(ways)
    ]
    return "\n".join(lines) + "\n\n" + NOTES


def bars(ways: Mapping[tuple[str, int], Way]) -> Iterator[tuple[str, str, str, bool]]:
    """Yield what was promised: its name, the limit, what was measured, and whether it was kept."""
    one, many = IN_FLIGHT
    limit = 3 * ways["commit", one].p50_ms + 8 * ways["echo", one].p50_ms
    seen = ways["accepted", one].p50_ms
    yield (
        "p50 until the target owns the contact",
        f"3 commits + 8 echoes = {limit:.2f} ms",
        f"{seen:.2f} ms",
        seen <= limit,
    )
    rate = ways["accepted", many].per_second
    for key, share in (("echo", 0.12), ("langgraph", 4.0)):
        other = ways[key, many].per_second
        name = f"handoffs/s at {many} in flight beside {'echo' if key == 'echo' else 'LangGraph'}"
        yield name, f"{share:g} x {other:.0f}", f"{rate / other:.2f} x ({rate:.0f})", rate >= share * other
    denied, decided = ways["denied", one].p50_ms, ways["decided", one].p50_ms
    yield "denial beside approval, p50 of the decision", f"below {decided:.2f} ms", f"{denied:.2f} ms", denied < decided
    denied, approved = ways["denied", many].cpu_us, ways["accepted", many].cpu_us
    yield "denial beside approval, CPU", f"below {approved:.0f} us", f"{denied:.0f} us", denied < approved


NOTES = (
    "One caller process, one arbiter, one buyer bot, one Postgres; echo is one caller and one server. Each call is about a"
    " contact of its own with an open turn and a waiting message. The target owns the contact when the arbiter says so in its"
    " log, after the commit. CPU is that of the serving processes and of Postgres with its children; LangGraph's is that of the"
    " process that calls it, which serves itself. The caller's CPU is spent on the same cores. Transactions count reads too; what runs while nobody calls is taken off. The"
    " source is the caller itself: no lead bot runs, which would write a score for each contact that facts were learned of,"
    " one transaction and one sync more, after the handoff.\n"
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse, run, print, perhaps write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--calls", type=int, default=200)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as path, running_cluster(Path(path) / "stores", durable=True) as cluster:
        made = asyncio.run(run(cluster, Path(path), rounds=options.rounds, calls=options.calls))
    print(made)
    if options.write:
        write(SECTION, made)


if __name__ == "__main__":
    main()
