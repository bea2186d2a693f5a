"""The ways in which an answer goes wrong on its way: errors, bodies and streams that an SDK takes for good."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import AsyncIterator, Iterator
from typing import Any

from fastapi import Request, Response
from fastapi.responses import JSONResponse, StreamingResponse

from sandbox.faults import Fault

ERRORS: dict[str, tuple[int, str, str]] = {
    "rate_limited": (429, "rate_limit_error", "This request would exceed your organization's rate limit."),
    "overloaded": (529, "overloaded_error", "Overloaded"),
    "server_error": (500, "api_error", "Internal server error"),
    "unavailable": (503, "api_error", "Service unavailable"),
}
# What is wrong with the message itself, before it is sent; `claude_message.message` knows them.
MANNERS = frozenset({"truncated", "refusal", "echo", "obey"})
BODIES = frozenset(
    "html cut_json empty_json content_string content_empty wrong_types not_utf8 hard_cut slow_headers drip".split()
)
STREAMS = frozenset("stream_cut stream_garbage stream_hard_cut stream_error stream_pings".split())
KINDS = frozenset(ERRORS) | MANNERS | BODIES | STREAMS | {"hang"}
HTML = "<!doctype html><title>Just a moment...</title><p>Checking your browser."
PING_SECONDS = 0.05


def error(status: int, kind: str, words: str, request_id: str) -> JSONResponse:
    """Return an error in the API's shape."""
    return JSONResponse(
        {"type": "error", "error": {"type": kind, "message": words}, "request_id": request_id}, status_code=status
    )


def planned_error(fault: Fault, request_id: str) -> JSONResponse:
    """Return the error of a fault that is one; `value` is its `retry-after`."""
    response = error(*ERRORS[fault.kind], request_id)
    if fault.kind == "rate_limited" or fault.value:
        response.headers["retry-after"] = f"{fault.value or 1:g}"
    return response


def as_sent(message: dict[str, Any], fault: Fault | None, request: Request, *, stream: bool) -> Response:
    """Return a message the way it goes out, whole or wrong.

    A stream's fault comes as a stream even to who asked for none: a confused proxy does the same.
    """
    kind = fault.kind if fault else ""
    value = fault.value if fault else 0.0
    if stream or kind in STREAMS:
        pieces = _stream(message, kind if kind in STREAMS else "", request, seconds=value or 600.0)
        return StreamingResponse(pieces, media_type="text/event-stream")
    if kind == "html":
        return Response(HTML, media_type="text/html")
    if kind == "slow_headers":
        return _SlowHeaders(value or 10.0, request)
    other: dict[str, dict[str, Any]] = {
        "content_string": {"content": "Sure."},
        "content_empty": {"content": []},
        "wrong_types": {"content": {"text": 1}, "stop_reason": ["end_turn"], "usage": {"input_tokens": "7"}},
    }
    whole = b"{}" if kind == "empty_json" else json.dumps(message | other.get(kind, {}), ensure_ascii=False).encode()
    if kind == "cut_json":
        whole = whole[: len(whole) // 2]
    if kind == "not_utf8":
        whole = whole.replace(b'"text": "', b'"text": "\xff\xfe', 1)
    if kind == "hard_cut":
        return StreamingResponse(_then_cut([whole[: len(whole) // 2]], request), media_type="application/json")
    if kind == "drip":
        return StreamingResponse(_drops(whole, value or 10.0), media_type="application/json")
    return Response(whole, media_type="application/json")


class _SlowHeaders(Response):
    """Sends the head of an answer byte by byte and never comes to its end."""

    def __init__(self, seconds: float, request: Request) -> None:
        super().__init__()
        self._seconds = seconds
        self._transport = request.state.transport

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        del scope, receive, send
        head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nx-padding: " + b"x" * 30
        for byte in head:
            if self._transport.is_closing():
                return
            self._transport.write(bytes([byte]))
            await asyncio.sleep(self._seconds / len(head))
        self._transport.abort()


async def _drops(whole: bytes, seconds: float) -> AsyncIterator[bytes]:
    """Send a body in twenty pieces over `seconds`: a client with a timeout per read never sees it expire."""
    size = math.ceil(len(whole) / 20)
    for start in range(0, len(whole), size):
        yield whole[start : start + size]
        await asyncio.sleep(seconds / 20)


async def _then_cut(pieces: list[bytes], request: Request) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece
    await asyncio.sleep(PING_SECONDS)  # or the cut overtakes what was sent
    request.state.transport.abort()


async def _stream(message: dict[str, Any], kind: str, request: Request, *, seconds: float) -> AsyncIterator[bytes]:
    """Send server-sent events: all of a message, or half of one and then what `kind` says."""
    events = [_event(name, data) for name, data in events_of(message)]
    if not kind:
        for event in events:
            yield event
        return
    for event in events[: len(events) // 2]:
        yield event
    if kind == "stream_garbage":
        yield b"<p>502 bad gateway</p>\n\n"
    elif kind == "stream_error":
        yield _event("error", {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}})
    elif kind == "stream_hard_cut":
        await asyncio.sleep(PING_SECONDS)
        request.state.transport.abort()
    elif kind == "stream_pings":
        for _ in range(math.ceil(seconds / PING_SECONDS)):
            yield _event("ping", {"type": "ping"})
            await asyncio.sleep(PING_SECONDS)


def events_of(message: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Give the events that a message is streamed as."""
    begun = {**message, "content": [], "stop_reason": None, "usage": {**message["usage"], "output_tokens": 1}}
    yield "message_start", {"type": "message_start", "message": begun}
    for place, block in enumerate(message["content"]):
        empty = {**block, "text": ""} if block["type"] == "text" else {**block, "thinking": ""}
        yield "content_block_start", {"type": "content_block_start", "index": place, "content_block": empty}
        word, delta = ("text", "text_delta") if block["type"] == "text" else ("thinking", "thinking_delta")
        text = block[word]
        for start in range(0, len(text), 20):
            change = {"type": delta, word: text[start : start + 20]}
            yield "content_block_delta", {"type": "content_block_delta", "index": place, "delta": change}
        yield "content_block_stop", {"type": "content_block_stop", "index": place}
    end = {"stop_reason": message["stop_reason"], "stop_sequence": message["stop_sequence"]}
    usage = {"output_tokens": message["usage"]["output_tokens"]}
    yield "message_delta", {"type": "message_delta", "delta": end, "usage": usage}
    yield "message_stop", {"type": "message_stop"}


def _event(name: str, data: dict[str, Any]) -> bytes:
    return f"event: {name}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n".encode()
