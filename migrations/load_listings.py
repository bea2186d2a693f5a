"""Brings listings from a CSV file into the database."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from itertools import islice
from pathlib import Path
from typing import Any, Final

import orjson
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from kit import column_map
from kit.column_map import BadRow, Field, Row
from kit.homes import SAMPLE_TENANTS

_MOST_CENTS: Final = 1_000_000_000_00
_MOST_SQFT: Final = 100_000_000
SOURCE_LONGEST: Final = 40
"""It is said in texts."""
_CHUNK: Final = 500
_REASONS_MOST: Final = 1_000

FIELDS: Final = (
    Field(name="listing_id", read=column_map.words(64), required=True),
    Field(name="zip", read=column_map.zip_code, required=True),
    Field(name="price_usd", read=column_map.cents(_MOST_CENTS), required=True),
    # The source has a home with 33 bedrooms, a slip of the pen.
    Field(name="bedrooms", read=column_map.whole(0, 30), required=True),
    Field(name="list_date", read=column_map.day, required=True),
    Field(name="neighborhood", read=column_map.words(60)),
    Field(name="bathrooms", read=column_map.number(0, 100)),
    Field(name="area_sqft", read=column_map.whole(1, _MOST_SQFT)),
    Field(name="lot_sqft", read=column_map.whole(1, _MOST_SQFT)),
    Field(name="floors", read=column_map.number(0.5, 200)),
    Field(name="basement_sqft", read=column_map.whole(0, _MOST_SQFT)),
    Field(name="year_built", read=column_map.whole(1600, 2100)),
    Field(name="year_renovated", read=column_map.whole(0, 2100)),
    Field(name="waterfront", read=column_map.yes_no),
    Field(name="view", read=column_map.whole(0, 4)),
    Field(name="condition", read=column_map.whole(1, 5)),
    Field(name="home_type", read=column_map.one_of("house", "condo", "townhouse")),
)
"""What a listing is read from; `services/buyer/values.py` says what each means."""

_BEGIN: Final = text("select porchlight.begin_listings(:tenant, :source, cast(:as_of as date), :sample)")
_ADD: Final = text("select porchlight.add_listings(:tenant, :source, cast(:rows as jsonb))")


@dataclass(frozen=True, kw_only=True, slots=True)
class Origin:
    """Whose listings these are and where they come from."""

    tenant_id: str
    source: str
    as_of: date
    sample: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Loaded:
    """What became of a file."""

    loaded_count: int
    skipped_count: int
    skipped: tuple[BadRow, ...]
    """The first 1,000 rows that were skipped."""


async def load_listings(
    admin_url: str,
    path: Path,
    origin: Origin,
    *,
    columns: str = "",
    progress: Callable[[int, int], None] = lambda done, whole: None,
) -> Loaded:
    """Replace a source's listings by those of a file, all or none. Safe to repeat.

    Args:
        admin_url: `postgresql://` URL of the role that owns the schema.
        path: CSV with a header, UTF-8.
        origin: Written to every listing.
        columns: `column=field,...`, see `FIELDS`; other columns are ignored.
        progress: Called with the lines read so far and the lines of the file.

    Raises:
        ValueError: The map or the header does not fit (`kit.column_map.BadColumnMap`), the file is no UTF-8, or the
            source's name is longer than 40 characters.
        OSError: The file cannot be read.
        sqlalchemy.exc.SQLAlchemyError: The database refused; nothing is changed.
    """
    column_map.words(SOURCE_LONGEST)(origin.source)
    mapped = column_map.parse_map(columns, FIELDS)
    with path.open(encoding="utf-8") as file:
        lines_count = sum(1 for _ in file)
    engine = create_async_engine(admin_url.replace("postgresql://", "postgresql+asyncpg://", 1))
    tally = _Tally()
    try:
        with path.open(encoding="utf-8", newline="") as file:
            async with engine.begin() as connection:
                await connection.execute(
                    _BEGIN,
                    {
                        "tenant": origin.tenant_id,
                        "source": origin.source,
                        "as_of": origin.as_of,
                        "sample": origin.sample,
                    },
                )
                good = tally.good(column_map.read_rows(file, FIELDS, mapped))
                while chunk := list(islice(good, _CHUNK)):
                    await _add(connection, origin, chunk, tally)
                    progress(chunk[-1].line, lines_count)
    finally:
        await engine.dispose()
    progress(lines_count, lines_count)
    return Loaded(loaded_count=tally.loaded_count, skipped_count=tally.skipped_count, skipped=tuple(tally.skipped))


class _Tally:
    """Counts rows, and keeps the reasons of those that are skipped."""

    def __init__(self) -> None:
        self.loaded_count = self.skipped_count = 0
        self.skipped: list[BadRow] = []
        self._seen: set[str] = set()

    def skip(self, row: BadRow) -> None:
        self.skipped_count += 1
        if len(self.skipped) < _REASONS_MOST:
            self.skipped.append(row)

    def good(self, rows: Iterator[Row | BadRow]) -> Iterator[Row]:
        for row in rows:
            if isinstance(row, BadRow):
                self.skip(row)
            elif (listing_id := row.values["listing_id"]) in self._seen:
                self.skip(row.refused("listing_id", "stands in the file before"))
            else:
                self._seen.add(listing_id)
                yield row


async def _add(connection: AsyncConnection, origin: Origin, chunk: list[Row], tally: _Tally) -> None:
    rows = orjson.dumps([_stored(row.values) for row in chunk]).decode()
    given = {"tenant": origin.tenant_id, "source": origin.source, "rows": rows}
    elsewhere = set((await connection.execute(_ADD, given)).scalars())
    tally.loaded_count += len(chunk) - len(elsewhere)
    for row in chunk:
        if row.values["listing_id"] in elsewhere:
            tally.skip(row.refused("listing_id", "another source has it"))


def _stored(values: Any) -> dict[str, Any]:
    kept = {name: value for name, value in values.items() if name != "price_usd"}
    # Assessors write 0 for "never".
    return kept | {"price_usd_cents": values["price_usd"], "year_renovated": values["year_renovated"] or None}


SAMPLE_FILE: Final = Path("sandbox/data/sample_listings.csv")
SAMPLE_AS_OF: Final = date(2015, 5, 28)
"""The day after the last sale that the sample was made of; see `tools/sample_listings.py`."""


async def load_sample_listings(admin_url: str, root: Path) -> int:
    """Load the sample that comes with the source, and return how many listings it has."""
    count = 0
    for tenant_id in SAMPLE_TENANTS:
        origin = Origin(tenant_id=tenant_id, source="sample", as_of=SAMPLE_AS_OF, sample=True)
        count = (await load_listings(admin_url, root / SAMPLE_FILE, origin)).loaded_count
    return count
