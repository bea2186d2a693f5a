"""Webhooks in over HTTP: verify, store, answer.

The CRM tries again only after a 429; any 5xx, and no answer at all, is final and
the person's message is lost. So whatever keeps an event from being stored is a 429,
and what asking again cannot mend is a 4xx or a 200.

Source: HighLevel's help page "Automated Webhook Retries".
"""

import asyncio
import contextlib
import secrets
import socket
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Final

import uvicorn
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from kit import log, metrics
from kit.clock import Clock, utc_now
from kit.crash import crash_point
from kit.errors import Invalid, StoreUnavailable
from kit.lane import Accepted, Debounce, Event, Lane
from services.gateway.addresses import Addresses
from services.gateway.signature import is_secret, is_signed
from services.gateway.strict_json import read_object
from services.gateway.translate import Ignored, Reader, is_stale
from services.gateway.workflow import WorkflowReader

BODY_MOST: Final = 64 * 1024
STORE_SECONDS: Final = 0.9
"""The CRM wants its answer within a second or so; what takes longer is told to come again."""
RETRY_AFTER_SECONDS: Final = "30"

WEBHOOKS: Final = metrics.counter("webhooks", "Webhooks by what was answered.", ("source", "status", "outcome"))

logger = log.get_logger()


class _Refused(Exception):
    """A webhook that is not stored."""

    def __init__(self, status: int, cause: str) -> None:
        super().__init__(cause)
        self.status = status
        self.cause = cause


@dataclass(kw_only=True)
class Intake:
    """What takes webhooks in."""

    lane: Lane
    addresses: Addresses
    reader: Reader
    workflow_reader: WorkflowReader
    key: Ed25519PublicKey
    workflow_secret: str
    debounce: Debounce
    first_owner: str
    most: int = 64
    """Webhooks that are stored at once."""
    clock: Clock = utc_now
    draining: bool = False
    store_seconds: float = STORE_SECONDS
    _running: int = field(default=0, init=False)

    async def marketplace(self, request: Request) -> Response:
        """POST /webhooks/ghl: signed by the platform."""

        async def read() -> Event | Ignored:
            body = await _body(request)
            if not is_signed(body, request.headers.get("x-ghl-signature"), self.key):
                raise _Refused(401, "BAD_SIGNATURE")
            _check_type(request)
            payload = read_object(body)
            now = self.clock()
            if is_stale(payload, now=now):
                raise _Refused(401, "STALE")
            return self.reader.read(payload, body=body, now=now)

        return await self._answer("ghl", read)

    async def workflow(self, request: Request) -> Response:
        """POST /webhooks/workflow/{tenant_id}: unsigned, with the shared secret."""

        async def read() -> Event | Ignored:
            if not is_secret(request.headers.get("x-porchlight-secret"), self.workflow_secret):
                raise _Refused(401, "BAD_SECRET")
            body = await _body(request)
            _check_type(request)
            return self.workflow_reader.read(
                request.path_params["tenant_id"],
                read_object(body),
                delivery_id=f"d_{secrets.token_hex(16)}",
                now=self.clock(),
            )

        return await self._answer("ghl-workflow", read)

    async def _answer(self, source: str, read: Callable[[], Awaitable[Event | Ignored]]) -> Response:
        if self.draining or self._running >= self.most:
            return _refuse(source, 429, "DRAINING" if self.draining else "OVERLOADED")
        self._running += 1
        try:
            event = await read()
            if isinstance(event, Ignored):
                logger.info("webhook.ignored", kind=source, cause=event.cause)
                return _say(source, 200, "ignored", {"outcome": "ignored", "cause": event.cause})
            return await self._store(source, event)
        except _Refused as refused:
            return _refuse(source, refused.status, refused.cause)
        except Invalid as error:
            cause = error.metadata.get("defect") or error.reason
            logger.info("webhook.refused", kind=source, status=400, cause=cause)
            return _say(source, 400, cause, {"error": error.message})
        except (StoreUnavailable, TimeoutError):
            return _refuse(source, 429, "STORE_UNAVAILABLE")
        except ClientDisconnect:
            return _refuse(source, 400, "CUT")
        # Protects the person's message: whatever broke, the CRM keeps it and comes again.
        except Exception as error:  # noqa: BLE001
            logger.error("rpc.failed", method=f"POST /webhooks/{source}", **log.describe(error))
            return _refuse(source, 429, "INTERNAL")
        finally:
            self._running -= 1

    async def accept(self, event: Event) -> Accepted:
        """Store an event, however it came.

        Raises:
            StoreUnavailable: It may or may not be stored.
        """
        if event.contact_id is not None:
            event = replace(
                event,
                contact_hash=self.addresses.of_contact(event.tenant_id, event.contact_id),
                address_hashes=self.addresses.of_profile(event.tenant_id, event.profile),
            )
        return await self.lane.accept(event, debounce=self.debounce, first_owner=self.first_owner)

    async def _store(self, source: str, event: Event) -> Response:
        async with asyncio.timeout(self.store_seconds):
            accepted = await self.accept(event)
        crash_point("gateway.after_inbox_commit")
        facts = {"tenant_id": event.tenant_id, "contact_id": event.contact_id, "event_id": event.event_id}
        if accepted.duplicate:
            logger.info("webhook.repeated", kind=event.kind, **facts)
            return _say(source, 200, "duplicate", {"outcome": "duplicate"})
        outcome = accepted.outcome.lower()
        logger.info(
            "webhook.accepted",
            kind=event.kind,
            message_id=accepted.message_id,
            outcome=outcome,
            text_chars=len(event.text),
            **facts,
        )
        return _say(source, 200, outcome, {"outcome": outcome, "message_id": accepted.message_id})


