"""Run a service as a process: from settings to `process.ready`, and down again without losing a call."""

import asyncio
import functools
import gc
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Final, TypeVar

from grpc_health.v1 import health

from kit import crash, log, metrics
from kit.rpc import server as rpc_server
from kit.settings import Settings, SettingsRefused, load

S = TypeVar("S", bound=Settings)

Worker = Callable[[asyncio.Event], Awaitable[None]]
"""Runs until the event is set; ending early or raising ends the process with code 1."""

Check = Callable[[], Awaitable[None]]
"""Asks a dependency for a sign of life; raises when there is none."""

CHECK_EVERY_SECONDS: Final = 1.0
CHECK_SECONDS: Final = 1.0
GARBAGE_LEAST: Final = 50_000
"""Objects made and not yet dropped before a look for circles among them: a call makes few, and pays for the look."""

logger = log.get_logger()


class ProcessFailed(Exception):
    """The process cannot go on; the log says why."""


@dataclass(frozen=True, kw_only=True)
class Served:
    """What a process does, beside existing.

    Args:
        servicers: add_XServicer_to_server, the servicer, the service's full name.
        checks: Dependencies without which the process is not ready, by name. What
            it can do without (Redis, Claude) does not belong here.
        workers: What runs beside the server.
    """

    servicers: rpc_server.Servicers
    checks: Mapping[str, Check] = field(default_factory=dict)
    workers: Sequence[Worker] = ()


async def run(name: str, settings: Settings, build: Callable[[AsyncExitStack], Awaitable[Served]]) -> None:
    """Serve until SIGTERM or SIGINT, then drain.

    What `build` puts on the stack is closed at the end, after the last call.

    Raises:
        ProcessFailed: The port is taken, or a worker ended or raised.
    """
    stopping = asyncio.Event()
    for each in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(each, stopping.set)
    crash.arm(settings.crash_at, process=name)
    async with AsyncExitStack() as stack:
        if settings.metrics_listen:
            stack.callback(_bound(metrics.serve, settings.metrics_listen))
        served = await build(stack)
        rpc = rpc_server.make_server(name, settings, served.servicers)
        address = _bound(functools.partial(rpc_server.bind, rpc.server), settings)
        stack.push_async_callback(rpc.server.stop, 0)
        readiness = _Readiness(rpc.health, served)
        await readiness.ask()
        # What the start made stays until the end: looking at it again and again was 7 % of a cached answer's CPU.
        gc.collect()
        gc.freeze()
        gc.set_threshold(GARBAGE_LEAST)
        await rpc.server.start()
        logger.info("process.ready", address=address, pid=os.getpid())
        await _serve(rpc, served, readiness, stopping, drain_seconds=settings.drain_seconds)
    logger.info("process.stopped")


def main(
    name: str,
    build: Callable[[S, AsyncExitStack], Awaitable[Served]],
    settings_type: type[S] = Settings,  # type: ignore[assignment]
) -> None:
    """Be the process: `main("lead", build, LeadSettings)`.

    Exits with 0 after SIGTERM or SIGINT, 1 when something failed, 2 when the
    settings are not acceptable. Prints nothing but log lines; whoever starts it sets
    GRPC_VERBOSITY=NONE, since gRPC's core reads that at import and writes to stderr.
    """
    try:
        settings = load(settings_type, os.environ)
    except SettingsRefused as refused:
        log.configure(name, level="info", fmt="json")
        for setting, cause in refused.causes.items():
            logger.error("settings.refused", setting=setting, cause=cause)
        log.finish()
        sys.exit(2)
    log.configure(name, level=settings.log_level, fmt=settings.log_format)
    code = 0
    try:
        asyncio.run(run(name, settings, functools.partial(build, settings)))
    except ProcessFailed:
        code = 1
    # Protects the terminal and the log from the text of an exception: it can hold
    # a password from a URL, or what a person wrote.
    except Exception as error:  # noqa: BLE001
        logger.error("process.failed", **log.describe(error))
        code = 1
    log.finish()
    sys.exit(code)


async def _serve(
    rpc: rpc_server.RpcServer,
    served: Served,
    readiness: "_Readiness",
    stopping: asyncio.Event,
    *,
    drain_seconds: float,
) -> None:
    """Run workers and server until `stopping`; then calls in flight and workers end side by side."""
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.TaskGroup() as tasks:
            minder = tasks.create_task(readiness.mind())
            workers = [tasks.create_task(_work(worker, stopping)) for worker in served.workers]
            await stopping.wait()
            logger.info("process.drained")
            minder.cancel()
            deadline = loop.time() + drain_seconds
            await rpc.drain(drain_seconds)
            if workers:
                await asyncio.wait(workers, timeout=max(0.0, deadline - loop.time()))
            for worker in workers:
                worker.cancel()
    except* ProcessFailed:
        raise ProcessFailed from None


async def _work(worker: Worker, stopping: asyncio.Event) -> None:
    name = getattr(worker, "__qualname__", type(worker).__qualname__)
    try:
        await worker(stopping)
    # Protects the process from going on without a part of itself: it would look
    # healthy and do nothing. Whoever minds it starts it again.
    except Exception as error:
        logger.error("process.failed", worker=name, **log.describe(error))
        raise ProcessFailed from error
    if not stopping.is_set():
        logger.error("process.failed", worker=name, cause="ENDED_EARLY")
        raise ProcessFailed


Argument = TypeVar("Argument")
Result = TypeVar("Result")


def _bound(bind: Callable[[Argument], Result], argument: Argument) -> Result:
    try:
        return bind(argument)
    except OSError as error:
        address = argument.listen if isinstance(argument, Settings) else str(argument)
        logger.error("process.failed", cause="ADDRESS_NOT_AVAILABLE", address=address)
        raise ProcessFailed from error


class _Readiness:
    """Says through health whether the process can do its work."""

    def __init__(self, checker: health.aio.HealthServicer, served: Served) -> None:
        self._checker = checker
        self._checks = served.checks
        self._services = tuple(full_name for *_, full_name in served.servicers)
        self._lost: frozenset[str] = frozenset()

    async def mind(self) -> None:
        """Ask all dependencies, again and again."""
        while True:
            await asyncio.sleep(CHECK_EVERY_SECONDS)
            await self.ask()

    async def ask(self) -> None:
        """Ask all dependencies once, side by side, and set health by their answers."""
        answers = await asyncio.gather(*(_answers(check) for check in self._checks.values()))
        lost = frozenset(name for name, alive in zip(self._checks, answers, strict=True) if not alive)
        for name in self._checks:
            await self._checker.set(name, _state(name not in lost))
        for name in ("", *self._services):
            await self._checker.set(name, _state(not lost))
        for name in sorted(lost - self._lost):
            logger.warning("dependency.lost", dependency=name)
        for name in sorted(self._lost - lost):
            logger.info("dependency.recovered", dependency=name)
        self._lost = lost


async def _answers(check: Check) -> bool:
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            await check()
    # Protects readiness from a check that fails in an unforeseen way: whatever it
    # raises, the dependency did not answer.
    except Exception:  # noqa: BLE001
        return False
    return True


def _state(serving: bool) -> int:
    state: int = rpc_server.SERVING if serving else rpc_server.NOT_SERVING
    return state
