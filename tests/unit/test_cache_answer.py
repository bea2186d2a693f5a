import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.cache.answer import MOST_CHARS, BadAnswer, check_content, read_reply
from services.cache.schema import conforms
from tests.support.claude_script import message

SCHEMA = {
    "type": "object",
    "additionalProperties": False,
    "required": ["intent"],
    "properties": {
        "intent": {"enum": ["buy", "sell"]},
        "note": {"anyOf": [{"type": "string"}, {"type": "null"}]},
        "beds": {"type": ["integer", "null"]},
        "price": {"type": "number"},
        "places": {"type": "array", "items": {"type": "string"}},
        "sure": {"const": True},
    },
}
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


def test_text_is_taken_from_all_text_blocks_and_thinking_is_passed_over():
    blocks = [
        {"type": "thinking", "thinking": "hm", "signature": "x"},
        {"type": "text", "text": "Hello "},
        {"type": "redacted_thinking", "data": "x"},
        {"type": "text", "text": "there"},
    ]
    assert read_reply(message("", content=blocks)).content == "Hello there"


def test_tokens_of_the_vendors_cache_are_counted_apart():
    usage = {
        "input_tokens": 1,
        "output_tokens": 2,
        "cache_creation_input_tokens": 3,
        "cache_read_input_tokens": None,
    }
    tokens = read_reply(message("x", usage=usage)).tokens
    assert (tokens.input, tokens.output, tokens.cache_write, tokens.cache_read) == (1, 2, 3, 0)


def test_answer_that_was_cut_off_still_tells_what_it_cost():
    with pytest.raises(BadAnswer) as caught:
        read_reply(message("x", stop_reason="max_tokens"))
    assert (caught.value.defect, caught.value.stop_reason) == ("CUT_OFF", "max_tokens")
    assert caught.value.tokens is not None and caught.value.tokens.output == 10


@given(st.binary(max_size=300) | json_values.map(lambda value: json.dumps(value).encode()))
def test_any_body_is_read_or_refused_and_never_crashes(body):
    with pytest.raises(BadAnswer):
        read_reply(body)


@given(st.sampled_from(sorted(json.loads(message("x")))), json_values)
def test_any_member_may_be_anything_without_a_crash_or_a_wrong_type(member, value):
    try:
        reply = read_reply(message("x", **{member: value}))
    except BadAnswer:
        return
    assert isinstance(reply.content, str)
    assert all(isinstance(count, int) and count >= 0 for count in vars(reply.tokens).values())


@given(json_values)
def test_what_is_served_is_of_the_schema_or_nothing_is(value):
    try:
        served = check_content(json.dumps(value), SCHEMA)
    except BadAnswer:
        return
    assert conforms(json.loads(served), SCHEMA)


@pytest.mark.parametrize(
    ("value", "fits"),
    [
        ({"intent": "sell"}, True),
        ({"intent": "sell", "note": None, "beds": 3, "price": 1, "places": ["a"], "sure": True}, True),
        ({"intent": "sell", "note": "x", "beds": None, "price": 1.5, "places": []}, True),
        ({}, False),
        ({"intent": "rent"}, False),
        ({"intent": None}, False),
        ({"intent": "sell", "more": 1}, False),
        ({"intent": "sell", "note": 1}, False),
        ({"intent": "sell", "beds": 3.0}, False),
        ({"intent": "sell", "beds": True}, False),
        ({"intent": "sell", "price": False}, False),
        ({"intent": "sell", "price": "1"}, False),
        ({"intent": "sell", "places": ["a", 1]}, False),
        ({"intent": "sell", "places": {}}, False),
        ({"intent": "sell", "sure": 1}, False),
        ({"intent": "sell", "sure": False}, False),
        ([], False),
        ("sell", False),
        (None, False),
    ],
)
def test_schema_is_kept_to_the_letter(value, fits):
    assert conforms(value, SCHEMA) is fits


def test_json_is_written_anew_so_that_a_name_given_twice_cannot_hide_a_value():
    assert check_content(' {"intent": "buy", "intent": "sell"} ', SCHEMA) == '{"intent":"sell"}'


@pytest.mark.parametrize("text", ["a\x00b", "a\x1b[31mb", "a\x07", "\u202eevil", "\ufffd", "\ue000", "a\x7fb", "\x85"])
def test_characters_that_nobody_types_are_refused_in_text_and_in_json(text):
    for content, schema in ((f"x{text}x", None), (json.dumps({"intent": "sell", "note": text}), SCHEMA)):
        with pytest.raises(BadAnswer) as caught:
            check_content(content, schema)
        assert caught.value.defect == "BAD_CHARACTERS"


@pytest.mark.parametrize("text", ["Olá, señora!", "line\nline\ttab", "👩‍👩‍👧 emoji", "“quoted” – dash", "日本"])
def test_what_people_write_passes(text):
    assert check_content(f"  {text} ", None) == text


@pytest.mark.parametrize(
    ("content", "schema", "defect"),
    [
        ("  ", None, "EMPTY"),
        ("x" * (MOST_CHARS + 1), None, "TOO_LONG"),
        ('{"intent":', SCHEMA, "CONTENT_NOT_JSON"),
        ('{"intent":"sell","price":NaN}', SCHEMA, "CONTENT_NOT_JSON"),
        ('{"intent":"sell","note":"\\ud800"}', SCHEMA, "CONTENT_NOT_JSON"),
        ("[" * 5_000 + "]" * 5_000, SCHEMA, "CONTENT_NOT_JSON"),
    ],
)
def test_unusable_content_is_refused_by_its_defect(content, schema, defect):
    with pytest.raises(BadAnswer) as caught:
        check_content(content, schema)
    assert caught.value.defect == defect
