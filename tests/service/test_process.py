"""A service as a process of its own: ready, draining, failing."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from porchlight.bot.v1 import bot_service_pb2, bot_service_pb2_grpc

from kit import tokens
from kit.rpc import client
from kit.rpc.server import NOT_SERVING, SERVING
from tests.support.processes import let_go

CANARY = "Zanzibar-555-0199"

PROGRAM = """
import asyncio
from pathlib import Path
from porchlight.bot.v1 import bot_service_pb2 as pb, bot_service_pb2_grpc
from kit.log import get_logger
from kit.process import Served, main
from tests.support.processes import let_go

HERE = Path("@HERE@")

async def until(name):
    while not (HERE / name).exists():
        await asyncio.sleep(0.01)

class Bot(bot_service_pb2_grpc.BotServiceServicer):
    async def PreviewTurn(self, request, context):
        if request.text != "at once":
            (HERE / f"entered_{request.text}").touch()
            await until("leave")
        return pb.PreviewTurnResponse(reply=request.text)

async def check():
    if (HERE / "store_is_down").exists():
        raise OSError("@CANARY@")

async def steady(stopping):
    await stopping.wait()
    get_logger().info("turn.released")

async def close():
    get_logger().info("store.stopped")

async def build(settings, stack):
    stack.push_async_callback(close)
    @BUILD@
    return Served(
        servicers=[(bot_service_pb2_grpc.add_BotServiceServicer_to_server, Bot(), "porchlight.bot.v1.BotService")],
        checks={"postgres": check},
        workers=[@WORKER@],
    )

@MORE@
main("lead", build)
"""


@dataclass
class Running:
    """A process and what it said so far."""

    process: asyncio.subprocess.Process
    lines: list[dict[str, Any]] = field(default_factory=list)
    raw: bytes = b""

    async def line(self, event: str) -> dict[str, Any]:
        """Return the first line of an event that has not been passed yet."""
        assert self.process.stdout is not None
        async with asyncio.timeout(30):
            while line := await self.process.stdout.readline():
                self.raw += line
                self.lines.append(json.loads(line))
                if self.lines[-1]["event"] == event:
                    return self.lines[-1]
        raise AssertionError(f"no {event} in {self.raw!r}")

    async def end(self) -> int:
        """Wait for the end, and return the exit code."""
        async with asyncio.timeout(30):
            out, err = await self.process.communicate()
        self.raw += out + err
        self.lines += [json.loads(line) for line in out.splitlines()]
        assert err == b""
        assert self.process.returncode is not None
        return self.process.returncode

    async def exit_code(self) -> int:
        """Wait for the exit code alone; asyncio's own wait also waits for the pipes to be read."""
        async with asyncio.timeout(30):
            while self.process.returncode is None:
                await asyncio.sleep(0.01)
        return self.process.returncode

    @property
    def events(self) -> list[str]:
        return [line["event"] for line in self.lines]


@asynccontextmanager
async def a_process(
    here: Path, *, worker: str = "steady", more: str = "", build: str = "", **environ: str
) -> AsyncIterator[Running]:
    callers = here / "callers.json"
    tokens.write_callers(callers, {"operator": tokens.digest("secret")})
    program = PROGRAM
    values = {"HERE": str(here), "CANARY": CANARY, "WORKER": worker, "MORE": more, "BUILD": build}
    for name, value in values.items():
        program = program.replace(f"@{name}@", value)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PORCHLIGHT_")}
    running = Running(
        await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            program,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=kept | {"GRPC_VERBOSITY": "NONE", "PORCHLIGHT_CALLERS_FILE": str(callers)} | environ,
            cwd=Path(__file__).parents[2],
        )
    )
    try:
        yield running
    finally:
        if running.process.returncode is None:
            running.process.kill()
        await let_go(running.process)


def preview(channel: grpc.aio.Channel, text: str) -> Any:
    stub = bot_service_pb2_grpc.BotServiceStub(channel)
    return client.call(stub.PreviewTurn, bot_service_pb2.PreviewTurnRequest(text=text), seconds=30)


async def appear(*paths: Path) -> None:
    async with asyncio.timeout(30):
        while not all(path.exists() for path in paths):
            await asyncio.sleep(0.01)


async def test_sigterm_fails_no_call_in_flight(tmp_path):
    async with a_process(tmp_path, PORCHLIGHT_DRAIN_SECONDS="30") as running:
        address = (await running.line("process.ready"))["address"]
        async with client.open_channel(address, token="secret", service="lead") as channel:
            names = [str(number) for number in range(20)]
            calls = [asyncio.create_task(preview(channel, name)) for name in names]
            await appear(*(tmp_path / f"entered_{name}" for name in names))
            running.process.send_signal(signal.SIGTERM)
            await running.line("process.drained")
            (tmp_path / "leave").touch()
            answers = await asyncio.gather(*calls)
        assert await running.end() == 0
    assert [answer.reply for answer in answers] == names


async def test_sigterm_of_one_replica_fails_no_call_of_a_steady_stream(tmp_path):
    async with a_process(tmp_path) as one, a_process(tmp_path) as two:
        addresses = [(await each.line("process.ready"))["address"] for each in (one, two)]
        target = "ipv4:" + ",".join(addresses)
        async with client.open_channel(target, token="secret", service="lead") as channel:
            gone = asyncio.Event()

            async def stream() -> int:
                calls = 0
                while not gone.is_set():
                    await preview(channel, "at once")
                    calls += 1
                return calls

            callers = [asyncio.create_task(stream()) for _ in range(8)]
            await preview(channel, "at once")
            one.process.send_signal(signal.SIGTERM)
            code = await one.end()
            gone.set()
            counts = await asyncio.gather(*callers)
    assert code == 0
    assert all(counts)


