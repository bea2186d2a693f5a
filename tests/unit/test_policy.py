"""The handoff policy: every rule alone, their order, and properties over any history."""

import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from kit.lane import Fact
from services.handoff import inputs, rules
from services.handoff.policy import decide
from services.handoff.routes import Policy, read_policy, write_policy
from services.handoff.values import (
    COUNTED,
    NOT_APPROVED,
    Decision,
    Kind,
    Outcome,
    OverrideMessage,
    PastHandoff,
    Proposal,
    Rule,
    Snapshot,
    State,
    TargetSeen,
    Verdict,
)

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
BOTS = ("lead", "buyer", "seller")
POLICY = read_policy(
    7,
    {
        "routes": {
            "lead>buyer": 0.7,
            "lead>seller": 0.7,
            "buyer>seller": 0.8,
            "seller>buyer": 0.6,
            "buyer>lead": 0.7,
            "seller>lead": 0.7,
        },
        "cycle_window_minutes": 30,
        "hourly_limit": 3,
        "daily_limit": 10,
        "intent_bots": {"buy": "buyer", "sell": "seller", "both": "seller"},
    },
)


def minutes(count: float) -> timedelta:
    return timedelta(minutes=count)


def a_move(
    route: str, ago: timedelta, state: State = State.COMPLETED, message_ids: tuple[str, ...] = ()
) -> PastHandoff:
    source, target = route.split(">")
    return PastHandoff(
        source_bot=source, target_bot=target, state=state, decide_time=NOON - ago, message_ids=message_ids
    )


def seen(owner: str = "lead", *history: PastHandoff, **other: object) -> Snapshot:
    return Snapshot(**{"now": NOON, "owner": owner, "epoch": 5, "version": 9, "history": history, **other})  # type: ignore[arg-type]


def asked(route: str = "lead>buyer", **other: object) -> Proposal:
    source, target = route.split(">")
    given = {
        "tenant_id": "loc_1",
        "contact_id": "c_81",
        "source_bot": source,
        "target_bot": target,
        "confidence": 0.85,
        "summary": "Wants to buy.",
        "caller": source,
    }
    return Proposal(**{**given, **other})  # type: ignore[arg-type]


def verdict(decision: Decision, rule: Rule) -> Verdict:
    return next(each for each in decision.verdicts if each.rule is rule)


def failed(decision: Decision) -> set[Rule]:
    return {each.rule for each in decision.verdicts if each.outcome is Outcome.FAIL}


def test_bot_that_owns_the_contact_and_is_sure_enough_may_hand_it_over() -> None:
    decision = decide(POLICY, seen("lead"), asked("lead>buyer"))
    assert decision.approved
    assert decision.state is State.PENDING
    assert decision.block_reason == ""
    assert decision.blocking_rule is None
    assert decision.policy_version == 7


def test_verdicts_of_an_approval_stand_in_the_order_of_precedence() -> None:
    assert [each.rule for each in decide(POLICY, seen(), asked()).verdicts] == list(Rule)


def test_handoff_straight_back_is_blocked_as_circular() -> None:
    decision = decide(POLICY, seen("buyer", a_move("lead>buyer", minutes(0.1))), asked("buyer>lead", confidence=0.75))
    assert not decision.approved
    assert decision.blocking_rule is Rule.CYCLE
    assert "circular" in decision.block_reason


def test_handoff_straight_back_is_seen_as_circular_while_the_first_is_pending() -> None:
    pending = seen("buyer", a_move("lead>buyer", minutes(0), State.PENDING), pending_handoff_id="h_1")
    decision = decide(POLICY, pending, asked("buyer>lead"))
    assert decision.blocking_rule is Rule.OWNERSHIP
    assert failed(decision) == {Rule.OWNERSHIP, Rule.CYCLE}
    assert "circular" in verdict(decision, Rule.CYCLE).detail


def test_way_back_over_a_third_bot_is_circular_too() -> None:
    history = (a_move("lead>buyer", minutes(20)), a_move("buyer>seller", minutes(10)))
    assert failed(decide(POLICY, seen("seller", *history), asked("seller>lead"))) == {Rule.CYCLE}


def test_return_is_blocked_one_microsecond_before_the_window_ends() -> None:
    left = a_move("lead>buyer", minutes(30) - timedelta(microseconds=1))
    assert decide(POLICY, seen("buyer", left), asked("buyer>lead")).blocking_rule is Rule.CYCLE


def test_return_is_open_when_the_window_has_passed_exactly() -> None:
    assert decide(POLICY, seen("buyer", a_move("lead>buyer", minutes(30))), asked("buyer>lead")).approved


def test_handoff_that_came_to_nothing_closes_no_way_back() -> None:
    for state in (State.DECLINED, State.EXPIRED):
        assert decide(POLICY, seen("buyer", a_move("lead>buyer", minutes(1), state)), asked("buyer>lead")).approved


def test_bot_that_only_received_the_contact_is_no_cycle() -> None:
    assert decide(POLICY, seen("buyer", a_move("lead>buyer", minutes(1))), asked("buyer>seller")).approved


