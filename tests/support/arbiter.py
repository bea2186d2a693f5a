"""The arbiter for tests: a real server over a real socket, scripted target bots, callers with tokens."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import asyncpg
import grpc
import orjson
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from porchlight.bot.v1 import bot_service_pb2 as bot_pb
from porchlight.bot.v1 import bot_service_pb2_grpc as bot_grpc
from porchlight.handoff.v1 import handoff_service_pb2 as pb
from porchlight.handoff.v1 import handoff_service_pb2_grpc as pb_grpc

from kit import tickets, tokens
from kit.clock import utc_now
from kit.rpc.client import call, open_channel
from kit.rpc.server import bind, make_server
from services.handoff.arbiter import Arbiter
from services.handoff.ledger import Ledger, Offer
from services.handoff.server import build
from services.handoff.settings import HandoffSettings
from services.handoff.values import TargetSeen
from tests.support.stores import Database

TENANT, CONTACT = "loc_1", "c_81"
CALLERS = ("lead", "buyer", "seller", "operator", "gateway", "handoff")
TOKENS = {name: f"token of {name}" for name in CALLERS}
KEY = tickets.new_signing_key("k1")
OPEN_STATES = (pb.HANDOFF_STATE_PENDING, pb.HANDOFF_STATE_OFFERED)


class ScriptedBot(bot_grpc.BotServiceServicer):
    """A target that checks tickets as a real one does, and answers as it is told.

    `answers` are used up in order, the last one again and again: an OfferAnswer, a
    status code to fail with, or `HANG`.
    """

    HANG = "hang"

    def __init__(self, name: str) -> None:
        self.name = name
        self.keys: tickets.PublicKeys = KEY.public
        self.answers: list[Any] = [bot_pb.OFFER_ANSWER_ACCEPT]
        self.offers: list[bot_pb.OfferHandoffRequest] = []
        self.given_up = 0
        """Calls that hung here until their caller's deadline."""
        self.target = ""
        self._server: grpc.aio.Server | None = None

    async def OfferHandoff(self, request: bot_pb.OfferHandoffRequest, context: Any) -> bot_pb.OfferHandoffResponse:
        tickets.verify(request.ticket, keys=self.keys, audience=self.name, now=utc_now(), capsule=request.capsule)
        self.offers.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if answer == self.HANG:
            try:
                await asyncio.Event().wait()
            finally:
                self.given_up += 1
        if isinstance(answer, grpc.StatusCode):
            await context.abort(answer, "scripted")
        return bot_pb.OfferHandoffResponse(answer=answer, reason="full")

    async def HandleTurn(self, request: bot_pb.HandleTurnRequest, context: Any) -> bot_pb.HandleTurnResponse:
        raise NotImplementedError("the arbiter never calls this")

    async def PreviewTurn(self, request: bot_pb.PreviewTurnRequest, context: Any) -> bot_pb.PreviewTurnResponse:
        raise NotImplementedError("the arbiter never calls this")

    async def start(self) -> None:
        """Serve on a free port, the same one after a stop."""
        self._server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
        bot_grpc.add_BotServiceServicer_to_server(self, self._server)
        checker = health.aio.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(checker, self._server)
        port = self._server.add_insecure_port(self.target or "127.0.0.1:0")
        self.target = f"127.0.0.1:{port}"
        await self._server.start()
        await checker.set("", health_pb2.HealthCheckResponse.SERVING)

    async def stop(self) -> None:
        """Stop serving at once."""
        if self._server is not None:
            await self._server.stop(0)


class Unseen:
    """Bots that nobody has looked at."""

    def seen(self, bot: str) -> TargetSeen:
        return TargetSeen()

    def probe(self, bot: str) -> None:
        raise AssertionError("nobody is sick")

    def claim_seconds(self) -> float:
        return 0.0

    def offer(self, offer: Offer) -> None:
        raise AssertionError("nobody can be asked")


def an_arbiter(ledger: Ledger) -> Arbiter:
    """An arbiter over a ledger, without a server, that knows nothing of its targets."""
    return Arbiter(
        ledger,
        targets=Unseen(),
        approved=lambda: None,
        keys=KEY.public,
        clock=utc_now,
        offer_life=timedelta(seconds=10),
    )


