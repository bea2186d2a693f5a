"""Decisions looked at again: explanation, policy versions, simulation, watching."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from porchlight.bot.v1 import bot_service_pb2 as bot_pb
from porchlight.handoff.v1 import handoff_service_pb2 as pb

from kit import errors
from services.handoff.ledger_memory import MemoryLedger
from services.handoff.watch import MOST_STREAMS, Watchers
from tests.support.arbiter import CONTACT, TENANT, Desk, fresh_desk
from tests.support.stores import Database


@pytest.fixture
async def desk(database: Database, tmp_path: Path) -> AsyncIterator[Desk]:
    """An arbiter with three accepting bots, and one contact that lead owns."""
    async with fresh_desk(database, tmp_path) as made:
        yield made


async def explain(desk: Desk, handoff_id: str) -> Any:
    return await desk.call("operator", "ExplainHandoff", pb.ExplainHandoffRequest(handoff_id=handoff_id))


async def policy(desk: Desk, version: int = 0) -> Any:
    return (await desk.call("operator", "GetPolicy", pb.GetPolicyRequest(version=version))).policy


async def update(desk: Desk, rules: Any, etag: str, **other: Any) -> Any:
    request = pb.UpdatePolicyRequest(rules=rules, etag=etag, **{"reason": "Busy week.", **other})
    return (await desk.call("operator", "UpdatePolicy", request)).policy


async def simulate(desk: Desk, rules: Any, **other: Any) -> Any:
    return await desk.call(
        "operator", "SimulatePolicy", pb.SimulatePolicyRequest(rules=rules, tenant_id=TENANT, **other)
    )


async def test_every_decision_is_made_again_with_the_same_verdicts_though_world_and_policy_changed(desk: Desk) -> None:
    approved = await desk.request("lead>buyer")
    await desk.settled(approved)
    message_id = await desk.put_message("sorry, I want to sell")
    fact = bot_pb.Fact(name="intent", text_value="sell", words="want to sell", message_id=message_id, extractor="rules")
    others = [
        await desk.request("buyer>lead", 0.75),
        await desk.request("buyer>lead", 0.75, facts=[fact], override_message_id=message_id),
        await desk.request("lead>seller", 0.1),
    ]
    now = await policy(desk)
    now.rules.cycle_window_minutes = 1
    await update(desk, now.rules, now.etag)
    await desk.pass_time(minutes=45)
    for response in (approved, *others):
        explained = await explain(desk, response.handoff.handoff_id)
        assert explained.matches
        assert list(explained.recomputed_verdicts) == list(response.handoff.verdicts)
        assert explained.policy.version == response.handoff.policy_version == 1
        assert explained.inputs["proposal"]["caller"] == response.handoff.source_bot
    assert explained.inputs["owner"] == "lead"


async def test_decision_whose_stored_verdict_was_tampered_with_does_not_match(desk: Desk) -> None:
    response = await desk.request("lead>buyer", 0.1)
    await desk.admin.execute("update handoff set verdicts = jsonb_set(verdicts, '{6,outcome}', '\"PASS\"')")
    assert not (await explain(desk, response.handoff.handoff_id)).matches


async def test_takeover_from_the_crm_has_nothing_to_be_made_from(desk: Desk) -> None:
    await desk.admin.execute("select take_over($1, $2, 'CRM_USER')", TENANT, CONTACT)
    taken = await desk.admin.fetchval("select handoff_id from handoff")
    explained = await explain(desk, taken)
    assert not explained.matches
    assert not explained.HasField("inputs")
    assert not explained.recomputed_verdicts
    with pytest.raises(errors.HandoffNotFound):
        await explain(desk, "h_0")


async def test_policy_shows_every_default_and_every_version_stays(desk: Desk) -> None:
    first = await policy(desk)
    assert (first.version, first.etag, first.author) == (1, "1", "")
    assert first.rules.human_sla_minutes == 15
    assert first.rules.target_limits.least_samples == 10
    assert {f"{each.source_bot}>{each.target_bot}" for each in first.rules.routes} >= {"lead>buyer", "seller>lead"}
    first.rules.hourly_limit = 4
    second = await update(desk, first.rules, first.etag)
    assert (second.version, second.author, second.reason) == (2, "operator", "Busy week.")
    assert await policy(desk) == second
    assert (await policy(desk, 1)).rules.hourly_limit == 3
    with pytest.raises(errors.PolicyNotFound):
        await policy(desk, 3)


async def test_next_decision_is_made_under_the_new_policy(desk: Desk) -> None:
    assert (await desk.request("lead>buyer", 0.65)).handoff.policy_version == 1
    now = await policy(desk)
    for route in now.rules.routes:
        route.threshold = 0.6
    await update(desk, now.rules, now.etag)
    response = await desk.request("lead>buyer", 0.65)
    assert (response.approved, response.handoff.policy_version) == (True, 2)


async def test_policy_that_somebody_changed_meanwhile_is_not_overwritten(desk: Desk) -> None:
    now = await policy(desk)
    await update(desk, now.rules, now.etag)
    with pytest.raises(errors.PolicyChanged) as refused:
        await update(desk, now.rules, now.etag)
    assert refused.value.metadata == {"etag": "1", "current_etag": "2"}
    assert (await policy(desk)).version == 2


async def test_check_alone_writes_nothing(desk: Desk) -> None:
    now = await policy(desk)
    now.rules.daily_limit = 20
    checked = await update(desk, now.rules, now.etag, validate_only=True)
    assert (checked.version, checked.etag, checked.rules.daily_limit) == (0, "", 20)
    assert (await policy(desk)).version == 1


def rules_with(now: Any, change: Any) -> Any:
    rules = pb.PolicyRules()
    rules.CopyFrom(now.rules)
    change(rules)
    return rules


MISTAKES: tuple[tuple[Any, str], ...] = (
    (lambda rules: rules.ClearField("routes"), "rules.routes"),
    (lambda rules: rules.routes.add(source_bot="lead", target_bot="buyer", threshold=0.9), "rules.routes"),
    (
        lambda rules: rules.routes.add(source_bot="lead", target_bot="human", threshold=0.9),
        "rules.routes.lead>human",
    ),
    (lambda rules: setattr(rules.routes[0], "threshold", float("nan")), "rules.routes.buyer>lead"),
    (lambda rules: setattr(rules, "hourly_limit", 0), "rules.hourly_limit"),
    (lambda rules: setattr(rules, "cycle_window_minutes", 1441), "rules.cycle_window_minutes"),
    (lambda rules: setattr(rules, "human_sla_minutes", 0), "rules.human_sla_minutes"),
    (lambda rules: setattr(rules.target_limits, "error_share", 1.5), "rules.target_limits.error_share"),
    (lambda rules: setattr(rules.target_limits, "cool_down_seconds", 61), "rules.target_limits.cool_down_seconds"),
    (lambda rules: rules.capsule_versions.add(bot="buyer"), "rules.capsule_versions.buyer"),
    (lambda rules: rules.shadow_rules.append(pb.RULE_OWNERSHIP), "rules.shadow_rules"),
    (lambda rules: rules.shadow_rules.append(99), "rules.shadow_rules"),
    (lambda rules: rules.intent_bots.update({"rent": "renter"}), "rules.intent_bots"),
    (lambda rules: rules.private_facts.pop("motivation"), "rules.private_facts"),
    (lambda rules: rules.private_facts.update({"motivation": "buyer"}), "rules.private_facts"),
)


async def test_rule_that_may_not_be_is_refused_and_named(desk: Desk) -> None:
    now = await policy(desk)
    for change, field in MISTAKES:
        with pytest.raises(errors.InvalidField) as refused:
            await update(desk, rules_with(now, change), now.etag, validate_only=True)
        assert refused.value.metadata["field"] == field
        assert refused.value.metadata["limit"]


async def test_rule_in_shadow_is_stored_with_what_it_would_have_done(desk: Desk) -> None:
    now = await policy(desk)
    now.rules.shadow_rules.append(pb.RULE_EVIDENCE)
    await update(desk, now.rules, now.etag)
    response = await desk.request("lead>buyer", 0.1)
    assert response.approved
    (verdict,) = [each for each in response.handoff.verdicts if each.shadow]
    assert (verdict.rule, verdict.outcome) == (pb.RULE_EVIDENCE, pb.VERDICT_OUTCOME_FAIL)


async def test_simulation_says_which_decisions_would_come_out_differently_and_writes_nothing(desk: Desk) -> None:
    low = await desk.request("lead>buyer", 0.65)
    await desk.request("lead>buyer", 0.1)
    approved = await desk.request("lead>buyer", 0.85)
    await desk.settled(approved)
    before = await desk.admin.fetchval("select count(*) from handoff")
    now = await policy(desk)
    for route in now.rules.routes:
        route.threshold = 0.6
    found = await simulate(desk, now.rules)
    assert (found.decisions, found.approved_before, found.approved_after) == (3, 1, 2)
    (difference,) = found.differences
    assert (difference.handoff_id, difference.approved_before, difference.approved_after) == (
        low.handoff.handoff_id, False, True,
    )  # fmt: skip
    assert [each.rule for each in difference.verdicts_before] == [pb.RULE_EVIDENCE]
    assert (difference.verdicts_before[0].limit, difference.verdicts_after[0].limit) == ("0.7 to 1", "0.6 to 1")
    assert (await simulate(desk, now.rules, decisions=1)).decisions == 1
    assert await desk.admin.fetchval("select count(*) from handoff") == before
    assert (await policy(desk)).version == 1
    with pytest.raises(errors.InvalidField):
        await simulate(desk, now.rules, decisions=1001)


class Stream:
    """A watcher's view: collects what it is told."""

    def __init__(self, call: Any) -> None:
        self.call = call

    async def next(self) -> Any:
        async with asyncio.timeout(30):
            found = await self.call.read()
        assert found is not grpc.aio.EOF
        return found

    async def until(self, state: int) -> list[Any]:
        seen = [await self.next()]
        while seen[-1].state != state:
            seen.append(await self.next())
        return seen


