"""Find the numbers of a text, each with what it counts, and the numbers of records. Pure.

A record's field says in its name what it counts (`price_usd_cents`, `area_sqft`), so a
record and a text can be compared: $3 is not 3 bedrooms.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum
from typing import Any, Final

COUNTED_MOST: Final = 3
"""Of records that are shown, so many are numbered and counted."""


class Unit(StrEnum):
    """What a number counts."""

    USD = "usd"
    SQFT = "sqft"
    MILES = "miles"
    BEDROOMS = "bedrooms"
    BATHROOMS = "bathrooms"
    FLOORS = "floors"
    GRADE = "grade"
    MONTH = "month"
    """A month of a year, as 12 x year + month."""
    PLAIN = "plain"
    """A year, or how many there are."""
    NEVER = "never"
    """A percentage, a time, a number in words, a figure that is no figure: no record holds one."""


@dataclass(frozen=True, slots=True)
class Number:
    """A number of a text."""

    unit: Unit
    value: Decimal
    start: int
    end: int


_MONTHS: Final = "january february march april may june july august september october november december".split()
_WORDS: Final = {word: value for value, word in enumerate("two three four five six seven eight nine ten eleven twelve".split(), 2)}  # fmt: skip
_LARGE_WORDS: Final = (
    r"thirteen|fourteen|fifteen|sixteen|seventeen|eighteen|nineteen|twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety"
    r"|hundreds?|thousands?|millions?|billions?|grand|dozens?|percent|per cent"
)
_SCALES: Final = {"k": 1_000, "thousand": 1_000, "grand": 1_000, "m": 1_000_000, "mm": 1_000_000, "mil": 1_000_000, "million": 1_000_000, "b": 10**9, "billion": 10**9}  # fmt: skip
_SCALE: Final = "|".join(sorted(_SCALES, key=len, reverse=True))
_UNITS: Final = (
    (Unit.NEVER, r"%|percent\b|per cent\b|apr\b|(?:second|minute|hour|day|week|month|year|yr|hr|min|mo)s?\b|[ap]\.?m\b|o'clock\b"),
    (Unit.SQFT, r"sq\.? ?(?:ft|feet|foot)\b|sqft\b|square (?:feet|foot|ft)\b|sf\b"),
    (Unit.MILES, r"mi(?:les?)?\b"),
    (Unit.BEDROOMS, r"b(?:e?d)(?:room)?s?\b|br\b"),
    (Unit.BATHROOMS, r"ba(?:th(?:room)?s?)?\b"),
    (Unit.FLOORS, r"(?:floor|stor(?:y|ie|ey)|level)s?\b"),
    (Unit.USD, r"dollars?\b|usd\b|bucks\b"),
)  # fmt: skip
_UNIT: Final = re.compile(r"[\s-]*(?:" + "|".join(f"(?P<{unit.name}>{words})" for unit, words in _UNITS) + ")")
_AFTER: Final = re.compile(rf"\s*(?P<scale>{_SCALE})\b", re.IGNORECASE)
_DATED: Final = re.compile(rf"\b(?P<month>{'|'.join(_MONTHS)})\s+(?P<year>\d{{4}})\b(?![\d,.]\d)")
_TOKEN: Final = re.compile(r"[^\s()\"]+")
_EDGES: Final = ".,;:!?'~<>=*"
_FIGURE: Final = re.compile(
    rf"(?P<sign>\$)?(?P<n>\d{{1,3}}(?:,\d{{3}})+(?:\.\d+)?|\d+(?:\.\d+)?|\.\d+)(?:(?P<scale>{_SCALE})|(?P<unit>%|st|nd|rd|th|bds?|brs?|ba|sqft|sf|mi))?\+?"
)
_WORD: Final = re.compile(rf"\b(?:(?P<small>{'|'.join(_WORDS)})|(?P<large>{_LARGE_WORDS}))\b")
# "One of them" and "one day" count nothing.
_ONE: Final = re.compile(r"\b(?:one|a half|half a)\b(?! day\b)")
_GRADE: Final = re.compile(r"\bgrade $")


def numbers(text: str) -> tuple[Number, ...]:
    """Find every number, in figures or in words, in order. What looks like one and is none counts NEVER.

    >>> [(each.unit.value, str(each.value)) for each in numbers("$1.2 million, 3+ bedrooms, as of May 2015")]
    [('usd', '1200000.0'), ('bedrooms', '3'), ('month', '24185')]
    >>> [each.unit.value for each in numbers("call 206-555-0100 within two hours, 5% off")]
    ['never', 'never', 'never']
    """
    folded = text.lower() if len(text.lower()) == len(text) else text
    found: list[Number] = []
    for each in _DATED.finditer(folded):
        months = 12 * int(each["year"]) + _MONTHS.index(each["month"]) + 1
        found.append(Number(Unit.MONTH, Decimal(months), *each.span()))
    for each in _TOKEN.finditer(folded):
        if not any(map(str.isnumeric, each.group())):
            continue
        start, end = _trimmed(folded, each.start(), each.end())
        if not any(number.start < end and start < number.end for number in found):
            found.append(_figure(folded, start, end))
    spoken = [_in_words(folded, each) for each in _WORD.finditer(folded)]
    spoken += [_one(folded, each) for each in _ONE.finditer(folded) if _UNIT.match(folded, each.end())]
    found += [each for each in spoken if not any(number.start <= each.start < number.end for number in found)]
    return tuple(sorted(found, key=lambda each: each.start))


def _trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    while text[start] in _EDGES and not text[start : start + 2].lstrip(".").isdigit():
        start += 1
    while text[end - 1] in _EDGES:
        end -= 1
    return start, end


def _figure(folded: str, start: int, end: int) -> Number:
    found = _FIGURE.fullmatch(folded, start, end)
    if found is None or not found["n"].isascii():
        return Number(Unit.NEVER, Decimal(0), start, end)
    value, unit = Decimal(found["n"].replace(",", "")), None
    scale = found["scale"]
    if scale is None and (after := _AFTER.match(folded, end)):
        scale, end = after["scale"], after.end()
    if scale:
        value *= _SCALES[scale]
    # A unit that stands in the figure itself is read where it begins: "80%", "3br".
    following = _UNIT.match(folded, found.start("unit") if found["unit"] and found["unit"] not in _ORDINALS else end)
    if following:
        unit = Unit[str(following.lastgroup)]
    if found["sign"] or scale:
        unit = Unit.USD if unit in (None, Unit.USD) else Unit.NEVER
    if unit is None and _GRADE.search(folded, 0, start):
        unit = Unit.GRADE
    return Number(unit or Unit.PLAIN, value, start, end)


_ORDINALS: Final = ("st", "nd", "rd", "th")


def _in_words(folded: str, found: re.Match[str]) -> Number:
    if found["large"]:
        return Number(Unit.NEVER, Decimal(0), *found.span())
    following = _UNIT.match(folded, found.end())
    unit = Unit[str(following.lastgroup)] if following else Unit.PLAIN
    return Number(unit, Decimal(_WORDS[found["small"]]), *found.span())


def _one(folded: str, found: re.Match[str]) -> Number:
    following = _UNIT.match(folded, found.end())
    assert following is not None
    whole = found.group() == "one"
    return Number(Unit[str(following.lastgroup)] if whole else Unit.NEVER, Decimal(1), *found.span())


# --- what records hold


@dataclass(frozen=True, slots=True)
class Held:
    """What may be said of records."""

    values: frozenset[tuple[Unit, Decimal]] = frozenset()
    strings: frozenset[str] = field(default_factory=frozenset)
    """Words with a number in them, to be said as they stand."""


def held(records: Iterable[tuple[str, Any]]) -> Held:
    """Collect what values hold, each with its name; what its name says nothing of is not said.

    >>> sorted((unit.value, str(value)) for unit, value in held([("price_max_usd", 650_000), ("weight", 3)]).values)
    [('usd', '650000')]
    """
    values: set[tuple[Unit, Decimal]] = set()
    strings: set[str] = set()
    for name, record in records:
        for each in _walk(name, record):
            if isinstance(each, str):
                strings.add(each)
            else:
                values.add(each)
    return Held(values=frozenset(values), strings=frozenset(strings))


_COUNTS: Final = re.compile(r".*_count|found|needed|year\w*")
# By the end of a field's name, the first that fits.
_BY_NAME: Final[tuple[tuple[re.Pattern[str], Unit, Callable[[Decimal], Iterable[Decimal]]], ...]] = (
    (re.compile(r".*_usd_cents"), Unit.USD, lambda value: (value / 100,)),
    # Estimates are said to thousands, rounded half up, as `services.seller.sentences.dollars` does.
    (re.compile(r".*_usd"), Unit.USD, lambda value: (value, (value + 500) // 1_000 * 1_000)),
    # As floats, like the phrases: 0.45 is said as 0.5, and as a decimal number it would be 0.4.
    (re.compile(r".*_sqft"), Unit.SQFT, lambda value: (value, Decimal(f"{float(value):.0f}"))),
    (re.compile(r".*_miles"), Unit.MILES, lambda value: (Decimal(f"{float(value):.1f}"),)),
    (re.compile(r"bathrooms\w*_quarters"), Unit.BATHROOMS, lambda value: (value / 4,)),
    (re.compile(r"bathrooms(?:_min)?"), Unit.BATHROOMS, lambda value: (value,)),
    (re.compile(r"bedrooms(?:_min)?"), Unit.BEDROOMS, lambda value: (value,)),
    (re.compile(r"floors"), Unit.FLOORS, lambda value: (value,)),
    (re.compile(r"view"), Unit.GRADE, lambda value: (value,)),
    (_COUNTS, Unit.PLAIN, lambda value: (value,)),
)


def _walk(name: str, value: Any) -> Iterator[tuple[Unit, Decimal] | str]:
    if isinstance(value, str):
        yield str(value)
    elif isinstance(value, date):
        yield value.isoformat()
        yield Unit.MONTH, Decimal(12 * value.year + value.month)
        yield Unit.PLAIN, Decimal(value.year)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield from _counted(name, value)
    else:
        for inner, each in _inside(name, value):
            yield from _walk(inner, each)


def _counted(name: str, value: int | float) -> Iterator[tuple[Unit, Decimal]]:
    exact = Decimal(str(value))
    for pattern, unit, said in _BY_NAME:
        if pattern.fullmatch(name) and exact.is_finite():
            yield from ((unit, each) for each in said(exact))
            return


def _inside(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Return what a record is made of; of a list of records also how many there are, and the numbers they are shown by."""
    if isinstance(value, Mapping):
        yield from value.items()
    elif isinstance(value, tuple | list):
        if value and is_dataclass(value[0]):
            yield from (("shown_count", each) for each in {len(value), *range(1, min(len(value), COUNTED_MOST) + 1)})
        yield from ((name, each) for each in value)
    elif is_dataclass(value):
        yield from ((each.name, getattr(value, each.name)) for each in fields(value))