@dataclass(kw_only=True)
class Desk:
    """Callers of an arbiter, and the hands of the gateway and of time."""

    address: str
    admin: Any = field(repr=False)
    bots: dict[str, ScriptedBot]
    _stubs: dict[str, Any] = field(default_factory=dict)
    _stack: AsyncExitStack
    _shift: timedelta = timedelta(0)

    async def stub(self, caller: str) -> Any:
        """Return the service as one caller sees it."""
        if caller not in self._stubs:
            channel = open_channel(self.address, token=TOKENS[caller], service="handoff")
            await self._stack.enter_async_context(channel)
            self._stubs[caller] = pb_grpc.HandoffServiceStub(channel)
        return self._stubs[caller]

    async def call(self, caller: str, method: str, request: Any, *, seconds: float = 10) -> Any:
        """Call a method of the arbiter as `caller`."""
        return await call(getattr(await self.stub(caller), method), request, seconds=seconds)

    async def request(self, route: str, confidence: float = 0.85, *, request_id: str = "", **other: Any) -> Any:
        """Ask for a handoff as its source bot, or as `caller`."""
        caller = other.pop("caller", route.split(">", maxsplit=1)[0])
        message = pb.RequestHandoffRequest(
            proposal=a_proposal(route, confidence, **other), request_id=request_id or uuid.uuid4().hex
        )
        return await self.call(caller, "RequestHandoff", message)

    async def evaluate(self, route: str, confidence: float = 0.85, *, caller: str = "operator", **other: Any) -> Any:
        """Ask what would be decided."""
        message = pb.EvaluateHandoffRequest(proposal=a_proposal(route, confidence, **other))
        return await self.call(caller, "EvaluateHandoff", message)

    async def get(self, handoff_id: str) -> Any:
        """Return a handoff as it stands."""
        return (await self.call("operator", "GetHandoff", pb.GetHandoffRequest(handoff_id=handoff_id))).handoff

    async def settled(self, response: Any) -> Any:
        """Wait until an approved handoff is no longer open, and return it."""
        assert response.approved, response
        return await self.until(response, lambda handoff: handoff.state not in OPEN_STATES)

    async def until(self, response: Any, condition: Callable[[Any], bool]) -> Any:
        """Wait until a handoff is as it should be, and return it."""
        async with asyncio.timeout(30):
            while not condition(handoff := await self.get(response.handoff.handoff_id)):
                await asyncio.sleep(0.01)
        return handoff

    async def offered(self, bot: str, count: int = 1) -> bot_pb.OfferHandoffRequest:
        """Wait until a bot has been asked `count` times, and return the last offer."""
        async with asyncio.timeout(30):
            while len(self.bots[bot].offers) < count:
                await asyncio.sleep(0.01)
        return self.bots[bot].offers[-1]

    async def owner(self, contact_id: str = CONTACT) -> Any:
        """Return who has the contact."""
        return await self.call("operator", "GetOwner", pb.GetOwnerRequest(tenant_id=TENANT, contact_id=contact_id))

    async def put_contact(self, contact_id: str = CONTACT, *, owner: str = "lead") -> None:
        """Make a contact known."""
        await self.admin.execute(
            "insert into contact (tenant_id, contact_id, owner) values ($1, $2, $3)", TENANT, contact_id, owner
        )

    async def put_message(self, text: str, contact_id: str = CONTACT) -> str:
        """Store a message as the gateway does, and return its id."""
        event = {
            "tenant_id": TENANT,
            "contact_id": contact_id,
            "source": "test",
            "event_id": uuid.uuid4().hex,
            "kind": "MESSAGE_IN",
            "channel": "SMS",
            "text": text,
            "first_owner": "lead",
            "debounce_seconds": 0,
            "debounce_longest_seconds": 0,
        }
        answer = await self.admin.fetchval("select accept_inbound($1::text::jsonb)", orjson.dumps(event).decode())
        return str(orjson.loads(answer)["message_id"])

    async def claim_turn(self) -> dict[str, Any] | None:
        """Claim the lane as the gateway does."""
        claimed = await self.admin.fetchval("select claim_turn(1, interval '25 seconds', 20, 3)")
        return orjson.loads(claimed) if claimed else None

    async def pass_time(self, **span: float) -> None:
        """Move the database's clock on."""
        self._shift += timedelta(**span)
        await self.admin.execute(
            "insert into clock_shift (shift) values ($1) on conflict (only_row) do update set shift = excluded.shift",
            self._shift,
        )


