"""`porchlight load`: files into a real Postgres."""

from datetime import date
from pathlib import Path

import pytest

from kit.pg.pool import open_pool
from sandbox.cli import main
from sandbox.load import load_file, load_sample
from services.seller.sales_pg import PgSalesStore
from tests.support.stores import Database, run_now

MAP = "Parcel=home_id,Sold=sale_date,Paid=price_usd,Y=latitude,X=longitude,GLA=area_sqft,Zip=zip_code"
ROWS = """Parcel,Sold,Paid,Y,X,GLA,Zip
1,2026-01-05,450000,39.74,-104.99,1850,80202
2,2026-01-06,"$512,500",39.75,-104.98,2100,80202-1234
3,soon,500000,39.75,-104.98,2100,80202
4,2026-01-07,1,39.75,-104.98,2100,80202
5,2026-01-08,500000,39.75,-104.98,2100,8020
1,2026-01-05,450000,39.74,-104.99,1850,80202
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "sales.csv"
    path.write_text(ROWS, encoding="utf-8")
    return path


async def test_bad_rows_are_counted_with_reasons_and_the_rest_is_loaded(file: Path, database: Database):
    said: list[str] = []
    loaded = await load_file(database.admin_url, file, source="denver", title="Denver", mapping=MAP, say=said.append)
    assert (loaded.rows, loaded.sales_count, loaded.valuation_date) == (2, 2, date(2026, 1, 7))
    assert said == [
        "skipped 1: sale_date is no date (line 4)\n",
        "skipped 1: price_usd is not within 10,000 to 1,000,000,000 (line 5)\n",
        "skipped 1: zip_code is no ZIP code of five digits (line 6)\n",
        "skipped 1: the same sale again (line 7)\n",
        "2 sales loaded, 4 rows skipped; denver holds 2, as of 2026-01-07\n",
    ]


def test_command_loads_and_says_so(file: Path, database: Database, monkeypatch, capsys):
    monkeypatch.setenv("PORCHLIGHT_DATABASE_URL", database.admin_url)
    assert main(["load", "sales", str(file), "--source", "denver", "--map", MAP]) == 0
    assert "2 sales loaded, 4 rows skipped; denver holds 2" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"--map": MAP.replace("Paid", "Price")}, "the file has no column Price"),
        ({"--map": "Paid=price"}, "there is no field price"),
        ({"--source": "no spaces"}, "--source must be"),
        ({"--title": "x" * 121}, "--title must be"),
    ],
)
def test_command_that_cannot_be_followed_is_refused(change, complaint, file, database: Database, monkeypatch, capsys):
    monkeypatch.setenv("PORCHLIGHT_DATABASE_URL", database.admin_url)
    given = {"--source": "denver", "--map": MAP} | change
    assert main(["load", "sales", str(file), *(word for pair in given.items() for word in pair)]) == 1
    assert complaint in capsys.readouterr().err


def test_file_without_a_sale_leaves_the_source_as_it_was(file: Path, database: Database, monkeypatch, capsys):
    monkeypatch.setenv("PORCHLIGHT_DATABASE_URL", database.admin_url)
    command = ["load", "sales", str(file), "--source", "denver", "--map", MAP]
    assert main(command) == 0
    file.write_text(ROWS.splitlines()[0] + "\n,,,,,,\n")
    assert main(command) == 1
    assert "no row of the file is a sale" in capsys.readouterr().err
    assert run_now(_count(database)) == 2


async def _count(database: Database) -> int:
    pool = await open_pool(database.url("seller"), name="seller")
    try:
        return len(await PgSalesStore(pool).read("denver"))
    finally:
        await pool.close()


async def test_sample_is_king_county_as_of_may_2015(database: Database):
    loaded = await load_sample(database.admin_url)
    assert (loaded.sales_count, loaded.valuation_date) == (21_612, date(2015, 5, 28))
