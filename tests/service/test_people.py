"""A person as owner, by RPC: escalation, takeover from the CRM, return."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from porchlight.bot.v1 import bot_service_pb2 as bot_pb
from porchlight.handoff.v1 import handoff_service_pb2 as pb

from kit import errors
from tests.support.arbiter import CONTACT, TENANT, Desk, fresh_desk
from tests.support.stores import Database


@pytest.fixture
async def desk(database: Database, tmp_path: Path) -> AsyncIterator[Desk]:
    """An arbiter with three accepting bots, and one contact that lead owns."""
    async with fresh_desk(database, tmp_path) as made:
        yield made


async def escalate(desk: Desk, caller: str = "lead", *, request_id: str = "e_1", **other: Any) -> Any:
    given = {"reason": pb.ESCALATION_REASON_COMPLAINT, "summary": "Is angry about the estimate.", **other}
    request = pb.EscalateToHumanRequest(tenant_id=TENANT, contact_id=CONTACT, request_id=request_id, **given)
    return await desk.call(caller, "EscalateToHuman", request)


async def give_back(desk: Desk, target: str = "seller", *, caller: str = "operator", **other: Any) -> Any:
    given = {"request_id": "g_1", "person": "Ben", "summary": "Sorted out on the phone.", **other}
    request = pb.ReturnFromHumanRequest(tenant_id=TENANT, contact_id=CONTACT, target_bot=target, **given)
    return await desk.call(caller, "ReturnFromHuman", request)


async def test_owning_bot_gateway_and_operator_may_escalate_and_each_is_recorded(desk: Desk) -> None:
    for caller in ("lead", "gateway", "operator"):
        response = await escalate(desk, caller, request_id=f"e_{caller}")
        assert response.approved, response
        handoff = response.handoff
        assert (handoff.kind, handoff.state) == (pb.HANDOFF_KIND_ESCALATION, pb.HANDOFF_STATE_ACCEPTED)
        assert (handoff.actor, handoff.source_bot, handoff.target_bot) == (caller, "lead", "human")
        assert handoff.reason == pb.ESCALATION_REASON_COMPLAINT
        assert handoff.due_time.seconds - handoff.decide_time.seconds == 15 * 60
        assert [each.rule for each in handoff.verdicts] == [pb.RULE_IDENTITY, pb.RULE_OWNERSHIP, pb.RULE_CONSENT]
        assert (await give_back(desk, "lead", request_id=f"g_{caller}")).approved
    assert (await desk.owner()).epoch == 7


async def test_bot_that_does_not_own_the_contact_cannot_escalate_it(desk: Desk) -> None:
    response = await escalate(desk, "seller")
    assert not response.approved
    assert response.handoff.blocking_rule == pb.RULE_OWNERSHIP
    assert (await desk.owner()).owner == "lead"


async def test_escalation_preempts_a_turn_whose_reply_is_then_refused(desk: Desk) -> None:
    await desk.put_message("you are all thieves")
    claim = await desk.claim_turn()
    assert claim is not None
    assert (await escalate(desk, "gateway")).approved
    done = await desk.admin.fetchval(
        "select complete_turn('lead', $1, $2, $3, $4, 'REPLIED', 'Hello!', '[]', '{}')",
        TENANT, CONTACT, claim["epoch"], claim["turn_no"],
    )  # fmt: skip
    assert done == "STALE"
    assert await desk.admin.fetchval("select count(*) from outbox where kind = 'REPLY'") == 0


async def test_escalation_preempts_an_offer_whose_ticket_is_then_worthless(desk: Desk) -> None:
    desk.bots["buyer"].answers = [bot_pb.OFFER_ANSWER_DEFER]
    offered = await desk.request("lead>buyer")
    ticket = (await desk.offered("buyer")).ticket
    assert (await escalate(desk, "operator")).approved
    assert (await desk.get(offered.handoff.handoff_id)).state == pb.HANDOFF_STATE_EXPIRED
    with pytest.raises(errors.WrongHandoffState):
        await desk.call("buyer", "AcceptHandoff", pb.AcceptHandoffRequest(ticket=ticket))
    assert (await desk.owner()).owner == "human"


async def test_reply_that_is_not_out_yet_stays_in_when_a_person_takes_over(desk: Desk) -> None:
    await desk.put_message("what is it worth?")
    claim = await desk.claim_turn()
    assert claim is not None
    await desk.admin.fetchval(
        "select complete_turn('lead', $1, $2, $3, $4, 'REPLIED', 'A lot!', '[]', '{}')",
        TENANT, CONTACT, claim["epoch"], claim["turn_no"],
    )  # fmt: skip
    await escalate(desk, "operator")
    assert await desk.admin.fetchval("select state from outbox where kind = 'REPLY'") == "SUPPRESSED"


async def test_bot_escalates_in_its_turn_and_what_it_learned_is_kept(desk: Desk) -> None:
    message_id = await desk.put_message("I want my lawyer, the place is in 98103")
    claim = await desk.claim_turn()
    assert claim is not None
    facts = [bot_pb.Fact(name="area", text_value="98103", words="98103", message_id=message_id, extractor="rules")]
    response = await escalate(desk, turn_no=claim["turn_no"], expected_epoch=claim["epoch"], facts=facts)
    assert response.approved
    turn = await desk.admin.fetchrow("select state, handoff_id from turn")
    assert tuple(turn) == ("HANDED_OFF", response.handoff.handoff_id)
    assert await desk.admin.fetchval("select value from fact") == '"98103"'
    with pytest.raises(errors.StaleTurn):
        await escalate(desk, turn_no=claim["turn_no"], request_id="e_2")


async def test_a_used_up_quota_keeps_nobody_from_a_person(desk: Desk) -> None:
    for route, wait in (("lead>buyer", 10), ("buyer>seller", 21), ("seller>lead", 10)):
        await desk.settled(await desk.request(route))
        await desk.pass_time(minutes=wait)
    assert not (await desk.request("lead>buyer")).approved
    assert (await escalate(desk)).approved


async def test_escalation_and_return_with_the_same_request_id_happen_once(desk: Desk) -> None:
    first, again = await escalate(desk), await escalate(desk)
    assert (again.replayed, again.handoff.handoff_id) == (True, first.handoff.handoff_id)
    with pytest.raises(errors.RequestIdReused):
        await escalate(desk, summary="Something else.")
    back, twice = await give_back(desk), await give_back(desk)
    assert (twice.replayed, twice.handoff.handoff_id) == (True, back.handoff.handoff_id)
    assert (await desk.owner()).epoch == 3


async def test_contact_that_people_have_is_not_escalated_again(desk: Desk) -> None:
    await escalate(desk)
    response = await escalate(desk, "gateway", request_id="e_2")
    assert not response.approved
    assert response.handoff.block_reason == "ownership: A person of the brokerage has this contact."


async def test_return_is_refused_when_no_person_has_the_contact(desk: Desk) -> None:
    response = await give_back(desk)
    assert not response.approved
    assert response.handoff.blocking_rule == pb.RULE_OWNERSHIP


async def test_only_the_desk_gives_back_and_only_to_a_bot_that_is_known(desk: Desk) -> None:
    await escalate(desk)
    with pytest.raises(errors.MethodNotAllowed):
        await give_back(desk, caller="lead")
    response = await give_back(desk, "mortgage")
    assert response.handoff.blocking_rule == pb.RULE_ROUTE
    assert (await desk.owner()).owner == "human"


async def test_what_nobody_answered_is_the_bots_next_turn_and_the_return_says_who_and_what(desk: Desk) -> None:
    first = await desk.put_message("you are all thieves")
    await escalate(desk)
    second = await desk.put_message("hello?")
    response = await give_back(desk)
    assert response.approved
    handoff = response.handoff
    assert (handoff.kind, handoff.source_bot, handoff.target_bot) == (pb.HANDOFF_KIND_RETURN, "human", "seller")
    assert (handoff.person, handoff.summary, handoff.actor) == ("Ben", "Sorted out on the phone.", "operator")
    claim = await desk.claim_turn()
    assert claim is not None
    assert (claim["bot"], claim["epoch"]) == ("seller", 3)
    assert [message["message_id"] for message in claim["messages"]] == [first, second]


async def reads(desk: Desk, kind: str, *, late: bool) -> None:
    """Bring a message from the CRM of which no webhook told, written a minute ago."""
    await desk.admin.execute(
        "select accept_event(jsonb_build_object('tenant_id', $1::text, 'contact_id', $2::text, 'source', 'ghl-reconcile',"
        " 'event_id', $3::text, 'crm_message_id', $3::text, 'kind', $3::text, 'channel', 'SMS', 'text', $3::text,"
        " 'write_time', porchlight_now() - interval '1 minute', 'late', $4::boolean, 'first_owner', 'lead',"
        " 'debounce_seconds', 0, 'debounce_longest_seconds', 0))",
        TENANT,
        CONTACT,
        kind,
        late,
    )


async def test_text_that_was_found_too_late_stays_with_people_when_they_give_the_contact_back(desk: Desk) -> None:
    await escalate(desk)
    await reads(desk, "MESSAGE_IN", late=True)
    await give_back(desk)
    assert await desk.claim_turn() is None


async def test_word_of_a_person_from_before_they_gave_the_contact_back_takes_it_no_second_time(desk: Desk) -> None:
    await escalate(desk)
    await give_back(desk)
    await reads(desk, "HUMAN_MESSAGE", late=False)
    assert (await desk.owner()).owner == "seller"


async def test_people_see_whom_they_have_and_who_waits_too_long(desk: Desk) -> None:
    await escalate(desk)
    await desk.put_contact("c_82")
    await desk.admin.execute("select take_over($1, 'c_82', 'CRM_USER')", TENANT)
    await desk.pass_time(minutes=15)

    async def listed(**other: Any) -> Any:
        request = pb.ListHandoffsRequest(tenant_id=TENANT, with_person=True, **other)
        return await desk.call("operator", "ListHandoffs", request)

    page = await listed(page_size=1)
    page.handoffs.extend((await listed(page_size=1, page_token=page.next_page_token)).handoffs)
    seen = [(each.contact_id, each.overdue, each.reason, each.actor) for each in page.handoffs]
    assert seen == [
        ("c_82", False, pb.ESCALATION_REASON_CRM_USER, "human"),
        (CONTACT, True, pb.ESCALATION_REASON_COMPLAINT, "lead"),
    ]
    with pytest.raises(errors.InvalidField):
        await listed(contact_id=CONTACT)


async def test_field_of_an_escalation_over_its_limit_is_named(desk: Desk) -> None:
    cases: tuple[tuple[str, Any], ...] = (
        ("reason", pb.ESCALATION_REASON_UNSPECIFIED),
        ("reason", pb.ESCALATION_REASON_CRM_USER),
        ("reason", 99),
        ("summary", ""),
        ("summary", "s" * 2001),
        ("turn_no", -1),
        ("expected_epoch", -1),
        ("request_id", ""),
    )
    for field, value in cases:
        with pytest.raises(errors.InvalidField) as refused:
            await escalate(desk, **{field: value})
        assert refused.value.metadata["field"] == field


async def test_field_of_a_return_over_its_limit_is_named(desk: Desk) -> None:
    for field, name in (("person", "person"), ("summary", "summary"), ("target", "target_bot")):
        with pytest.raises(errors.InvalidField) as refused:
            await give_back(desk, **{field: ""})
        assert refused.value.metadata["field"] == name
