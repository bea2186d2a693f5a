"""What a cached answer costs beside a bare gRPC echo, a Redis GET and LiteLLM's proxy, in one interleaved run.

    python -m bench.cache_latency [--rounds 10] [--calls 200] [--write]

The cache service is a process of its own over a Postgres that syncs and a Valkey, once
with the logs and numbers that are on by default and once with both off as far as
settings go (`log_level` error, nothing served for Prometheus). LiteLLM's proxy answers
from its memory, over a connection that stays open; it is left out when its environment
(bench/litellm/.venv) is not there. The student's tiers are taught from property dialogues
before anything is timed, and left out where those are not there (`bench/student.py`). `--write` replaces this bench's part of
bench/RESULTS.md.
"""

import argparse
import asyncio
import json
import os
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import date
from pathlib import Path
from typing import Any, Final

from porchlight.cache.v1 import cache_service_pb2 as pb
from porchlight.cache.v1.cache_service_pb2_grpc import CacheServiceStub
from redis.asyncio import Redis

from bench import student
from bench.caches import Stores, prepared, question, running_cache, running_stores
from bench.handoff import running_echo
from bench.measure import NO_LIMITS, Way, machine, run_calls
from bench.walk import write
from kit.rpc.client import call
from sandbox.child import free_port

SECTION: Final = "Cached answers"
LITELLM: Final = Path(__file__).parent / "litellm" / ".venv" / "bin" / "litellm"
TEXT: Final = "I want to buy a house in Ballard"
IN_FLIGHT: Final = (1, 16)
START_SECONDS: Final = 120
NAMES: Final = {
    "echo": "bare grpc.aio echo",
    "complete": "Complete, cached, logs and numbers on",
    "complete, quiet": "Complete, cached, logs and numbers off",
    "analyze": "Analyze, cached, logs and numbers on",
    "analyze, quiet": "Analyze, cached, logs and numbers off",
    "student, light": "Analyze, answered by the student, light tier",
    "student, minilm": "Analyze, answered by the student, MiniLM tier",
    "redis": "Redis GET of the same answer",
    "litellm": "LiteLLM's proxy, cached in its memory",
}
BARS: Final = (
    ("complete", 2.0),
    ("complete, quiet", 1.3),
    ("analyze", 2.0),
    ("analyze, quiet", 1.3),
    ("student, light", 4.0),
    ("student, minilm", 25.0),
)
"""Path, and the most that its p50 may be of the echo's."""
BEYOND_LITELLM: Final = 10

Call = Callable[[], Awaitable[object]]


def hits(stub: CacheServiceStub) -> dict[str, Call]:
    """Ask what is cached: for an answer as it is, and for what a text means."""
    greeting = pb.CompleteRequest(
        tenant_id="loc_1", contact_id="c_bench", prompt="lead.greet", variables={"season": TEXT}
    )
    meaning = question(TEXT)

    async def complete() -> int:
        return (await call(stub.Complete, greeting, seconds=10)).tier

    async def analyze() -> int:
        return (await call(stub.Analyze, meaning, seconds=10)).tier

    return {"complete": complete, "analyze": analyze}


class Proxy:
    """Connections to LiteLLM that stay open, each used by one caller at a time: no HTTP library is in the way."""

    def __init__(self, port: int, body: Mapping[str, Any]) -> None:
        data = json.dumps(body).encode()
        self._port = port
        self._free: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        self._request = (
            b"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer sk-bench\r\n"
            b"content-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(data)
        ) + data

    async def ask(self) -> None:
        """Ask what is cached, and read all of the answer."""
        # It closes what was idle for some seconds, as between two rounds.
        while self._free and self._free[-1][0].at_eof():
            self._free.pop()[1].close()
        reader, writer = self._free.pop() if self._free else await asyncio.open_connection("127.0.0.1", self._port)
        writer.write(self._request)
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = next(
            int(line.partition(b":")[2]) for line in head.split(b"\r\n") if line.startswith(b"content-length:")
        )
        body = await reader.readexactly(length)
        assert b" 200 " in head.partition(b"\r\n")[0], body
        self._free.append((reader, writer))

    def close(self) -> None:
        """Close all connections."""
        for _, writer in self._free:
            writer.close()


@asynccontextmanager
async def running_litellm(stores: Stores) -> AsyncIterator[tuple[Call, int]]:
    """Start LiteLLM's proxy in front of the same Claude; gives a call of it and its process id."""
    port, config = free_port(), stores.folder / "litellm.json"
    model = {"model": "anthropic/claude-haiku-4-5", "api_base": stores.claude.url, "api_key": "none"}
    settings = {
        "model_list": [{"model_name": "claude", "litellm_params": model}],
        "litellm_settings": {"cache": True, "cache_params": {"type": "local"}},
        "general_settings": {"master_key": "sk-bench"},
    }
    config.write_text(json.dumps(settings))  # JSON is YAML
    command = (
        str(LITELLM),
        "--config",
        str(config),
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--telemetry",
        "False",
    )
    quiet = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR"}
    pipe = asyncio.subprocess.DEVNULL
    process = await asyncio.create_subprocess_exec(*command, env=os.environ | quiet, stdout=pipe, stderr=pipe)
    proxy = Proxy(port, {"model": "claude", "messages": [{"role": "user", "content": TEXT}]})
    try:
        async with asyncio.timeout(START_SECONDS):
            while True:
                try:
                    await proxy.ask()
                    break
                except (ConnectionError, asyncio.IncompleteReadError):
                    await asyncio.sleep(0.2)
        asked = len(stores.claude.requests)
        await proxy.ask()
        assert len(stores.claude.requests) == asked, "LiteLLM does not answer from its cache"
        yield proxy.ask, process.pid
    finally:
        proxy.close()
        process.terminate()
        await process.wait()


