"""Page tokens: opaque to callers, strict to us."""

import base64
from datetime import UTC, datetime

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit import paging
from kit.errors import InvalidField


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=20), min_size=1, max_size=3))
def test_token_reads_back_as_what_it_names(parts: list[str]) -> None:
    assert paging.decode(paging.encode(*parts), parts=len(parts)) == tuple(parts)


@pytest.mark.parametrize(
    "token",
    [
        "x",
        "é",
        "bm90IGpzb24=",
        base64.b64encode(orjson.dumps(["a"])).decode(),
        base64.b64encode(orjson.dumps(["a", 2])).decode(),
        base64.b64encode(orjson.dumps({"a": "b"})).decode(),
        base64.urlsafe_b64encode(orjson.dumps(["a\x00", "b"])).decode(),
        "QUFB" * 101,
    ],
)
def test_token_that_nobody_gave_is_refused_and_the_field_named(token: str) -> None:
    with pytest.raises(InvalidField) as refused:
        paging.decode(token, parts=2)
    assert refused.value.metadata["field"] == "page_token"


def test_moment_is_read_in_utc_and_needs_its_offset() -> None:
    assert paging.moment("2026-11-23T10:00:00+01:00") == datetime(2026, 11, 23, 9, tzinfo=UTC)
    for part in ("2026-11-23T10:00:00", "soon", "9999-12-31T23:59:59-23:00", "0001-01-01T00:00:00+14:00"):
        with pytest.raises(InvalidField):
            paging.moment(part)
