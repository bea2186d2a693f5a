"""Sequences of what can happen to a contact, in Postgres and in a model, which must agree after every step.

`python -m tests.support.handoff_sequences --sequences 10000` is `make stateful-handoff`;
the test of the same name runs a few. Hypothesis makes the sequences up and cuts one
that fails down to its core. Some steps are two at once, of two arbiters: then either
may have been first. The database's clock stands still but for a millisecond a step and
what a sequence lets pass, which is often the time to the very end of some window.
"""

import argparse
import asyncio
import copy
import itertools
import multiprocessing
import random
import sys
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, TypeAlias

import asyncpg
import orjson
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from porchlight.bot.v1 import bot_service_pb2 as bot_pb

from kit import log, tickets
from kit.clock import utc_now
from kit.errors import RequestIdReused, StaleTurn, WrongHandoffState
from kit.lane import EFFECTS, DeliveryResult, Event, EventKind, Fact, Keyword
from kit.pg.lane import PgLane
from kit.pg.pool import open_pool
from services.handoff.arbiter import Arbiter
from services.handoff.ledger_pg import PostgresLedger
from services.handoff.values import OPERATOR, Kind, Proposal
from tests.support import handoff_check
from tests.support.arbiter import KEY, an_arbiter
from tests.support.gateway import AT_ONCE
from tests.support.handoff_model import BOTS, CALL, HUMAN, LEASE, LIMITS, THRESHOLDS, WANTS, Contact, Wish
from tests.support.stores import Cluster, Database, create_database, drop_database, running_cluster

TENANT: Final = "loc_1"
NOON: Final = datetime(2026, 11, 27, 12, tzinfo=UTC)
TICK: Final = timedelta(milliseconds=1)
POLICY: Final = {
    "routes": {f"{source}>{target}": sure for (source, target), sure in THRESHOLDS.items()},
    "cycle_window_minutes": 30,
    "hourly_limit": LIMITS[0][1],
    "daily_limit": LIMITS[1][1],
    "intent_bots": WANTS,
}
_STILL: Final = f"""
create or replace function porchlight_now() returns timestamptz
language sql volatile security definer set search_path = porchlight as $$
    select timestamptz '{NOON.isoformat()}' + coalesce((select shift from clock_shift), '0')
$$"""
_STATE: Final = """
with moved as (update clock_shift set shift = $3)
select jsonb_build_object('owner', owner, 'epoch', epoch, 'pending', coalesce(pending_handoff_id, ''),
    'opted_out', opt_out_time is not null, 'turn_no', turn_no,
    'messages', (select coalesce(jsonb_object_agg(message_id, outcome), '{}') from inbox
        where tenant_id = $1 and contact_id = $2 and kind = 'MESSAGE_IN'),
    'handoffs', (select coalesce(jsonb_object_agg(handoff_id, jsonb_build_array(
            case when state in ('PENDING', 'OFFERED') then 'OPEN' else state end,
            (select coalesce(jsonb_agg(m order by m), '[]') from unnest(message_ids) m))), '{}')
        from handoff where tenant_id = $1 and contact_id = $2 and state not in ('DENIED', 'DEFERRED')),
    'turns', (select coalesce(jsonb_agg(state order by turn_no), '[]') from turn where tenant_id = $1 and contact_id = $2),
    'texts', (select coalesce(jsonb_agg(jsonb_build_array(kind, epoch, state) order by outbox_id), '[]') from outbox
        where tenant_id = $1 and contact_id = $2 and kind in ('REPLY', 'OPT_OUT_CONFIRMATION', 'OPT_IN_CONFIRMATION')))
from contact where tenant_id = $1 and contact_id = $2"""

Act: TypeAlias = tuple[Any, ...]
Told: TypeAlias = tuple[Any, str]
"""What came of an act, and the id of what it made, if it says one."""
Step: TypeAlias = tuple[Callable[[], Awaitable[Told]], Callable[[Contact, str], Any]]
"""What is done, and what must come of it."""