def test_fourth_handoff_within_an_hour_is_blocked_by_quota_alone() -> None:
    history = (
        a_move("lead>buyer", minutes(41)),
        a_move("buyer>seller", minutes(31)),
        a_move("seller>lead", minutes(10)),
    )
    decision = decide(POLICY, seen("lead", *history), asked("lead>buyer"))
    assert failed(decision) == {Rule.QUOTA}
    assert verdict(decision, Rule.QUOTA).observed == "3 in the last hour, 3 in the last 24 hours"


def test_handoff_exactly_an_hour_old_no_longer_counts() -> None:
    history = (
        a_move("lead>buyer", minutes(60)),
        a_move("buyer>seller", minutes(31)),
        a_move("seller>lead", minutes(10)),
    )
    assert decide(POLICY, seen("lead", *history), asked("lead>buyer")).approved


def test_handoff_a_microsecond_less_than_an_hour_old_still_counts() -> None:
    oldest = a_move("lead>buyer", minutes(60) - timedelta(microseconds=1))
    history = (oldest, a_move("buyer>seller", minutes(31)), a_move("seller>lead", minutes(10)))
    assert failed(decide(POLICY, seen("lead", *history), asked("lead>buyer"))) == {Rule.QUOTA}


def test_eleventh_handoff_within_a_day_is_blocked() -> None:
    history = tuple(a_move("lead>buyer", timedelta(hours=2 + index)) for index in range(10))
    decision = decide(POLICY, seen("lead", *history), asked())
    assert failed(decision) == {Rule.QUOTA}
    assert "24 hours" in decision.block_reason


def test_handoff_exactly_a_day_old_no_longer_counts() -> None:
    history = tuple(a_move("lead>buyer", timedelta(hours=24 - 2 * index)) for index in range(10))
    assert decide(POLICY, seen("lead", *history), asked()).approved


def test_refused_offers_use_up_no_quota() -> None:
    history = tuple(a_move("lead>seller", minutes(index + 1), State.DECLINED) for index in range(5))
    assert decide(POLICY, seen("lead", *history), asked("lead>buyer")).approved


def test_confidence_of_069_is_blocked_where_07_is_asked() -> None:
    decision = decide(POLICY, seen(), asked(confidence=0.69))
    assert failed(decision) == {Rule.EVIDENCE}
    assert verdict(decision, Rule.EVIDENCE).observed == "0.69"
    assert verdict(decision, Rule.EVIDENCE).limit == "0.7 to 1"


def test_confidence_of_exactly_the_threshold_is_enough() -> None:
    assert decide(POLICY, seen(), asked(confidence=0.7)).approved


def test_confidence_of_exactly_one_is_enough_and_a_little_more_is_none() -> None:
    assert decide(POLICY, seen(), asked(confidence=1.0)).approved
    assert failed(decide(POLICY, seen(), asked(confidence=math.nextafter(1.0, 2.0)))) == {Rule.EVIDENCE}


def test_each_route_has_its_own_threshold() -> None:
    assert decide(POLICY, seen("seller"), asked("seller>buyer", confidence=0.6)).approved
    assert not decide(POLICY, seen("buyer"), asked("buyer>seller", confidence=0.79)).approved


def test_confidence_that_is_no_number_in_range_never_passes() -> None:
    for confidence in (math.nan, math.inf, -math.inf, 1.0000001, -0.1):
        assert failed(decide(POLICY, seen(), asked(confidence=confidence))) == {Rule.EVIDENCE}


def test_stranger_may_not_ask_in_the_name_of_a_bot() -> None:
    assert decide(POLICY, seen(), asked(caller="buyer")).blocking_rule is Rule.IDENTITY


def test_operator_may_act_for_a_bot() -> None:
    assert decide(POLICY, seen(), asked(caller="operator")).approved


def test_bot_cannot_hand_over_what_another_bot_owns() -> None:
    decision = decide(POLICY, seen("seller"), asked("lead>buyer"))
    assert decision.blocking_rule is Rule.OWNERSHIP
    assert decision.block_reason == "ownership: seller owns the contact, not lead."


def test_contact_of_a_human_stays_with_the_human() -> None:
    decision = decide(POLICY, seen("human"), asked("human>buyer", caller="operator"))
    assert {Rule.OWNERSHIP, Rule.ROUTE} <= failed(decision)


def test_source_with_an_old_epoch_is_refused() -> None:
    assert failed(decide(POLICY, seen(epoch=5), asked(expected_epoch=4))) == {Rule.OWNERSHIP}
    assert decide(POLICY, seen(epoch=5), asked(expected_epoch=5)).approved


def test_nothing_moves_while_a_handoff_is_pending() -> None:
    assert failed(decide(POLICY, seen(pending_handoff_id="h_1"), asked())) == {Rule.OWNERSHIP}


def test_unknown_route_is_refused_and_says_where_the_bot_may_go() -> None:
    decision = decide(POLICY, seen(), asked("lead>mortgage"))
    assert decision.blocking_rule is Rule.ROUTE
    assert verdict(decision, Rule.ROUTE).limit == "lead to buyer or seller"


def test_bot_cannot_hand_over_to_itself() -> None:
    assert decide(POLICY, seen(), asked("lead>lead")).blocking_rule is Rule.ROUTE


