"""What listings promise: in memory and in Postgres; and what the loader of files promises."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

import asyncpg
import pytest

from kit.column_map import BadColumnMap
from kit.pg.pool import Pool, open_pool
from migrations.load_listings import FIELDS, Origin, load_listings, load_sample_listings
from sandbox.cli import main
from services.buyer.listings import Listings, MemoryListings, find
from services.buyer.listings_pg import PgListings
from services.buyer.values import HomeType, Listing, Order, Wishes
from tests.support.listings import a_listing, sample_listings
from tests.support.stores import Database
from tests.support.system import ROOT

TENANT = "loc_1"
HOMES = (
    a_listing("A", price_usd_cents=500_000_00, bedrooms=2, list_date=date(2015, 5, 3)),
    a_listing("B", price_usd_cents=700_000_00, bedrooms=4, list_date=date(2015, 5, 1), home_type=HomeType.CONDO),
    a_listing("C", price_usd_cents=600_000_50, bedrooms=3, list_date=date(2015, 5, 3), zip="98103"),
    a_listing(
        "D",
        price_usd_cents=600_000_00,
        bathrooms=2.25,
        area_sqft=1_460,
        lot_sqft=5_000,
        floors=1.5,
        basement_sqft=0,
        year_built=1916,
        year_renovated=1991,
        waterfront=False,
        view=3,
        condition=4,
        neighborhood="Ballard",
    ),
)


@dataclass(kw_only=True)
class House:
    """An implementation, filled."""

    listings: Listings

    async def ids(self, wishes: Wishes, *, order: Order = Order.NEWEST, limit: int = 10) -> list[str]:
        page = await self.listings.search(TENANT, wishes, order=order, limit=limit)
        return [each.listing_id for each in page.listings]


@pytest.fixture
async def pool(database: Database) -> AsyncIterator[Pool]:
    """As the buyer bot logs in."""
    pool = await open_pool(database.url("buyer"), name="test")
    yield pool
    await pool.close()


def written(path: Path, homes: tuple[Listing, ...]) -> Path:
    """Write listings as a file that the loader reads."""
    names = [field.name for field in FIELDS]
    lines = [",".join(names)]
    for home in homes:
        values = {name: getattr(home, name, None) for name in names}
        values["price_usd"] = f"{home.price_usd_cents / 100:.2f}"
        lines.append(",".join("" if values[name] is None else str(values[name]) for name in names))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def an_origin(**changes: object) -> Origin:
    made: dict[str, object] = {"tenant_id": TENANT, "source": "sample", "as_of": date(2015, 5, 28), "sample": True}
    return Origin(**(made | changes))  # type: ignore[arg-type]


@pytest.fixture
def memory_house() -> House:
    return House(listings=MemoryListings({TENANT: HOMES, "loc_2": (a_listing("Z"),)}))


@pytest.fixture
async def postgres_house(database: Database, pool: Pool, tmp_path: Path) -> House:
    await load_listings(database.admin_url, written(tmp_path / "1.csv", HOMES), an_origin())
    other = written(tmp_path / "2.csv", (a_listing("Z"),))
    await load_listings(database.admin_url, other, an_origin(tenant_id="loc_2"))
    return House(listings=PgListings(pool))


@pytest.fixture(params=["memory", "postgres"])
def house(request: pytest.FixtureRequest) -> House:
    found: House = request.getfixturevalue(f"{request.param}_house")
    return found


@pytest.mark.parametrize(
    ("wishes", "ids"),
    [
        (Wishes(), ["A", "C", "B", "D"]),
        (Wishes(price_max_usd_cents=600_000_00), ["A", "D"]),
        (Wishes(bedrooms_min=3), ["C", "B", "D"]),
        (Wishes(zips=("98103", "98199")), ["C"]),
        (Wishes(home_type=HomeType.CONDO), ["B"]),
        (Wishes(home_type=HomeType.HOUSE), []),
        (Wishes(price_max_usd_cents=700_000_00, bedrooms_min=3, zips=("98107",)), ["B", "D"]),
        (Wishes(view=True, bathrooms_min=2.0), ["A", "C", "B", "D"]),
    ],
)
async def test_search_keeps_hard_wishes_newest_first(house: House, wishes: Wishes, ids: list[str]):
    assert await house.ids(wishes) == ids
    assert (await house.listings.search(TENANT, wishes, limit=1)).total_count == len(ids)


async def test_search_sorts_as_asked_and_is_bounded(house: House):
    assert await house.ids(Wishes(), order=Order.CHEAPEST) == ["A", "D", "C", "B"]
    assert await house.ids(Wishes(), order=Order.MOST_BEDROOMS, limit=2) == ["B", "C"]


async def test_record_is_told_as_it_was_given(house: House):
    assert await house.listings.get(TENANT, ["D", "B"]) == (HOMES[3], HOMES[1])


async def test_listings_are_told_in_the_order_of_their_ids_and_those_that_are_gone_are_left_out(house: House):
    assert [each.listing_id for each in await house.listings.get(TENANT, ["C", "gone", "A"])] == ["C", "A"]


async def test_another_location_sees_its_own_listings_only(house: House):
    assert [each.listing_id for each in await house.listings.get(TENANT, ["Z"])] == []
    assert (await house.listings.search("loc_2", Wishes(), limit=9)).total_count == 1
    assert (await house.listings.search("loc_3", Wishes(), limit=9)).total_count == 0


async def test_both_find_the_same_in_the_sample(database: Database, pool: Pool):
    await load_sample_listings(database.admin_url, ROOT)
    memory = MemoryListings({"loc_sandbox": sample_listings()})
    for wishes in (
        Wishes(price_max_usd_cents=750_000_00, bedrooms_min=3, zips=("98107", "98117")),
        Wishes(price_max_usd_cents=300_000_00, bedrooms_min=2, zips=("98039",)),
        Wishes(bedrooms_min=4, view=True, waterfront=True),
        Wishes(home_type=HomeType.CONDO, zips=("98103",)),
    ):
        assert await find(PgListings(pool), "loc_sandbox", wishes) == await find(memory, "loc_sandbox", wishes)


@pytest.mark.parametrize(
    "sql",
    [
        "select * from listing",
        "select * from listing_source",
        "select begin_listings('loc_1', 'x', '2015-05-28', false)",
        "select add_listings('loc_1', 'x', '[]')",
    ],
)
async def test_bot_role_may_only_read_through_its_functions(pool: Pool, sql: str):
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await pool.fetch(sql)


async def test_other_roles_may_not_search(database: Database):
    for service in ("gateway", "handoff", "cache"):
        pool = await open_pool(database.url(service), name="test")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await pool.fetch("select search_listings('loc_1', '{}', 'newest', 1)")
        await pool.close()


# --- the loader


async def test_loading_again_replaces_that_source_only(database: Database, pool: Pool, tmp_path: Path):
    other = written(tmp_path / "o.csv", (a_listing("O"),))
    await load_listings(database.admin_url, other, an_origin(source="mls"))
    for homes in (HOMES, HOMES[:2]):
        await load_listings(database.admin_url, written(tmp_path / "1.csv", homes), an_origin())
    assert sorted(await House(listings=PgListings(pool)).ids(Wishes())) == ["A", "B", "O"]


async def test_id_of_another_source_is_skipped_with_the_reason(database: Database, pool: Pool, tmp_path: Path):
    file = written(tmp_path / "1.csv", (a_listing("A"), a_listing("B"), a_listing("B")))
    await load_listings(database.admin_url, written(tmp_path / "o.csv", HOMES[:1]), an_origin(source="mls"))
    loaded = await load_listings(database.admin_url, file, an_origin())
    assert (loaded.loaded_count, loaded.skipped_count) == (1, 2)
    assert {row.reason for row in loaded.skipped} == {
        "listing_id 'A': another source has it",
        "listing_id 'B': stands in the file before",
    }
    assert [each.source for each in await PgListings(pool).get(TENANT, ["A", "B"])] == ["mls", "sample"]


async def test_file_that_does_not_fit_changes_nothing(database: Database, pool: Pool, tmp_path: Path):
    await load_listings(database.admin_url, written(tmp_path / "1.csv", HOMES), an_origin())
    (tmp_path / "bad.csv").write_text("a,b\n1,2\n")
    (tmp_path / "cut.csv").write_bytes((tmp_path / "1.csv").read_bytes() + b"\xff\xfe\n")
    with pytest.raises(BadColumnMap, match="the file has no column listing_id"):
        await load_listings(database.admin_url, tmp_path / "bad.csv", an_origin())
    with pytest.raises(UnicodeDecodeError):
        await load_listings(database.admin_url, tmp_path / "cut.csv", an_origin())
    assert len(await House(listings=PgListings(pool)).ids(Wishes())) == len(HOMES)


async def test_progress_ends_at_the_last_line(database: Database, tmp_path: Path):
    seen: list[tuple[int, int]] = []
    file = written(tmp_path / "1.csv", tuple(replace(HOMES[0], listing_id=f"L-{number}") for number in range(1_201)))
    loaded = await load_listings(
        database.admin_url, file, an_origin(), progress=lambda done, whole: seen.append((done, whole))
    )
    assert loaded.loaded_count == 1_201
    assert seen == [(501, 1_202), (1_001, 1_202), (1_202, 1_202), (1_202, 1_202)]


async def test_command_loads_a_file_with_other_columns_and_lists_what_it_skips(
    database: Database, pool: Pool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    file = tmp_path / "mls.csv"
    file.write_text('MLS,Zip,Ask,Beds,On\nM1,98107-1234,"$700,000",3,2026-11-01\nM2,Ballard,1,3,2026-11-01\n')
    monkeypatch.setenv("PORCHLIGHT_DATABASE_URL", database.admin_url)
    command = ["load", "listings", str(file), "--source", "mls", "--tenant", TENANT, "--as-of", "2026-11-22"]
    columns = ["--map", "MLS=listing_id,Zip=zip,Ask=price_usd,Beds=bedrooms,On=list_date"]
    assert await asyncio.to_thread(main, [*command, *columns]) == 0
    printed = capsys.readouterr()
    assert printed.out == "1 listings loaded, 1 skipped\n"
    assert printed.err == "line 3 skipped: zip 'Ballard': is no ZIP code of five digits\n"
    (home,) = await PgListings(pool).get(TENANT, ["M1"])
    assert (home.zip, home.price_usd_cents, home.sample, home.as_of) == ("98107", 700_000_00, False, date(2026, 11, 22))


async def test_command_refuses_a_map_that_does_not_fit_in_one_line(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    (tmp_path / "mls.csv").write_text("a,b\n")
    monkeypatch.setenv("PORCHLIGHT_DATABASE_URL", database.admin_url)
    command = ["load", "listings", str(tmp_path / "mls.csv"), "--source", "mls"]
    assert await asyncio.to_thread(main, command) == 1
    assert capsys.readouterr().err.startswith(
        "porchlight: the file has no column listing_id for listing_id; it has a, b"
    )
