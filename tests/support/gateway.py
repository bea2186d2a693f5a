"""A gateway in parts, for tests: its HTTP server, its workers, and the CRM stand-in beside it."""

import asyncio
import base64
import contextlib
import itertools
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx2
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import SecretStr

from kit.lane import Debounce, Event, EventKind, Lane
from sandbox.crm import make_app
from sandbox.crm_settings import CrmSettings
from sandbox.serving import bind, server
from services.gateway.addresses import Addresses
from services.gateway.http import HttpServer, Intake, create_app
from services.gateway.keywords import Brokerage
from services.gateway.translate import Reader
from services.gateway.workflow import WorkflowReader
from tests.support.look import rows, until

LOC = "loc_sandbox"
SECRET = "workflow-secret"
TOKEN = "crm-token"
AT_ONCE = Debounce(wait=timedelta(0), longest=timedelta(0))
BROKERAGE = Brokerage(name="Acme Homes")
ADDRESSES = Addresses(b"a key of the tests")


@dataclass
class Door:
    """A running HTTP server and the key its webhooks are signed with."""

    intake: Intake | None
    client: httpx2.AsyncClient
    key: Ed25519PrivateKey

    async def post(self, payload: dict[str, Any] | bytes, **headers: str) -> httpx2.Response:
        """Post a signed webhook."""
        body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        signature = base64.b64encode(self.key.sign(body)).decode()
        given = {"content-type": "application/json", "x-ghl-signature": signature}
        given |= {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.client.post("/webhooks/ghl", content=body, headers=given)

    async def post_workflow(self, payload: dict[str, Any], *, tenant: str = LOC, secret: str | None = SECRET) -> Any:
        """Post what a workflow does."""
        headers = {} if secret is None else {"x-porchlight-secret": secret}
        return await self.client.post(f"/webhooks/workflow/{tenant}", json=payload, headers=headers)


@contextlib.asynccontextmanager
async def running_door(
    lane: Lane, *, tenants: frozenset[str] = frozenset({LOC}), **changes: Any
) -> AsyncIterator[Door]:
    """Serve webhooks over a real socket."""
    key = Ed25519PrivateKey.generate()
    intake = Intake(
        lane=lane,
        addresses=ADDRESSES,
        reader=Reader(tenants=tenants, app_id="", brokerage=BROKERAGE),
        workflow_reader=WorkflowReader(tenants=tenants, brokerage=BROKERAGE),
        key=key.public_key(),
        workflow_secret=SECRET,
        debounce=AT_ONCE,
        first_owner="lead",
        **changes,
    )
    http = HttpServer(create_app(intake), intake, listen="127.0.0.1:0")
    async with running(http), httpx2.AsyncClient(base_url=f"http://{http.address}", timeout=10) as client:
        yield Door(intake=intake, client=client, key=key)


@contextlib.asynccontextmanager
async def running(*workers: Callable[[asyncio.Event], Awaitable[None]]) -> AsyncIterator[asyncio.Event]:
    """Run workers as the process does; at the end they must stop by themselves."""
    stopping = asyncio.Event()
    tasks = [asyncio.ensure_future(worker(stopping)) for worker in workers]
    try:
        yield stopping
    finally:
        stopping.set()
        async with asyncio.timeout(30):
            await asyncio.gather(*tasks)


@dataclass
class StandIn:
    """A running CRM stand-in."""

    client: httpx2.AsyncClient

    async def contact(self) -> str:
        """Make a contact and return its id."""
        numbers = {"firstName": "Ann", "phone": f"+1206555{next(_PHONES):04d}", "locationId": LOC}
        answer = await self.client.post("/contacts/upsert", json=numbers, headers=_headers("2021-07-28"))
        assert answer.status_code in (200, 201), answer.text
        return answer.json()["contact"]["id"]

    async def fault(self, kind: str, **numbers: float) -> None:
        """Plan a fault."""
        answer = await self.client.post("/control", json={"faults": [{"kind": kind, **numbers}]})
        assert answer.status_code == 200, answer.text

    async def heal(self) -> None:
        """Forget all faults."""
        assert (await self.client.post("/control", json={"reset": True})).status_code == 200

    async def sent(self) -> list[str]:
        """Return every text that people got from us, in order."""
        return [message["body"] for message in (await self.log())["messages"] if message["direction"] == "outbound"]

    async def log(self) -> dict[str, Any]:
        """Return everything that it took."""
        return (await self.client.get("/control/log")).json()


_PHONES = itertools.count(1)


def _headers(version: str) -> dict[str, str]:
    return {"authorization": f"Bearer {TOKEN}", "version": version}


@contextlib.asynccontextmanager
async def running_crm(directory: Path, *, limit: int = 10_000) -> AsyncIterator[StandIn]:
    """Serve the CRM stand-in over a real socket. Its webhooks lead nowhere."""
    settings = CrmSettings(
        state_dir=directory, crm_token=SecretStr(TOKEN), crm_limit=limit, webhook_url="http://127.0.0.1:9/webhooks/ghl"
    )
    listener = bind("127.0.0.1:0")
    serving = server(make_app(settings), "crm")
    serving.capture_signals = contextlib.nullcontext  # type: ignore[method-assign,assignment]
    task = asyncio.create_task(serving.serve(sockets=[listener]))
    await until(lambda: serving.started)
    port = listener.getsockname()[1]
    async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=10) as client:
        yield StandIn(client=client)
    serving.should_exit = True
    await task
    listener.close()


async def shift_clock(admin_url: str, by: timedelta) -> None:
    """Move the database's clock on."""
    await rows(
        admin_url,
        "insert into porchlight.clock_shift (shift) values ($1)"
        " on conflict (only_row) do update set shift = clock_shift.shift + excluded.shift",
        by,
    )


_EVENT_IDS = itertools.count(1)


async def says(
    lane: Lane, contact_id: str, text: str = "hello", *, kind: EventKind = EventKind.MESSAGE_IN, **changes: Any
) -> None:
    """Let a person write, or somebody else."""
    event = Event(
        tenant_id=LOC,
        source="ghl",
        event_id=f"e_{next(_EVENT_IDS)}",
        kind=kind,
        contact_id=contact_id,
        channel="SMS",
        text=text,
        **changes,
    )
    await lane.accept(event, debounce=AT_ONCE, first_owner="lead")