def test_target_that_refused_a_message_is_not_asked_again_for_it() -> None:
    for state in (State.DECLINED, State.EXPIRED):
        refused = a_move("lead>buyer", minutes(1), state, ("m_1",))
        decision = decide(POLICY, seen("lead", refused, waiting_message_ids=("m_1", "m_2")), asked())
        assert failed(decision) == {Rule.ROUTE}


def test_target_that_refused_an_answered_message_may_be_asked_for_the_next() -> None:
    refused = a_move("lead>buyer", minutes(1), State.DECLINED, ("m_1",))
    assert decide(POLICY, seen("lead", refused, waiting_message_ids=("m_2",)), asked()).approved


def test_other_target_may_be_asked_for_a_refused_message() -> None:
    refused = a_move("lead>buyer", minutes(1), State.DECLINED, ("m_1",))
    assert decide(POLICY, seen("lead", refused, waiting_message_ids=("m_1",)), asked("lead>seller")).approved


def test_target_that_accepted_a_message_is_not_barred_for_it() -> None:
    before = a_move("lead>buyer", minutes(45), State.ACCEPTED, ("m_1",))
    assert decide(POLICY, seen("lead", before, waiting_message_ids=("m_1",)), asked()).approved


def test_person_who_opted_out_is_not_moved() -> None:
    assert failed(decide(POLICY, seen(opted_out=True), asked())) == {Rule.CONSENT}
    assert failed(decide(POLICY, seen(dnd=True), asked())) == {Rule.CONSENT}


def test_target_without_an_address_is_refused() -> None:
    assert failed(decide(POLICY, seen(target=TargetSeen(known=False)), asked())) == {Rule.HEALTH}


def test_target_known_to_be_down_puts_the_request_off_until_the_cool_down_is_over() -> None:
    decision = decide(POLICY, seen(target=TargetSeen(answers=False)), asked())
    assert (decision.state, decision.blocking_rule) == (State.DEFERRED, Rule.HEALTH)
    assert decision.retry_time == NOON + timedelta(seconds=15)
    assert decision.block_reason.startswith("health: ")


def test_target_that_nobody_has_looked_at_yet_may_be_asked() -> None:
    for answers in (None, True):
        assert decide(POLICY, seen(target=TargetSeen(answers=answers)), asked()).approved


def a_target(**other: Any) -> TargetSeen:
    """A target that answers well, asked ten times."""
    return TargetSeen(**{"answers": True, "samples": 10, "errors": 1, "p95_ms": 800, "quiet_seconds": 5.0, **other})


def test_target_at_its_limits_may_be_asked() -> None:
    assert decide(POLICY, seen(target=a_target()), asked()).approved


def test_sick_target_puts_the_request_off_for_the_rest_of_its_cool_down() -> None:
    for sick in (a_target(errors=2), a_target(p95_ms=801)):
        decision = decide(POLICY, seen(target=sick), asked())
        assert decision.state is State.DEFERRED
        assert decision.retry_time == NOON + timedelta(seconds=10)
        assert verdict(decision, Rule.HEALTH).outcome is Outcome.DEFER


def test_few_bad_answers_say_nothing() -> None:
    assert decide(POLICY, seen(target=a_target(samples=9, errors=9)), asked()).approved


def test_sick_target_is_tried_once_it_was_left_alone_for_the_cool_down() -> None:
    assert not decide(POLICY, seen(target=a_target(errors=5, quiet_seconds=14.999)), asked()).approved
    assert decide(POLICY, seen(target=a_target(errors=5, quiet_seconds=15.0)), asked()).approved
    assert rules.is_probe(POLICY, seen(target=a_target(errors=5, quiet_seconds=15.0)))
    assert not rules.is_probe(POLICY, seen(target=a_target()))


def test_what_denies_comes_before_what_puts_off() -> None:
    decision = decide(POLICY, seen(target=a_target(errors=5)), asked(confidence=0.1))
    assert (decision.state, decision.blocking_rule, decision.retry_time) == (State.DENIED, Rule.EVIDENCE, None)


def test_bot_that_reads_no_capsule_of_ours_is_refused() -> None:
    newer = replace(POLICY, capsule_versions={"buyer": (2, 3)})
    decision = decide(newer, seen(), asked())
    assert failed(decision) == {Rule.ROUTE}
    assert verdict(decision, Rule.ROUTE).limit == "capsule 2 or 3"
    assert decide(replace(POLICY, capsule_versions={"buyer": (1, 2)}), seen(), asked()).approved


def test_rule_in_shadow_says_what_it_would_have_done_and_blocks_nothing() -> None:
    watching = replace(POLICY, shadow_rules=frozenset({Rule.EVIDENCE, Rule.HEALTH}))
    decision = decide(watching, seen(target=a_target(errors=5)), asked(confidence=0.1))
    assert decision.approved
    assert failed(decision) == {Rule.EVIDENCE}
    assert [each.rule for each in decision.verdicts if each.shadow] == [Rule.EVIDENCE, Rule.HEALTH]


