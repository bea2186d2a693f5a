"""Wakes a loop when Postgres says that there is work, and now and then anyway."""

import asyncio
import contextlib
from types import TracebackType
from typing import Any, Final, Self

import asyncpg

RECONNECT_SECONDS: Final = 0.5


class Doorbell:
    """Listens on one channel with a connection of its own.

    A notification can be lost (a restart of Postgres, a cut connection), so
    `wait` also returns after `sweep` seconds: the bell saves time, the sweep
    keeps the promise.
    """

    def __init__(self, url: str, channel: str, *, sweep: float) -> None:
        self._url = url
        self._channel = channel
        self._sweep = sweep
        self._rung = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._listen(), name=f"listen-{self._channel}")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._task is not None
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task

    def ring(self) -> None:
        """Wake the loop from inside the process."""
        self._rung.set()

    async def wait(self, stopping: asyncio.Event) -> None:
        """Return when the bell rang, after `sweep` seconds, or when the process stops."""
        waits = [asyncio.create_task(self._rung.wait()), asyncio.create_task(stopping.wait())]
        try:
            await asyncio.wait(waits, timeout=self._sweep, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
        self._rung.clear()

    async def _listen(self) -> None:
        while True:
            try:
                connection = await asyncpg.connect(self._url, timeout=2, server_settings={"application_name": "listen"})
                lost = asyncio.Event()
                connection.add_termination_listener(lambda _, lost=lost: lost.set())
                try:
                    await connection.add_listener(self._channel, self._hear)
                    self.ring()
                    await lost.wait()
                finally:
                    connection.terminate()
            except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
                # The sweep goes on meanwhile.
                pass
            await asyncio.sleep(RECONNECT_SECONDS)

    def _hear(self, *_: Any) -> None:
        self._rung.set()
