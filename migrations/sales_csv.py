"""Reads sales out of a CSV with anybody's columns. Pure."""

import csv
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Final

from kit.homes import AREA_SQFT, HOME_FIELDS, PRICE_USD, Sale
from kit.places import is_zip

NEEDED: Final = ("sale_date", "price_usd", "latitude", "longitude", "area_sqft")
IDS: Final = ("sale_id", "home_id")
"""At least one of these; a sale without its own id is the home's id and the date."""
FIELDS: Final = (*IDS, *NEEDED, "zip_code", *(each.name for each in HOME_FIELDS))

_DATES: Final = ("%Y-%m-%d", "%Y%m%d", "%m/%d/%Y", "%Y-%m-%dT%H:%M:%S", "%Y%m%dT%H%M%S")
_LONGEST_ID: Final = 64
_EXAMPLES: Final = 5


class BadColumnMap(ValueError):
    """The map does not fit the file or our names."""


class _BadRow(ValueError):
    """A row cannot be a sale, and why."""


@dataclass(kw_only=True)
class Skipped:
    """Rows that were left out, by reason."""

    reasons: Counter[str] = field(default_factory=Counter)
    lines: dict[str, list[int]] = field(default_factory=dict)
    """The first lines of each reason; the header is line 1."""

    def add(self, line: int, reason: str) -> None:
        """Count a row."""
        self.reasons[reason] += 1
        examples = self.lines.setdefault(reason, [])
        if len(examples) < _EXAMPLES:
            examples.append(line)

    def report(self) -> list[str]:
        """Say for each reason how often and where, the most frequent first."""
        return [
            f"skipped {count}: {reason} (line{'s' if len(self.lines[reason]) > 1 else ''}"
            f" {', '.join(map(str, self.lines[reason]))}{', ...' if count > len(self.lines[reason]) else ''})"
            for reason, count in self.reasons.most_common()
        ]


def read_map(text: str) -> dict[str, str]:
    """Read `column=field,column=field` into field -> column.

    Raises:
        BadColumnMap: A field is unknown, missing or named twice.

    >>> read_map("id=home_id,date=sale_date,price=price_usd,lat=latitude,long=longitude,sqft=area_sqft")["price_usd"]
    'price'
    """
    columns: dict[str, str] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        column, equals, name = part.rpartition("=")
        if not equals or name not in FIELDS:
            raise BadColumnMap(f"{part!r} is not column=field; fields are {', '.join(FIELDS)}")
        if name in columns:
            raise BadColumnMap(f"{name} is mapped twice: from {columns[name]} and {column}")
        columns[name] = column
    missing = [name for name in NEEDED if name not in columns]
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
    rows = csv.DictReader(lines)
    header = rows.fieldnames or ()
    absent = [column for column in columns.values() if column not in header]
    if absent:
        raise BadColumnMap(f"the file has no column {', '.join(absent)}; it has {', '.join(header)}")
    seen: dict[str, int] = {}
    for row in rows:
        line = rows.line_num
        try:
            sale = _sale({name: (row[column] or "").strip() for name, column in columns.items()})
        except _BadRow as bad:
            skipped.add(line, str(bad))
            continue
        if sale.sale_id in seen:
            skipped.add(line, "the same sale again")
            continue
        seen[sale.sale_id] = line
        yield sale


def _sale(said: Mapping[str, str]) -> Sale:
    sold = _date(said["sale_date"])
    home = said.get("home_id", "")
    sale_id = said.get("sale_id", "") or (f"{home}:{sold.isoformat()}" if home else "")
    if not sale_id or len(sale_id) > _LONGEST_ID or not sale_id.isprintable():
        raise _BadRow("no usable id")
    zip_code = said.get("zip_code", "")
    if zip_code and not is_zip(zip_code):
        raise _BadRow("zip_code is no ZIP code")
    return Sale(
        sale_id=sale_id,
        home_id=home or sale_id,
        sale_date=sold,
        price_usd=round(_number("price_usd", said["price_usd"], *PRICE_USD)),
        latitude=_number("latitude", said["latitude"], -90, 90),
        longitude=_number("longitude", said["longitude"], -180, 180),
        zip_code=zip_code[:5],
        area_sqft=_number("area_sqft", said["area_sqft"], *AREA_SQFT),
        features={
            each.name: _number(each.name, said[each.name], each.low, each.high)
            for each in HOME_FIELDS
            if said.get(each.name)
        },
    )


def _date(text: str) -> date:
    for form in _DATES:
        try:
            return datetime.strptime(text, form).date()
        except ValueError:
            continue
    raise _BadRow("sale_date is no date" if text else "sale_date is missing")


def _number(name: str, text: str, low: float, high: float) -> float:
    if not text:
        raise _BadRow(f"{name} is missing")
    plain = re.sub(r"[$,\s]", "", text)
    if not re.fullmatch(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,2})?", plain):
        raise _BadRow(f"{name} is no number")
    value = float(plain)
    if not low <= value <= high:
        raise _BadRow(f"{name} is not within {_plain(low)} to {_plain(high)}")
    return value


def _plain(number: float) -> str:
    return f"{number:,.0f}" if number == round(number) else f"{number:g}"
