"""Porchlight under the probes: four arbiters, real bots and Postgres, each a process of its own."""

import asyncio
import itertools
import os
import random
import signal
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import orjson
from porchlight.bot.v1 import bot_service_pb2 as bot_pb
from porchlight.bot.v1 import bot_service_pb2_grpc as bot_grpc
from porchlight.handoff.v1 import handoff_service_pb2 as pb
from porchlight.handoff.v1 import handoff_service_pb2_grpc as pb_grpc

from bench.fleet import fresh_database, running_arbiters, running_bot
from bench.handoff_safety.probes import ANSWER_SECONDS, Adapter, Answer
from bench.measure import family
from kit import tickets
from kit.clock import utc_now
from kit.errors import Conflict, PorchlightError, Unavailable
from kit.lane import CompleteStatus
from kit.pg.lane import PgLane
from kit.pg.pool import open_pool
from kit.rpc.client import call, open_channel
from services.handoff import inputs
from services.handoff.policy import decide
from services.handoff.routes import read_policy
from tests.support.arbiter import KEY, TENANT, TOKENS, Desk, a_proposal, running_bots
from tests.support.replicas import Replica
from tests.support.stores import Cluster, Database
from tests.support.system import System, until

PROCESSES = 4
MORE_BOTS = ("loans", "escrow", "rentals")
EVERYBODY = ("lead", "buyer", "seller", *MORE_BOTS)
# For probes that need more bots than a brokerage has: every way is open, so that the limit alone decides.
WIDE_POLICY = {
    "routes": {f"{source}>{target}": 0.5 for source, target in itertools.permutations(EVERYBODY, 2)},
    "cycle_window_minutes": 1,
    "hourly_limit": 3,
    "daily_limit": 10,
    "intent_bots": {},
}