async def watch(desk: Desk, cursor: str = "", *, caller: str = "operator", **other: Any) -> Stream:
    request = pb.WatchHandoffsRequest(tenant_id=TENANT, cursor=cursor, **other)
    return Stream((await desk.stub(caller)).WatchHandoffs(request, timeout=30))


async def test_watcher_is_told_every_state_in_order_and_where_it_stands(desk: Desk) -> None:
    stream = await watch(desk)
    first = await stream.next()
    assert first.cursor
    assert not first.HasField("handoff")
    response = await desk.request("lead>buyer")
    seen = await stream.until(pb.HANDOFF_STATE_ACCEPTED)
    assert [each.state for each in seen] == [
        pb.HANDOFF_STATE_PENDING, pb.HANDOFF_STATE_OFFERED, pb.HANDOFF_STATE_ACCEPTED,
    ]  # fmt: skip
    assert {each.handoff.handoff_id for each in seen} == {response.handoff.handoff_id}
    stream.call.cancel()
    await desk.request("buyer>lead")
    resumed = await watch(desk, seen[0].cursor, contact_id=CONTACT)
    assert (await resumed.next()).cursor == seen[0].cursor
    again = await resumed.until(pb.HANDOFF_STATE_DENIED)
    assert [each.cursor for each in again[:2]] == [each.cursor for each in seen[1:]]
    resumed.call.cancel()