def test_cycle_rule_in_shadow_uses_up_no_override() -> None:
    watching = replace(POLICY, shadow_rules=frozenset({Rule.CYCLE}))
    snapshot = seen("seller", a_move("buyer>seller", minutes(2)), override=an_override())
    decision = decide(watching, snapshot, asked("seller>buyer", facts=(an_intent(),), override_message_id="m_9"))
    assert decision.approved
    assert decision.override_message_id is None


def an_escalation(source: str = "lead", **other: object) -> Proposal:
    return asked(f"{source}>human", kind=Kind.ESCALATION, confidence=1.0, **other)


def test_person_is_asked_whatever_confidence_cycle_and_quota_say() -> None:
    history = tuple(a_move("lead>buyer", minutes(index)) for index in range(12))
    decision = decide(POLICY, seen("lead", *history, target=TargetSeen(known=False)), an_escalation())
    assert decision.state is State.ACCEPTED
    assert [each.rule for each in decision.verdicts] == [Rule.IDENTITY, Rule.OWNERSHIP, Rule.CONSENT]


def test_person_preempts_a_handoff_under_way() -> None:
    pending = seen("buyer", a_move("lead>buyer", minutes(0), State.OFFERED), pending_handoff_id="h_1")
    for caller in ("buyer", "gateway", "console", "operator"):
        assert decide(POLICY, pending, an_escalation("buyer", caller=caller)).approved
    assert failed(decide(POLICY, pending, an_escalation("lead"))) == {Rule.OWNERSHIP}


def test_person_is_not_asked_twice_nor_for_somebody_who_opted_out() -> None:
    assert failed(decide(POLICY, seen("human"), an_escalation("human", caller="gateway"))) == {Rule.OWNERSHIP}
    assert failed(decide(POLICY, seen(opted_out=True), an_escalation())) == {Rule.CONSENT}
    assert failed(decide(POLICY, seen(), an_escalation(caller="seller"))) == {Rule.IDENTITY}
    assert failed(decide(POLICY, seen(epoch=5), an_escalation(expected_epoch=4))) == {Rule.OWNERSHIP}


def a_return(target: str = "lead", **other: object) -> Proposal:
    return asked(f"human>{target}", **{"kind": Kind.RETURN, "confidence": 1.0, "caller": "console", **other})


def test_person_gives_back_to_any_bot_of_the_policy() -> None:
    history = (a_move("lead>buyer", minutes(2)), a_move("buyer>human", minutes(1), State.ACCEPTED))
    for bot in BOTS:
        decision = decide(POLICY, seen("human", *history), a_return(bot))
        assert decision.state is State.ACCEPTED
    assert [each.rule for each in decision.verdicts] == [Rule.IDENTITY, Rule.OWNERSHIP, Rule.ROUTE, Rule.CONSENT]


def test_nobody_gives_back_what_no_person_has() -> None:
    assert failed(decide(POLICY, seen("lead"), a_return("buyer"))) == {Rule.OWNERSHIP}
    assert failed(decide(POLICY, seen("human"), a_return("mortgage"))) == {Rule.ROUTE}
    assert failed(decide(POLICY, seen("human", epoch=5), a_return(expected_epoch=4))) == {Rule.OWNERSHIP}
    assert failed(decide(POLICY, seen("human"), a_return(caller="lead"))) == {Rule.IDENTITY}


def test_moves_from_and_to_a_person_are_no_visits() -> None:
    history = (
        a_move("buyer>human", minutes(9), State.COMPLETED),
        a_move("human>lead", minutes(8)),
        a_move("lead>human", minutes(7), State.COMPLETED),
        a_move("human>lead", minutes(6)),
    )
    assert decide(POLICY, seen("lead", *history), asked("lead>buyer")).approved


SAID = "Sorry, I meant\n I WANT to buy."


def an_override(
    text: str = SAID, *, ago: timedelta = timedelta(minutes=1), used: bool = False, message_id: str = "m_9"
) -> OverrideMessage:
    return OverrideMessage(message_id=message_id, text=text, receive_time=NOON - ago, used=used)


def an_intent(value: object = "buy", words: str = "want to buy", message_id: str = "m_9", name: str = "intent") -> Fact:
    return Fact(name=name, value=value, words=words, message_id=message_id, extractor="rules", confidence=0.9)  # type: ignore[arg-type]


def back_again(message: OverrideMessage | None, *facts: Fact, said: str = "m_9") -> Decision:
    """Seller got the contact from buyer two minutes ago and gives it back on the person's word."""
    snapshot = seen("seller", a_move("buyer>seller", minutes(2)), override=message)
    return decide(POLICY, snapshot, asked("seller>buyer", facts=facts, override_message_id=said))


def test_persons_newer_contradicting_words_override_the_cycle_rule() -> None:
    decision = back_again(an_override(), an_intent())
    assert decision.approved
    given = verdict(decision, Rule.CYCLE)
    assert (given.outcome, given.observed, given.limit, given.detail) == (
        Outcome.OVERRIDDEN,
        "handed over 2 min 0 s ago",
        "not within 30 minutes after buyer handed over",
        "A circular handoff, which the person's own newer message asks for.",
    )
    assert decision.override_message_id == "m_9"


def test_override_needs_a_message_that_is_stored() -> None:
    assert back_again(None, an_intent()).blocking_rule is Rule.CYCLE


