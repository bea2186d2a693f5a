"""SellerService over a real socket and a real Postgres, in the seller bot's process."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from porchlight.seller.v1 import seller_service_pb2 as pb
from porchlight.seller.v1 import seller_service_pb2_grpc as pb_grpc

from kit import errors, tokens
from kit.bot.runtime import build_bot
from kit.bot.settings import BotSettings
from kit.rpc.client import call, open_channel
from kit.rpc.server import SERVING, bind, make_server
from sandbox.load import load_sample
from services.seller.bot import BOT
from services.seller.server import speciality
from tests.contract.test_sales import loaded
from tests.support.sales import a_town
from tests.support.stores import Cluster, Database, create_database, drop_database, run_now

TOKENS = {name: f"token of {name}" for name in ("operator", "console", "gateway", "seller")}
BALLARD = pb.Home(area="Ballard", area_sqft=1_800, bedrooms=3, bathrooms=2, condition=3)


@dataclass(frozen=True)
class Seller:
    """The running seller bot."""

    address: str
    stack: AsyncExitStack

    async def stub(self, caller: str = "operator") -> Any:
        channel = open_channel(self.address, token=TOKENS[caller], service="seller")
        return pb_grpc.SellerServiceStub(await self.stack.enter_async_context(channel))

    async def value(self, home: pb.Home = BALLARD, **rest: Any) -> pb.EstimateValueResponse:
        request = pb.EstimateValueRequest(tenant_id="loc_sandbox", home=home, **rest)
        response: pb.EstimateValueResponse = await call((await self.stub()).EstimateValue, request, seconds=20)
        return response

    async def net(self, **rest: Any) -> pb.EstimateNetProceedsResponse:
        request = pb.EstimateNetProceedsRequest(tenant_id="loc_sandbox", **rest)
        response: pb.EstimateNetProceedsResponse = await call(
            (await self.stub()).EstimateNetProceeds, request, seconds=5
        )
        return response


async def started(database: Database, folder: Path, stack: AsyncExitStack) -> Seller:
    for name in ("callers.json", "token"):
        (folder / name).touch(mode=0o600)
    tokens.write_callers(folder / "callers.json", {name: tokens.digest(token) for name, token in TOKENS.items()})
    (folder / "token").write_text(TOKENS["seller"])
    settings = BotSettings(
        database_url=database.url("seller"),  # type: ignore[arg-type]
        callers_file=folder / "callers.json",
        token_file=folder / "token",
    )
    served = await build_bot(BOT, settings, stack, speciality)
    rpc = make_server("seller", settings, served.servicers)
    address = bind(rpc.server, settings)
    await rpc.health.set("", SERVING)
    await rpc.server.start()
    stack.push_async_callback(rpc.server.stop, 0)
    return Seller(address=address, stack=stack)


@pytest.fixture(scope="module")
def king_county(postgres: Cluster) -> Iterator[Database]:
    """A database with the sample in it, for the tests that only read."""
    made = run_now(create_database(postgres))
    run_now(load_sample(made.admin_url))
    yield made
    run_now(drop_database(made))


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as made:
        yield made


@pytest.fixture
async def seller(king_county: Database, tmp_path: Path, stack: AsyncExitStack) -> Seller:
    return await started(king_county, tmp_path, stack)


async def test_home_in_ballard_has_an_estimate_whose_parts_add_up(seller: Seller) -> None:
    response = await seller.value()
    found = response.estimate
    assert 500_000_00 < found.low_usd_cents <= found.value_usd_cents <= found.high_usd_cents < 900_000_00
    assert sum(each.share_usd_cents for each in found.comparables) == found.value_usd_cents
    for each in found.comparables:
        parts = sum(part.amount_usd_cents for part in each.adjustments)
        assert each.price_usd_cents + parts == each.adjusted_price_usd_cents
        assert each.sale_date < response.valuation_date and each.zip_code in ("98107", "98117")


async def test_every_answer_carries_its_date_its_source_and_what_it_is_not(seller: Seller) -> None:
    response = await seller.value()
    assert (response.source, response.valuation_date) == ("king_county", "2015-05-28")
    assert response.source_title == "King County public records, sample data"
    assert "not an appraisal" in response.disclaimer
    assert "as of May 2015, King County public records, sample data" in response.estimate.sentences[0]
    assert response.estimate.sentences[-1] == response.disclaimer


async def test_fewer_comparables_can_be_asked_for_without_changing_the_estimate(seller: Seller) -> None:
    few, all_of_them = await seller.value(most_comparables=3), await seller.value()
    assert len(few.estimate.comparables) == 3
    assert few.estimate.value_usd_cents == all_of_them.estimate.value_usd_cents


async def test_a_point_outside_the_county_is_answered_with_too_few_sales(seller: Seller) -> None:
    response = await seller.value(pb.Home(location=pb.Location(latitude=45.5, longitude=-122.6), area_sqft=1_800))
    assert response.WhichOneof("result") == "too_few_sales"
    assert (response.too_few_sales.found_count, response.too_few_sales.needed_count) == (0, 5)
    assert response.valuation_date == "2015-05-28"


async def test_callers_at_once_share_one_market(seller: Seller) -> None:
    answers = await asyncio.gather(*(seller.value() for _ in range(6)))
    assert len({answer.estimate.value_usd_cents for answer in answers}) == 1


@pytest.mark.parametrize(
    ("field", "home"),
    [
        ("home.area", pb.Home(area="Atlantis", area_sqft=1_800)),
        ("home.area", pb.Home(area_sqft=1_800)),
        ("home.area_sqft", pb.Home(area="98107")),
        ("home.area_sqft", pb.Home(area="98107", area_sqft=float("nan"))),
        ("home.bedrooms", pb.Home(area="98107", area_sqft=1_800, bedrooms=33)),
        ("home.location.latitude", pb.Home(location=pb.Location(latitude=91), area_sqft=1_800)),
    ],
)
async def test_home_that_cannot_be_is_refused_by_its_field(seller: Seller, field: str, home: pb.Home) -> None:
    with pytest.raises(errors.InvalidField) as refused:
        await seller.value(home)
    assert refused.value.metadata["field"] == field


async def test_source_that_is_not_loaded_is_not_found(seller: Seller) -> None:
    with pytest.raises(errors.SalesSourceNotFound) as missing:
        await seller.value(source="cook_county")
    assert missing.value.metadata["source"] == "cook_county"


async def test_without_any_sales_there_is_no_estimate(
    database: Database, tmp_path: Path, stack: AsyncExitStack
) -> None:
    seller = await started(database, tmp_path, stack)
    with pytest.raises(errors.SalesSourceNotFound):
        await seller.value()


async def test_sales_loaded_while_it_runs_are_used_at_the_next_call(
    database: Database, tmp_path: Path, stack: AsyncExitStack
) -> None:
    seller = await started(database, tmp_path, stack)
    home = pb.Home(location=pb.Location(latitude=40.0, longitude=-100.0), area_sqft=1_800)
    await loaded(database, "town", a_town(400))
    first = await seller.value(home)
    await loaded(database, "town", a_town(900))
    second = await seller.value(home)
    assert first.estimate.value_usd_cents > 0
    assert first.estimate.value_usd_cents != second.estimate.value_usd_cents


@pytest.mark.parametrize("caller", ["gateway", "seller"])
async def test_only_the_desk_asks(seller: Seller, caller: str) -> None:
    request = pb.EstimateValueRequest(tenant_id="loc_sandbox", home=BALLARD)
    with pytest.raises(errors.MethodNotAllowed):
        await call((await seller.stub(caller)).EstimateValue, request, seconds=5)


async def test_net_proceeds_add_up_and_name_their_sources(seller: Seller) -> None:
    response = await seller.net(
        price_usd_cents=600_000_00,
        mortgage_usd_cents=200_000_00,
        commission_basis_points=500,
        jurisdiction="WA-KING",
    )
    assert response.net_usd_cents == 360_265_00
    assert sum(line.amount_usd_cents for line in response.lines) == response.net_usd_cents
    assert [line.name for line in response.lines if line.source] == ["excise_tax_state", "excise_tax_local"]
    assert response.not_included[0].startswith("Title insurance")
    assert "negotiable and not set by law" in response.disclaimer


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("commission_basis_points", {}),
        ("commission_basis_points", {"commission_basis_points": 2_001}),
        ("price_usd_cents", {"commission_basis_points": 500, "price_usd_cents": 0}),
        ("jurisdiction", {"commission_basis_points": 500, "jurisdiction": "ATLANTIS"}),
    ],
)
async def test_net_sheet_without_what_it_needs_is_refused_by_the_field(
    seller: Seller, field: str, change: dict[str, Any]
) -> None:
    with pytest.raises(errors.InvalidField) as refused:
        await seller.net(**{"price_usd_cents": 600_000_00, "mortgage_usd_cents": 0} | change)
    assert refused.value.metadata["field"] == field