class Porchlight(Adapter):
    """Arbiters before one database, asked in turn."""

    name = "Porchlight"
    version = "this revision"

    def __init__(
        self,
        arbiters: Sequence[Replica],
        *,
        database: Database,
        postgres_pid: int,
        seller: asyncio.subprocess.Process,
        took: Mapping[str, list[str]],
        buyers: Sequence[str],
        folder: Path,
    ) -> None:
        self._arbiters = arbiters
        self._desks = itertools.cycle([each.desk for each in arbiters])
        self._desk: Desk = arbiters[0].desk
        self._admin = self._desk.admin
        self._database = database
        self._postgres_pid = postgres_pid
        self._seller = seller
        self._took = took
        self._buyers = buyers
        self._folder = folder

    async def converse(self) -> str:
        contact = f"c_{uuid.uuid4().hex[:16]}"
        await self._desk.put_contact(contact)
        return contact

    async def owner(self, conversation: str) -> str:
        return str((await self._desk.owner(conversation)).owner)

    async def ask(self, conversation: str, source: str, target: str, *, request: str = "", caller: str = "") -> Answer:
        message = _request(conversation, f"{source}>{target}", request)
        try:
            async with self._as(caller or source) as stub:
                response = await call(stub.RequestHandoff, message, seconds=ANSWER_SECONDS)
        except PorchlightError as error:
            return Answer(moved=False, reason=error.reason)
        if not response.approved:
            return Answer(moved=False, reason=response.handoff.block_reason)
        settled = await self._desk.settled(response)
        return Answer(moved=settled.state == pb.HANDOFF_STATE_ACCEPTED, handoff=settled.handoff_id)

    @asynccontextmanager
    async def _as(self, caller: str) -> AsyncIterator[Any]:
        token = TOKENS.get(caller, f"token that {caller} made up")
        if caller in MORE_BOTS:  # which have no tokens; the operator acts for them
            token = TOKENS["operator"]
        async with open_channel(next(self._desks).address, token=token, service="handoff") as channel:
            yield pb_grpc.HandoffServiceStub(channel)

    async def ask_the_dead(self, conversation: str) -> None:
        self._seller.send_signal(signal.SIGSTOP)
        await self._desk.request("lead>seller", contact_id=conversation)
        await asyncio.sleep(0.3)
        self._seller.kill()
        await self._seller.wait()

    async def share(self, conversations: Sequence[str]) -> Mapping[str, Sequence[str]]:
        taken = {}
        for conversation in conversations:
            before = {worker: len(offers) for worker, offers in self._took.items()}
            assert (await self.ask(conversation, "lead", "buyer")).moved

            async def logged(before: Mapping[str, int] = before) -> bool:
                return any(len(offers) > before[worker] for worker, offers in self._took.items())

            await until("a bot logged that it took the contact", logged)
            taken[conversation] = [w for w, offers in self._took.items() for _ in offers[before[w] :]]
        return taken

    async def say_at_once(self, texts: Sequence[str]) -> tuple[Sequence[str], int]:
        async with System(self._folder / "texts") as system:
            contact = await system.contact()
            await asyncio.gather(*(system.text(contact, text) for text in texts))
            await _all_settled(system, len(texts))
            inbox = await system.sql("select body from inbox where contact_id = $1 and outcome = 'REPLIED'", contact)
            overlaps = await system.sql(
                "select 1 from turn a join turn b using (contact_id) where contact_id = $1"
                " and a.turn_no < b.turn_no and b.claim_time < a.end_time",
                contact,
            )
            return [row["body"] for row in inbox], len(overlaps)

    async def play_ping_pong(self, conversation: str) -> tuple[int, str]:
        source, target = "lead", "buyer"
        for hops in itertools.count():
            answer = await self.ask(conversation, source, target)
            if not answer.moved:
                return hops, answer.reason
            source, target = target, source
        raise AssertionError("counting ends")

    async def copies(self, conversation: str, count: int) -> tuple[int, int]:
        message = _request(conversation, "lead>buyer", uuid.uuid4().hex)
        desks = [next(self._desks) for _ in range(count)]
        answers = await asyncio.gather(*(_careful(desk, "lead", message) for desk in desks))
        made = await self._admin.fetch("select handoff_id from handoff where contact_id = $1", conversation)
        return len(made), sum(answer.handoff.handoff_id == made[0]["handoff_id"] for answer in answers)

    async def reuse(self, conversation: str) -> Answer:
        name = uuid.uuid4().hex
        await _careful(self._desk, "lead", _request(conversation, "lead>buyer", name, confidence=0.1))
        return await self.ask(conversation, "lead", "buyer", request=name)

    async def storm(self, count: int) -> tuple[int, int, int]:
        conversation, dice = await self.converse(), random.Random(400)
        async with self._wide_policy():
            routes = [">".join(dice.sample([*MORE_BOTS, "lead", "buyer"], 2)) for _ in range(count)]
            await asyncio.gather(
                *(_careful(next(self._desks), "operator", _request(conversation, route, "")) for route in routes)
            )
            # Whatever the storm left of the limit is used up by asking on, one after the other.
            for target in itertools.islice(itertools.cycle(("buyer", *MORE_BOTS)), 12):
                await until("the last handoff is settled", self._settled)
                source = await self.owner(conversation)
                if source != target:
                    await _careful(self._desk, "operator", _request(conversation, f"{source}>{target}", ""))
            await until("the last handoff is settled", self._settled)
        moved = await self._admin.fetchval(
            "select count(*) from handoff where contact_id = $1 and state = 'ACCEPTED'", conversation
        )
        return 3, moved, len(self._arbiters)

    async def replay_ticket(self, count: int) -> int:
        offer = await self._deferred()
        accept = pb.AcceptHandoffRequest(ticket=offer.ticket)
        accepted = await self._desk.call("operator", "AcceptHandoff", accept)
        assert accepted.handoff.state == pb.HANDOFF_STATE_ACCEPTED
        answers = [next(self._desks).call("operator", "AcceptHandoff", accept) for _ in range(count)]
        return sum(
            not isinstance(each, PorchlightError) for each in await asyncio.gather(*answers, return_exceptions=True)
        )

    async def forge_tickets(self) -> Mapping[str, str]:
        ticket = (await self._deferred()).ticket
        payload = bot_pb.TicketPayload.FromString(ticket.payload)
        mine = tickets.new_signing_key(KEY.key_id)
        past = utc_now() - timedelta(minutes=5)
        flipped = bytes([ticket.signature[0] ^ 1]) + ticket.signature[1:]
        payload.target_bot = "seller"
        altered = bot_pb.Ticket(payload=payload.SerializeToString(), signature=ticket.signature, key_id=ticket.key_id)
        forged = {
            "altered": ("seller", altered),
            "signature altered": (
                "operator",
                bot_pb.Ticket(payload=ticket.payload, signature=flipped, key_id=KEY.key_id),
            ),
            "signed by another": ("operator", tickets.sign(payload, key=mine, capsule=b"", now=utc_now())),
            "expired": ("operator", tickets.sign(payload, key=KEY, capsule=b"", now=past)),
            "for another": ("buyer", ticket),
        }
        return {kind: await self._refusal(caller, each) for kind, (caller, each) in forged.items()}

    async def _refusal(self, caller: str, ticket: bot_pb.Ticket) -> str:
        try:
            await next(self._desks).call(caller, "AcceptHandoff", pb.AcceptHandoffRequest(ticket=ticket))
        except PorchlightError as error:
            return error.metadata.get("defect", error.reason)
        return ""

    async def _deferred(self) -> bot_pb.OfferHandoffRequest:
        """Return an offer whose target has put its answer off, so that its ticket is good and unused."""
        loans = self._desk.bots["loans"]
        async with self._wide_policy():
            loans.answers = [bot_pb.OFFER_ANSWER_DEFER]
            seen = len(loans.offers)
            contact = await self.converse()
            await _careful(self._desk, "lead", _request(contact, "lead>loans", ""))
            offer = await self._desk.offered("loans", seen + 1)
            loans.answers = [bot_pb.OFFER_ANSWER_ACCEPT]
        return offer

    async def write_late(self, conversation: str) -> tuple[bool, str]:
        async def move() -> None:
            assert (await self.ask(conversation, "lead", "buyer")).moved

        return await self._late(conversation, move)

    async def take_over(self, conversation: str) -> tuple[bool, str]:
        event = {"kind": "HUMAN_MESSAGE", "text": "I will take this.", "crm_message_id": uuid.uuid4().hex}
        return await self._late(conversation, lambda: self._inbound(conversation, event))

    async def _late(self, conversation: str, meanwhile: Callable[[], Awaitable[None]]) -> tuple[bool, str]:
        """Complete a turn of the lead bot with its own role, after the contact was taken from it."""
        await self._inbound(conversation, {"kind": "MESSAGE_IN", "text": "hello"})
        while (turn := await self._desk.claim_turn()) is not None and turn["contact_id"] != conversation:
            pass
        assert turn is not None
        await meanwhile()
        pool = await open_pool(self._database.url("lead"), name="bench", size=1)
        fence = {"epoch": turn["epoch"], "turn_no": turn["turn_no"]}
        status = await PgLane(pool).complete_turn(
            "lead", TENANT, conversation, **fence, reply="late words", facts=(), record={}
        )
        await pool.close()
        sent = await self._admin.fetchval(
            "select count(*) from outbox where contact_id = $1 and kind = 'REPLY'", conversation
        )
        return sent > 0 or status is not CompleteStatus.STALE, await self.owner(conversation)

    async def _inbound(self, conversation: str, event: Mapping[str, Any]) -> None:
        common = {"tenant_id": TENANT, "contact_id": conversation, "source": "bench", "event_id": uuid.uuid4().hex}
        wait = {"channel": "SMS", "first_owner": "lead", "debounce_seconds": 0, "debounce_longest_seconds": 0}
        sql = "select accept_inbound($1::text::jsonb)"
        await self._admin.execute(sql, orjson.dumps({**common, **wait, **event}).decode())

    async def change_capsule(self) -> str:
        names = bot_pb.TicketPayload(handoff_id="h_1", tenant_id=TENANT, contact_id="c_1", source_bot="lead", epoch=2)
        names.target_bot = "buyer"
        capsule = bot_pb.Capsule(schema_version=1, summary="Wants to buy below 650,000.").SerializeToString()
        ticket = tickets.sign(names, key=KEY, capsule=capsule, now=utc_now())
        async with open_channel(self._buyers[0], token=TOKENS["handoff"], service="buyer") as channel:
            offer = bot_grpc.BotServiceStub(channel).OfferHandoff
            good = await call(offer, bot_pb.OfferHandoffRequest(ticket=ticket, capsule=capsule), seconds=2)
            assert good.answer == bot_pb.OFFER_ANSWER_ACCEPT
            try:
                changed = capsule.replace(b"650", b"950")
                await call(offer, bot_pb.OfferHandoffRequest(ticket=ticket, capsule=changed), seconds=2)
            except PorchlightError as error:
                return error.metadata.get("defect", error.reason)
        return ""

    async def explain(self) -> tuple[int, int]:
        rows = await self._admin.fetch(
            "select h.inputs, h.verdicts, h.policy_version, p.body from handoff h join policy p on p.version = h.policy_version"
            " where h.inputs is not null"
        )
        same = 0
        for row in rows:
            decided = decide(
                read_policy(row["policy_version"], orjson.loads(row["body"])),
                *inputs.from_json(orjson.loads(row["inputs"])),
            )
            verdicts = [(each.rule.value, each.outcome.value, each.observed, each.limit) for each in decided.verdicts]
            stored = orjson.loads(row["verdicts"])
            same += verdicts == [(each["rule"], each["outcome"], each["observed"], each["limit"]) for each in stored]
        return len(rows), same

    async def freeze_store(self, seconds: float) -> tuple[Sequence[float], int, int]:
        contacts = iter([await self.converse() for _ in range(600)])
        waits: list[float] = []
        told: list[str] = []
        end = time.perf_counter() + seconds + 2

        async def caller(desk: Desk) -> None:
            for contact in contacts:
                began = time.perf_counter()
                if began > end:
                    return
                with suppress(PorchlightError):
                    response = await desk.call("lead", "RequestHandoff", _request(contact, "lead>buyer", ""), seconds=2)
                    told.extend([contact] if response.approved else [])
                waits.append(time.perf_counter() - began)
                await asyncio.sleep(0.05)

        await asyncio.gather(_freeze(self._postgres_pid, seconds), *(caller(next(self._desks)) for _ in range(20)))
        # Whom an approval left on the way comes to the target, or back, when the offer ends.
        await until("every handoff is settled", self._settled, seconds=30)
        rows = await self._admin.fetch(
            "select contact_id from handoff where contact_id = any($1) and state = 'ACCEPTED'", told
        )
        return waits, len(told), len(set(told) - {row["contact_id"] for row in rows})

    async def _settled(self) -> bool:
        return not await self._admin.fetchval("select count(*) from handoff where state in ('PENDING', 'OFFERED')")

    async def change_policy(self) -> tuple[float, int]:
        threshold = {"lead>buyer": 0.9}
        done = asyncio.Event()

        async def load(desk: Desk) -> None:
            while not done.is_set():
                await _careful(desk, "lead", _request(await self.converse(), "lead>buyer", "", confidence=0.1))

        async def follow(desk: Desk, version: int) -> None:
            while (await desk.evaluate("lead>buyer", contact_id=contact)).policy_version != version:
                pass

        contact = await self.converse()
        callers = [asyncio.create_task(load(next(self._desks))) for _ in range(PROCESSES)]
        await asyncio.sleep(0.5)
        body = orjson.loads(await self._policy())
        body["routes"] |= threshold
        version = await self._put_policy(body)
        began = time.perf_counter()
        async with asyncio.timeout(10):
            await asyncio.gather(*(follow(each.desk, version) for each in self._arbiters))
        took = time.perf_counter() - began
        await asyncio.sleep(0.3)
        done.set()
        await asyncio.gather(*callers)
        new = await self._admin.fetchval("select count(*) from handoff where policy_version = $1", version)
        assert new > 0, "nobody asked under the new policy"
        mixed = await self._admin.fetchval(
            "select count(*) from handoff h cross join jsonb_array_elements(h.verdicts) v where v->>'rule' = 'EVIDENCE'"
            " and source_bot = 'lead' and target_bot = 'buyer' and (v->>'limit' like '0.9 %') <> (policy_version = $1)",
            version,
        )
        return took, mixed

    async def _policy(self) -> str:
        return str(await self._admin.fetchval("select body from policy order by version desc limit 1"))

    async def _put_policy(self, body: object) -> int:
        sql = "insert into policy (body) values ($1::text::jsonb) returning version"
        return int(await self._admin.fetchval(sql, orjson.dumps(body).decode()))

    @asynccontextmanager
    async def _wide_policy(self) -> AsyncIterator[None]:
        before = await self._policy()
        await self._put_policy(WIDE_POLICY)
        yield
        await self._put_policy(orjson.loads(before))

    async def die_after_effect(self, people: int) -> Sequence[int]:
        settings = {"PORCHLIGHT_CRASH_AT": "gateway.after_crm_post:3"}
        async with System(self._folder / "effects", settings) as system:
            contacts = [await system.contact("Ana", f"(206) 555-01{number:02d}") for number in range(people)]
            await asyncio.gather(*(system.text(contact, "hello there") for contact in contacts))
            await _all_settled(system, people)
            assert any("gateway ended with code -9" in line for line in system.lines), "the gateway never died"
            return [len(await system.replies(contact)) for contact in contacts]