def test_override_needs_the_message_that_the_proposal_names() -> None:
    assert back_again(an_override(message_id="m_8"), an_intent()).blocking_rule is Rule.CYCLE


def test_message_older_than_the_last_handoff_overrides_nothing() -> None:
    for ago in (minutes(2), minutes(3)):
        assert back_again(an_override(ago=ago), an_intent()).blocking_rule is Rule.CYCLE


def test_message_that_overrode_before_overrides_nothing_again() -> None:
    assert back_again(an_override(used=True), an_intent()).blocking_rule is Rule.CYCLE


def test_words_that_are_not_in_the_message_override_nothing() -> None:
    for words in ("want to rent", "", "  "):
        assert back_again(an_override(), an_intent(words=words)).blocking_rule is Rule.CYCLE


def test_intent_that_the_current_bot_serves_overrides_nothing() -> None:
    for value in ("sell", "both", "rent", True, 1):
        assert back_again(an_override(), an_intent(value)).blocking_rule is Rule.CYCLE


def test_intent_from_another_message_overrides_nothing() -> None:
    assert back_again(an_override(), an_intent(message_id="m_8")).blocking_rule is Rule.CYCLE


def test_fact_that_is_no_intent_overrides_nothing() -> None:
    assert back_again(an_override(), an_intent(name="area")).blocking_rule is Rule.CYCLE


def test_override_lifts_the_cycle_rule_and_no_other() -> None:
    history = (
        a_move("lead>buyer", minutes(50)),
        a_move("seller>lead", minutes(40)),
        a_move("buyer>seller", minutes(2)),
    )
    snapshot = seen("seller", *history, override=an_override())
    decision = decide(POLICY, snapshot, asked("seller>buyer", facts=(an_intent(),), override_message_id="m_9"))
    assert failed(decision) == {Rule.QUOTA}
    assert decision.override_message_id is None


def test_override_that_is_not_needed_is_not_used_up() -> None:
    decision = decide(
        POLICY,
        seen("seller", override=an_override()),
        asked("seller>buyer", facts=(an_intent(),), override_message_id="m_9"),
    )
    assert decision.approved
    assert decision.override_message_id is None


MOVES = st.builds(
    PastHandoff,
    source_bot=st.sampled_from(BOTS),
    target_bot=st.sampled_from(BOTS),
    state=st.sampled_from([state for state in State if state not in NOT_APPROVED]),
    decide_time=st.timedeltas(min_value=timedelta(seconds=-5), max_value=timedelta(hours=26)).map(
        lambda ago: NOON - ago
    ),
    message_ids=st.lists(st.sampled_from(["m_1", "m_2", "m_3"]), max_size=2).map(tuple),
)
SNAPSHOTS = st.builds(
    Snapshot,
    now=st.just(NOON),
    owner=st.sampled_from([*BOTS, "human"]),
    epoch=st.integers(1, 3),
    version=st.just(1),
    pending_handoff_id=st.sampled_from([None, None, None, "h_1"]),
    opted_out=st.booleans(),
    dnd=st.booleans(),
    history=st.lists(MOVES, max_size=14).map(tuple),
    waiting_message_ids=st.lists(st.sampled_from(["m_1", "m_2", "m_3"]), max_size=2).map(tuple),
    override=st.none() | st.just(an_override()),
    target=st.builds(
        TargetSeen,
        known=st.booleans(),
        answers=st.sampled_from([None, True, False]),
        samples=st.integers(0, 20),
        errors=st.integers(0, 20),
        p95_ms=st.integers(0, 2000),
        quiet_seconds=st.floats(0, 30),
    ),
)
PROPOSALS = st.builds(
    Proposal,
    tenant_id=st.just("loc_1"),
    contact_id=st.just("c_81"),
    source_bot=st.sampled_from(BOTS),
    target_bot=st.sampled_from([*BOTS, "mortgage"]),
    confidence=st.floats(),
    summary=st.just("Wants to buy."),
    caller=st.sampled_from([*BOTS, "operator"]),
    expected_epoch=st.integers(0, 3),
    facts=st.sampled_from([(), (an_intent(),)]),
    override_message_id=st.sampled_from(["", "m_9"]),
)


@given(SNAPSHOTS, PROPOSALS)
def test_every_decision_has_all_verdicts_in_order_and_names_the_first_that_fails(
    snapshot: Snapshot, proposal: Proposal
) -> None:
    decision = decide(POLICY, snapshot, proposal)
    assert [each.rule for each in decision.verdicts] == list(Rule)
    fails = [each for each in decision.verdicts if each.outcome is Outcome.FAIL]
    fails += [each for each in decision.verdicts if each.outcome is Outcome.DEFER]
    assert decision.approved == (not fails) == (decision.block_reason == "")
    assert decision.blocking_rule is (fails[0].rule if fails else None)
    assert not fails or decision.block_reason.endswith(fails[0].detail)
    assert (decision.retry_time is not None) == (decision.state is State.DEFERRED)
    assert all(each.detail.endswith(".") for each in decision.verdicts)


