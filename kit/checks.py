"""Check single fields of a request. Pure.

Every function returns the value it was given, so that `wire.py` modules read as a
list of fields, and raises InvalidField naming the field and the limit. The value
itself is never repeated: it may be a person's words.
"""

import math
import re
from collections.abc import Sequence
from typing import Final, TypeVar

from kit.errors import InvalidField

T = TypeVar("T")

_UNSTORABLE: Final = re.compile("[\x00\ud800-\udfff]")


def text(field: str, value: str, *, longest: int, shortest: int = 0) -> str:
    """Accept free text of `shortest` to `longest` characters.

    NUL and lone surrogates are refused: Postgres stores neither, so they must not
    get further than this.
    """
    if not shortest <= len(value) <= longest:
        limit = _length_limit(longest=longest, shortest=shortest)
        raise InvalidField(f"{field} has {len(value)} characters, allowed are {limit}", field=field, limit=limit)
    if _UNSTORABLE.search(value):
        limit = "no NUL and no lone surrogate"
        raise InvalidField(f"{field} holds a character that cannot be stored: {limit}", field=field, limit=limit)
    return value


def identifier(field: str, value: str, *, longest: int = 64, shortest: int = 1) -> str:
    """Accept an opaque id: printable, without spaces at its ends."""
    # What is printable can be stored too.
    if shortest <= len(value) <= longest and value.isprintable() and value == value.strip():
        return value
    text(field, value, longest=longest, shortest=shortest)
    limit = "printable characters, no space at either end"
    raise InvalidField(f"{field} is no id: {limit}", field=field, limit=limit)


def number(field: str, value: float, *, low: float, high: float) -> float:
    """Accept a finite number in the closed range [`low`, `high`].

    `NaN < 0.7` is False, so a gate written the other way round would let NaN pass.
    """
    if not (math.isfinite(value) and low <= value <= high):
        limit = f"{low:g} to {high:g}"
        raise InvalidField(f"{field} is {value:g}, allowed are {limit}", field=field, limit=limit)
    return value


def integer(field: str, value: int, *, low: int, high: int) -> int:
    """Accept a whole number in the closed range [`low`, `high`]."""
    if not low <= value <= high:
        limit = f"{low} to {high}"
        raise InvalidField(f"{field} is {value}, allowed are {limit}", field=field, limit=limit)
    return value


def count(field: str, items: Sequence[T], *, most: int, least: int = 0) -> Sequence[T]:
    """Accept `least` to `most` items."""
    if not least <= len(items) <= most:
        limit = f"{least} to {most} items"
        raise InvalidField(f"{field} has {len(items)} items, allowed are {limit}", field=field, limit=limit)
    return items


def page_size(value: int, *, default: int, most: int) -> int:
    """Return how many entries a page has; more than `most` means `most`.

    Source: AIP-158: 0 means the default, too large is cut, negative is an error.
    """
    if value < 0:
        limit = f"0 to {most}"
        raise InvalidField(f"page_size is {value}, allowed are {limit}", field="page_size", limit=limit)
    return min(value or default, most)


def _length_limit(*, longest: int, shortest: int) -> str:
    return f"{shortest} to {longest} characters" if shortest else f"at most {longest} characters"