async def test_workers_finish_before_what_they_use_is_closed(tmp_path):
    async with a_process(tmp_path) as running:
        await running.line("process.ready")
        running.process.send_signal(signal.SIGINT)
        assert await running.end() == 0
    assert running.events == ["process.ready", "process.drained", "turn.released", "store.stopped", "process.stopped"]


async def test_an_open_health_watch_does_not_hold_up_the_drain(tmp_path):
    async with a_process(tmp_path, PORCHLIGHT_DRAIN_SECONDS="300") as running:
        address = (await running.line("process.ready"))["address"]
        async with grpc.aio.insecure_channel(address) as channel:
            watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
            assert (await watch.read()).status == SERVING
            running.process.send_signal(signal.SIGTERM)
            assert (await watch.read()).status == NOT_SERVING
            assert await running.end() == 0


async def test_a_worker_that_does_not_stop_is_cancelled(tmp_path):
    worker = "lambda stopping: asyncio.Event().wait()"
    async with a_process(tmp_path, worker=worker, PORCHLIGHT_DRAIN_SECONDS="0.1") as running:
        await running.line("process.ready")
        running.process.send_signal(signal.SIGTERM)
        assert await running.end() == 0


async def test_a_second_process_on_the_same_port_fails(tmp_path):
    async with a_process(tmp_path) as first:
        address = (await first.line("process.ready"))["address"]
        async with a_process(tmp_path, PORCHLIGHT_LISTEN=address) as second:
            failed = await second.line("process.failed")
            assert await second.end() == 1
    assert (failed["cause"], failed["address"]) == ("ADDRESS_NOT_AVAILABLE", address)


async def test_a_worker_that_raises_ends_the_process_and_keeps_its_text(tmp_path):
    more = f"async def crash(stopping):\n    raise ValueError({CANARY!r})"
    async with a_process(tmp_path, worker="steady, crash", more=more) as running:
        failed = await running.line("process.failed")
        assert await running.end() == 1
    assert (failed["worker"], failed["error"]) == ("crash", "ValueError")
    assert CANARY.encode() not in running.raw


async def test_a_worker_that_ends_early_ends_the_process(tmp_path):
    async with a_process(tmp_path, worker="lambda stopping: asyncio.sleep(0)") as running:
        assert (await running.line("process.failed"))["cause"] == "ENDED_EARLY"
        assert await running.end() == 1


async def test_a_process_that_cannot_be_built_says_where_and_not_what(tmp_path):
    async with a_process(tmp_path, build=f"raise RuntimeError({CANARY!r})") as running:
        failed = await running.line("process.failed")
        assert await running.end() == 1
    assert failed["error"] == "RuntimeError"
    assert "build" in failed["trace"][-1]
    assert CANARY.encode() not in running.raw


async def test_settings_that_nobody_knows_stop_the_start(tmp_path):
    async with a_process(tmp_path, PORCHLIGHT_LISTN="127.0.0.1:1", PORCHLIGHT_DRAIN_SECONDS="5") as running:
        assert (await running.line("settings.refused"))["setting"] == "PORCHLIGHT_LISTN"
        assert await running.end() == 2


async def test_health_follows_what_the_process_cannot_do_without(tmp_path):
    down = tmp_path / "store_is_down"
    down.touch()
    async with a_process(tmp_path) as running:
        address = (await running.line("process.ready"))["address"]
        async with grpc.aio.insecure_channel(address) as channel:
            watches = [
                health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(service=name))
                for name in ("", "postgres", "porchlight.bot.v1.BotService")
            ]
            assert [(await watch.read()).status for watch in watches] == [NOT_SERVING] * 3
            down.unlink()
            async with asyncio.timeout(30):
                assert [(await watch.read()).status for watch in watches] == [SERVING] * 3
            down.touch()
            async with asyncio.timeout(30):
                assert [(await watch.read()).status for watch in watches] == [NOT_SERVING] * 3
        running.process.send_signal(signal.SIGTERM)
        await running.end()
    changes = [event for event in running.events if event.startswith("dependency.")]
    assert changes == ["dependency.lost", "dependency.recovered", "dependency.lost"]
    assert CANARY.encode() not in running.raw


async def test_a_process_whose_log_nobody_reads_still_serves_and_stops(tmp_path):
    more = """
async def chatty(stopping):
    for _ in range(5000):
        get_logger().info("turn.completed", cause="x" * 200)
    (HERE / "said").touch()
    await stopping.wait()
"""
    async with a_process(tmp_path, worker="chatty", more=more) as running:
        await appear(tmp_path / "said")  # 1 MB is more than a pipe and a stream reader hold
        running.process.send_signal(signal.SIGTERM)
        assert await running.exit_code() == 0


async def test_a_process_whose_log_reader_is_gone_still_serves_and_stops(tmp_path):
    async with a_process(tmp_path, more='HERE.joinpath("started").touch()') as running:
        address = (await running.line("process.ready"))["address"]
        running.process._transport.get_pipe_transport(1).close()
        async with client.open_channel(address, token="secret", service="lead") as channel:
            assert (await preview(channel, "at once")).reply == "at once"
        running.process.send_signal(signal.SIGTERM)
        assert await running.exit_code() == 0


@pytest.mark.parametrize("listen", ["127.0.0.1:0", "localhost:0", "[::1]:0"])
async def test_the_bound_port_is_said(listen, tmp_path):
    async with a_process(tmp_path, PORCHLIGHT_LISTEN=listen) as running:
        address = (await running.line("process.ready"))["address"]
        async with client.open_channel(address, token="secret", service="lead") as channel:
            assert (await preview(channel, "at once")).reply == "at once"
