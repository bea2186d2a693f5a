"""What JSON is taken in."""

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.errors import UnreadableRequest
from services.gateway.strict_json import DEPTH_MOST, read_object

GOOD_TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))


@given(
    st.dictionaries(
        GOOD_TEXT,
        st.recursive(
            st.none()
            | st.booleans()
            | st.integers(-(10**17), 10**17)
            | st.floats(allow_nan=False, allow_infinity=False)
            | GOOD_TEXT,
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(GOOD_TEXT, inner, max_size=3),
            max_leaves=10,
        ),
    )
)
def test_ordinary_json_is_read_as_everybody_reads_it(value):
    body = json.dumps(value, ensure_ascii=False).encode()
    assert read_object(body) == json.loads(body)


@pytest.mark.parametrize(
    ("body", "defect"),
    [
        (b"", "NOT_JSON"),
        (b"{", "NOT_JSON"),
        (b'{"a": 1}{"b": 2}', "NOT_JSON"),
        (b'{"a": 01}', "NOT_JSON"),
        (b"{'a': 1}", "NOT_JSON"),
        (b'\xef\xbb\xbf{"a": 1}', "NOT_JSON"),
        (b'{"a": "raw \x00 nul"}', "NOT_JSON"),
        (b"[]", "NOT_AN_OBJECT"),
        (b'"text"', "NOT_AN_OBJECT"),
        (b"null", "NOT_AN_OBJECT"),
        (b'{"a": "\xff"}', "NOT_UTF8"),
        ('{"a": 1}'.encode("utf-16"), "NOT_UTF8"),
        (b'{"a": "\xed\xa0\x80"}', "NOT_UTF8"),
        (b'{"a": 1, "a": 2}', "DUPLICATE_KEY"),
        (b'{"a": {"b": 1, "b": 1}}', "DUPLICATE_KEY"),
        (b'{"a": 1, "\\u0061": 2}', "DUPLICATE_KEY"),
        (b'{"a": NaN}', "NOT_A_NUMBER"),
        (b'{"a": [-Infinity]}', "NOT_A_NUMBER"),
        (b'{"a": 1e999}', "NOT_A_NUMBER"),
        (b'{"a": "\\u0000"}', "NUL"),
        (b'{"a": ["x", "y\\u0000"]}', "NUL"),
        (b'{"\\u0000": 1}', "NUL"),
        (b'{"a": "\\ud800"}', "LONE_SURROGATE"),
        (b'{"a": "\\udc00 x"}', "LONE_SURROGATE"),
        (b'{"a": ' + b"9" * 4_301 + b"}", "HUGE_INTEGER"),
        (b'{"a": -' + b"9" * 19 + b"}", "HUGE_INTEGER"),
        (b'{"a": ' + b"[" * 60_000, "TOO_DEEP"),
        (b'{"a": ' * DEPTH_MOST + b"{}" + b"}" * DEPTH_MOST, "TOO_DEEP"),
    ],
)
def test_hostile_json_is_refused_with_its_trouble_named(body, defect):
    with pytest.raises(UnreadableRequest) as refused:
        read_object(body)
    assert refused.value.metadata == {"defect": defect}


def test_depth_of_32_is_read():
    assert read_object(b'{"a":' * (DEPTH_MOST - 1) + b"{}" + b"}" * (DEPTH_MOST - 1))


def test_refusal_does_not_repeat_the_body():
    with pytest.raises(UnreadableRequest) as refused:
        read_object(b'{"canary-key": 1, "canary-key": "canary-value"}')
    assert "canary" not in refused.value.message + repr(refused.value.metadata)


def test_surrogate_pair_is_a_character():
    assert read_object(b'{"a": "\\ud83d\\ude00"}') == {"a": "\U0001f600"}


@given(st.binary(max_size=200))
def test_whatever_comes_is_an_object_or_a_refusal(body):
    with contextlib.suppress(UnreadableRequest):
        assert isinstance(read_object(body), dict)
