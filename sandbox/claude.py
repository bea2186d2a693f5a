"""A local stand-in for Claude's Messages API: `python -m sandbox.claude`."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import math
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Mapping
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse

from sandbox import claude_answer, claude_request
from sandbox.claude_settings import ClaudeSettings
from sandbox.faults import Fault, Faults, from_json, from_setting
from sandbox.serving import serve, settings_of

KINDS = frozenset(
    """rate_limited overloaded server_error truncated html cut_json empty_json refusal hang drip""".split()
)
ERRORS: dict[str, tuple[int, str, str]] = {
    "rate_limited": (429, "rate_limit_error", "This request would exceed your organization's rate limit."),
    "overloaded": (529, "overloaded_error", "Overloaded"),
    "server_error": (500, "api_error", "Internal server error"),
}
LONGEST_BODY = 32 * 1024 * 1024
LOG_LENGTH = 1_000


class Claude:
    """Serves requests and remembers the last thousand of them."""

    def __init__(self, settings: ClaudeSettings) -> None:
        self._settings = settings
        self.faults = Faults(KINDS, seed=settings.claude_seed)
        self.reset()

    def reset(self) -> None:
        """Go back to how the process started, with an empty log."""
        self.faults.reset(seed=self._settings.claude_seed)
        self.faults.plan(from_setting(self._settings.claude_faults))
        self.latency_ms, self.latency_sigma = self._settings.claude_latency_ms, self._settings.claude_latency_sigma
        self.log: deque[dict[str, Any]] = deque(maxlen=LOG_LENGTH)
        self.counts: Counter[str] = Counter()
        self._served = 0

    async def messages(self, request: Request) -> Response:
        """Answer POST /v1/messages."""
        raw = await request.body()
        self._served += 1
        request_id = "req_" + hashlib.sha256(b"%d:%s" % (self._served, raw)).hexdigest()[:24]
        entry: dict[str, Any] = {"request_id": request_id, "start": time.time(), "model": None, "usage": None}
        try:
            response = await self._respond(raw, request, entry)
        except claude_request.Refused as refused:
            entry["outcome"] = "refused"
            response = _error(refused.status, refused.kind, str(refused), request_id)
        except asyncio.CancelledError:
            entry["outcome"] = entry.get("outcome", "cancelled")
            raise
        finally:
            entry["end"] = time.time()
            self.counts[str(entry.get("outcome", "failed"))] += 1
            self.log.append(entry)
        entry["status"] = response.status_code
        response.headers["request-id"] = request_id
        return response

    async def _respond(self, raw: bytes, request: Request, entry: dict[str, Any]) -> Response:
        version = claude_request.check_headers(request.headers)
        if len(raw) > LONGEST_BODY:
            raise claude_request.Refused("Request exceeds the maximum size", status=413, kind="request_too_large")
        try:
            parsed = json.loads(raw)
        except ValueError as broken:
            raise claude_request.Refused("The request body is not valid JSON") from broken
        body, _, effort, thinks = claude_request.check(parsed, version=version)
        prompt = json.dumps([body.get("system"), body["messages"]], sort_keys=True)
        entry |= {"model": body["model"], "prompt_sha256": hashlib.sha256(prompt.encode()).hexdigest(), "body": body}
        fault = self.faults.draw()
        entry["outcome"] = fault.kind if fault else "answered"
        if fault and fault.kind in ERRORS:
            status, kind, text = ERRORS[fault.kind]
            response = _error(status, kind, text, str(entry["request_id"]))
            if fault.kind == "rate_limited":
                response.headers["retry-after"] = f"{fault.value or 1:g}"
            return response
        await self._wait(fault, request)
        message = _message(body, effort=effort, thinks=thinks, truncate=bool(fault and fault.kind == "truncated"))
        if fault and fault.kind == "refusal":
            message |= {"content": [], "stop_reason": "refusal"}
            message["stop_details"] = {"type": "refusal", "category": "general_harms", "explanation": None}
        entry["usage"], entry["answer"] = message["usage"], message
        return _as_sent(message, fault)

    async def _wait(self, fault: Fault | None, request: Request) -> None:
        if fault and fault.kind == "hang":
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(fault.value or 600.0):
                    while (await request.receive())["type"] != "http.disconnect":
                        pass
        elif self.latency_ms > 0:
            await asyncio.sleep(self.latency_ms / 1000 * math.exp(self.faults.gauss(self.latency_sigma)))


def _error(status: int, kind: str, message: str, request_id: str) -> JSONResponse:
    body = {"type": "error", "error": {"type": kind, "message": message}, "request_id": request_id}
    return JSONResponse(body, status_code=status)


def _message(body: Mapping[str, Any], *, effort: str, thinks: bool, truncate: bool) -> dict[str, Any]:
    made = claude_answer.answer(body, effort=effort, thinks=thinks)
    text, stop_reason, stop_sequence = made.text, "end_turn", None
    for sequence in body.get("stop_sequences") or ():
        if sequence in text:
            text, stop_reason, stop_sequence = text.split(sequence, 1)[0], "stop_sequence", sequence
    room = int(max(0, int(body["max_tokens"]) - made.thinking_tokens) * claude_answer.CHARS_PER_TOKEN)
    if truncate or len(text) > room:
        text = text[: min(room, len(text) // 2)] if truncate else text[:room]
        stop_reason, stop_sequence = "max_tokens", None
    content: list[dict[str, Any]] = [{"type": "text", "text": text}] if text else []
    if made.thinking:
        shown = (body.get("thinking") or {}).get("display") == "summarized"
        signature = hashlib.sha256(made.thinking.encode()).hexdigest()
        content.insert(0, {"type": "thinking", "thinking": made.thinking if shown else "", "signature": signature})
    identity = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()[:24]
    usage = {
        "input_tokens": made.input_tokens,
        "output_tokens": min(int(body["max_tokens"]), max(1, claude_answer.count_tokens(text) + made.thinking_tokens)),
        "output_tokens_details": {"thinking_tokens": min(int(body["max_tokens"]), made.thinking_tokens)},
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "service_tier": "standard",
    }
    return {
        "id": f"msg_{identity}",
        "type": "message",
        "role": "assistant",
        "model": body["model"],
        "content": content,
        "stop_reason": stop_reason,
        "stop_sequence": stop_sequence,
        "usage": usage,
    }


def _as_sent(message: dict[str, Any], fault: Fault | None) -> Response:
    whole = json.dumps(message, ensure_ascii=False).encode()
    kind = fault.kind if fault else ""
    if kind == "html":
        return Response(
            "<!doctype html><title>Just a moment...</title><p>Checking your browser.", media_type="text/html"
        )
    if kind == "cut_json":
        return Response(whole[: len(whole) // 2], media_type="application/json")
    if kind == "empty_json":
        return Response(b"{}", media_type="application/json")
    if kind == "drip":
        return StreamingResponse(_drops(whole, (fault.value if fault else 0) or 10.0), media_type="application/json")
    return Response(whole, media_type="application/json")


async def _drops(whole: bytes, seconds: float) -> AsyncIterator[bytes]:
    """Send a body in twenty pieces over `seconds`: a client with a timeout per read never sees it expire."""
    size = math.ceil(len(whole) / 20)
    for start in range(0, len(whole), size):
        yield whole[start : start + size]
        await asyncio.sleep(seconds / 20)


def make_app(settings: ClaudeSettings) -> FastAPI:
    """Make the application."""
    claude = Claude(settings)
    app = FastAPI(title="Claude stand-in", docs_url=None, redoc_url=None, openapi_url=None)

    @app.post("/v1/messages")
    async def messages(request: Request) -> Response:
        return await claude.messages(request)

    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @app.post("/control")
    async def control(request: Request) -> Response:
        try:
            wanted = json.loads(await request.body() or b"{}")
            if set(wanted) - {"reset", "faults", "latency_ms", "sigma"}:
                raise ValueError("known: reset, faults, latency_ms, sigma")
            if wanted.get("reset"):
                claude.reset()
            claude.faults.plan(from_json(wanted.get("faults", ())))
            claude.latency_ms = float(wanted.get("latency_ms", claude.latency_ms))
            claude.latency_sigma = float(wanted.get("sigma", claude.latency_sigma))
        except (ValueError, TypeError) as wrong:
            return JSONResponse({"error": str(wrong)}, status_code=400)
        return JSONResponse({"status": "ok"})

    @app.get("/control/log")
    async def log(bodies: bool = False) -> dict[str, Any]:
        entries = [{k: v for k, v in entry.items() if bodies or k not in ("body", "answer")} for entry in claude.log]
        return {"counts": dict(claude.counts), "requests": entries}

    return app


def main() -> None:
    """Serve until SIGTERM."""
    settings = settings_of(ClaudeSettings)
    serve(make_app(settings), settings.claude_listen or settings.listen, "claude")


if __name__ == "__main__":
    main()
