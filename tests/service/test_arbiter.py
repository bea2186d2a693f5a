"""The arbiter over a real socket and a real Postgres, with scripted target bots."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import orjson
import pytest
from porchlight.bot.v1 import bot_service_pb2 as bot_pb
from porchlight.handoff.v1 import handoff_service_pb2 as pb

from kit import errors, tickets
from kit.clock import utc_now
from services.buyer import bot as buyer
from services.handoff import wire
from services.handoff.ledger import Entry, Reading, Recorded
from services.handoff.ledger_memory import MemoryLedger
from services.handoff.values import State
from services.lead import bot as lead
from services.seller import bot as seller
from tests.support.arbiter import CONTACT, KEY, TENANT, Desk, ScriptedBot, a_proposal, an_arbiter, fresh_desk
from tests.support.stores import Database

POLICY_BODY: dict[str, object] = {
    "routes": {"lead>buyer": 0.7},
    "cycle_window_minutes": 30,
    "hourly_limit": 3,
    "daily_limit": 10,
    "intent_bots": {},
}

ACCEPT, DECLINE, DEFER = bot_pb.OFFER_ANSWER_ACCEPT, bot_pb.OFFER_ANSWER_DECLINE, bot_pb.OFFER_ANSWER_DEFER


@pytest.fixture
async def desk(database: Database, tmp_path: Path) -> AsyncIterator[Desk]:
    """An arbiter with three accepting bots, and one contact that lead owns."""
    async with fresh_desk(database, tmp_path) as made:
        yield made


def failed(response: Any) -> set[int]:
    verdicts = response.handoff.verdicts if hasattr(response, "handoff") else response.verdicts
    return {verdict.rule for verdict in verdicts if verdict.outcome == pb.VERDICT_OUTCOME_FAIL}


def an_intent(value: str, words: str, message_id: str) -> bot_pb.Fact:
    return bot_pb.Fact(
        name="intent", text_value=value, words=words, message_id=message_id, extractor="rules", confidence=0.9
    )


async def rows(desk: Desk) -> int:
    return int(
        await desk.admin.fetchval(
            "select (select count(*) from handoff) + (select count(*) from audit) + (select count(*) from fact)"
        )
    )


async def test_handoff_straight_back_is_circular(desk: Desk) -> None:
    """The plainest loop there is: there, and straight back."""
    first = await desk.request("lead>buyer", 0.85)
    assert first.approved
    assert (await desk.settled(first)).state == pb.HANDOFF_STATE_ACCEPTED
    second = await desk.request("buyer>lead", 0.75)
    assert not second.approved
    assert "circular" in second.handoff.block_reason.lower()
    assert second.handoff.blocking_rule == pb.RULE_CYCLE
    assert failed(second) == {pb.RULE_CYCLE}
    assert (await desk.owner()).owner == "buyer"


async def test_handoff_straight_back_is_seen_as_circular_while_the_first_waits_for_its_answer(desk: Desk) -> None:
    desk.bots["buyer"].answers = [DEFER]
    assert (await desk.request("lead>buyer")).approved
    second = await desk.request("buyer>lead")
    assert not second.approved
    assert failed(second) == {pb.RULE_OWNERSHIP, pb.RULE_CYCLE}


async def test_every_answer_carries_all_verdicts_in_the_order_of_the_contract(desk: Desk) -> None:
    every_rule = [rule for rule in pb.Rule.values() if rule != pb.RULE_UNSPECIFIED]
    for response in (await desk.request("lead>buyer"), await desk.request("lead>seller", 0.1)):
        assert [verdict.rule for verdict in response.handoff.verdicts] == every_rule
        assert all(verdict.detail and verdict.limit and verdict.observed for verdict in response.handoff.verdicts)


async def test_fourth_move_within_an_hour_is_blocked_by_quota_alone(desk: Desk) -> None:
    for route, wait in (("lead>buyer", 10), ("buyer>seller", 21), ("seller>lead", 10)):
        await desk.settled(await desk.request(route))
        await desk.pass_time(minutes=wait)
    fourth = await desk.request("lead>buyer")
    assert not fourth.approved
    assert failed(fourth) == {pb.RULE_QUOTA}
    # 41 minutes have passed; when the first move is an hour old, the same request is good.
    await desk.pass_time(minutes=19)
    assert (await desk.request("lead>buyer")).approved


async def test_confidence_of_069_is_blocked_where_07_is_asked(desk: Desk) -> None:
    response = await desk.request("lead>buyer", 0.69)
    assert failed(response) == {pb.RULE_EVIDENCE}
    assert (await desk.owner()).owner == "lead"


async def test_bot_cannot_ask_in_the_name_of_another(desk: Desk) -> None:
    with pytest.raises(errors.NotTheCaller):
        await desk.request("lead>buyer", caller="buyer")
    with pytest.raises(errors.NotTheCaller):
        await desk.evaluate("lead>buyer", caller="buyer")


async def test_operator_acts_for_a_bot_and_is_recorded_as_such(desk: Desk) -> None:
    response = await desk.request("lead>buyer", caller="operator")
    assert response.approved
    assert response.handoff.actor == "operator"


async def test_dry_run_gives_the_verdicts_of_the_request_and_writes_nothing(desk: Desk) -> None:
    before = await rows(desk)
    for confidence in (0.85, 0.1):
        dry = await desk.evaluate("lead>buyer", confidence, caller="lead")
        assert await rows(desk) == before
        real = await desk.request("lead>buyer", confidence)
        assert dry.approved == real.approved
        assert dry.block_reason == real.handoff.block_reason
        assert dry.policy_version == real.handoff.policy_version
        assert [each.rule for each in dry.verdicts] == [each.rule for each in real.handoff.verdicts]
        assert [each.outcome for each in dry.verdicts] == [each.outcome for each in real.handoff.verdicts]
        if real.approved:
            await desk.settled(real)
            await desk.admin.execute("delete from handoff; update contact set owner = 'lead'")
        before = await rows(desk)


async def test_retry_with_the_same_request_id_moves_the_contact_once(desk: Desk) -> None:
    """Fifty copies at once: one decision, and everybody is told of it."""
    request_id = uuid.uuid4().hex
    responses = await asyncio.gather(*(desk.request("lead>buyer", request_id=request_id) for _ in range(50)))
    assert {response.handoff.handoff_id for response in responses} == {responses[0].handoff.handoff_id}
    assert all(response.approved for response in responses)
    assert sum(not response.replayed for response in responses) == 1
    assert await desk.admin.fetchval("select count(*) from handoff") == 1
    assert (await desk.owner()).epoch == 2


async def test_denial_is_replayed_as_it_was_though_the_world_has_changed(desk: Desk) -> None:
    first = await desk.request("lead>buyer", 0.1, request_id="r_1")
    await desk.settled(await desk.request("lead>seller"))
    again = await desk.request("lead>buyer", 0.1, request_id="r_1")
    assert again.replayed
    assert again.handoff == first.handoff


async def test_request_id_for_another_proposal_is_refused(desk: Desk) -> None:
    await desk.request("lead>buyer", request_id="r_1")
    with pytest.raises(errors.RequestIdReused):
        await desk.request("lead>buyer", 0.86, request_id="r_1")
    await desk.put_contact("c_82")
    with pytest.raises(errors.RequestIdReused):
        await desk.request("lead>buyer", request_id="r_1", contact_id="c_82")


async def test_approval_ends_the_turn_and_the_waiting_message_is_the_targets_next_turn(desk: Desk) -> None:
    message_id = await desk.put_message("I want to buy a home in 98103")
    claim = await desk.claim_turn()
    assert claim is not None
    record = bot_pb.TurnRecord(move="hand_off", extractor="rules", cache_tier="NONE", cost_microusd=12)
    response = await desk.request(
        "lead>buyer", turn_no=claim["turn_no"], expected_epoch=claim["epoch"], turn_record=record
    )
    await desk.settled(response)
    turn = await desk.admin.fetchrow("select * from turn where turn_no = $1", claim["turn_no"])
    assert (turn["state"], turn["handoff_id"]) == ("HANDED_OFF", response.handoff.handoff_id)
    stored = orjson.loads(turn["record"])
    assert (stored["move"], stored["extractor"], stored["cost_microusd"]) == ("hand_off", "rules", 12)
    next_claim = await desk.claim_turn()
    assert next_claim is not None
    assert (next_claim["bot"], next_claim["epoch"]) == ("buyer", 2)
    assert [message["message_id"] for message in next_claim["messages"]] == [message_id]


async def test_nobody_gets_a_turn_while_a_handoff_waits_for_its_answer(desk: Desk) -> None:
    desk.bots["buyer"].answers = [DEFER]
    await desk.put_message("I want to buy")
    claim = await desk.claim_turn()
    assert claim is not None
    await desk.request("lead>buyer", turn_no=claim["turn_no"])
    await desk.put_message("hello?")
    assert await desk.claim_turn() is None


async def test_denial_leaves_the_turn_open(desk: Desk) -> None:
    await desk.put_message("I want to buy")
    claim = await desk.claim_turn()
    assert claim is not None
    await desk.request("lead>buyer", 0.1, turn_no=claim["turn_no"])
    assert await desk.admin.fetchval("select state from turn") == "OPEN"


async def test_handoff_of_a_turn_that_is_over_is_stale_in_the_dry_run_too(desk: Desk) -> None:
    await desk.put_message("I want to buy")
    claim = await desk.claim_turn()
    assert claim is not None
    with pytest.raises(errors.StaleTurn) as refused:
        await desk.request("lead>buyer", turn_no=claim["turn_no"] + 1)
    assert refused.value.metadata["contact_id"] == CONTACT
    with pytest.raises(errors.StaleTurn):
        await desk.evaluate("lead>buyer", turn_no=claim["turn_no"] + 1)
    assert await desk.admin.fetchval("select count(*) from audit where kind = 'STALE_TURN'") == 1


async def test_target_learns_what_is_known_and_what_waits(desk: Desk) -> None:
    message_id = await desk.put_message("I want to buy in 98103 below 750k")
    facts = [
        bot_pb.Fact(name="area", text_value="98103", words="in 98103", message_id=message_id, extractor="rules"),
        bot_pb.Fact(name="price_max_usd", integer_value=750_000, extractor="rules"),
    ]
    response = await desk.request("lead>buyer", facts=facts, summary="Wants to buy.", open_question="When?")
    await desk.settled(response)
    offer = await desk.offered("buyer")
    capsule = bot_pb.Capsule.FromString(offer.capsule)
    assert (capsule.schema_version, capsule.summary, capsule.open_question) == (1, "Wants to buy.", "When?")
    assert capsule.pending_message_ids == [message_id]
    assert [(fact.name, fact.bot) for fact in capsule.facts] == [("area", "lead"), ("price_max_usd", "lead")]
    assert capsule.facts[1].integer_value == 750_000
    payload = bot_pb.TicketPayload.FromString(offer.ticket.payload)
    assert (payload.tenant_id, payload.contact_id) == (TENANT, CONTACT)
    assert (payload.source_bot, payload.target_bot, payload.epoch) == ("lead", "buyer", 2)
    assert payload.handoff_id == response.handoff.handoff_id
    assert payload.capsule_digest == tickets.digest(offer.capsule)


async def test_newer_fact_replaces_the_older_in_what_the_target_learns(desk: Desk) -> None:
    for route, area in (("lead>buyer", "98103"), ("buyer>seller", "98115")):
        facts = [bot_pb.Fact(name="area", text_value=area, extractor="rules")]
        await desk.settled(await desk.request(route, facts=facts))
    capsule = bot_pb.Capsule.FromString((await desk.offered("seller")).capsule)
    assert [(fact.name, fact.text_value) for fact in capsule.facts] == [("area", "98115")]


async def test_what_a_seller_confides_never_reaches_the_buyer_bot(desk: Desk) -> None:
    floor = bot_pb.Fact(name="price_expectation_usd", integer_value=500_000, extractor="rules")
    await desk.settled(await desk.request("lead>seller", facts=[floor]))
    await desk.settled(await desk.request("seller>buyer", facts=[floor]))
    sellers = bot_pb.Capsule.FromString((await desk.offered("seller")).capsule)
    buyers = bot_pb.Capsule.FromString((await desk.offered("buyer")).capsule)
    assert [fact.name for fact in sellers.facts] == ["price_expectation_usd"]
    assert list(buyers.facts) == []


async def test_policy_knows_every_fact_that_a_bot_keeps_to_itself(desk: Desk) -> None:
    """The wire does not say what is private, so policy and bots must agree."""
    body = orjson.loads(await desk.admin.fetchval("select body from policy order by version desc limit 1"))
    kept = {slot.name: slot.private_to for bot in (lead, buyer, seller) for slot in bot.BOT.slots if slot.private_to}
    assert body["private_facts"] == kept


async def test_declined_contact_goes_back_and_the_target_is_not_asked_for_that_message_again(desk: Desk) -> None:
    await desk.put_message("I want to buy")
    desk.bots["buyer"].answers = [DECLINE, ACCEPT]
    response = await desk.request("lead>buyer")
    assert (await desk.settled(response)).state == pb.HANDOFF_STATE_DECLINED
    owner = await desk.owner()
    assert (owner.owner, owner.epoch, owner.pending_handoff_id) == ("lead", 3, "")
    claim = await desk.claim_turn()
    assert claim is not None
    assert claim["bot"] == "lead"
    assert failed(await desk.request("lead>buyer")) == {pb.RULE_ROUTE}
    await desk.admin.execute("update inbox set outcome = 'REPLIED'")
    await desk.put_message("and now?")
    assert (await desk.settled(await desk.request("lead>buyer"))).state == pb.HANDOFF_STATE_ACCEPTED


async def test_target_that_defers_accepts_later_with_its_ticket_once(desk: Desk) -> None:
    desk.bots["buyer"].answers = [DEFER]
    response = await desk.request("lead>buyer")
    ticket = (await desk.offered("buyer")).ticket
    assert (await desk.owner()).pending_handoff_id == response.handoff.handoff_id
    accepted = await desk.call("buyer", "AcceptHandoff", pb.AcceptHandoffRequest(ticket=ticket))
    assert accepted.handoff.state == pb.HANDOFF_STATE_ACCEPTED
    assert (await desk.owner()).pending_handoff_id == ""
    for method, request in (
        ("AcceptHandoff", pb.AcceptHandoffRequest(ticket=ticket)),
        ("DeclineHandoff", pb.DeclineHandoffRequest(ticket=ticket, reason="late")),
    ):
        with pytest.raises(errors.WrongHandoffState) as refused:
            await desk.call("buyer", method, request)
        assert refused.value.metadata["state"] == "ACCEPTED"


async def test_target_that_defers_is_asked_once(desk: Desk) -> None:
    desk.bots["buyer"].answers = [DEFER]
    await desk.request("lead>buyer")
    await desk.offered("buyer")
    await desk.pass_time(seconds=9)
    # Several sweeps of an accepting neighbour's offers have gone by when this one is through.
    await desk.put_contact("c_82")
    await desk.settled(await desk.request("lead>seller", contact_id="c_82"))
    assert len(desk.bots["buyer"].offers) == 1


async def test_target_that_defers_may_decline_later(desk: Desk) -> None:
    desk.bots["buyer"].answers = [DEFER]
    await desk.request("lead>buyer")
    ticket = (await desk.offered("buyer")).ticket
    declined = await desk.call("buyer", "DeclineHandoff", pb.DeclineHandoffRequest(ticket=ticket, reason="full"))
    assert declined.handoff.state == pb.HANDOFF_STATE_DECLINED
    assert (await desk.owner()).owner == "lead"


async def test_operator_may_accept_for_the_target(desk: Desk) -> None:
    desk.bots["buyer"].answers = [DEFER]
    await desk.request("lead>buyer")
    ticket = (await desk.offered("buyer")).ticket
    accepted = await desk.call("operator", "AcceptHandoff", pb.AcceptHandoffRequest(ticket=ticket))
    assert accepted.handoff.state == pb.HANDOFF_STATE_ACCEPTED


async def test_ticket_of_another_bot_or_altered_is_refused(desk: Desk) -> None:
    desk.bots["buyer"].answers = [DEFER]
    response = await desk.request("lead>buyer")
    ticket = (await desk.offered("buyer")).ticket
    altered = bot_pb.Ticket(payload=ticket.payload + b"\x00", signature=ticket.signature, key_id=KEY.key_id)
    for caller, presented, defect in (
        ("seller", ticket, "wrong_audience"),
        ("buyer", altered, "bad_signature"),
        ("buyer", bot_pb.Ticket(), "unknown_key"),
    ):
        with pytest.raises(errors.BadTicket) as refused:
            await desk.call(caller, "AcceptHandoff", pb.AcceptHandoffRequest(ticket=presented))
        assert refused.value.metadata == {"defect": defect}
    assert (await desk.get(response.handoff.handoff_id)).state in (pb.HANDOFF_STATE_PENDING, pb.HANDOFF_STATE_OFFERED)


async def test_human_takeover_preempts_an_offer(desk: Desk) -> None:
    desk.bots["buyer"].answers = [DEFER]
    await desk.request("lead>buyer")
    ticket = (await desk.offered("buyer")).ticket
    await desk.admin.execute("select take_over($1, $2, 'CRM_USER')", TENANT, CONTACT)
    with pytest.raises(errors.WrongHandoffState):
        await desk.call("buyer", "AcceptHandoff", pb.AcceptHandoffRequest(ticket=ticket))
    assert (await desk.owner()).owner == "human"
    assert pb.RULE_OWNERSHIP in failed(await desk.request("lead>buyer"))


async def test_target_that_fails_at_first_is_asked_again(desk: Desk) -> None:
    desk.bots["buyer"].answers = [grpc.StatusCode.UNAVAILABLE, ACCEPT]
    assert (await desk.settled(await desk.request("lead>buyer"))).state == pb.HANDOFF_STATE_ACCEPTED
    assert len(desk.bots["buyer"].offers) == 2


async def test_target_that_hangs_once_is_asked_again_after_the_deadline_of_the_call(desk: Desk) -> None:
    desk.bots["buyer"].answers = [ScriptedBot.HANG, ACCEPT]
    assert (await desk.settled(await desk.request("lead>buyer"))).state == pb.HANDOFF_STATE_ACCEPTED
    assert (len(desk.bots["buyer"].offers), desk.bots["buyer"].given_up) == (2, 1)


async def test_target_that_never_answers_loses_the_contact_and_is_not_asked_for_that_message_again(desk: Desk) -> None:
    desk.bots["buyer"].answers = [ScriptedBot.HANG]
    await desk.put_message("I want to buy")
    response = await desk.request("lead>buyer")
    await desk.offered("buyer")
    await desk.pass_time(seconds=10)
    assert (await desk.settled(response)).state == pb.HANDOFF_STATE_EXPIRED
    assert (await desk.owner()).owner == "lead"
    claim = await desk.claim_turn()
    assert claim is not None
    assert claim["bot"] == "lead"
    assert failed(await desk.request("lead>buyer")) == {pb.RULE_ROUTE}


async def test_request_for_a_target_that_is_down_is_put_off_and_approved_when_it_is_back(desk: Desk) -> None:
    await desk.bots["buyer"].stop()
    async with asyncio.timeout(30):
        while (dry := await desk.evaluate("lead>buyer")).approved:
            await asyncio.sleep(0.02)
    assert dry.HasField("retry_time")
    response = await desk.request("lead>buyer", request_id="r_1")
    assert (response.approved, response.handoff.state) == (False, pb.HANDOFF_STATE_DEFERRED)
    assert response.handoff.blocking_rule == pb.RULE_HEALTH
    wait = response.handoff.retry_time.ToDatetime() - response.handoff.decide_time.ToDatetime()
    assert wait == timedelta(seconds=15)
    assert (await desk.owner()).epoch == 1
    await desk.bots["buyer"].start()
    async with asyncio.timeout(30):
        while not (await desk.evaluate("lead>buyer")).approved:
            await asyncio.sleep(0.02)
    assert (await desk.request("lead>buyer", request_id="r_1")).handoff.state == pb.HANDOFF_STATE_DEFERRED
    assert (await desk.settled(await desk.request("lead>buyer"))).state == pb.HANDOFF_STATE_ACCEPTED


async def test_persons_own_newer_words_override_the_cycle_rule_once(desk: Desk) -> None:
    for route in ("lead>seller", "seller>buyer"):
        await desk.settled(await desk.request(route))
    first = await desk.put_message("I want to sell")
    back = await desk.settled(await _corrected(desk, "buyer>seller", "sell", "want to sell", first))
    assert (back.state, back.override_message_id) == (pb.HANDOFF_STATE_ACCEPTED, first)
    second = await desk.put_message("sorry, I meant I want to BUY")
    for message_id, words in ((first, "want to sell"), (second, "want to rent"), (second, ""), ("m_99", "want to buy")):
        assert failed(await _corrected(desk, "seller>buyer", "buy", words, message_id)) == {
            pb.RULE_CYCLE,
            pb.RULE_QUOTA,
        }
    # Newer, unused, contradicting: only the limit of three moves an hour is left.
    assert failed(await _corrected(desk, "seller>buyer", "buy", "want to  buy", second)) == {pb.RULE_QUOTA}


async def _corrected(desk: Desk, route: str, value: str, words: str, message_id: str) -> Any:
    facts = [an_intent(value, words, message_id)]
    return await desk.request(route, facts=facts, override_message_id=message_id)


class CountingLedger(MemoryLedger):
    """Counts what a decision costs, and never gets anything written."""

    def __init__(self, *results: Recorded) -> None:
        super().__init__(utc_now, policy_body=POLICY_BODY)
        self.put_contact(TENANT, CONTACT, owner="lead")
        self.results = list(results)
        self.calls: list[str] = []

    async def read(self, **about: Any) -> Reading:
        self.calls.append("read")
        return await super().read(**about)

    async def record(self, entry: Entry) -> Recorded:
        self.calls.append("record")
        return self.results.pop(0)


async def test_decision_is_one_look_and_one_record() -> None:
    ledger = CountingLedger(Recorded.RECORDED)
    asked = wire.proposal(a_proposal("lead>buyer"), caller="lead")
    assert (await an_arbiter(ledger).request(asked, request_id="r_1"))[0].state is State.PENDING
    assert ledger.calls == ["read", "record"]


async def test_decision_that_others_overtake_three_times_is_given_up() -> None:
    ledger = CountingLedger(Recorded.RETRY, Recorded.RETRY, Recorded.RETRY)
    with pytest.raises(errors.Contended) as refused:
        await an_arbiter(ledger).request(wire.proposal(a_proposal("lead>buyer"), caller="lead"), request_id="r_1")
    assert refused.value.metadata == {"contact_id": CONTACT}
    assert ledger.calls == ["read", "record"] * 3


async def test_message_whose_reply_is_not_out_when_the_contact_moves_is_answered_by_the_target(desk: Desk) -> None:
    message_id = await desk.put_message("what is it worth?")
    claim = await desk.claim_turn()
    assert claim is not None
    await desk.admin.fetchval(
        "select complete_turn('lead', $1, $2, $3, $4, 'REPLIED', 'A lot!', '[]', '{}')",
        TENANT, CONTACT, claim["epoch"], claim["turn_no"],
    )  # fmt: skip
    await desk.settled(await desk.request("lead>seller", caller="operator"))
    assert await desk.admin.fetch("select claim_outbox(5, interval '10 seconds')") == []
    claim = await desk.claim_turn()
    assert claim is not None
    assert (claim["bot"], [each["message_id"] for each in claim["messages"]]) == ("seller", [message_id])