@given(SNAPSHOTS, PROPOSALS)
def test_whatever_happened_before_no_approval_is_the_fourth_in_an_hour_or_eleventh_in_a_day(
    snapshot: Snapshot, proposal: Proposal
) -> None:
    counted = [past for past in snapshot.history if past.state in COUNTED]
    if decide(POLICY, snapshot, proposal).approved:
        assert sum(NOON - past.decide_time < timedelta(hours=1) for past in counted) < 3
        assert sum(NOON - past.decide_time < timedelta(hours=24) for past in counted) < 10


@given(SNAPSHOTS, PROPOSALS)
def test_whatever_happened_before_nobody_returns_within_the_window_without_new_words(
    snapshot: Snapshot, proposal: Proposal
) -> None:
    left = any(
        past.source_bot == proposal.target_bot and NOON - past.decide_time < minutes(30)
        for past in snapshot.history
        if past.state in COUNTED
    )
    decision = decide(POLICY, snapshot, proposal)
    if left and decision.approved:
        assert decision.override_message_id == "m_9"
        assert snapshot.override is not None
        assert proposal.facts


@given(SNAPSHOTS, PROPOSALS)
def test_only_a_sure_owner_with_consent_is_ever_approved(snapshot: Snapshot, proposal: Proposal) -> None:
    if decide(POLICY, snapshot, proposal).approved:
        assert snapshot.owner == proposal.source_bot
        assert snapshot.pending_handoff_id is None
        assert not snapshot.opted_out
        assert not snapshot.dnd
        assert 0.6 <= proposal.confidence <= 1.0
        assert snapshot.target.known
        assert snapshot.target.answers is not False


@given(SNAPSHOTS, PROPOSALS)
def test_decision_is_made_again_from_what_was_stored_of_it(snapshot: Snapshot, proposal: Proposal) -> None:
    stored = orjson.loads(orjson.dumps(inputs.to_json(snapshot, proposal)))
    confidence = stored["proposal"]["confidence"]
    # JSON knows no NaN, and neither does the contract; see the arbiter's edge.
    if confidence is not None:
        assert decide(POLICY, *inputs.from_json(stored)) == decide(POLICY, snapshot, proposal)


def moved_at_will(wishes: list[tuple[str, float]]) -> list[PastHandoff]:
    """Let every owner ask at once for whatever bot comes to its mind, and return what was approved."""
    now, owner, history = NOON, "lead", list[PastHandoff]()
    for target, wait in wishes:
        now += minutes(wait)
        snapshot = Snapshot(now=now, owner=owner, epoch=1, version=1, history=tuple(history))
        if decide(POLICY, snapshot, asked(f"{owner}>{target}", confidence=1.0)).approved:
            history.append(PastHandoff(source_bot=owner, target_bot=target, state=State.COMPLETED, decide_time=now))
            owner = target
    return history


WISHES = st.lists(st.tuples(st.sampled_from(BOTS), st.sampled_from([0, 0.1, 5, 10, 29.9, 30, 40])), max_size=60)


@given(WISHES)
def test_bots_that_always_want_to_hand_over_come_to_rest_within_two_hops(wishes: list[tuple[str, float]]) -> None:
    """Three bots, so two hops: whoever gave the contact away in the last 30 minutes does not get it back."""
    history = moved_at_will(wishes)
    for index, move in enumerate(history):
        recent = [past for past in history[:index] if move.decide_time - past.decide_time < minutes(30)]
        assert len(recent) < 2
        assert move.target_bot not in {past.source_bot for past in recent}


# The cycle rule alone lets these through; whatever is drawn beside them seldom gets so far.
@example([("buyer", 0), ("seller", 0), ("lead", 30), ("buyer", 0)])
@example([(target, 30) for target in ("buyer", "seller", "lead") * 4])
@given(WISHES)
def test_bots_that_always_want_to_hand_over_never_exceed_three_moves_in_any_hour(
    wishes: list[tuple[str, float]],
) -> None:
    """Bots ask at any pace; the approved ones make the next history. Checked over every window, not only the last."""
    times = [past.decide_time for past in moved_at_will(wishes)]
    assert all(later - first >= timedelta(hours=1) for first, later in zip(times, times[3:], strict=False))
    assert all(later - first >= timedelta(hours=24) for first, later in zip(times, times[10:], strict=False))


def a_policy(**changed: object) -> Policy:
    return read_policy(7, {**write_policy(POLICY), **changed})


SICK = TargetSeen(known=True, answers=True, samples=20, errors=3, p95_ms=120, quiet_seconds=5)
WAITING = {"waiting_message_ids": ("m_1", "m_2")}
LIMIT = "answers, at most 10% errors, p95 at most 800 ms"
A_RETURN = asked("human>buyer", kind=Kind.RETURN, caller="console")


