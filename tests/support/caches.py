"""Cache services in this process, on ports of their own, for tests that need some of them."""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import anthropic  # noqa: F401  # The service imports it beside the first question, which a busy machine outlasts.
from porchlight.cache.v1 import cache_service_pb2_grpc as pb_grpc

from kit import tokens
from kit.rpc import client, server
from services.cache.server import build
from services.cache.settings import CacheSettings

CALLERS = ("lead", "gateway", "operator")


class Caches:
    """Starts cache services; what was started ends with the stack."""

    def __init__(self, stack: AsyncExitStack, folder: Path, database_url: str) -> None:
        self._stack = stack
        self._callers = folder / "callers.json"
        self._database_url = database_url
        self.ports: list[str] = []
        tokens.write_callers(self._callers, {name: tokens.digest(f"secret-of-{name}") for name in CALLERS})

    async def start(self, **changed: Any) -> Any:
        """Start one, and return its stub as the lead bot has it."""
        changed.setdefault("database_url", self._database_url)
        # A busy machine that runs tests is no lost Redis; the tests of a lost one say what it may cost.
        changed.setdefault("redis_milliseconds", 1_000)
        settings = CacheSettings(callers_file=self._callers, **changed)
        served = await build(settings, self._stack)
        rpc = server.make_server("cache", settings, served.servicers).server
        self.ports.append(server.bind(rpc, settings).rpartition(":")[2])
        await rpc.start()
        stop = asyncio.Event()
        workers = [asyncio.ensure_future(worker(stop)) for worker in served.workers]

        async def finish() -> None:
            await rpc.stop(0)
            stop.set()
            await asyncio.gather(*workers)

        self._stack.push_async_callback(finish)
        return pb_grpc.CacheServiceStub(await self.channel("lead"))

    async def channel(self, caller: str, number: int = -1) -> Any:
        """Open a channel to one of them in a caller's name; the last one unless told otherwise."""
        return await self._stack.enter_async_context(
            client.open_channel(f"127.0.0.1:{self.ports[number]}", token=f"secret-of-{caller}", service="cache")
        )
