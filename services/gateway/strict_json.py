"""Reads JSON that every other parser reads the same way. Pure.

What one layer accepts and the next does not (NUL, lone surrogates, NaN, endless
integers, a key given twice) is refused at the edge, not in a worker.
"""

import json
import math
from typing import Any, Final, NoReturn

from kit.errors import UnreadableRequest

DEPTH_MOST: Final = 32

# What Postgres, orjson and protobuf hold without loss.
_INTEGER_DIGITS_MOST: Final = 18


def read_object(body: bytes) -> dict[str, Any]:
    """Read a JSON object in UTF-8.

    Raises:
        UnreadableRequest: What is wrong, without a word of the body.
    """
    try:
        value = json.loads(
            body.decode("utf-8"),
            object_pairs_hook=_pairs,
            parse_constant=lambda _: _refuse("NOT_A_NUMBER", "a number is NaN or infinite"),
            parse_int=_integer,
            parse_float=_number,
        )
    except UnicodeDecodeError:
        _refuse("NOT_UTF8", "it is not UTF-8")
    except json.JSONDecodeError:
        _refuse("NOT_JSON", "it is not JSON")
    except RecursionError:
        _refuse("TOO_DEEP", f"it is nested deeper than {DEPTH_MOST}")
    if not isinstance(value, dict):
        _refuse("NOT_AN_OBJECT", "it is no object")
    _check(value, depth=1)
    return value


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        _refuse("DUPLICATE_KEY", "a key is given twice")
    return found


def _integer(digits: str) -> int:
    if len(digits.lstrip("-")) > _INTEGER_DIGITS_MOST:
        _refuse("HUGE_INTEGER", f"an integer has more than {_INTEGER_DIGITS_MOST} digits")
    return int(digits)


def _number(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        _refuse("NOT_A_NUMBER", "a number is NaN or infinite")
    return number


def _check(value: object, *, depth: int) -> None:
    if isinstance(value, str):
        if "\x00" in value:
            _refuse("NUL", "a string holds NUL")
        if not value.isascii() and any("\ud800" <= character <= "\udfff" for character in value):
            _refuse("LONE_SURROGATE", "a string holds half of a surrogate pair")
        return
    if not isinstance(value, dict | list):
        return
    if depth > DEPTH_MOST:
        _refuse("TOO_DEEP", f"it is nested deeper than {DEPTH_MOST}")
    if isinstance(value, dict):
        for key, held in value.items():
            _check(key, depth=depth)
            _check(held, depth=depth + 1)
    else:
        for held in value:
            _check(held, depth=depth + 1)


def _refuse(defect: str, sentence: str) -> NoReturn:
    raise UnreadableRequest(f"the body cannot be read ({defect}): {sentence}", defect=defect)