async def _all_settled(system: System, count: int) -> None:
    """Wait until `count` texts are stored and nothing waits any more."""

    async def settled() -> bool:
        rows = await system.sql(
            "select (select count(*) from inbox where kind = 'MESSAGE_IN') as texts,"
            " exists (select from inbox where outcome = 'WAITING')"
            " or exists (select from outbox where state in ('PENDING', 'CLAIMED')) as waiting"
        )
        return rows[0]["texts"] == count and not rows[0]["waiting"]

    await until("everything is settled", settled, seconds=60)


async def _careful(desk: Desk, caller: str, message: pb.RequestHandoffRequest) -> Any:
    """Ask until there is an answer, always under the same request id."""
    async with asyncio.timeout(60):
        while True:
            try:
                return await desk.call(caller, "RequestHandoff", message)
            except (Unavailable, Conflict):
                await asyncio.sleep(0.02)


async def _freeze(pid: int, seconds: float) -> None:
    await asyncio.sleep(0.5)
    frozen = family(pid)
    for each in frozen:
        os.kill(each, signal.SIGSTOP)
    await asyncio.sleep(seconds)
    for each in frozen:
        os.kill(each, signal.SIGCONT)


def _request(contact: str, route: str, name: str, *, confidence: float = 0.95) -> pb.RequestHandoffRequest:
    proposal = a_proposal(route, confidence, contact_id=contact)
    return pb.RequestHandoffRequest(proposal=proposal, request_id=name or uuid.uuid4().hex)