async def run(cluster: Any, redis_url: str, folder: Path, *, rounds: int, calls: int) -> str:
    """Measure everything, turn and turn about, and return the report."""
    async with AsyncExitStack() as stack:
        stores = await stack.enter_async_context(prepared(cluster, redis_url, folder))
        served: dict[str, tuple[Call, int | None]] = {"echo": await stack.enter_async_context(running_echo())}
        loud, quiet = {"metrics_listen": f"127.0.0.1:{free_port()}"}, {"log_level": "error"}
        for tail, settings in (("", loud), (", quiet", quiet)):
            stub, process = await stack.enter_async_context(running_cache(stores, **settings))
            for key, ask in hits(stub).items():
                await ask()  # from Claude or Redis
                assert await ask() == pb.TIER_L1
                served[key + tail] = (ask, process)
        if student.is_there():
            questions = await student.prepare(stores)
            for number, name in enumerate(("light", "minilm"), start=1):
                settings = loud | NO_LIMITS | {"student": name, "metrics_listen": f"127.0.0.1:{free_port()}"}
                # A database of its own in Redis: what the other left to Claude would be found there.
                settings["redis_url"] = f"{redis_url.rpartition('/')[0]}/{number}"
                stub, process = await stack.enter_async_context(running_cache(stores, **settings))
                served[f"student, {name}"] = (await student.hits(stores, stub, questions), process)
        redis = Redis.from_url(redis_url)
        stack.push_async_callback(redis.aclose)
        await redis.set("bench", stores.claude.body)
        served["redis"] = (lambda: redis.get("bench"), None)
        if LITELLM.exists():
            served["litellm"] = await stack.enter_async_context(running_litellm(stores))
        ways = {(key, many): Way(NAMES[key]) for many in IN_FLIGHT for key in served}
        for round_ in range(rounds + 1):
            for many in IN_FLIGHT:
                for key, (ask, pid) in served.items():
                    # The first round warms up.
                    way = ways[key, many] if round_ else Way("warming up")
                    await run_calls(way, ask, count=calls, in_flight=many, pids=[pid] if pid else [])
    return report(ways, rounds=rounds, calls=calls)


def report(ways: Mapping[tuple[str, int], Way], *, rounds: int, calls: int) -> str:
    """Write everything as Markdown."""
    lines = [
        f"Machine: {machine()}. Date: {date.today()}. Run: `make bench-cache`, {rounds} rounds of {calls} calls a path.",
        "",
        "| path | in flight | p50 ms | p50 x echo | p99 ms | calls/s | CPU us/call | CPU x echo |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for (key, many), way in ways.items():
        echo = ways["echo", many]
        cpu = "| |" if key == "redis" else f"{way.cpu_us:.0f} | {way.cpu_us / echo.cpu_us:.1f} |"
        lines.append(
            f"| {way.name} | {many} | {way.p50_ms:.2f} | {way.p50_ms / echo.p50_ms:.2f} | {way.p99_ms:.2f} "
            f"| {way.per_second:.0f} | {cpu}"
        )
    lines += ["", "| bar, one call at a time | allowed | measured | |", "|---|---|---|---|"]
    one = {key: way.p50_ms for (key, many), way in ways.items() if many == 1}
    bars = [
        (NAMES[key], f"{most:g} x echo", one[key] / one["echo"], one[key] <= most * one["echo"])
        for key, most in BARS
        if key in one
    ]
    if "litellm" in one:
        times = one["litellm"] / one["complete"]
        bars.append(
            (f"{NAMES['litellm']}, beside Complete", f"at least {BEYOND_LITELLM} x", times, times >= BEYOND_LITELLM)
        )
    lines += [
        f"| {name} | {limit} | {seen:.2f} x | {'met' if met else '**not met**'} |" for name, limit, seen, met in bars
    ]
    return "\n".join(lines) + "\n\n" + NOTES


NOTES = (
    "One caller, one process a path. The echo gives back the text alone. Complete looks an answer up by tenant, prompt and"
    " variables; Analyze masks the text first and binds the answer to its words; both log it and note it in the journal. The"
    " texts that the student answers are of dialogues that it did not learn from, some hundred turn and turn about; Claude is"
    " asked about one in nineteen meanwhile, and calls that got what Claude had said of the same text do not count. LiteLLM"
    " knows a request again by all of its text, so Complete is its counterpart; it logs errors only and serves no numbers,"
    " and is held against Complete with both. CPU is that of the serving process.\n"
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse, run, print, perhaps write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--calls", type=int, default=200)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as path, running_stores(Path(path)) as (cluster, redis_url):
        made = asyncio.run(run(cluster, redis_url, Path(path), rounds=options.rounds, calls=options.calls))
    print(made)
    if options.write:
        write(SECTION, made)


if __name__ == "__main__":
    main()