@pytest.mark.parametrize(
    ("snapshot", "proposal", "expected"),
    [
        (seen(), asked(), "IDENTITY PASS | lead | lead or operator | lead may ask for lead."),
        (seen(), asked(caller="operator"), "IDENTITY PASS | operator | lead or operator | operator may ask for lead."),
        (
            seen(),
            asked(caller="gateway"),
            "IDENTITY FAIL | gateway | lead or operator | gateway may not ask in the name of lead.",
        ),
        (
            seen(),
            asked("lead>human", kind=Kind.ESCALATION, caller="gateway"),
            "IDENTITY PASS | gateway | lead or gateway or console or operator | gateway may ask for lead.",
        ),
        (
            seen("human"),
            replace(A_RETURN, caller="lead"),
            "IDENTITY FAIL | lead | console or operator | lead may not ask in the name of human.",
        ),
        (seen(), asked(), "OWNERSHIP PASS | lead at epoch 5 | lead, nothing pending | lead owns the contact."),
        (
            seen(),
            asked(expected_epoch=5),
            "OWNERSHIP PASS | lead at epoch 5 | lead at epoch 5, nothing pending | lead owns the contact.",
        ),
        (
            seen(),
            asked(expected_epoch=4),
            "OWNERSHIP FAIL | lead at epoch 5 | lead at epoch 4, nothing pending"
            " | The contact changed hands since epoch 4; it is now 5.",
        ),
        (
            seen("buyer", pending_handoff_id="h_1"),
            asked(),
            "OWNERSHIP FAIL | buyer at epoch 5, a handoff pending | lead, nothing pending"
            " | A handoff to buyer is still under way.",
        ),
        (
            seen("human"),
            asked(),
            "OWNERSHIP FAIL | human at epoch 5 | lead, nothing pending | A person of the brokerage has this contact.",
        ),
        (
            seen("buyer"),
            asked(),
            "OWNERSHIP FAIL | buyer at epoch 5 | lead, nothing pending | buyer owns the contact, not lead.",
        ),
        (
            seen("lead", pending_handoff_id="h_1"),
            asked("lead>human", kind=Kind.ESCALATION),
            "OWNERSHIP PASS | lead at epoch 5, a handoff pending | lead | lead owns the contact.",
        ),
        (
            seen("human"),
            A_RETURN,
            "OWNERSHIP PASS | human at epoch 5 | human, nothing pending | human owns the contact.",
        ),
        (
            seen(),
            asked(),
            "ROUTE PASS | lead to buyer | lead to buyer or seller | The route from lead to buyer is open.",
        ),
        (
            seen(),
            asked("lead>renter"),
            "ROUTE FAIL | lead to renter | lead to buyer or seller | There is no route from lead to renter.",
        ),
        (seen(), asked("x>lead"), "ROUTE FAIL | x to lead | x to nobody | There is no route from x to lead."),
        (
            seen("lead", a_move("lead>buyer", minutes(9), State.DECLINED, ("m_2",)), **WAITING),
            asked(),
            "ROUTE FAIL | lead to buyer, declined before | lead to buyer or seller"
            " | buyer declined this contact with the message that still waits.",
        ),
        (
            seen("lead", a_move("lead>buyer", minutes(9), State.EXPIRED, ("m_1",)), **WAITING),
            asked(),
            "ROUTE FAIL | lead to buyer, expired before | lead to buyer or seller"
            " | buyer did not take this contact with the message that still waits.",
        ),
        (
            seen(
                "lead",
                a_move("lead>buyer", minutes(9), State.EXPIRED, ("m_1",)),
                a_move("lead>buyer", minutes(8), State.DECLINED, ("m_1",)),
                a_move("lead>seller", minutes(7), State.DECLINED, ("m_1",)),
                a_move("lead>buyer", minutes(6), State.DECLINED, ("m_9",)),
                **WAITING,
            ),
            asked(),
            "ROUTE FAIL | lead to buyer, declined before | lead to buyer or seller"
            " | buyer declined this contact with the message that still waits.",
        ),
        (
            seen("human"),
            A_RETURN,
            "ROUTE PASS | buyer | buyer or lead or seller | buyer is a bot of the policy.",
        ),
        (
            seen("human"),
            replace(A_RETURN, target_bot="renter"),
            "ROUTE FAIL | renter | buyer or lead or seller | There is no bot called renter.",
        ),
        (
            seen(),
            asked(),
            "CONSENT PASS | may be contacted | no opt-out, no do-not-disturb | The person may be contacted.",
        ),
        (
            seen(opted_out=True, dnd=True),
            asked(),
            "CONSENT FAIL | opted out | no opt-out, no do-not-disturb | The person asked for no more messages.",
        ),
        (
            seen(dnd=True),
            asked(),
            "CONSENT FAIL | do not disturb | no opt-out, no do-not-disturb"
            " | The CRM marks the person as do-not-disturb.",
        ),
        (
            seen(),
            asked(),
            "CYCLE PASS | not left in the window | not within 30 minutes after buyer handed over"
            " | buyer did not hand this contact over in the last 30 minutes.",
        ),
        (
            seen("buyer", a_move("lead>buyer", minutes(12.5)), a_move("lead>seller", minutes(14))),
            asked("buyer>lead"),
            "CYCLE FAIL | handed over 12 min 30 s ago | not within 30 minutes after lead handed over"
            " | A circular handoff: lead handed over 12 min 30 s ago; a return needs 30 minutes or new words.",
        ),
        (
            seen("buyer", a_move("lead>buyer", -minutes(1))),
            asked("buyer>lead"),
            "CYCLE FAIL | handed over 0 min 0 s ago | not within 30 minutes after lead handed over"
            " | A circular handoff: lead handed over 0 min 0 s ago; a return needs 30 minutes or new words.",
        ),
        (
            seen(),
            asked(),
            "QUOTA PASS | 0 in the last hour, 0 in the last 24 hours"
            " | fewer than 3 in an hour, fewer than 10 in 24 hours | The contact has moves left.",
        ),
        (
            seen("lead", *[a_move("seller>lead", minutes(10 * n)) for n in range(1, 4)], a_move("a>b", minutes(90))),
            asked(),
            "QUOTA FAIL | 3 in the last hour, 4 in the last 24 hours"
            " | fewer than 3 in an hour, fewer than 10 in 24 hours"
            " | The contact was moved 3 times in the last hour; 3 are allowed.",
        ),
        (
            seen("lead", *[a_move("seller>lead", minutes(100 * n)) for n in range(1, 11)]),
            asked(),
            "QUOTA FAIL | 0 in the last hour, 10 in the last 24 hours"
            " | fewer than 3 in an hour, fewer than 10 in 24 hours"
            " | The contact was moved 10 times in the last 24 hours; 10 are allowed.",
        ),
        (seen(), asked(), "EVIDENCE PASS | 0.85 | 0.7 to 1 | The source is sure enough for 0.7."),
        (
            seen(),
            asked(confidence=0.69),
            "EVIDENCE FAIL | 0.69 | 0.7 to 1 | The source is not sure enough: 0.69 where 0.7 is asked.",
        ),
        (
            seen(),
            asked("lead>renter"),
            "EVIDENCE FAIL | 0.85 | a route | Without a route there is no threshold.",
        ),
        (
            seen(target=TargetSeen()),
            asked(),
            f"HEALTH PASS | not looked yet | {LIMIT} | Nothing is known against buyer.",
        ),
        (
            seen(target=TargetSeen(known=False)),
            asked(),
            f"HEALTH FAIL | no address | {LIMIT} | This arbiter knows no way to buyer.",
        ),
        (
            seen(target=TargetSeen(answers=False)),
            asked(),
            f"HEALTH DEFER | no answer | {LIMIT} | buyer does not answer at the moment.",
        ),
        (
            seen(target=replace(SICK, errors=2)),
            asked(),
            f"HEALTH PASS | answers, 2 of 20 calls failed, p95 120 ms | {LIMIT} | Nothing is known against buyer.",
        ),
        (
            seen(target=SICK),
            asked(),
            f"HEALTH DEFER | answers, 3 of 20 calls failed, p95 120 ms | {LIMIT}"
            " | buyer is sick and not to be given more for now.",
        ),
        (
            seen(target=replace(SICK, quiet_seconds=15)),
            asked(),
            f"HEALTH PASS | answers, 3 of 20 calls failed, p95 120 ms, quiet | {LIMIT}"
            " | buyer was sick; this request tries it.",
        ),
    ],
)
def test_verdict_says_what_was_seen_what_is_allowed_and_why(
    snapshot: Snapshot, proposal: Proposal, expected: str
) -> None:
    rule, outcome = expected.split(" | ", maxsplit=1)[0].split()
    given = verdict(decide(POLICY, snapshot, proposal), Rule(rule))
    assert f"{rule} {given.outcome.value} | {given.observed} | {given.limit} | {given.detail}" == expected
    assert (given.outcome.value, given.shadow) == (outcome, False)