def create_app(intake: Intake) -> FastAPI:
    """Return the HTTP application; without the pages that describe it."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    app.add_api_route("/webhooks/ghl", intake.marketplace, methods=["POST"], response_model=None)
    app.add_api_route("/webhooks/workflow/{tenant_id}", intake.workflow, methods=["POST"], response_model=None)

    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        # Says that the process lives. Whether it can store is for its gRPC health, and for the 429s.
        return {"status": "draining" if intake.draining else "ok"}

    @app.exception_handler(HTTPException)
    async def refused(_: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException), error
        return JSONResponse({"error": error.detail}, status_code=error.status_code, headers=error.headers)

    return app


class HttpServer:
    """Serves the application as a worker of the process.

    Args:
        listen: host:port; port 0 takes a free one. Taken at once, so that a port in
            use fails the start.
    """

    def __init__(self, app: FastAPI, intake: Intake, *, listen: str) -> None:
        self._intake = intake
        host, _, port = listen.rpartition(":")
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._socket = socket.create_server((host.strip("[]"), int(port)), family=family, backlog=512)
        # Connections inherit it. asyncio sets it only on sockets that say they are TCP, which accepted ones do not
        # when the listener is ours: every second answer of a connection then waits 40 ms for an acknowledgement.
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.address = f"{host}:{self._socket.getsockname()[1]}"
        self._server = _Server(
            uvicorn.Config(
                app,
                access_log=False,
                server_header=False,
                date_header=True,
                log_config=None,
                ws="none",
                lifespan="off",
                # Above the CRM's own time between two requests of a burst; an idle connection costs little.
                timeout_keep_alive=30,
                h11_max_incomplete_event_size=16 * 1024,
                timeout_graceful_shutdown=3,
            )
        )

    async def __call__(self, stopping: asyncio.Event) -> None:
        """Serve until `stopping`; what comes meanwhile is answered 429, and what was begun is ended."""
        serving = asyncio.create_task(self._server.serve(sockets=[self._socket]))
        ending = asyncio.create_task(stopping.wait())
        logger.info("process.ready", http_address=self.address)
        try:
            await asyncio.wait((serving, ending), return_when=asyncio.FIRST_COMPLETED)
            self._intake.draining = True
            self._server.should_exit = True
            await serving
        finally:
            ending.cancel()
            self.close()

    def close(self) -> None:
        """Give the port back."""
        self._socket.close()


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers: the process has its own."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def _body(request: Request) -> bytes:
    # Counted while reading: a length that is announced binds nobody.
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > BODY_MOST:
            raise _Refused(413, "TOO_LARGE")
        parts.append(part)
    return b"".join(parts)


def _check_type(request: Request) -> None:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise _Refused(415, "NOT_JSON_TYPE")


def _refuse(source: str, status: int, cause: str) -> Response:
    write = logger.warning if status == 429 else logger.info
    write("webhook.refused", kind=source, status=status, cause=cause)
    headers = {"retry-after": RETRY_AFTER_SECONDS} if status == 429 else {}
    # What is not read any more would be taken for the next request of the connection.
    if status == 413:
        headers["connection"] = "close"
    return _say(source, status, cause, {"error": cause}, headers)


def _say(
    source: str, status: int, outcome: str, body: dict[str, Any], headers: dict[str, str] | None = None
) -> Response:
    WEBHOOKS.labels(source, str(status), outcome).inc()
    return JSONResponse(body, status_code=status, headers=headers)
