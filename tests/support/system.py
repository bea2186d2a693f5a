"""The whole of Porchlight for flow tests: `porchlight up` on free ports, with stand-ins and stores of its own."""

import asyncio
import os
import re
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import asyncpg
import httpx2
import orjson
from porchlight.contact.v1 import contact_service_pb2 as contact_pb
from porchlight.contact.v1.contact_service_pb2_grpc import ContactServiceStub

from kit.rpc.client import call, open_channel
from sandbox.environment import UpSettings

ROOT = Path(__file__).parent.parent.parent
TENANT = "loc_sandbox"
START_SECONDS = 60.0
STOP_SECONDS = 30.0


class System:
    """Started by `async with`; what is still running afterwards is a failure of the launcher."""

    def __init__(
        self,
        state_dir: Path,
        settings: Mapping[str, str] | None = None,
        *,
        command: tuple[str, ...] = ("-m", "sandbox.cli", "up"),
    ) -> None:
        self.state_dir = state_dir
        self.lines: list[str] = []
        """Everything that any process printed."""
        ports = {f"PORCHLIGHT_{name.upper()}": "0" for name in UpSettings.model_fields if name.endswith("_port")}
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("PORCHLIGHT_", "ANTHROPIC_", "PG"))}
        quick = {"PORCHLIGHT_DEBOUNCE_SECONDS": "0.05", "PORCHLIGHT_DEBOUNCE_LONGEST_SECONDS": "0.2"}
        self._env = clean | ports | quick | {"PORCHLIGHT_STATE_DIR": str(state_dir)} | dict(settings or {})
        self._command = command
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[None] | None = None
        self._ready = asyncio.Event()
        self._urls: dict[str, str] = {}

    async def __aenter__(self) -> Self:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            *self._command,
            cwd=ROOT,
            env=self._env,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            limit=1 << 20,
            start_new_session=True,
        )
        self._reader = asyncio.create_task(self._read())
        ended = asyncio.create_task(self._process.wait())
        ready = asyncio.create_task(self._ready.wait())
        await asyncio.wait([ended, ready], timeout=START_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        ended.cancel()
        ready.cancel()
        if not self._ready.is_set():
            await self.stop()
            raise AssertionError("up did not get ready:\n" + "\n".join(self.lines[-60:]))
        self.http = httpx2.AsyncClient(timeout=10)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.http.aclose()
        await self.stop()

    async def stop(self) -> int:
        """End it as Ctrl-C does, and return the exit code."""
        assert self._process is not None
        if self._process.returncode is None:
            self._process.send_signal(signal.SIGINT)
            try:
                async with asyncio.timeout(STOP_SECONDS):
                    await self._process.wait()
            except TimeoutError:
                self._process.kill()
                await self._process.wait()
                raise AssertionError("up did not stop:\n" + "\n".join(self.lines[-40:])) from None
        assert self._reader is not None
        await self._reader
        assert self._process.returncode is not None
        return self._process.returncode

    async def _read(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        async for raw in self._process.stdout:
            line = raw.decode(errors="replace").rstrip()
            self.lines.append(line)
            if match := re.match(r"\s+phone page\s+(\S+)/$", line):
                self._urls["crm"] = match[1]
            elif match := re.match(r"\s+webhooks\s+(\S+)/$", line):
                self._urls["webhooks"] = match[1]
            elif line.startswith("  gRPC "):
                self._urls |= dict(pair.split(" ") for pair in line.removeprefix("  gRPC").strip().split(", "))
            elif line.startswith("  operator token"):
                self._ready.set()

    # --- where things are --------------------------------------------------------------------------------------

    @property
    def phone_page(self) -> str:
        """URL of the CRM stand-in, without a slash at the end."""
        return self._urls["crm"]

    @property
    def webhooks(self) -> str:
        """URL of the gateway, without a slash at the end."""
        return self._urls["webhooks"]

    def target(self, service: str) -> str:
        """Return host:port of a gRPC server."""
        return self._urls[service]

    def token(self, name: str = "operator") -> str:
        """Return a caller's secret."""
        return (self.state_dir / "tokens" / name).read_text(encoding="utf-8").strip()

    def pid(self, name: str) -> int:
        """Return the process id of a service, stand-in or store as it runs now."""
        return int((self.state_dir / "run" / f"{name}.pid").read_text(encoding="utf-8").split()[0])

    def kill(self, name: str) -> None:
        """SIGKILL one process; the launcher starts it again."""
        os.kill(self.pid(name), signal.SIGKILL)

    async def sql(self, statement: str, *arguments: object) -> list[asyncpg.Record]:
        """Ask Postgres as the owner, for checks and for moving the clock."""
        url = (self.state_dir / "database.url").read_text(encoding="utf-8").strip()
        connection = await asyncpg.connect(url, server_settings={"search_path": "porchlight"})
        try:
            rows: list[asyncpg.Record] = await connection.fetch(statement, *arguments)
            return rows
        finally:
            await connection.close()

    def channel(self, service: str, *, caller: str = "operator") -> Any:
        """Open a channel to a service as a caller."""
        return open_channel(self.target(service), token=self.token(caller), service=service)

    # --- what people do ----------------------------------------------------------------------------------------

    async def contact(self, first_name: str = "Ana", phone: str = "(206) 555-0100") -> str:
        """Create a contact as the phone page does and return its id."""
        answer = await self.http.post(
            f"{self.phone_page}/phone/contacts", json={"firstName": first_name, "phone": phone}
        )
        assert answer.status_code in (200, 201), answer.text
        contact_id: str = answer.json()["id"]
        return contact_id

    async def text(self, contact_id: str, words: str) -> None:
        """Text as the person."""
        answer = await self.http.post(f"{self.phone_page}/phone/contacts/{contact_id}/messages", json={"text": words})
        assert answer.status_code in (200, 201), answer.text

    async def replies(self, contact_id: str) -> list[str]:
        """Return what the person's phone got from Porchlight, oldest first."""
        answer = await self.http.get(f"{self.phone_page}/phone/contacts/{contact_id}/messages")
        return [each["body"] for each in answer.json()["messages"] if each["author"] == "bot"]

    async def timeline(self, contact_id: str) -> contact_pb.GetTimelineResponse:
        """Read a contact's story as the operator."""
        async with self.channel("gateway") as channel:
            request = contact_pb.GetTimelineRequest(tenant_id=TENANT, contact_id=contact_id, page_size=200)
            response: contact_pb.GetTimelineResponse = await call(
                ContactServiceStub(channel).GetTimeline, request, seconds=10
            )
            return response

    async def control(self, stand_in: str, body: Mapping[str, Any]) -> None:
        """Change the faults of a stand-in: `crm`, or a URL."""
        url = self._urls.get(stand_in, stand_in)
        answer = await self.http.post(
            f"{url}/control", content=orjson.dumps(body), headers={"content-type": "application/json"}
        )
        assert answer.status_code == 200, answer.text

    async def shift_clock(self, interval: str) -> None:
        """Move the database's clock by an interval from real time, such as `1 hour`."""
        await self.sql(
            "insert into clock_shift (shift) values ($1::text::interval) on conflict (only_row) do update set shift = excluded.shift",
            interval,
        )


async def until(what: str, check: Callable[[], Awaitable[Any]], *, seconds: float = 60.0) -> Any:
    """Wait until `check` returns something true, and return it.

    Raises:
        AssertionError: It did not within `seconds`; `what` says what was hoped for.
    """
    try:
        async with asyncio.timeout(seconds):
            while True:
                if found := await check():
                    return found
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise AssertionError(f"not within {seconds:g} s: {what}") from None