@pytest.mark.parametrize(("versions", "limit"), [([2, 3], "capsule 2 or 3"), ([4], "capsule 4")])
def test_bot_that_does_not_read_our_capsules_says_which_it_reads(versions: list[int], limit: str) -> None:
    given = verdict(decide(a_policy(capsule_versions={"buyer": versions}), seen(), asked()), Rule.ROUTE)
    assert (given.outcome, given.observed, given.limit, given.detail) == (
        Outcome.FAIL,
        "lead to buyer, capsule 1",
        limit,
        "buyer does not read capsules of version 1.",
    )


def test_reason_begins_with_the_name_of_the_rule() -> None:
    reasons = {
        decide(POLICY, snapshot, proposal).block_reason.partition(":")[0]
        for snapshot, proposal in (
            (seen(), asked(caller="gateway")),
            (seen("buyer"), asked()),
            (seen(), asked("lead>renter")),
            (seen(dnd=True), asked()),
            (seen("buyer", a_move("lead>buyer", minutes(1))), asked("buyer>lead")),
            (seen("lead", *[a_move("seller>lead", minutes(n)) for n in (1, 2, 3)]), asked()),
            (seen(), asked(confidence=0.1)),
            (seen(target=TargetSeen(answers=False)), asked()),
        )
    }
    assert reasons == {"identity", "ownership", "route", "consent", "circular", "quota", "evidence", "health"}


def test_age_is_said_in_minutes_however_long() -> None:
    left = seen("buyer", a_move("lead>buyer", minutes(125)))
    given = verdict(decide(a_policy(cycle_window_minutes=1440), left, asked("buyer>lead")), Rule.CYCLE)
    assert given.observed == "handed over 125 min 0 s ago"
