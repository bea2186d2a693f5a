"""Read CSV of any header through a column map: good rows as values, bad ones with their reason. Pure."""

import csv
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any, Final

Reader = Callable[[str], Any]
"""Turns a cell into a value; raises ValueError with the reason in words."""

_YES: Final = frozenset({"1", "true", "t", "yes", "y"})
_NO: Final = frozenset({"0", "false", "f", "no", "n"})
_SHOWN: Final = 40
_DAYS: Final = ("%Y-%m-%d", "%Y%m%d", "%m/%d/%Y")
_NUMBER: Final = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,2})?")


class BadColumnMap(ValueError):
    """The map does not fit the fields, or the file lacks a column of it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Field:
    """A field that rows are read into."""

    name: str
    read: Reader
    required: bool = False
    """Whether a row without it is bad. What is optional and empty is None."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """A good row."""

    line: int
    """Where it ends in the file; the header is line 1."""
    values: Mapping[str, Any]
    """By field."""

    def refused(self, name: str, cause: str) -> "BadRow":
        """Return the row as a bad one after all, because of one field."""
        return BadRow(line=self.line, reason=f"{name} {self.values[name]!r}: {cause}", cause=f"{name} {cause}")


@dataclass(frozen=True, kw_only=True, slots=True)
class BadRow:
    """A row that is skipped."""

    line: int
    reason: str
    """Why, with the cell."""
    cause: str
    """Why, without it: what rows are counted by."""


def parse_map(given: str, fields: Sequence[Field]) -> dict[str, str]:
    """Read `column=field,column=field` and return the column of each field.

    Raises:
        BadColumnMap: A part is not of the form, a field is unknown or named twice.

    >>> parse_map("zipcode=zip", [Field(name="zip", read=str)])
    {'zip': 'zipcode'}
    """
    names = {field.name for field in fields}
    columns: dict[str, str] = {}
    for part in filter(None, (part.strip() for part in given.split(","))):
        column, equals, name = (each.strip() for each in part.partition("="))
        if not (column and equals and name):
            raise BadColumnMap(f"{part!r} is not column=field")
        if name not in names:
            raise BadColumnMap(f"there is no field {name}; fields are {', '.join(sorted(names))}")
        if name in columns:
            raise BadColumnMap(f"{name} is mapped twice, from {columns[name]} and {column}")
        columns[name] = column
    return columns


def read_rows(lines: Iterable[str], fields: Sequence[Field], columns: Mapping[str, str]) -> Iterator[Row | BadRow]:
    """Read CSV with a header. A field that the map does not name is read from the column of its own name.

    Args:
        lines: The file's lines, newlines kept.
        fields: What to read.
        columns: The column of a field, where it has another name.

    Raises:
        BadColumnMap: The header lacks a column of the map, or one of a required field.
    """
    reader = csv.DictReader(lines, strict=True)
    header = reader.fieldnames or ()
    # Spreadsheets write a mark before the first letter of a file.
    reader.fieldnames = [name.lstrip("\ufeff").strip() for name in header]
    present = [field for field in fields if columns.get(field.name, field.name) in reader.fieldnames]
    for field in fields:
        if field not in present and (field.required or field.name in columns):
            column = columns.get(field.name, field.name)
            raise BadColumnMap(f"the file has no column {column} for {field.name}; it has {', '.join(header)}")
    while True:
        try:
            cells = next(reader, None)
        except csv.Error as error:
            yield _bad(reader.line_num, f"not CSV: {error}")
            continue
        if cells is None:
            return
        yield _read_row(reader.line_num, cells, fields, present, columns)


def _read_row(
    line: int,
    cells: Mapping[Any, Any],
    fields: Sequence[Field],
    present: Sequence[Field],
    columns: Mapping[str, str],
) -> Row | BadRow:
    if None in cells or None in cells.values():
        return _bad(line, "has another number of cells than the header")
    values: dict[str, Any] = {field.name: None for field in fields}
    for field in present:
        cell = cells[columns.get(field.name, field.name)].strip()
        if not cell:
            if field.required:
                return _bad(line, f"{field.name} is missing")
            continue
        try:
            values[field.name] = field.read(cell)
        except ValueError as error:
            return BadRow(line=line, reason=f"{field.name} {cell[:_SHOWN]!r}: {error}", cause=f"{field.name} {error}")
    return Row(line=line, values=values)


def _bad(line: int, cause: str) -> BadRow:
    return BadRow(line=line, reason=cause, cause=cause)


# --- readers


def whole(low: int, high: int) -> Reader:
    """Read a whole number in [`low`, `high`]; "1,200" and "3.0" are whole.

    >>> whole(0, 9)("3.0")
    3
    """

    def read(cell: str) -> int:
        value = number(low, high)(cell)
        if value != int(value):
            raise ValueError("is not whole")
        return int(value)

    return read


def number(low: float, high: float) -> Callable[[str], float]:
    """Read a number in [`low`, `high`]; dollar signs, commas and spaces in it do not matter."""

    def read(cell: str) -> float:
        plain = re.sub(r"[$,\s]", "", cell)
        if not _NUMBER.fullmatch(plain):
            raise ValueError("is no number")
        value = float(plain)
        if not low <= value <= high:
            raise ValueError(f"is not within {_plain(low)} to {_plain(high)}")
        return value

    return read


def _plain(bound: float) -> str:
    return f"{bound:,.0f}" if bound == round(bound) else f"{bound:g}"


def cents(most: int) -> Reader:
    """Read dollars above 0 as cents, up to `most` cents: "$649,950" is 64995000."""

    def read(cell: str) -> int:
        try:
            amount = Decimal(cell.replace("$", "").replace(",", "")) * 100
        except InvalidOperation:
            raise ValueError("is no amount") from None
        if not amount.is_finite() or not 0 < amount <= most or amount != int(amount):
            raise ValueError(f"is not above $0 and up to ${most // 100:,} in whole cents")
        return int(amount)

    return read


def yes_no(cell: str) -> bool:
    """Read 1, true, yes, y or their opposites."""
    folded = cell.lower()
    if folded not in _YES | _NO:
        raise ValueError("is neither yes nor no")
    return folded in _YES


def day(cell: str) -> date:
    """Read a day as 2015-05-28, 20150528 or 05/28/2015; a time behind a T is ignored."""
    plain = cell.partition("T")[0]
    for form in _DAYS:
        try:
            return datetime.strptime(plain, form).date()
        except ValueError:
            continue
    raise ValueError("is no date")


def zip_code(cell: str) -> str:
    """Read a ZIP code; of ZIP+4 the first five digits."""
    five, _, rest = cell.partition("-")
    if not (len(five) == 5 and five.isascii() and five.isdigit() and (not rest or (len(rest) == 4 and rest.isdigit()))):
        raise ValueError("is no ZIP code of five digits")
    return five


def words(longest: int) -> Reader:
    """Read text of up to `longest` printable characters."""

    def read(cell: str) -> str:
        if len(cell) > longest or not cell.isprintable():
            raise ValueError(f"is longer than {longest} characters, or holds some that cannot be printed")
        return cell

    return read


def one_of(*choices: str) -> Reader:
    """Read one of some words, whatever the case."""

    def read(cell: str) -> str:
        if cell.lower() not in choices:
            raise ValueError(f"is none of {', '.join(choices)}")
        return cell.lower()

    return read