_number = st.integers(0, 7)
_asks = st.tuples(
    st.just("ask"),
    st.sampled_from(["own", "own", "own", "own", *BOTS]),
    st.sampled_from(BOTS),
    st.sampled_from([1.0, 0.9, 0.8, 0.8, 0.7, 0.6, 0.5999, 1.0001]),
    st.sampled_from([0, 0, "right", "wrong"]),
    st.sampled_from(["none", "none", "last", "first"]),
    st.sampled_from(["none", "last", "last", "first"]),
    st.sampled_from(["buy", "sell", ""]),
)
_says = st.tuples(st.just("says"), st.sampled_from([*["buy", "sell"] * 5, "STOP", "START", "START"]))
_locked = st.one_of(
    _asks,
    _asks,
    _says,
    st.tuples(st.just("redeem"), _number, st.sampled_from([0, 0, 0, 1])),
    st.tuples(st.just("complete"), _number, st.booleans()),
    st.tuples(st.sampled_from(["again", "again", "decline"]), _number),
    st.tuples(st.sampled_from(["escalate", "give back"]), st.sampled_from(BOTS)),
)
"""What waits for the contact's lock, so that one of two is first; the rest passes over a contact that is busy."""
_acts = st.one_of(
    # First what does least: with it a sequence that fails is filled up when it is cut down.
    st.tuples(st.sampled_from(["offers", "claim", "claim", "deliver", "deliver", "expire", "human"])),
    _locked,
    _locked,
    st.tuples(st.sampled_from(["turn", "mind"]), st.sampled_from(["buy", "sell"])),
    st.tuples(st.just("move"), _number),
    st.tuples(st.just("move"), _number),
    st.tuples(st.just("wait"), _number, st.sampled_from([-1, 0, 1])),
    st.tuples(st.just("pass"), st.sampled_from([1, 12, 240, 1_800, 3_600, 90_000])),
    st.tuples(st.just("both"), _locked, _locked),
)


class World:
    """A database with a clock of its own, two arbiters and a gateway over it."""

    def __init__(self, admin: Any, arbiters: tuple[Arbiter, Arbiter], ledger: PostgresLedger, lane: PgLane) -> None:
        self.admin = admin
        self.arbiters = arbiters
        self.ledger = ledger
        self.lane = lane
        self.seen: Counter[str] = Counter()
        """What came of all steps."""
        self.shift = timedelta(0)
        self.count = self.turn = 0


@asynccontextmanager
async def running_world(database: Database) -> AsyncIterator[World]:
    """Open everything over a fresh database."""
    admin = await asyncpg.connect(database.admin_url, server_settings={"search_path": "porchlight"})
    await admin.set_type_codec(
        "jsonb", schema="pg_catalog", encoder=lambda value: orjson.dumps(value).decode(), decoder=orjson.loads
    )
    pools = [await open_pool(database.url("handoff"), name="handoff") for _ in range(2)]
    # The bots' own role checks who they are; here one hand acts for all three.
    owner = await open_pool(database.admin_url, name="owner")
    try:
        await admin.execute(_STILL)
        await admin.execute("insert into clock_shift (shift) values ('0')")
        await admin.execute("insert into policy (body) values ($1)", POLICY)
        ledgers = [PostgresLedger(pool) for pool in pools]
        arbiters = (an_arbiter(ledgers[0]), an_arbiter(ledgers[1]))
        yield World(admin, arbiters, ledgers[0], PgLane(owner))
    finally:
        for pool in (*pools, owner):
            await pool.close()
        await admin.close()


