"""What the arbiter refuses at its edge, and how it lists: limits, ids, page tokens."""

import math
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from porchlight.bot.v1 import bot_service_pb2 as bot_pb
from porchlight.handoff.v1 import handoff_service_pb2 as pb

from kit import errors
from tests.support.arbiter import CONTACT, TENANT, Desk, a_proposal, fresh_desk
from tests.support.stores import Database


@pytest.fixture
async def desk(database: Database, tmp_path: Path) -> AsyncIterator[Desk]:
    """An arbiter with three accepting bots, and one contact that lead owns."""
    async with fresh_desk(database, tmp_path) as made:
        yield made


@pytest.mark.parametrize("confidence", [math.nan, math.inf, 1.01, -0.01])
async def test_confidence_that_is_no_share_is_refused_and_field_and_limit_are_named(
    desk: Desk, confidence: float
) -> None:
    with pytest.raises(errors.InvalidField) as refused:
        await desk.request("lead>buyer", confidence)
    assert refused.value.metadata == {"field": "proposal.confidence", "limit": "0 to 1"}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("contact_id", ""),
        ("contact_id", "c" * 65),
        ("summary", ""),
        ("summary", "s" * 2001),
        ("summary", "nul\x00"),
        ("open_question", "q" * 501),
        ("turn_no", -1),
        ("expected_epoch", -1),
        ("facts", [bot_pb.Fact(name="area", text_value="98103", extractor="rules")] * 65),
    ],
)
async def test_field_over_its_limit_is_named(desk: Desk, field: str, value: Any) -> None:
    with pytest.raises(errors.InvalidField) as refused:
        await desk.evaluate("lead>buyer", **{field: value})
    assert refused.value.metadata["field"] == f"proposal.{field}"


async def test_request_without_an_id_is_refused(desk: Desk) -> None:
    with pytest.raises(errors.InvalidField) as refused:
        await desk.call("lead", "RequestHandoff", pb.RequestHandoffRequest(proposal=a_proposal("lead>buyer")))
    assert refused.value.metadata["field"] == "request_id"


async def test_fact_without_a_value_is_named(desk: Desk) -> None:
    with pytest.raises(errors.InvalidField) as refused:
        await desk.evaluate("lead>buyer", facts=[bot_pb.Fact(name="area", extractor="rules")])
    assert refused.value.metadata["field"].startswith("proposal.facts[0]")


async def test_contact_that_nobody_heard_of_is_not_found(desk: Desk) -> None:
    with pytest.raises(errors.ContactNotFound):
        await desk.request("lead>buyer", contact_id="c_0")
    with pytest.raises(errors.ContactNotFound):
        await desk.owner("c_0")
    with pytest.raises(errors.HandoffNotFound):
        await desk.get("h_0")


async def test_list_shows_every_decision_once_newest_first(desk: Desk) -> None:
    made = [(await desk.request("lead>buyer", 0.1)).handoff.handoff_id for _ in range(5)]
    seen: list[str] = []
    token = ""
    while True:
        page = await desk.call(
            "gateway",
            "ListHandoffs",
            pb.ListHandoffsRequest(tenant_id=TENANT, contact_id=CONTACT, page_size=2, page_token=token),
        )
        assert len(page.handoffs) <= 2
        seen += [handoff.handoff_id for handoff in page.handoffs]
        token = page.next_page_token
        if not token:
            break
    assert seen == made[::-1]


@pytest.mark.parametrize("token", ["x", "bm90IGpzb24=", "WzEsMl0=", "WyIyMDI2LTExLTIzVDEyOjAwOjAwIiwiaF8xIl0=", "é"])
async def test_page_token_that_nobody_gave_is_refused(desk: Desk, token: str) -> None:
    with pytest.raises(errors.InvalidField) as refused:
        await desk.call(
            "operator",
            "ListHandoffs",
            pb.ListHandoffsRequest(tenant_id=TENANT, contact_id=CONTACT, page_token=token),
        )
    assert refused.value.metadata["field"] == "page_token"
