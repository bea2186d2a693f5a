"""Reads sales out of a CSV with anybody's columns. Pure."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from kit import column_map
from kit.column_map import BadColumnMap, BadRow, Field
from kit.homes import AREA_SQFT, HOME_FIELDS, PRICE_USD, Sale

_LONGEST_ID: Final = 64
_EXAMPLES: Final = 5

IDS: Final = ("sale_id", "home_id")
"""At least one of these; a sale without its own id is the home's id and the date."""
FIELDS: Final = (
    *(Field(name=name, read=column_map.words(_LONGEST_ID)) for name in IDS),
    Field(name="sale_date", read=column_map.day, required=True),
    Field(name="price_usd", read=column_map.number(*PRICE_USD), required=True),
    Field(name="latitude", read=column_map.number(-90, 90), required=True),
    Field(name="longitude", read=column_map.number(-180, 180), required=True),
    Field(name="area_sqft", read=column_map.number(*AREA_SQFT), required=True),
    Field(name="zip_code", read=column_map.zip_code),
    *(Field(name=each.name, read=column_map.number(each.low, each.high)) for each in HOME_FIELDS),
)


@dataclass(kw_only=True)
class Skipped:
    """Rows that were left out, by cause."""

    reasons: Counter[str] = field(default_factory=Counter)
    lines: dict[str, list[int]] = field(default_factory=dict)
    """The first lines of each cause; the header is line 1."""

    def add(self, line: int, cause: str) -> None:
        """Count a row."""
        self.reasons[cause] += 1
        examples = self.lines.setdefault(cause, [])
        if len(examples) < _EXAMPLES:
            examples.append(line)

    def report(self) -> list[str]:
        """Say for each cause how often and where, the most frequent first."""
        return [
            f"skipped {count}: {cause} (line{'s' if len(self.lines[cause]) > 1 else ''}"
            f" {', '.join(map(str, self.lines[cause]))}{', ...' if count > len(self.lines[cause]) else ''})"
            for cause, count in self.reasons.most_common()
        ]


def read_map(text: str) -> dict[str, str]:
    """Read `column=field,column=field` into field -> column.

    Raises:
        BadColumnMap: A field is unknown, missing or named twice.

    >>> read_map("id=home_id,date=sale_date,price=price_usd,lat=latitude,long=longitude,sqft=area_sqft")["price_usd"]
    'price'
    """
    columns = column_map.parse_map(text, FIELDS)
    missing = [each.name for each in FIELDS if each.required and each.name not in columns]
    if missing:
        raise BadColumnMap(f"no column is mapped to {', '.join(missing)}")
    if not any(name in columns for name in IDS):
        raise BadColumnMap(f"no column is mapped to {' or '.join(IDS)}; without one a sale cannot be told from another")
    return columns


def read_sales(lines: Iterable[str], columns: Mapping[str, str], skipped: Skipped) -> Iterator[Sale]:
    """Yield the sales of a CSV; rows that cannot be sales are counted in `skipped`.

    Raises:
        BadColumnMap: The file has no such column.
    """
    # Only what is mapped: a column that happens to be called as our field may mean something else.
    mapped = [each for each in FIELDS if each.name in columns]
    seen: set[str] = set()
    for row in column_map.read_rows(lines, mapped, columns):
        if isinstance(row, BadRow):
            skipped.add(row.line, row.cause)
        elif (sale := _sale(row.values)) is None:
            skipped.add(row.line, "no usable id")
        elif sale.sale_id in seen:
            skipped.add(row.line, "the same sale again")
        else:
            seen.add(sale.sale_id)
            yield sale


def _sale(said: Mapping[str, Any]) -> Sale | None:
    home, sold = said.get("home_id") or "", said["sale_date"]
    sale_id = said.get("sale_id") or (f"{home}:{sold.isoformat()}" if home else "")
    if not sale_id or len(sale_id) > _LONGEST_ID:
        return None
    return Sale(
        sale_id=sale_id,
        home_id=home or sale_id,
        sale_date=sold,
        price_usd=round(said["price_usd"]),
        latitude=said["latitude"],
        longitude=said["longitude"],
        zip_code=said.get("zip_code") or "",
        area_sqft=said["area_sqft"],
        features={each.name: said[each.name] for each in HOME_FIELDS if said.get(each.name) is not None},
    )