class Sequence:
    """One contact, from its first moment on."""

    def __init__(self, world: World) -> None:
        world.count += 1
        self.world = world
        self.contact_id = f"c_{world.count}"
        self.model = Contact(now=NOON + world.shift)
        self.asked: list[tuple[str, Proposal, str]] = []
        """Request id, what was asked, and the id of the decision."""

    async def play(self, acts: list[Act]) -> None:
        """Do one act after the other; then bring everything to rest."""
        await self.world.admin.execute(
            "insert into contact (tenant_id, contact_id, owner) values ($1, $2, 'lead')", TENANT, self.contact_id
        )
        try:
            for act in acts:
                await self.act(act)
            await self.rest()
            await self.judge()
        finally:
            await self.world.admin.execute(
                "with o as (update outbox set state = 'DEAD' where state in ('PENDING', 'CLAIMED')),"
                " h as (update handoff set state = 'EXPIRED' where state in ('PENDING', 'OFFERED'))"
                " update contact set ready_time = null, lease_expire_time = null, pending_handoff_id = null where ready_time is not null or pending_handoff_id is not null"
            )

    async def act(self, act: Act) -> None:
        """Do one act, two at once, or let time pass; then compare."""
        if act[0] == "wait":
            edges = list(self.model.edges())
            if edges:
                await self.pass_time(edges[act[1] % len(edges)] + act[2] * timedelta(microseconds=1))
        elif act[0] == "pass":
            await self.pass_time(timedelta(seconds=act[1]))
        elif act[0] == "move":
            await self.act(("ask", "own", self.somewhere(act[1]), 1.0, 0, "none", "none", ""))
            if act[1] == 7:
                await self.act(("redeem", 0, 1))
            await self.act(("redeem", 0, 0))
        elif act[0] == "turn":
            await self.act(("says", act[1]))
            await self.act(("claim",))
        elif act[0] == "mind":
            await self.act(("says", act[1]))
            await self.act(("ask", "own", WANTS[act[1]], 1.0, 0, "none", "last", act[1]))
            await self.act(("redeem", 0, 0))
        elif act[0] == "both":
            steps = [step for each in act[1:] if (step := self.step(each)) is not None]
            await self.compare(steps, await asyncio.gather(*(do() for do, _ in steps)))
        elif (step := self.step(act)) is not None:
            await self.compare([step], [await step[0]()])

    def somewhere(self, number: int) -> str:
        """Choose a bot that the contact may go to, if there is one, so that sequences get anywhere."""
        wishes = [Wish(source=self.model.owner, target=bot, confidence=1.0) for bot in BOTS]
        free = [wish.target for wish in wishes if self.model.blocking(wish) in ("", "QUOTA")]
        return (free or BOTS)[number % len(free or BOTS)]

    async def pass_time(self, span: timedelta) -> None:
        """Let time pass; a tick of it passes with the comparison."""
        self.world.shift += max(span, timedelta(0)) - TICK
        await self.compare([], [])

    async def compare(self, steps: list[Step], told: list[Told]) -> None:
        """Let the model do the same, in the order that fits, and look whether the database agrees."""
        self.world.seen.update(str(came) for came, _ in told)
        self.world.shift += TICK
        state = await self.world.admin.fetchval(_STATE, TENANT, self.contact_id, self.world.shift)
        # A person who takes over is not told the id of what that made.
        new = set(state["handoffs"]) - set(self.model.past) - {made for _, made in told}
        wrong = ""
        for order in itertools.permutations(range(len(steps))):
            model = copy.deepcopy(self.model)
            try:
                for place in order:
                    came, made = told[place]
                    must = steps[place][1](model, made or next(iter(new), ""))
                    assert came == must, f"{came} was told, and the model says {must}"
                if len(steps) > 1:
                    self.overlook(model, state, {made for came, made in told if came == "WAITING"})
                self.agree(model, state)
            except AssertionError as error:
                wrong = f"{wrong}; in another order: {error}" if wrong else str(error)
                continue
            self.model = model
            self.model.now = NOON + self.world.shift
            return
        raise AssertionError(wrong)

    def overlook(self, model: Contact, state: dict[str, Any], said: set[str]) -> None:
        """Let a decision not know what came, or was answered, at the same moment: it names what it looked at."""
        at_once = said | self.model.waiting
        for name in model.past.keys() - self.model.past.keys():
            known = frozenset(state["handoffs"].get(name, ["", []])[1])
            if known ^ model.past[name].messages <= at_once:
                model.past[name].messages = known

    def agree(self, model: Contact, state: dict[str, Any]) -> None:
        """Compare everything that the database keeps of the contact."""
        must = {
            "owner": model.owner,
            "epoch": model.epoch,
            "pending": model.pending,
            "opted_out": model.opted_out,
            "turn_no": len(model.turns),
            "messages": {each.message_id: each.outcome for each in model.messages},
            "handoffs": {name: [past.state, sorted(past.messages)] for name, past in model.past.items()},
            "turns": [turn.state for turn in model.turns],
            "texts": model.texts,
        }
        different = [
            f"{key} is {state[key]}, the model says {value}" for key, value in must.items() if state[key] != value
        ]
        assert not different, "; ".join(different)
        assert not model.idle_with_work(), "a message waits and no turn will come of it"

    async def rest(self) -> None:
        """Go on as every process would until nothing is left to do; then nobody may wait."""
        if self.model.opted_out:
            await self.act(("says", "START"))
        for _ in range(20):
            if self.model.owner == HUMAN:
                await self.act(("give back", "lead"))
            elif self.model.pending:
                await self.pass_time(timedelta(seconds=12))
                await self.act(("expire",))
            elif self.model.unsent():
                await self.act(("deliver",))
            elif self.model.turns and self.model.turns[-1].state == "OPEN":
                await self.act(("complete", 0, True))
            elif self.model.waiting:
                await self.act(("claim",))
        assert not self.model.waiting, "somebody waits for an answer that will never come"
        # Whoever opted out, or is spoken to by a person, may be left without a bot's answer.
        if not self.model.human_texts and all(each.intent != "STOP" for each in self.model.messages):
            answered = {
                each for turn in self.model.turns if turn.text and turn.text[2] == "SENT" for each in turn.messages
            }
            told = {each.message_id for each in self.model.messages if each.outcome == "REPLIED"}
            assert told <= answered, "an answer never went out"

    async def judge(self) -> None:
        """Have the judge of the load look at it as well."""
        handoffs = await self.world.admin.fetch("select * from handoff where contact_id = $1", self.contact_id)
        changes = await self.world.admin.fetch(
            "select *, detail->>'owner' as owner from audit where contact_id = $1 and kind = 'OWNER_CHANGED' order by audit_id", self.contact_id
        )  # fmt: skip
        policies = await self.world.admin.fetch("select * from policy order by version")
        assert handoff_check.check(handoffs, changes, policies).problems == []

    # --- acts ---------------------------------------------------------------------------------------------------

    def step(self, act: Act) -> Step | None:
        """Say what to do, and what must come of it; None when there is nothing to do it to."""
        name, *given = act
        made: Step | None = getattr(self, "_" + name.replace(" ", "_"))(*given)
        return made

    def _ask(self, source: str, target: str, sure: float, epoch: Any, turn: str, message: str, intent: str) -> Step:
        model = self.model
        if source == "own" and model.owner == HUMAN:
            return self._give_back(target)
        texts = [each for each in model.messages if each.intent in WANTS]
        place = {"last": -1, "first": 0}
        wish = Wish(
            source=model.owner if source == "own" else source,
            target=target,
            confidence=sure,
            epoch={"right": model.epoch, "wrong": model.epoch + 1}.get(epoch, 0),
            turn=model.turns[place[turn]].number if turn in place and model.turns else 0,
            message=texts[place[message]].message_id if message in place and texts else "",
            intent=intent,
        )
        fact = Fact(
            name="intent", value=wish.intent, words=wish.intent, message_id=wish.message, extractor="rules", confidence=1.0
        )  # fmt: skip
        asked = self._proposal(
            wish.source, wish.target, confidence=sure, expected_epoch=wish.epoch, turn_no=wish.turn,
            override_message_id=wish.message, facts=(fact,) if wish.intent else (),
        )  # fmt: skip
        return self._request(asked), lambda model, made: model.hand_over(wish, made)

    def _escalate(self, source: str) -> Step:
        asked = self._proposal(source, HUMAN, kind=Kind.ESCALATION, reason="COMPLAINT")
        return self._request(asked), lambda model, made: model.escalate(source, made)

    def _give_back(self, target: str) -> Step:
        asked = self._proposal(HUMAN, target, kind=Kind.RETURN, person="Ben")
        return self._request(asked), lambda model, made: model.give_back(target, made)

    def _again(self, number: int) -> Step | None:
        if not self.asked:
            return None
        request_id, asked, decided = self.asked[-1 - number // 2 % len(self.asked)]
        other = bool(number % 2)

        async def do() -> Told:
            try:
                again = replace(asked, summary="Other words.") if other else asked
                handoff, replayed = await self._arbiter().request(again, request_id=request_id)
            except RequestIdReused:
                return "REUSED", ""
            return ("REPLAYED" if replayed and handoff.handoff_id == decided else "DECIDED AGAIN"), ""

        return do, lambda model, made: "REUSED" if other else "REPLAYED"

    def _redeem(self, number: int, off: int) -> Step | None:
        if not self.model.past:
            return None
        handoff_id, past = list(self.model.past.items())[-1 - number % len(self.model.past)]
        epoch = past.epoch + off
        return (
            self._settle(lambda arbiter, ticket: arbiter.accept(ticket, caller=past.target), handoff_id, epoch),
            lambda model, made: model.redeem(handoff_id, epoch),
        )

    def _decline(self, number: int) -> Step | None:
        if not self.model.past:
            return None
        handoff_id, past = list(self.model.past.items())[-1 - number % len(self.model.past)]
        return (
            self._settle(
                lambda arbiter, ticket: arbiter.decline(ticket, reason="full", caller=past.target),
                handoff_id,
                past.epoch,
            ),
            lambda model, made: model.compensate(handoff_id, "DECLINED"),
        )

    def _expire(self) -> Step:
        async def do() -> Told:
            return await self.world.ledger.expire_offers(limit=10), ""

        return do, lambda model, made: model.expire()

    def _offers(self) -> Step:
        async def do() -> Told:
            offers = await self.world.ledger.claim_offers(limit=10, lease_seconds=CALL.total_seconds())
            return [offer.handoff.handoff_id for offer in offers], ""

        return do, lambda model, made: model.offers()

    def _says(self, intent: str) -> Step:
        async def do() -> Told:
            keyword = Keyword(intent) if intent in ("STOP", "START") else None
            text = intent if keyword else f"I want to {intent}"
            accepted = await self._accept(
                EventKind.MESSAGE_IN, text=text, keyword=keyword, keyword_reply="As you wish."
            )
            return accepted.outcome, accepted.message_id

        return do, lambda model, made: model.says(intent, made)

    def _human(self) -> Step:
        async def do() -> Told:
            await self._accept(EventKind.HUMAN_MESSAGE, text=f"Dana here, {uuid.uuid4().hex}.")
            return None, ""

        return do, lambda model, made: model.human_writes(made)

    def _claim(self) -> Step:
        async def do() -> Told:
            turns = await self.world.lane.claim(limit=1, lease=LEASE, messages_most=20, attempts_most=3)
            return [(turn.turn_no, turn.bot, turn.epoch) for turn in turns], ""

        def must(model: Contact, made: str) -> Any:
            turn = model.claim()
            return [(turn.number, turn.bot, turn.epoch)] if turn else []

        return do, must

    def _complete(self, number: int, reply: bool) -> Step | None:
        if not self.model.turns:
            return None
        turn = self.model.turns[-1 - number % len(self.model.turns)]

        async def do() -> Told:
            status = await self.world.lane.complete_turn(
                turn.bot, TENANT, self.contact_id, epoch=turn.epoch, turn_no=turn.number,
                reply="Sure." if reply else None, facts=(), record={},
            )  # fmt: skip
            return status.value, ""

        return do, lambda model, made: model.complete(turn.number, reply)

    def _deliver(self) -> Step:
        async def do() -> Told:
            claimed = await self.world.lane.claim_deliveries(limit=10, lease=timedelta(seconds=10))
            for delivery in claimed:
                await self.world.lane.finish_delivery(delivery, DeliveryResult.SENT, crm_message_id=uuid.uuid4().hex)
            # Notes and tasks go out beside the texts; the model knows texts alone.
            texts = [delivery for delivery in claimed if delivery.kind not in EFFECTS]
            return ("SENT" if texts else "NOT SENT"), ""

        return do, lambda model, made: model.deliver()

    # --- parts of acts ------------------------------------------------------------------------------------------

    def _arbiter(self) -> Arbiter:
        self.world.turn = 1 - self.world.turn
        return self.world.arbiters[self.world.turn]

    def _proposal(self, source: str, target: str, **other: Any) -> Proposal:
        return Proposal(
            tenant_id=TENANT, contact_id=self.contact_id, source_bot=source, target_bot=target, summary="Moves on.",
            caller=OPERATOR, **other,
        )  # fmt: skip

    def _request(self, asked: Proposal) -> Callable[[], Awaitable[Told]]:
        async def do() -> Told:
            request_id = uuid.uuid4().hex
            try:
                handoff, _ = await self._arbiter().request(asked, request_id=request_id)
            except StaleTurn:
                return ("STALE", "", False), ""
            self.asked.append((request_id, asked, handoff.handoff_id))
            rule = handoff.blocking_rule.value if handoff.blocking_rule else ""
            return (handoff.state.value, rule, bool(handoff.override_message_id)), handoff.handoff_id

        return do

    def _settle(
        self, settle: Callable[[Arbiter, bot_pb.Ticket], Awaitable[Any]], handoff_id: str, epoch: int
    ) -> Callable[[], Awaitable[Told]]:
        past = self.model.past[handoff_id]
        names = bot_pb.TicketPayload(
            handoff_id=handoff_id, tenant_id=TENANT, contact_id=self.contact_id, source_bot=past.source,
            target_bot=past.target, epoch=epoch, policy_version=2,
        )  # fmt: skip

        async def do() -> Told:
            ticket = tickets.sign(names, key=KEY, capsule=b"", now=utc_now(), life=timedelta(seconds=30))
            try:
                await settle(self._arbiter(), ticket)
            except WrongHandoffState as wrong:
                state = wrong.metadata["state"]
                return ("OPEN" if state in ("PENDING", "OFFERED") else state), ""
            return "DONE", ""

        return do

    async def _accept(self, kind: EventKind, **said: Any) -> Any:
        event = Event(
            tenant_id=TENANT, contact_id=self.contact_id, source="test", event_id=uuid.uuid4().hex, kind=kind, channel="SMS", **said
        )  # fmt: skip
        return await self.world.lane.accept(event, debounce=AT_ONCE, first_owner="lead")


def play(database: Database, *, sequences: int, number: int) -> Counter[str]:
    """Play sequences of 20 to 50 acts against a fresh database; returns what came of the acts.

    Raises:
        AssertionError: Database and model disagree; hypothesis says after which acts.
    """
    with asyncio.Runner() as runner:
        stack = AsyncExitStack()
        world = runner.run(stack.enter_async_context(running_world(database)))

        @seed(number)
        @settings(
            max_examples=sequences,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
            phases=(Phase.generate, Phase.shrink),
        )
        @given(st.lists(_acts, min_size=20, max_size=50))
        def plays(acts: list[Act]) -> None:
            runner.run(Sequence(world).play(acts))

        try:
            plays()
        finally:
            runner.run(stack.aclose())
        return world.seen


COMMON: Final = (
    *(str(("DENIED", rule, False)) for rule in ("OWNERSHIP", "ROUTE", "CONSENT", "CYCLE", "QUOTA")),
    *(str((state, "", False)) for state in ("PENDING", "ACCEPTED", "STALE")),
    *("REPLAYED", "REUSED", "DONE", "COMPLETED", "FINISHED", "SENT", "WAITING", "SUPPRESSED"),
)
RARE: Final = (
    str(("DENIED", "EVIDENCE", False)),
    str(("PENDING", "", True)),
    *("OPEN", "DECLINED", "EXPIRED", "STALE", "NOT SENT", "ESCALATED_HUMAN", "REPLIED"),
)
"""What must have come of some act, of few or of many sequences, or they show less than they promise."""


def _worker(cluster: Cluster, sequences: int, number: int) -> Counter[str]:
    log.configure("sequences", level="error", fmt="json")
    database = asyncio.run(create_database(cluster))
    try:
        return play(database, sequences=sequences, number=number)
    finally:
        asyncio.run(drop_database(database))


def main() -> int:
    """Play them all over several processes; 1 when something was not exercised."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--sequences", type=int, default=10_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    asked = parser.parse_args()
    sys.stdout.write(f"seed {asked.seed}\n")
    began = time.monotonic()
    with (
        tempfile.TemporaryDirectory(prefix="porchlight-sequences-") as directory,
        running_cluster(Path(directory) / "stores") as cluster,
        ProcessPoolExecutor(asked.workers, mp_context=multiprocessing.get_context("spawn")) as workers,
    ):
        each = -(-asked.sequences // asked.workers)
        parts = [workers.submit(_worker, cluster, each, asked.seed + place) for place in range(asked.workers)]
        seen = sum((part.result() for part in parts), Counter[str]())
    lacking = [what for what in COMMON + RARE if not seen[what]]
    sys.stdout.write(f"{each * asked.workers} sequences, {sum(seen.values())} acts, {time.monotonic() - began:.0f} s\n")
    sys.stdout.writelines(f"{count:8} {what}\n" for what, count in seen.most_common() if what in COMMON + RARE)
    sys.stdout.writelines(f"not exercised: {what}\n" for what in lacking)
    return int(bool(lacking))


if __name__ == "__main__":
    sys.exit(main())
