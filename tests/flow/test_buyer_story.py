"""The buyer's story through real processes, with the listings that `up` loads."""

import re

import pytest
from porchlight.buyer.v1 import buyer_service_pb2 as pb
from porchlight.buyer.v1.buyer_service_pb2_grpc import BuyerServiceStub

from kit.rpc.client import call
from tests.flow.test_stories import events, replies
from tests.support.system import TENANT, System

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_buyer_tells_needs_one_by_one_sees_three_real_homes_asks_about_one_and_wants_to_see_it(
    told: System,
) -> None:
    """Goal: the issue's story. Method: text it; compare what is said with what MatchListings answers."""
    system = told
    contact = await system.contact("Max", "(206) 555-0130")
    said = ["Looking to buy a house in Ballard", "up to 750k", "3 bedrooms"]
    for number, text in enumerate(said, 1):
        await system.text(contact, text)
        *asked, matches = await replies(system, contact, number)
    assert "spend" in asked[0]
    assert "bedrooms" in asked[1]

    homes = await matching(system)
    ids = re.findall(r"KC-\d{5}-\d+", matches)
    assert ids == [each.listing_id for each in homes]
    assert len(ids) == 3
    assert "Sample data as of May 2015." in matches
    assert "fit your price, bedrooms" in matches
    for home in homes:
        assert f"{home.listing_id}, " in matches
        assert f"${home.price_usd_cents // 100:,}, {home.bedrooms} bd" in matches

    await system.text(contact, "when was the second one built, and does it have a garage?")
    *_, answer = await replies(system, contact, 4)
    assert f"{homes[1].listing_id}: " in answer
    assert f"built in {homes[1].year_built}" in answer
    assert "the record does not say" in answer

    await system.text(contact, "I'd like to see it")
    *_, tour = await replies(system, contact, 5)
    assert f"you would like to see {homes[1].listing_id}" in tour
    assert "written buyer agreement" in tour
    assert "I have booked nothing." in tour

    timeline = await system.timeline(contact)
    assert timeline.owner == "buyer"
    assert [moved.target_bot for moved in events(timeline, "handoff")] == ["buyer"]
    facts = {fact.name: fact.text_value or fact.integer_value for fact in timeline.facts}
    needs = {"intent": "buy", "area": "Ballard", "price_max_usd": 750_000, "bedrooms_min": 3}
    assert needs.items() <= facts.items()


async def matching(system: System) -> list[pb.Listing]:
    """What fits, best first, as the service says it."""
    wishes = pb.Wishes(price_max_usd_cents=750_000_00, bedrooms_min=3, area="Ballard")
    async with system.channel("buyer") as channel:
        request = pb.MatchListingsRequest(tenant_id=TENANT, wishes=wishes)
        answer: pb.MatchListingsResponse = await call(BuyerServiceStub(channel).MatchListings, request, seconds=5)
    return [each.listing for each in answer.proposals]
