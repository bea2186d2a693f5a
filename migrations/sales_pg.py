"""Brings sales into the database."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Final

import asyncpg
import orjson

from kit.homes import Sale
from migrations.sales_csv import Skipped, read_sales

_CONNECT_SECONDS: Final = 5
_COLUMNS: Final = (
    "sale_id", "home_id", "sale_date", "price_usd", "latitude", "longitude", "zip_code", "area_sqft", "features",
)  # fmt: skip
_LOADED: Final = """
create temporary table loaded_sale (
    sale_id text, home_id text, sale_date date, price_usd bigint, latitude double precision,
    longitude double precision, zip_code text, area_sqft double precision, features jsonb
) on commit drop
"""


class NoSales(ValueError):
    """Not one row of the file is a sale."""


class NotMigrated(ValueError):
    """The database knows nothing of sales yet."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Loaded:
    """What a source holds after loading."""

    rows: int
    """Sales that the file held."""
    sales_count: int
    """Sales that the source holds."""
    valuation_date: date


async def load_sales(
    admin_url: str,
    lines: Iterable[str],
    *,
    source: str,
    title: str,
    columns: Mapping[str, str],
    skipped: Skipped,
    sample: bool = False,
) -> Loaded:
    """Load the sales of a CSV into a source. Safe to repeat: a sale is known by source and id.

    Args:
        admin_url: `postgresql://` URL of the role that owns the schema.
        lines: The file; read once, from the first line to the last.
        source: Short name of the set.
        title: What people are told that it is, 1 to 120 characters.
        columns: Our field to the file's column.
        skipped: Counts rows that cannot be sales.
        sample: Whether they are there to show things with, and only the sandbox may hear of them.

    Raises:
        BadColumnMap: The file has no such column.
        NotMigrated: The migrations have not run.
        NoSales: Nothing of the file could be loaded; the source stays as it was.
        asyncpg.PostgresError: The database refused; the source stays as it was.
    """
    records = [_record(sale) for sale in read_sales(lines, columns, skipped)]
    if not records:
        raise NoSales("no row of the file is a sale")
    connection = await asyncpg.connect(admin_url, timeout=_CONNECT_SECONDS)
    try:
        async with connection.transaction():
            await connection.execute(_LOADED)
            await connection.copy_records_to_table("loaded_sale", records=records, columns=_COLUMNS)
            row = await connection.fetchrow("select * from porchlight.store_sales($1, $2, $3)", source, title, sample)
    except (asyncpg.UndefinedFunctionError, asyncpg.InvalidSchemaNameError) as error:
        raise NotMigrated("the database is not up to date; run `porchlight migrate`") from error
    finally:
        await connection.close()
    return Loaded(rows=len(records), sales_count=row["sales_count"], valuation_date=row["valuation_date"])


def _record(sale: Sale) -> tuple[object, ...]:
    return (
        sale.sale_id,
        sale.home_id,
        sale.sale_date,
        sale.price_usd,
        sale.latitude,
        sale.longitude,
        sale.zip_code,
        sale.area_sqft,
        orjson.dumps(dict(sale.features)).decode(),
    )
