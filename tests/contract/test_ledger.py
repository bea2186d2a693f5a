"""One contract for the arbiter's ledger: the memory twin and Postgres keep the same promises."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

import asyncpg
import orjson
import pytest

from kit.lane import Fact
from kit.pg.pool import open_pool
from services.handoff.ledger import Cursor, Ended, Entry, Ledger, Owner, Recorded
from services.handoff.ledger_memory import MemoryLedger
from services.handoff.ledger_pg import PostgresLedger
from services.handoff.values import Handoff, Kind, Outcome, Rule, Snapshot, State, Verdict
from tests.support.stores import Database

TENANT, CONTACT = "loc_1", "c_81"
POLICY_BODY: dict[str, object] = {
    "routes": {"lead>buyer": 0.7},
    "cycle_window_minutes": 30,
    "hourly_limit": 3,
    "daily_limit": 10,
    "intent_bots": {},
}
VERDICT = Verdict(rule=Rule.CYCLE, outcome=Outcome.OVERRIDDEN, observed="now", limit="later", detail="By your leave.")


class World(Protocol):
    """A ledger, and what the gateway and the passing of time do to it."""

    ledger: Ledger

    async def put_contact(self, contact_id: str = CONTACT) -> None: ...
    async def put_message(self, text: str) -> str: ...
    async def claim_turn(self) -> int: ...
    async def opt_out(self) -> None: ...
    async def put_human_message(self) -> None: ...
    async def pass_time(self, span: timedelta) -> None: ...


class MemoryWorld:
    def __init__(self) -> None:
        self._now = datetime(2026, 11, 23, 12, tzinfo=UTC)
        self._ledger = MemoryLedger(self._clock, policy_body=POLICY_BODY)
        self.ledger: Ledger = self._ledger

    def _clock(self) -> datetime:
        # Real clocks never stand still, and neither does this one.
        self._now += timedelta(microseconds=1)
        return self._now

    async def put_contact(self, contact_id: str = CONTACT) -> None:
        self._ledger.put_contact(TENANT, contact_id, owner="lead")

    async def put_message(self, text: str) -> str:
        return self._ledger.put_message(TENANT, CONTACT, text)

    async def claim_turn(self) -> int:
        return self._ledger.claim_turn(TENANT, CONTACT)

    async def opt_out(self) -> None:
        self._ledger.opt_out(TENANT, CONTACT)

    async def put_human_message(self) -> None:
        self._ledger.put_human_message(TENANT, CONTACT)

    async def pass_time(self, span: timedelta) -> None:
        self._now += span


class PostgresWorld:
    def __init__(self, ledger: Ledger, admin: Any) -> None:
        self.ledger = ledger
        self.admin = admin
        self._shift = timedelta(0)

    async def put_contact(self, contact_id: str = CONTACT) -> None:
        await self.admin.execute(
            "insert into contact (tenant_id, contact_id, owner) values ($1, $2, 'lead')", TENANT, contact_id
        )

    async def put_message(self, text: str) -> str:
        return str((await self._inbound(text=text, debounce_seconds=0, debounce_longest_seconds=0))["message_id"])

    async def opt_out(self) -> None:
        await self._inbound(text="STOP", keyword="STOP", keyword_reply="Bye.")

    async def put_human_message(self) -> None:
        await self._inbound(kind="HUMAN_MESSAGE", text="Ben here, hello.", crm_message_id=uuid.uuid4().hex)

    async def _inbound(self, **event: object) -> dict[str, Any]:
        common = {
            "tenant_id": TENANT,
            "contact_id": CONTACT,
            "source": "test",
            "event_id": uuid.uuid4().hex,
            "kind": "MESSAGE_IN",
            "channel": "SMS",
            "first_owner": "lead",
        }
        answer = await self.admin.fetchval(
            "select accept_inbound($1::text::jsonb)", orjson.dumps({**common, **event}).decode()
        )
        result: dict[str, Any] = orjson.loads(answer)
        return result

    async def claim_turn(self) -> int:
        claimed = await self.admin.fetchval("select claim_turn(1, interval '25 seconds', 20, 3)")
        return int(orjson.loads(claimed)["turn_no"])

    async def pass_time(self, span: timedelta) -> None:
        self._shift += span
        await self.admin.execute(
            "insert into clock_shift (shift) values ($1) on conflict (only_row) do update set shift = excluded.shift",
            self._shift,
        )


@pytest.fixture
async def memory_world() -> World:
    made = MemoryWorld()
    await made.put_contact()
    return made


@pytest.fixture
async def postgres_world(database: Database) -> AsyncIterator[World]:
    pool = await open_pool(database.url("handoff"), name="test")
    admin = await asyncpg.connect(database.admin_url, server_settings={"search_path": "porchlight"})
    made = PostgresWorld(PostgresLedger(pool), admin)
    await made.put_contact()
    yield made
    await admin.close()
    await pool.close()


@pytest.fixture(params=["memory", "postgres"])
def world(request: pytest.FixtureRequest) -> World:
    chosen: World = request.getfixturevalue(f"{request.param}_world")
    return chosen


async def look(world: World, *, request_id: str = "", target: str = "buyer", message_id: str = "") -> Snapshot:
    reading = await world.ledger.read(
        tenant_id=TENANT, contact_id=CONTACT, request_id=request_id, target_bot=target, override_message_id=message_id
    )
    assert reading.snapshot is not None
    return reading.snapshot


def a_fact(name: str, value: str | int | bool, **other: Any) -> Fact:
    return Fact(**{"name": name, "value": value, "extractor": "rules", "confidence": 1.0, **other})


def an_entry(seen: Snapshot, *, facts: tuple[Fact, ...] = (), turn_no: int = 0, **other: Any) -> Entry:
    state = other.pop("state", State.PENDING)
    given = {
        "handoff_id": f"h_{uuid.uuid4().hex}",
        "tenant_id": TENANT,
        "contact_id": CONTACT,
        "request_id": uuid.uuid4().hex,
        "request_digest": "d1",
        "actor": "lead",
        "source_bot": seen.owner,
        "target_bot": "buyer" if seen.owner == "lead" else "lead",
        "state": state,
        "verdicts": (VERDICT,),
        "blocking_rule": Rule.CYCLE if state is State.DENIED else None,
        "block_reason": "circular: no" if state is State.DENIED else "",
        "confidence": 0.85,
        "summary": "Wants to buy.",
        "open_question": "Where?",
        "message_ids": seen.waiting_message_ids,
        "override_message_id": None,
        "policy_version": 1,
        "epoch": seen.epoch + (state is State.PENDING),
        "decide_time": seen.now,
    }
    return Entry(
        handoff=Handoff(**{**given, **other}),
        expected_version=seen.version,
        turn_no=turn_no,
        turn_record={"move": "hand_off", "cost_microusd": 7},
        facts=facts,
        capsule=bytes(range(256)),
        offer_seconds=10,
    )


async def approve(world: World, **other: Any) -> Handoff:
    entry = an_entry(await look(world), **other)
    assert await world.ledger.record(entry) is Recorded.RECORDED
    return entry.handoff


async def test_contact_that_nobody_heard_of_has_no_snapshot_and_no_owner(world: World) -> None:
    reading = await world.ledger.read(
        tenant_id=TENANT, contact_id="c_0", request_id="", target_bot="buyer", override_message_id=""
    )
    assert reading.snapshot is None
    assert await world.ledger.owner(TENANT, "c_0") is None
    assert await world.ledger.owner("loc_2", CONTACT) is None


async def test_new_contact_is_seen_as_it_is(world: World) -> None:
    seen = await look(world)
    assert (seen.owner, seen.epoch, seen.pending_handoff_id) == ("lead", 1, None)
    assert (seen.turn_open, seen.opted_out, seen.dnd) == (False, False, False)
    assert (seen.history, seen.waiting_message_ids, seen.override, seen.facts) == ((), (), None, ())


async def test_policy_comes_with_its_version(world: World) -> None:
    reading = await world.ledger.read(
        tenant_id=TENANT, contact_id=CONTACT, request_id="", target_bot="buyer", override_message_id=""
    )
    assert reading.policy_version == 1
    assert isinstance(reading.policy_body, dict)
    assert reading.policy_body["hourly_limit"] == 3


async def test_approval_makes_the_target_the_owner_at_the_next_epoch(world: World) -> None:
    handoff = await approve(world)
    assert await world.ledger.owner(TENANT, CONTACT) == Owner(
        name="buyer", epoch=2, pending_handoff_id=handoff.handoff_id
    )
    assert (await look(world)).history[0].state is State.PENDING


async def test_denial_is_kept_and_changes_nothing(world: World) -> None:
    before = await look(world)
    entry = an_entry(before, state=State.DENIED)
    assert await world.ledger.record(entry) is Recorded.RECORDED
    after = await look(world)
    assert replace(after, now=before.now) == before
    assert await world.ledger.get(entry.handoff.handoff_id) == entry.handoff


async def test_record_reads_back_as_it_was_written(world: World) -> None:
    message_id = await world.put_message("I want to buy")
    handoff = await approve(world, override_message_id=message_id)
    assert handoff.message_ids == (message_id,)
    assert await world.ledger.get(handoff.handoff_id) == handoff


async def test_handoff_that_nobody_heard_of_is_none(world: World) -> None:
    assert await world.ledger.get("h_0") is None


async def test_decision_on_an_older_contact_is_sent_back(world: World) -> None:
    entry = an_entry(await look(world))
    await world.opt_out()
    assert await world.ledger.record(entry) is Recorded.RETRY
    assert (await look(world)).opted_out
    assert await world.ledger.get(entry.handoff.handoff_id) is None


async def test_decision_under_an_older_policy_is_sent_back(world: World) -> None:
    entry = an_entry(await look(world))
    await world.ledger.put_policy(POLICY_BODY, expected=1, author="operator", reason="Why not?")
    assert await world.ledger.record(entry) is Recorded.RETRY


async def test_decision_waits_for_whoever_is_changing_the_contact_and_is_then_sent_back(
    postgres_world: PostgresWorld,
) -> None:
    """The lock stands in a statement of its own; without it the version is read too early."""
    admin, entry = postgres_world.admin, an_entry(await look(postgres_world))
    async with admin.transaction():
        await admin.execute("update contact set version = version + 1")
        recording = asyncio.create_task(postgres_world.ledger.record(entry))
        blocked = (
            "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
        )
        while not await admin.fetchval(blocked):
            # The statistics of a transaction are read once, unless they are thrown away.
            await admin.execute("select pg_stat_clear_snapshot()")
        assert not recording.done()
    assert await recording is Recorded.RETRY


async def test_second_of_two_decisions_on_the_same_contact_is_sent_back(world: World) -> None:
    seen = await look(world)
    assert await world.ledger.record(an_entry(seen)) is Recorded.RECORDED
    assert await world.ledger.record(an_entry(seen)) is Recorded.RETRY


async def test_of_many_simultaneous_decisions_one_is_written(world: World) -> None:
    seen = await look(world)
    results = await asyncio.gather(*(world.ledger.record(an_entry(seen)) for _ in range(20)))
    assert sorted(result.value for result in results) == ["RECORDED"] + ["RETRY"] * 19


async def test_request_id_that_was_used_is_sent_back_and_leads_to_the_first_decision(world: World) -> None:
    first = an_entry(await look(world), state=State.DENIED, request_id="r_1")
    assert await world.ledger.record(first) is Recorded.RECORDED
    again = an_entry(await look(world), state=State.DENIED, request_id="r_1")
    assert await world.ledger.record(again) is Recorded.RETRY
    reading = await world.ledger.read(
        tenant_id=TENANT, contact_id=CONTACT, request_id="r_1", target_bot="buyer", override_message_id=""
    )
    assert reading.earlier == first.handoff


async def test_request_id_of_another_contact_is_used_up_too(world: World) -> None:
    await world.put_contact("c_82")
    seen = await look(world)
    assert await world.ledger.record(an_entry(seen, request_id="r_1")) is Recorded.RECORDED
    other = await world.ledger.read(
        tenant_id=TENANT, contact_id="c_82", request_id="", target_bot="buyer", override_message_id=""
    )
    assert other.snapshot is not None
    second = an_entry(other.snapshot, request_id="r_1", contact_id="c_82")
    assert await world.ledger.record(second) is Recorded.RETRY


async def test_approval_ends_the_turn_and_leaves_the_messages_waiting(world: World) -> None:
    message_id = await world.put_message("I want to buy")
    turn_no = await world.claim_turn()
    seen = await look(world)
    assert (seen.turn_no, seen.turn_open) == (turn_no, True)
    await approve(world, turn_no=turn_no)
    after = await look(world)
    assert not after.turn_open
    assert after.waiting_message_ids == (message_id,)


async def test_handoff_of_a_turn_that_is_over_is_stale(world: World) -> None:
    await world.put_message("I want to buy")
    turn_no = await world.claim_turn()
    for state in (State.PENDING, State.DENIED):
        entry = an_entry(await look(world), turn_no=turn_no + 1, state=state)
        assert await world.ledger.record(entry) is Recorded.STALE
    assert (await look(world)).owner == "lead"


async def test_facts_of_an_approval_are_kept_with_who_learned_them(world: World) -> None:
    await approve(world, facts=(a_fact("area", "98103", words="in 98103", message_id="m_1", confidence=0.9),))
    (fact,) = (await look(world)).facts
    assert (fact.name, fact.value, fact.words, fact.message_id) == ("area", "98103", "in 98103", "m_1")
    assert (fact.bot, fact.confidence, fact.extractor) == ("lead", 0.9, "rules")
    assert fact.learn_time is not None


async def test_facts_keep_the_type_of_their_value(world: World) -> None:
    await approve(world, facts=(a_fact("price_max_usd", 750_000), a_fact("owns_home", True), a_fact("a", "1")))
    values = {fact.name: fact.value for fact in (await look(world)).facts}
    assert values == {"price_max_usd": 750_000, "owns_home": True, "a": "1"}
    assert values["owns_home"] is True


async def test_facts_of_a_denial_are_not_kept(world: World) -> None:
    entry = an_entry(await look(world), state=State.DENIED, facts=(a_fact("area", "98103"),))
    await world.ledger.record(entry)
    assert (await look(world)).facts == ()


async def test_private_fact_is_shown_to_its_bot_alone(world: World) -> None:
    await approve(world, facts=(a_fact("price_floor_usd", 500_000, private_to="seller"),))
    assert (await look(world, target="buyer")).facts == ()
    assert [fact.name for fact in (await look(world, target="seller")).facts] == ["price_floor_usd"]


async def test_message_named_as_override_is_seen_with_its_words(world: World) -> None:
    message_id = await world.put_message("I meant buy")
    seen = await look(world, message_id=message_id)
    assert seen.override is not None
    assert (seen.override.text, seen.override.used) == ("I meant buy", False)
    assert (await look(world, message_id="m_999")).override is None


async def test_message_that_overrode_is_used_up_and_one_of_a_denial_is_not(world: World) -> None:
    message_id = await world.put_message("I meant buy")
    await world.ledger.record(an_entry(await look(world), state=State.DENIED))
    override = (await look(world, message_id=message_id)).override
    assert override is not None and not override.used
    await approve(world, override_message_id=message_id)
    override = (await look(world, message_id=message_id)).override
    assert override is not None and override.used


async def test_offer_is_claimed_by_one_and_comes_with_its_capsule(world: World) -> None:
    handoff = await approve(world)
    (offer,) = await world.ledger.claim_offers(limit=5, lease_seconds=4)
    assert offer.handoff == replace(handoff, state=State.OFFERED)
    assert (offer.capsule, offer.attempt) == (bytes(range(256)), 1)
    assert await world.ledger.claim_offers(limit=5, lease_seconds=4) == []


async def test_offer_claimed_with_the_approval_is_nobody_elses_until_the_claim_runs_out(world: World) -> None:
    start = (await world.ledger.changes(TENANT, "", after=None, limit=5)).head
    entry = replace(an_entry(await look(world)), claim_seconds=4.0)
    assert await world.ledger.record(entry) is Recorded.RECORDED
    assert await states(world, start) == [State.PENDING, State.OFFERED]
    assert await world.ledger.claim_offers(limit=5, lease_seconds=4) == []
    await world.pass_time(timedelta(seconds=4))
    (offer,) = await world.ledger.claim_offers(limit=5, lease_seconds=4)
    assert (offer.handoff, offer.attempt) == (replace(entry.handoff, state=State.OFFERED), 2)


async def test_offer_of_a_claimer_that_vanished_is_claimed_again(world: World) -> None:
    await approve(world)
    await world.ledger.claim_offers(limit=5, lease_seconds=4)
    await world.pass_time(timedelta(seconds=4))
    (offer,) = await world.ledger.claim_offers(limit=5, lease_seconds=4)
    assert offer.attempt == 2


async def test_postponed_offer_is_due_when_its_wait_is_over(world: World) -> None:
    handoff = await approve(world)
    await world.ledger.claim_offers(limit=5, lease_seconds=4)
    await world.ledger.postpone_offer(handoff.handoff_id, seconds=1)
    assert await world.ledger.claim_offers(limit=5, lease_seconds=4) == []
    await world.pass_time(timedelta(seconds=1))
    assert len(await world.ledger.claim_offers(limit=5, lease_seconds=4)) == 1


async def test_denied_handoff_is_offered_to_nobody(world: World) -> None:
    await world.ledger.record(an_entry(await look(world), state=State.DENIED))
    assert await world.ledger.claim_offers(limit=5, lease_seconds=4) == []


async def test_ticket_is_redeemed_once(world: World) -> None:
    handoff = await approve(world)
    settled = [await world.ledger.redeem(handoff.handoff_id, epoch=handoff.epoch) for _ in range(3)]
    assert [each.ended for each in settled] == [Ended.DONE, Ended.WRONG_STATE, Ended.WRONG_STATE]
    assert [each.state for each in settled] == [State.ACCEPTED] * 3
    assert await world.ledger.owner(TENANT, CONTACT) == Owner(name="buyer", epoch=2, pending_handoff_id=None)


async def test_ticket_is_redeemed_once_by_many_at_once(world: World) -> None:
    handoff = await approve(world)
    settled = await asyncio.gather(*(world.ledger.redeem(handoff.handoff_id, epoch=2) for _ in range(20)))
    assert sum(each.ended is Ended.DONE for each in settled) == 1


async def test_ticket_of_another_epoch_is_not_redeemed(world: World) -> None:
    handoff = await approve(world)
    for epoch in (0, 1, 3):
        assert (await world.ledger.redeem(handoff.handoff_id, epoch=epoch)).ended is Ended.WRONG_STATE
    assert (await world.ledger.get(handoff.handoff_id)) == handoff


async def test_ticket_of_a_handoff_that_nobody_heard_of_is_not_redeemed(world: World) -> None:
    assert (await world.ledger.redeem("h_0", epoch=1)).ended is Ended.UNKNOWN
    assert (await world.ledger.decline("h_0", reason="no")).ended is Ended.UNKNOWN


async def test_declined_contact_goes_back_to_the_source_at_a_new_epoch(world: World) -> None:
    message_id = await world.put_message("I want to buy")
    handoff = await approve(world)
    assert (await world.ledger.decline(handoff.handoff_id, reason="full")).ended is Ended.DONE
    seen = await look(world)
    assert (seen.owner, seen.epoch, seen.pending_handoff_id) == ("lead", 3, None)
    assert seen.history[0].state is State.DECLINED
    assert seen.history[0].message_ids == (message_id,) == seen.waiting_message_ids


async def test_declined_ticket_cannot_be_redeemed_nor_declined_again(world: World) -> None:
    handoff = await approve(world)
    await world.ledger.decline(handoff.handoff_id, reason="full")
    redeemed = await world.ledger.redeem(handoff.handoff_id, epoch=handoff.epoch)
    assert (redeemed.ended, redeemed.state) == (Ended.WRONG_STATE, State.DECLINED)
    assert (await world.ledger.decline(handoff.handoff_id, reason="full")).ended is Ended.WRONG_STATE
    assert (await look(world)).epoch == 3


async def test_accepted_handoff_cannot_be_declined(world: World) -> None:
    handoff = await approve(world)
    await world.ledger.redeem(handoff.handoff_id, epoch=handoff.epoch)
    assert (await world.ledger.decline(handoff.handoff_id, reason="no")).state is State.ACCEPTED
    assert (await look(world)).owner == "buyer"


async def test_offer_that_nobody_took_in_time_gives_the_contact_back_once(world: World) -> None:
    handoff = await approve(world)
    assert await world.ledger.expire_offers(limit=5) == []
    await world.pass_time(timedelta(seconds=10))
    assert await world.ledger.expire_offers(limit=5) == [handoff.handoff_id]
    assert await world.ledger.expire_offers(limit=5) == []
    seen = await look(world)
    assert (seen.owner, seen.epoch, seen.history[0].state) == ("lead", 3, State.EXPIRED)


async def test_ticket_cannot_be_redeemed_after_the_offer_ended(world: World) -> None:
    handoff = await approve(world)
    await world.pass_time(timedelta(seconds=10))
    assert await world.ledger.claim_offers(limit=5, lease_seconds=4) == []
    assert (await world.ledger.redeem(handoff.handoff_id, epoch=2)).ended is Ended.WRONG_STATE


async def test_history_forgets_what_is_older_than_a_day_but_not_what_a_waiting_message_was_refused(
    world: World,
) -> None:
    first = await approve(world)
    await world.ledger.redeem(first.handoff_id, epoch=first.epoch)
    await world.put_message("still waiting")
    second = await approve(world)
    await world.ledger.decline(second.handoff_id, reason="full")
    await world.pass_time(timedelta(days=2))
    assert [past.state for past in (await look(world)).history] == [State.DECLINED]


async def test_history_is_complete_to_the_last_moment_of_a_day(world: World) -> None:
    handoff = await approve(world)
    await world.pass_time(timedelta(hours=24))
    seen = await look(world)
    assert seen.now - handoff.decide_time >= timedelta(hours=24)
    assert len(seen.history) == 1


async def test_pages_hold_each_handoff_once_newest_first(world: World) -> None:
    seen = await look(world)
    entries = [
        # Two were decided at the same moment: the id decides their order.
        an_entry(replace(seen, now=seen.now + timedelta(seconds=second)), state=State.DENIED)
        for second in (0, 1, 1, 2, 3)
    ]
    for entry in entries:
        await world.ledger.record(entry)
    first = await world.ledger.page(TENANT, CONTACT, limit=3, before=None)
    last = first[-1]
    rest = await world.ledger.page(TENANT, CONTACT, limit=3, before=(last.decide_time, last.handoff_id))
    wanted = sorted((entry.handoff for entry in entries), key=lambda each: (each.decide_time, each.handoff_id))
    assert first + rest == wanted[::-1]


async def test_page_of_another_tenants_contact_is_empty(world: World) -> None:
    await approve(world)
    assert await world.ledger.page("loc_2", CONTACT, limit=5, before=None) == []


def an_escalation(seen: Snapshot, **other: Any) -> Entry:
    due: dict[str, Any] = {"due_time": seen.now + timedelta(minutes=15), "reason": "COMPLAINT"}
    moved: dict[str, Any] = {
        "state": State.ACCEPTED,
        "kind": Kind.ESCALATION,
        "target_bot": "human",
        "epoch": seen.epoch + 1,
    }
    return an_entry(seen, **{**due, **moved, **other})


def a_return(seen: Snapshot, target: str = "seller") -> Entry:
    moved: dict[str, Any] = {"state": State.ACCEPTED, "kind": Kind.RETURN, "source_bot": "human", "target_bot": target}
    return an_entry(seen, **moved, person="Ben", epoch=seen.epoch + 1)


async def escalate(world: World, **other: Any) -> Handoff:
    entry = an_escalation(await look(world, target="human"), **other)
    assert await world.ledger.record(entry) is Recorded.RECORDED
    return entry.handoff


async def test_person_has_the_contact_at_once_at_the_next_epoch(world: World) -> None:
    handoff = await escalate(world)
    assert await world.ledger.owner(TENANT, CONTACT) == Owner(name="human", epoch=2, pending_handoff_id=None)
    assert await world.ledger.get(handoff.handoff_id) == handoff


async def test_escalation_preempts_an_offer_and_the_target_is_not_barred_for_it(world: World) -> None:
    await world.put_message("I want to buy")
    offered = await approve(world)
    await escalate(world)
    assert (await world.ledger.redeem(offered.handoff_id, epoch=2)).state is State.EXPIRED
    assert [past.target_bot for past in (await look(world)).history] == ["human"]


async def test_escalation_takes_the_waiting_messages_and_the_return_gives_them_to_the_bot(world: World) -> None:
    first = await world.put_message("you are all thieves")
    await escalate(world)
    assert (await look(world)).waiting_message_ids == ()
    second = await world.put_message("hello?")
    assert await world.ledger.record(a_return(await look(world))) is Recorded.RECORDED
    seen = await look(world)
    assert (seen.owner, seen.epoch, seen.waiting_message_ids) == ("seller", 3, (first, second))


async def test_what_a_person_answered_is_not_the_bots_to_answer_again(world: World) -> None:
    await world.put_message("you are all thieves")
    await escalate(world)
    await world.put_human_message()
    later = await world.put_message("ok, sorry")
    await world.ledger.record(a_return(await look(world)))
    assert (await look(world)).waiting_message_ids == (later,)


async def test_escalation_is_overdue_when_nobody_wrote_in_time_and_no_longer_when_somebody_did(world: World) -> None:
    handoff = await escalate(world)
    for span, late in ((timedelta(minutes=14), False), (timedelta(minutes=1), True)):
        await world.pass_time(span)
        (listed,) = await world.ledger.escalations(TENANT, limit=5, before=None)
        assert (listed.handoff_id, listed.overdue, listed.answer_time) == (handoff.handoff_id, late, None)
    await world.put_human_message()
    (listed,) = await world.ledger.escalations(TENANT, limit=5, before=None)
    assert not listed.overdue
    assert listed.answer_time is not None


async def test_takeover_from_the_crm_stands_in_the_history_like_an_escalation_that_was_answered(world: World) -> None:
    message_id = await world.put_message("are you real?")
    await world.put_human_message()
    (taken,) = await world.ledger.page(TENANT, CONTACT, limit=5, before=None)
    assert (taken.kind, taken.state, taken.reason) == (Kind.ESCALATION, State.ACCEPTED, "CRM_USER")
    assert (taken.source_bot, taken.target_bot, taken.actor, taken.epoch) == ("lead", "human", "human", 2)
    assert taken.message_ids == (message_id,)
    assert taken.answer_time is not None
    assert await world.ledger.escalations(TENANT, limit=5, before=None) == [taken]
    await world.put_human_message()
    assert len(await world.ledger.page(TENANT, CONTACT, limit=5, before=None)) == 1


async def test_contact_that_was_given_back_is_with_nobody_any_more(world: World) -> None:
    handoff = await escalate(world)
    await world.ledger.record(a_return(await look(world)))
    assert await world.ledger.escalations(TENANT, limit=5, before=None) == []
    ended = await world.ledger.get(handoff.handoff_id)
    assert ended is not None
    assert ended.state is State.COMPLETED


async def test_escalation_of_a_turn_ends_it(world: World) -> None:
    await world.put_message("you are all thieves")
    turn_no = await world.claim_turn()
    assert await world.ledger.record(an_escalation(await look(world), turn_no=turn_no)) is Recorded.RECORDED
    assert not (await look(world)).turn_open
    again = an_escalation(await look(world), turn_no=turn_no)
    assert await world.ledger.record(again) is Recorded.STALE


async def test_decision_that_was_put_off_is_kept_and_is_no_history(world: World) -> None:
    before = await look(world)
    entry = an_entry(
        before, state=State.DEFERRED, blocking_rule=Rule.HEALTH, retry_time=before.now + timedelta(seconds=15)
    )
    assert await world.ledger.record(entry) is Recorded.RECORDED
    after = await look(world)
    assert replace(after, now=before.now) == before
    assert await world.ledger.get(entry.handoff.handoff_id) == entry.handoff


async def test_decision_comes_with_what_it_was_made_from(world: World) -> None:
    entry = replace(an_entry(await look(world)), inputs={"owner": "lead", "history": []})
    await world.ledger.record(entry)
    decided = await world.ledger.decision(entry.handoff.handoff_id)
    assert decided is not None
    assert (decided.handoff, decided.inputs) == (entry.handoff, entry.inputs)
    assert decided.policy is not None
    assert (decided.policy.version, decided.policy.body) == (1, (await policy_of(world)))
    assert await world.ledger.decision("h_0") is None


async def policy_of(world: World) -> object:
    current = await world.ledger.policy(None)
    assert current is not None
    return current.body


async def test_takeover_from_the_crm_was_made_from_nothing(world: World) -> None:
    await world.put_human_message()
    (taken,) = await world.ledger.page(TENANT, CONTACT, limit=5, before=None)
    decided = await world.ledger.decision(taken.handoff_id)
    assert decided is not None
    assert decided.inputs is None


async def test_last_decisions_between_bots_are_listed_newest_first(world: World) -> None:
    made = []
    for _ in range(3):
        entry = replace(an_entry(await look(world), state=State.DENIED), inputs={"n": len(made)})
        await world.ledger.record(entry)
        made.append(entry.handoff)
    await escalate(world)
    found = await world.ledger.decisions(TENANT, limit=2)
    assert [each.handoff for each in found] == made[:0:-1]
    assert [each.inputs for each in found] == [{"n": 2}, {"n": 1}]
    assert await world.ledger.decisions("loc_2", limit=2) == []


async def test_policy_is_written_after_the_version_that_was_looked_at_and_the_old_one_stays(world: World) -> None:
    body = {**POLICY_BODY, "hourly_limit": 4}
    made = await world.ledger.put_policy(body, expected=1, author="operator", reason="Busy week.")
    assert made is not None
    assert (made.version, made.body, made.author, made.reason) == (2, body, "operator", "Busy week.")
    assert await world.ledger.put_policy(body, expected=1, author="operator", reason="Again.") is None
    assert await world.ledger.policy(None) == await world.ledger.policy(2) == made
    first = await world.ledger.policy(1)
    assert first is not None
    assert first.body != body
    assert await world.ledger.policy(3) is None


async def test_of_many_simultaneous_policies_one_is_written(world: World) -> None:
    made = await asyncio.gather(
        *(world.ledger.put_policy(POLICY_BODY, expected=1, author="operator", reason="Mine.") for _ in range(6))
    )
    assert sum(each is not None for each in made) == 1


async def states(world: World, after: Cursor | None, contact_id: str = "") -> list[State]:
    changes = await world.ledger.changes(TENANT, contact_id, after=after, limit=50)
    return [change.state for change in changes.found]


async def test_every_state_is_told_once_and_in_order(world: World) -> None:
    start = (await world.ledger.changes(TENANT, "", after=None, limit=5)).head
    handoff = await approve(world)
    await world.ledger.claim_offers(limit=5, lease_seconds=4)
    await world.ledger.redeem(handoff.handoff_id, epoch=handoff.epoch)
    second = await approve(world)
    await world.ledger.decline(second.handoff_id, reason="full")
    wanted = [State.PENDING, State.OFFERED, State.ACCEPTED, State.PENDING, State.DECLINED]
    assert await states(world, start) == await states(world, start, CONTACT) == wanted
    assert await states(world, start, "c_82") == []
    assert (await world.ledger.changes("loc_2", "", after=start, limit=50)).found == []


async def test_what_is_told_goes_on_after_any_place(world: World) -> None:
    start = (await world.ledger.changes(TENANT, "", after=None, limit=5)).head
    for _ in range(3):
        await world.ledger.record(an_entry(await look(world), state=State.DENIED))
    everything = (await world.ledger.changes(TENANT, "", after=start, limit=50)).found
    for index, change in enumerate(everything):
        rest = (await world.ledger.changes(TENANT, "", after=change.cursor, limit=50)).found
        assert [each.cursor for each in rest] == [each.cursor for each in everything[index + 1 :]]
    assert len((await world.ledger.changes(TENANT, "", after=start, limit=2)).found) == 2
    assert await states(world, (await world.ledger.changes(TENANT, "", after=start, limit=50)).head) == []


async def test_what_a_slow_transaction_commits_late_is_told_all_the_same(
    postgres_world: PostgresWorld, database: Database
) -> None:
    """Its event has the lower number and becomes visible after a later one was."""
    await postgres_world.put_contact("c_82")
    ledger = postgres_world.ledger
    start = (await ledger.changes(TENANT, "", after=None, limit=5)).head
    slow = await asyncpg.connect(database.admin_url, server_settings={"search_path": "porchlight"})
    async with slow.transaction():
        await slow.execute("select take_over($1, 'c_82', 'CRM_USER')", TENANT)
        await postgres_world.put_human_message()
        early = await ledger.changes(TENANT, "", after=start, limit=50)
    await slow.close()
    late = await ledger.changes(TENANT, "", after=early.head, limit=50)
    told = [change.handoff.contact_id for change in (*early.found, *late.found)]
    assert sorted(told) == [CONTACT, "c_82"]


async def test_deleted_contact_leaves_nothing_to_make_a_decision_from(postgres_world: PostgresWorld) -> None:
    entry = replace(an_entry(await look(postgres_world), state=State.DENIED), inputs={"text": "I want to sell"})
    await postgres_world.ledger.record(entry)
    await postgres_world._inbound(kind="CONTACT_DELETE", contact_hash="hash")
    assert await postgres_world.ledger.decision(entry.handoff.handoff_id) is None
