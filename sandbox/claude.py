"""A local stand-in for Claude's Messages API: `python -m sandbox.claude`."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import math
import time
from collections import Counter, deque
from collections.abc import Mapping
from random import Random
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse

from sandbox import claude_limits, claude_request
from sandbox.claude_faults import ERRORS, KINDS, MANNERS, as_sent, error, planned_error
from sandbox.claude_message import PromptCache, message, use_cache
from sandbox.claude_settings import ClaudeSettings
from sandbox.faults import Fault, Faults, from_json, from_setting
from sandbox.serving import serve, settings_of

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
        self.token_ms = self._settings.claude_token_ms
        self.limits = claude_limits.Limits(claude_limits.from_setting(self._settings.claude_limits))
        self.log: deque[dict[str, Any]] = deque(maxlen=LOG_LENGTH)
        self.counts: Counter[str] = Counter()
        self._cache = PromptCache()
        self._served = 0
        self._seen: Counter[str] = Counter()

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
            response = error(refused.status, refused.kind, str(refused), request_id)
        except asyncio.CancelledError:
            entry["outcome"] = entry.get("outcome", "cancelled")
            raise
        finally:
            entry["end"] = time.time()
            self.counts[str(entry.get("outcome", "failed"))] += 1
            self.log.append(entry)
        entry["status"] = response.status_code
        response.headers["request-id"] = request_id
        if entry["model"]:
            response.headers.update(self.limits.headers(entry["model"], time.monotonic()))
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
            return planned_error(fault, str(entry["request_id"]))
        made = message(body, effort=effort, thinks=thinks, manner=fault.kind if fault and fault.kind in MANNERS else "")
        limited = self._limited(body, made)
        if limited:
            entry["outcome"] = "over_limit"
            return self._over(str(body["model"]), limited, str(entry["request_id"]))
        entry["usage"], entry["answer"] = made["usage"], made
        await self._wait(fault, request, entry)
        return as_sent(made, fault, request, stream=bool(body.get("stream")))

    def _limited(self, body: Mapping[str, Any], made: dict[str, Any]) -> str:
        """Count the request; gives the name of the limit it would go over. What the prompt cache gives is free."""
        now, usage = time.monotonic(), made["usage"]
        read, written = self._cache.use(body, now)
        use_cache(made, read=read, written=written)
        return self.limits.take(
            body["model"],
            input_tokens=usage["input_tokens"] + written,
            output_tokens=usage["output_tokens"],
            now=now,
        )

    def _over(self, model: str, name: str, request_id: str) -> Response:
        words = f"This request would exceed the rate limit for your organization of {name} per minute for {model}."
        response = error(429, "rate_limit_error", words, request_id)
        response.headers["retry-after"] = str(self.limits.retry_after(model, time.monotonic()))
        return response

    async def _wait(self, fault: Fault | None, request: Request, entry: dict[str, Any]) -> None:
        if fault and fault.kind == "hang":
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(fault.value or 600.0):
                    while (await request.receive())["type"] != "http.disconnect":
                        pass
        elif self.latency_ms > 0 or self.token_ms > 0:
            # From the prompt and how often it was seen, so that the order in which others ask changes nothing.
            name = str(entry["prompt_sha256"])
            self._seen[name] += 1
            luck = Random(f"{self._settings.claude_seed}:{name}:{self._seen[name]}")  # noqa: S311 - repeatable
            wait = self.latency_ms * math.exp(luck.gauss(0.0, self.latency_sigma))
            wait += self.token_ms * entry["usage"]["output_tokens"]
            entry["wait_ms"] = round(wait)
            await asyncio.sleep(wait / 1000)


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
            if set(wanted) - {"reset", "faults", "latency_ms", "sigma", "token_ms", "limits"}:
                raise ValueError("known: reset, faults, latency_ms, sigma, token_ms, limits")
            if wanted.get("reset"):
                claude.reset()
            claude.faults.plan(from_json(wanted.get("faults", ())))
            claude.latency_ms = float(wanted.get("latency_ms", claude.latency_ms))
            claude.latency_sigma = float(wanted.get("sigma", claude.latency_sigma))
            claude.token_ms = float(wanted.get("token_ms", claude.token_ms))
            if "limits" in wanted:
                claude.limits = claude_limits.Limits(claude_limits.from_setting(str(wanted["limits"])))
        except (ValueError, TypeError) as wrong:
            return JSONResponse({"error": str(wrong)}, status_code=400)
        return JSONResponse({"status": "ok"})

    @app.get("/control/log")
    async def log(bodies: bool = False) -> dict[str, Any]:
        entries = [{k: v for k, v in entry.items() if bodies or k not in ("body", "answer")} for entry in claude.log]
        return {"counts": dict(claude.counts), "limits": claude.limits.seen(), "requests": entries}

    return app


def main() -> None:
    """Serve until SIGTERM."""
    settings = settings_of(ClaudeSettings)
    serve(make_app(settings), settings.claude_listen or settings.listen, "claude")


if __name__ == "__main__":
    main()