async def test_watcher_of_one_contact_hears_of_no_other(desk: Desk) -> None:
    await desk.put_contact("c_82")
    stream = await watch(desk, contact_id="c_82", caller="gateway")
    await stream.next()
    await desk.request("lead>buyer")
    await desk.request("lead>buyer", contact_id="c_82")
    assert (await stream.next()).handoff.contact_id == "c_82"
    stream.call.cancel()


async def test_arbiter_listens_to_postgres_only_while_somebody_watches(desk: Desk) -> None:
    listening = (
        "select count(*) from pg_stat_activity where datname = current_database() and application_name = 'listen'"
    )
    assert await desk.admin.fetchval(listening) == 0
    stream = await watch(desk)
    await stream.next()
    async with asyncio.timeout(30):
        while await desk.admin.fetchval(listening) == 0:
            await asyncio.sleep(0.05)
        stream.call.cancel()
        while await desk.admin.fetchval(listening) > 0:
            await asyncio.sleep(0.05)


async def test_cursor_that_nobody_gave_is_refused(desk: Desk) -> None:
    for cursor in ("x", "WyIxIiwiYSJd", "WyIxIl0=", "WyItMSIsIjEiXQ=="):
        stream = await watch(desk, cursor)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stream.next()
        assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_bot_may_not_watch(desk: Desk) -> None:
    stream = await watch(desk, caller="lead")
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await stream.next()
    assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED


async def test_stream_ends_by_itself_when_its_time_is_over() -> None:
    watchers = Watchers(an_empty_ledger())
    assert [each async for each in watchers.follow(TENANT, "", after=None, seconds=0)] == [(1, 0)]


async def test_no_more_streams_are_open_than_a_process_serves() -> None:
    watchers = Watchers(an_empty_ledger())
    streams = [watchers.follow(TENANT, "", after=None, seconds=9) for _ in range(MOST_STREAMS)]
    for stream in streams:
        await anext(aiter(stream))
    with pytest.raises(errors.Overloaded):
        await anext(aiter(watchers.follow(TENANT, "", after=None, seconds=9)))
    await streams[0].aclose()  # type: ignore[attr-defined]
    late = watchers.follow(TENANT, "", after=None, seconds=9)
    assert await anext(aiter(late)) == (1, 0)
    for stream in (*streams[1:], late):
        await stream.aclose()  # type: ignore[attr-defined]


def an_empty_ledger() -> MemoryLedger:
    from kit.clock import utc_now

    return MemoryLedger(utc_now, policy_body={})