def a_proposal(
    route: str, confidence: float = 0.85, *, contact_id: str = CONTACT, summary: str = "Wants to move on.", **other: Any
) -> pb.HandoffProposal:
    """Build a proposal with only the interesting parts given."""
    source, target = route.split(">")
    return pb.HandoffProposal(
        tenant_id=TENANT,
        contact_id=contact_id,
        source_bot=source,
        target_bot=target,
        confidence=confidence,
        summary=summary,
        **other,
    )


def environment(
    database: Database,
    directory: Path,
    bots: dict[str, ScriptedBot],
    key: tickets.SigningKey = KEY,
    keys: tickets.PublicKeys = KEY.public,
) -> dict[str, Any]:
    """Write the arbiter's keys and callers, and return its settings."""
    key_file, callers_file, token_file = directory / "ticket.pem", directory / "callers.json", directory / "token"
    key_file.write_bytes(tickets.private_pem(key))
    keys_file = directory / "ticket.pub.json"
    keys_file.write_text(tickets.public_json(keys))
    tokens.write_callers(callers_file, {name: tokens.digest(token) for name, token in TOKENS.items()})
    token_file.write_text(TOKENS["handoff"])
    return {
        "state_dir": str(directory),
        "database_url": database.url("handoff"),
        "listen": "127.0.0.1:0",
        "callers_file": str(callers_file),
        "token_file": str(token_file),
        "ticket_key_file": str(key_file),
        "ticket_public_keys_file": str(keys_file),
        "sweep_seconds": "0.05",
        "bot_targets": ",".join(f"{name}={bot.target}" for name, bot in bots.items()),
    }


@asynccontextmanager
async def running_bots(names: Sequence[str] = ("lead", "buyer", "seller")) -> AsyncIterator[dict[str, ScriptedBot]]:
    """Targets that accept everything."""
    bots = {name: ScriptedBot(name) for name in names}
    for bot in bots.values():
        await bot.start()
    try:
        yield bots
    finally:
        for bot in bots.values():
            await bot.stop()


@asynccontextmanager
async def running_desk(
    database: Database,
    directory: Path,
    bots: dict[str, ScriptedBot],
    key: tickets.SigningKey = KEY,
    keys: tickets.PublicKeys = KEY.public,
    **changed: Any,
) -> AsyncIterator[Desk]:
    """An arbiter within this process, behind its own socket."""
    settings = HandoffSettings(**environment(database, directory, bots, key, keys) | changed)
    async with AsyncExitStack() as stack:
        served = await build(settings, stack)
        rpc = make_server("handoff", settings, served.servicers)
        address = bind(rpc.server, settings)
        await rpc.server.start()
        await rpc.health.set("", health_pb2.HealthCheckResponse.SERVING)
        stop = asyncio.Event()
        workers = [asyncio.ensure_future(worker(stop)) for worker in served.workers]
        admin = await asyncpg.connect(database.admin_url, server_settings={"search_path": "porchlight"})
        stack.push_async_callback(admin.close)
        try:
            yield Desk(address=address, admin=admin, bots=bots, _stack=stack)
        finally:
            stop.set()
            await asyncio.gather(*workers)
            await rpc.server.stop(0)


@asynccontextmanager
async def fresh_desk(database: Database, directory: Path, **changed: Any) -> AsyncIterator[Desk]:
    """An arbiter with three accepting bots, and one contact that lead owns."""
    async with running_bots() as bots, running_desk(database, directory, bots, **changed) as desk:
        await desk.put_contact()
        yield desk