@asynccontextmanager
async def running(cluster: Cluster, folder: Path) -> AsyncIterator[Adapter]:
    """Start everything that the probes need."""
    took: dict[str, list[str]] = {"buyer 1": [], "buyer 2": []}

    def heard(worker: str) -> Callable[[Mapping[str, Any]], None]:
        def hear(line: Mapping[str, Any]) -> None:
            if str(line.get("method")).endswith("/OfferHandoff") and line.get("code") == "OK":
                took[worker].append(line["request_id"])

        return hear

    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(fresh_database(cluster))
        buyers = [
            (
                await stack.enter_async_context(
                    running_bot("buyer", database, folder, heard=heard(name), log_level="debug")
                )
            )[1]
            for name in took
        ]
        seller, at = await stack.enter_async_context(running_bot("seller", database, folder))
        bots = await stack.enter_async_context(running_bots(("lead", *MORE_BOTS)))
        targets = {name: bot.target for name, bot in bots.items()}
        targets |= {"buyer": "ipv4:" + ",".join(buyers), "seller": at}
        started = running_arbiters(database, folder, targets, count=PROCESSES, bots=bots)
        arbiters = await stack.enter_async_context(started)
        yield Porchlight(
            arbiters,
            database=database,
            postgres_pid=cluster.pid,
            seller=seller,
            took=took,
            buyers=buyers,
            folder=folder,
        )
