"""BuyerService over a real socket and a real Postgres, and the buyer bot that looks up before it speaks."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from porchlight.bot.v1 import bot_service_pb2 as bot_pb
from porchlight.buyer.v1 import buyer_service_pb2 as pb
from porchlight.buyer.v1 import buyer_service_pb2_grpc as pb_grpc

from kit import errors
from kit.rpc.client import call, open_channel
from migrations.load_listings import SAMPLE_AS_OF, SAMPLE_FILE, Origin, load_listings
from services.buyer.server import speciality
from services.buyer.settings import BuyerSettings
from tests.service.test_bot import TENANT, TOKENS, Desk, a_desk
from tests.support.stores import Database
from tests.support.system import ROOT

BALLARD = pb.Wishes(price_max_usd_cents=750_000_00, bedrooms_min=3, area="Ballard")


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as made:
        yield made


@pytest.fixture
async def desk(database: Database, tmp_path: Path, stack: AsyncExitStack) -> Desk:
    origin = Origin(tenant_id=TENANT, source="sample", as_of=SAMPLE_AS_OF, sample=True)
    await load_listings(database.admin_url, ROOT / SAMPLE_FILE, origin)
    return await a_desk(
        database, tmp_path, stack, bot="buyer", speciality=speciality, settings_type=BuyerSettings, use_model=False
    )


async def stub(desk: Desk, caller: str = "operator") -> Any:
    return pb_grpc.BuyerServiceStub(
        await desk.stack.enter_async_context(open_channel(desk.address, token=TOKENS[caller], service="buyer"))
    )


async def matched(desk: Desk, wishes: pb.Wishes, **rest: Any) -> Any:
    request = pb.MatchListingsRequest(tenant_id=TENANT, wishes=wishes, **rest)
    return await call((await stub(desk)).MatchListings, request, seconds=5)


async def test_matches_come_ranked_with_reasons_and_say_that_they_are_a_sample(desk: Desk) -> None:
    response = await matched(desk, BALLARD)
    assert [each.listing.listing_id for each in response.proposals] == ["KC-98117-4", "KC-98117-3", "KC-98107-4"]
    assert response.total_count == 6
    first = response.proposals[0]
    assert list(first.reasons) == ["$585,000 is within your maximum", "the bedrooms you asked for", "in ZIP 98117"]
    assert (first.listing.sample, first.listing.as_of_date) == (True, "2015-05-28")
    assert (first.listing.bathrooms, first.listing.view) == (1.5, 0)
    assert not first.listing.HasField("year_renovated")
    assert first.listing.home_type == pb.HOME_TYPE_UNSPECIFIED


async def test_pages_hold_every_match_once(desk: Desk) -> None:
    seen, token = [], ""
    while True:
        response = await matched(desk, BALLARD, page_size=4, page_token=token)
        seen += [each.listing.listing_id for each in response.proposals]
        token = response.next_page_token
        if not token:
            break
    assert len(seen) == len(set(seen)) == 6


async def test_when_nothing_fits_it_says_what_would_and_that_is_true(desk: Desk) -> None:
    wishes = pb.Wishes(price_max_usd_cents=900_000_00, bedrooms_min=2, zips=["98039"])
    response = await matched(desk, wishes)
    assert (list(response.proposals), response.total_count) == ([], 0)
    first = response.relaxations[0]
    assert (first.wish, first.words) == (
        pb.HARD_WISH_PRICE_MAX,
        "up to $938,000 ($38,000 more) there would be 1 listing",
    )
    for relaxation in response.relaxations:
        assert (await matched(desk, relaxation.wishes)).total_count == relaxation.opens_count


@pytest.mark.parametrize(
    ("request_fields", "field"),
    [
        ({"tenant_id": ""}, "tenant_id"),
        ({"wishes": pb.Wishes(price_max_usd_cents=-1)}, "wishes.price_max_usd_cents"),
        ({"wishes": pb.Wishes(bedrooms_min=31)}, "wishes.bedrooms_min"),
        ({"wishes": pb.Wishes(zips=["98107", "Ballard"])}, "wishes.zips[1]"),
        ({"wishes": pb.Wishes(zips=["98107"] * 51)}, "wishes.zips"),
        ({"wishes": pb.Wishes(area="Atlantis")}, "wishes.area"),
        ({"wishes": pb.Wishes(bathrooms_min=float("nan"))}, "wishes.bathrooms_min"),
        ({"wishes": pb.Wishes(home_type=9)}, "wishes.home_type"),  # type: ignore[arg-type]
        ({"page_size": -1}, "page_size"),
        ({"page_token": "x"}, "page_token"),
    ],
)
async def test_bad_field_is_named(desk: Desk, request_fields: dict[str, Any], field: str) -> None:
    request = pb.MatchListingsRequest(**({"tenant_id": TENANT} | request_fields))
    with pytest.raises(errors.InvalidField) as refused:
        await call((await stub(desk)).MatchListings, request, seconds=5)
    assert refused.value.metadata["field"] == field


async def test_bots_may_not_ask(desk: Desk) -> None:
    with pytest.raises(errors.MethodNotAllowed):
        await call((await stub(desk, "lead")).MatchListings, pb.MatchListingsRequest(tenant_id=TENANT), seconds=5)


def a_fact(name: str, **value: Any) -> bot_pb.Fact:
    return bot_pb.Fact(name=name, extractor="rules", confidence=1.0, words=f"words of {name}", **value)


async def test_readiness_has_points_words_and_an_estimate_that_says_what_it_is(desk: Desk) -> None:
    facts = [
        a_fact("financing", text_value="not_yet"),
        a_fact("timeline", text_value="1_to_3_months"),
        a_fact("price_max_usd", integer_value=500_000),
    ]
    request = pb.AssessReadinessRequest(facts=facts)
    response = await call((await stub(desk)).AssessReadiness, request, seconds=5)
    assert (response.points, response.band) == (65, pb.READINESS_BAND_WARM)
    assert [(each.name, each.points, each.most_points, each.words) for each in response.factors] == [
        ("financing", 10, 40, "words of financing"),
        ("timeline", 30, 35, "words of timeline"),
        ("price_max_usd", 25, 25, "words of price_max_usd"),
    ]
    payment = response.payment
    assert payment.principal_and_interest_usd_cents == 1_879_80
    assert payment.total_usd_cents == 1_879_80 + 416_67 + 100_00
    assert payment.words.startswith("An estimate, not an offer of credit. 30 years at 3.87 % (Freddie Mac PMMS")
    assert payment.rate_date == "2015-05-28"


async def test_without_a_price_there_is_no_estimate(desk: Desk) -> None:
    response = await call((await stub(desk)).AssessReadiness, pb.AssessReadinessRequest(), seconds=5)
    assert not response.HasField("payment")
    assert response.band == pb.READINESS_BAND_EARLY


# --- the conversation


async def test_bot_shows_matches_remembers_them_and_answers_from_the_record(desk: Desk) -> None:
    reply = await desk.answered("I want to buy a 3 bed home in Ballard under 750k")
    assert "Sample data as of May 2015." in reply
    assert "1) KC-98117-4, ZIP 98117: $585,000" in reply
    shown = (await desk.record())["memory"]["shown"]
    assert shown[:2] == ["KC-98117-4", "KC-98117-3"]
    reply = await desk.answered("does the second one have a garage?")
    assert "KC-98117-3: the record does not say." in reply
    assert "written buyer agreement" in await desk.answered("can I see it?")
    assert (await desk.record())["memory"]["tour"] == "KC-98117-3"


async def test_bot_whose_listings_cannot_be_read_asks_on(desk: Desk) -> None:
    await desk.admin.execute("alter function porchlight.search_listings(text, jsonb, text, int) rename to gone")
    await desk.admin.execute(
        "create function porchlight.search_listings(text, jsonb, text, int) returns jsonb language plpgsql as"
        " $$ begin raise exception using errcode = '53300'; end $$"
    )
    reply = await desk.answered("I want to buy a 3 bed home in Ballard under 750k")
    assert "How soon would you like to buy?" in reply
    assert "KC-" not in reply
