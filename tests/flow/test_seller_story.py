"""The seller's story through real processes, with the sample that `up` loads."""

import re

import pytest
from porchlight.seller.v1 import seller_service_pb2 as pb
from porchlight.seller.v1.seller_service_pb2_grpc import SellerServiceStub

from kit.rpc.client import call
from tests.flow.test_stories import events, replies
from tests.support.system import TENANT, System

pytestmark = pytest.mark.asyncio(loop_scope="session")
BALLARD = "thinking about selling my place in Ballard and buying something bigger"


async def test_seller_of_a_place_in_ballard_gets_a_range_from_real_sales_and_keeps_the_plan(told: System) -> None:
    """Goal: the issue's story. Method: text it; compare the range with what EstimateValue answers."""
    system = told
    contact = await system.contact("Joy", "(206) 555-0120")
    await system.text(contact, BALLARD)
    (opening,) = await replies(system, contact, 1)
    assert "buy as well" in opening
    assert "square feet" in opening
    assert "ZIP" not in opening

    await system.text(contact, "about 1,800 sq ft")
    _, reply = await replies(system, contact, 2)
    async with system.channel("seller") as channel:
        request = pb.EstimateValueRequest(tenant_id=TENANT, home=pb.Home(area="Ballard", area_sqft=1_800))
        answer: pb.EstimateValueResponse = await call(SellerServiceStub(channel).EstimateValue, request, seconds=20)
    low, high = (thousands(each) for each in (answer.estimate.low_usd_cents, answer.estimate.high_usd_cents))
    assert f"{low} to {high}, as of May 2015" in reply
    assert "sample data" in reply
    assert f"{len(answer.estimate.comparables)} comparable sales" in reply
    assert re.search(r"\((?:high|medium|low) confidence\)", reply)
    assert "not an appraisal" in reply
    assert "condition" in reply

    await system.text(contact, "good condition, 3 bed 2 bath")
    *_, refined = await replies(system, contact, 3)
    assert "With what I know now: " in refined

    timeline = await system.timeline(contact)
    assert timeline.owner == "seller"
    (moved,) = events(timeline, "handoff")
    assert (moved.source_bot, moved.target_bot) == ("lead", "seller")
    facts = {fact.name: fact.text_value or fact.integer_value or fact.boolean_value for fact in timeline.facts}
    expected = {"intent": "both", "address_area": "Ballard", "area_sqft": 1_800, "condition": "good", "bedrooms": 3}
    assert expected.items() <= facts.items()
    assert facts["buying_plan"] is True


async def test_without_a_model_the_rules_read_every_turn(system_without_model: System) -> None:
    system = system_without_model
    contact = await system.contact("Lou", "(206) 555-0122")
    await system.text(contact, "I want to sell my 1,800 sq ft house in Ballard")
    (reply,) = await replies(system, contact, 1)
    assert "comparable sales" in reply
    turns = events(await system.timeline(contact), "turn")
    assert {(turn.extractor, turn.cache_tier) for turn in turns} == {("rules", "NONE")}


async def test_place_without_sales_is_said_plainly(system: System) -> None:
    contact = await system.contact("Kay", "(206) 555-0121")
    await system.text(contact, "I want to sell my 1,500 sq ft house in 90210")
    (reply,) = await replies(system, contact, 1)
    assert "I do not have enough sales there to say what it may sell for" in reply
    assert "$" not in reply


def thousands(usd_cents: int) -> str:
    return f"${(usd_cents // 100 + 500) // 1_000 * 1_000:,}"
