"""Where sales are kept: the same promises in memory and in Postgres."""

import csv
import io
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import date, timedelta

import asyncpg
import pytest

from kit.homes import Sale
from kit.pg.pool import open_pool
from migrations.sales_csv import FIELDS, Skipped
from migrations.sales_pg import load_sales
from sandbox.load import load_sample
from services.seller.sales import MemorySalesStore, SalesSource, SalesStore
from services.seller.sales_pg import PgSalesStore
from tests.support.sales import a_sale, a_town
from tests.support.stores import Database

Filled = Callable[..., Awaitable[SalesStore]]


NAMES = [field.name for field in FIELDS]


def as_csv(sales: Sequence[Sale]) -> list[str]:
    """Write sales as a file whose columns are our own fields."""
    text = io.StringIO()
    rows = csv.DictWriter(text, NAMES)
    rows.writeheader()
    for sale in sales:
        plain = {name: getattr(sale, name) for name in NAMES if hasattr(sale, name)}
        rows.writerow(plain | dict(sale.features))
    return text.getvalue().splitlines(keepends=True)


async def loaded(database: Database, name: str, sales: Sequence[Sale]) -> None:
    columns = {field: field for field in NAMES}
    await load_sales(
        database.admin_url, as_csv(sales), source=name, title=f"Title of {name}", columns=columns, skipped=Skipped()
    )


@pytest.fixture
async def in_postgres(database: Database) -> AsyncIterator[Filled]:
    pool = await open_pool(database.url("seller"), name="seller")

    async def fill(**sources: Sequence[Sale]) -> SalesStore:
        for name, sales in sources.items():
            await loaded(database, name, sales)
        return PgSalesStore(pool, page=100)

    yield fill
    await pool.close()


@pytest.fixture
def in_memory() -> Filled:
    async def fill(**sources: Sequence[Sale]) -> SalesStore:
        return MemorySalesStore(
            {
                SalesSource(
                    name=name,
                    title=f"Title of {name}",
                    valuation_date=max(sale.sale_date for sale in sales) + timedelta(days=1),
                    revision="1",
                    sales_count=len(sales),
                ): sales
                for name, sales in sources.items()
            }
        )

    return fill


@pytest.fixture(params=["memory", "postgres"])
def filled(request) -> Filled:
    return request.getfixturevalue(f"in_{request.param}")


async def test_sales_come_back_as_they_went_in_oldest_first(filled):
    store = await filled(town=a_town(250))
    assert await store.read("town") == sorted(a_town(250), key=lambda sale: (sale.sale_date, sale.sale_id))


async def test_source_speaks_of_the_day_after_its_last_sale(filled):
    store = await filled(town=[a_sale(1, sale_date=date(2026, 2, 28)), a_sale(2, sale_date=date(2025, 1, 1))])
    (source,) = await store.sources()
    assert (source.name, source.title, source.sales_count) == ("town", "Title of town", 2)
    assert source.valuation_date == date(2026, 3, 1)


async def test_source_loaded_last_comes_first(filled):
    store = await filled(old=[a_sale(1)], new=[a_sale(2)])
    assert [source.name for source in await store.sources()] == ["new", "old"]


async def test_sources_do_not_mix(filled):
    store = await filled(one=[a_sale(1)], other=[a_sale(2)])
    assert [sale.sale_id for sale in await store.read("one")] == ["s1"]


async def test_source_that_is_not_there_has_no_sales(filled):
    store = await filled(town=[a_sale(1)])
    assert list(await store.read("nowhere")) == []


async def test_nothing_loaded_means_no_sources(filled):
    assert list(await (await filled()).sources()) == []


async def test_loading_the_same_again_changes_nothing(in_postgres, database):
    store = await in_postgres(town=a_town(120))
    before = await store.sources()
    await loaded(database, "town", a_town(120))
    assert await store.sources() == before


async def test_loading_more_adds_and_mends(in_postgres, database):
    store = await in_postgres(town=[a_sale(1), a_sale(2)])
    (before,) = await store.sources()
    await loaded(database, "town", [a_sale(2, price_usd=123_456), a_sale(3)])
    (after,) = await store.sources()
    assert {sale.sale_id: sale.price_usd for sale in await store.read("town")}["s2"] == 123_456
    assert after.sales_count == 3 and after.revision != before.revision


@pytest.mark.parametrize("service", ["gateway", "handoff", "cache"])
async def test_only_bots_read_sales(service, in_postgres, database):
    await in_postgres(town=[a_sale(1)])
    connection = await asyncpg.connect(database.url(service))
    try:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.fetch("select * from porchlight.read_sales('town', '', 10)")
    finally:
        await connection.close()


@pytest.mark.parametrize(
    "statement",
    ["select * from porchlight.sale", "select porchlight.store_sales('x', 'y', false)", "delete from porchlight.sale"],
)
async def test_bot_reads_through_functions_only(statement, in_postgres, database):
    await in_postgres(town=[a_sale(1)])
    connection = await asyncpg.connect(database.url("seller"))
    try:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(statement)
    finally:
        await connection.close()


async def test_sample_says_that_it_is_one(in_postgres, database):
    store = await in_postgres(town=[a_sale(1)])
    await load_sample(database.admin_url)
    assert {source.name: source.sample for source in await store.sources()} == {"king_county": True, "town": False}
