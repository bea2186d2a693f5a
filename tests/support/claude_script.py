"""A Claude that says exactly what a test tells it to, byte by byte, over real HTTP."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any


def message(text: str, **changed: Any) -> bytes:
    """Return the body of a good answer, with members changed."""
    body = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-haiku-5-5",
        "content": [{"type": "text", "text": text}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 100, "output_tokens": 10},
    }
    return json.dumps(body | changed).encode()


class ScriptedClaude:
    """Answers every request with the same body, until told otherwise."""

    def __init__(self) -> None:
        self.url = ""
        self.status = 200
        self.headers = {"content-type": "application/json"}
        self.body = b""
        self.bytes_sent: int | None = None
        """Cut the connection after so many bytes of the body; None sends all of it."""
        self.wait: Callable[[], Awaitable[object]] | None = None
        """Awaited between the request and the answer."""
        self.tasks: set[asyncio.Task[None]] = set()
        self.requests: list[dict[str, Any]] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request and close."""
        task = asyncio.current_task()
        assert task is not None
        self.tasks.add(task)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            await self._answer(reader, writer)
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
        self.tasks.discard(task)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        lines = head.decode().lower().split("\r\n")
        length = next(int(line.partition(":")[2]) for line in lines if line.startswith("content-length:"))
        self.requests.append(json.loads(await reader.readexactly(length)))
        if self.wait is not None:
            await self.wait()
        headers = {**self.headers, "content-length": str(len(self.body)), "connection": "close"}
        answer = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        writer.write(f"HTTP/1.1 {self.status} Scripted\r\n{answer}\r\n".encode() + self.body[: self.bytes_sent])
        await writer.drain()


@asynccontextmanager
async def scripted_claude() -> AsyncIterator[ScriptedClaude]:
    """Serve on a free port."""
    claude = ScriptedClaude()
    server = await asyncio.start_server(claude.serve, "127.0.0.1", 0)
    claude.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield claude
    finally:
        server.close()
        for task in tuple(claude.tasks):
            task.cancel()
        await asyncio.gather(*claude.tasks, return_exceptions=True)
        await server.wait_closed()
