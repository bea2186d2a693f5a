"""Page tokens: opaque to callers, strict to us. Pure."""

import base64
import binascii
from datetime import UTC, datetime
from typing import Final

import orjson

from kit import checks
from kit.errors import InvalidField

LONGEST_TOKEN: Final = 400
_LIMIT: Final = "a token of an earlier page"


def encode(*parts: str) -> str:
    """Return a token that names a place in a list by its sort keys.

    >>> decode(encode("2026-11-23T09:00:00+00:00", "h_1"), parts=2)
    ('2026-11-23T09:00:00+00:00', 'h_1')
    """
    return base64.urlsafe_b64encode(orjson.dumps(parts)).decode()


def decode(token: str, *, parts: int, field: str = "page_token") -> tuple[str, ...]:
    """Return the sort keys that a token names.

    Raises:
        InvalidField: It is none of ours: too long, no base64, of another shape, or with
            characters that no key has.
    """
    try:
        if len(token) > LONGEST_TOKEN:
            raise ValueError
        found = orjson.loads(base64.b64decode(token, altchars=b"-_", validate=True))
        if not isinstance(found, list) or len(found) != parts or not all(isinstance(part, str) for part in found):
            raise ValueError
    except (ValueError, binascii.Error) as error:
        raise _refused(field) from error
    return tuple(checks.text(field, part, longest=LONGEST_TOKEN) for part in found)


def moment(part: str, *, field: str = "page_token") -> datetime:
    """Read a part of a token as a time, UTC.

    Raises:
        InvalidField: It is no time with an offset, or none that UTC can say.
    """
    try:
        found = datetime.fromisoformat(part)
        if found.tzinfo is None:
            raise ValueError
        return found.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise _refused(field) from error


def number(part: str, *, field: str = "page_token") -> int:
    """Read a part of a token as a whole number of at most 9 digits.

    Raises:
        InvalidField: It is none.
    """
    if not (part.isascii() and part.isdigit() and len(part) < 10):
        raise _refused(field)
    return int(part)


def _refused(field: str) -> InvalidField:
    return InvalidField(f"{field} is none that an earlier page gave", field=field, limit=_LIMIT)
