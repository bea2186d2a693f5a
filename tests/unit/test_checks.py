"""Checks of single fields."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit import checks
from kit.errors import InvalidField


def refused(check, *arguments, **limits) -> dict[str, str]:
    with pytest.raises(InvalidField) as caught:
        check(*arguments, **limits)
    return caught.value.metadata


def test_text_at_its_limit_is_accepted():
    assert checks.text("summary", "x" * 10, longest=10) == "x" * 10


def test_text_over_its_limit_names_field_and_limit():
    assert refused(checks.text, "summary", "x" * 11, longest=10) == {
        "field": "summary",
        "limit": "at most 10 characters",
    }


def test_text_under_its_limit_names_field_and_limit():
    assert refused(checks.text, "summary", "", longest=10, shortest=1)["limit"] == "1 to 10 characters"


@pytest.mark.parametrize("value", ["a\x00b", "\ud800", "a\udfff", "\x00"])
def test_text_that_postgres_cannot_store_is_refused(value):
    assert refused(checks.text, "summary", value, longest=10) == {
        "field": "summary",
        "limit": "no NUL and no lone surrogate",
    }


@pytest.mark.parametrize("value", ["\ud7ff", "\ue000", "line\nline", "👋🏽", " spaces "])
def test_text_may_hold_anything_else(value):
    assert checks.text("summary", value, longest=10) == value


def test_a_refusal_never_repeats_what_was_sent():
    with pytest.raises(InvalidField) as caught:
        checks.text("text", "Ann Miller", longest=3)
    assert "Ann" not in caught.value.message + str(caught.value.metadata)


@given(st.text(max_size=20))
def test_accepted_text_is_storable_and_unchanged(value):
    try:
        accepted = checks.text("text", value, longest=10)
    except InvalidField:
        assert len(value) > 10 or "\x00" in value
    else:
        assert accepted == value
        accepted.encode()


@pytest.mark.parametrize("value", ["c_81", "a", "x" * 64, "ñandú", "a b"])
def test_identifiers_are_opaque(value):
    assert checks.identifier("contact_id", value) == value


@pytest.mark.parametrize("value", ["", "x" * 65, " a", "a ", "a\nb", "a\x00", "a\u2028b", "\u200b"])
def test_identifiers_without_a_printable_form_are_refused(value):
    assert refused(checks.identifier, "contact_id", value)["field"] == "contact_id"


def test_identifiers_may_be_allowed_to_be_empty():
    assert checks.identifier("label", "", shortest=0) == ""


@pytest.mark.parametrize("value", [0.0, 0.7, 1.0])
def test_numbers_in_the_closed_range_are_accepted(value):
    assert checks.number("confidence", value, low=0.0, high=1.0) == value


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, -0.1, 1.1])
def test_numbers_outside_and_nan_are_refused(value):
    assert refused(checks.number, "confidence", value, low=0.0, high=1.0) == {"field": "confidence", "limit": "0 to 1"}


def test_infinity_is_refused_even_when_no_bound_is_finite():
    assert refused(checks.number, "x", math.inf, low=-math.inf, high=math.inf)["field"] == "x"


@pytest.mark.parametrize("value", [1, 5])
def test_integers_in_the_closed_range_are_accepted(value):
    assert checks.integer("epoch", value, low=1, high=5) == value


@pytest.mark.parametrize("value", [0, 6])
def test_integers_outside_are_refused(value):
    assert refused(checks.integer, "epoch", value, low=1, high=5) == {"field": "epoch", "limit": "1 to 5"}


@pytest.mark.parametrize("items", [["a"], ["a", "b"]])
def test_counts_in_the_closed_range_are_accepted(items):
    assert checks.count("messages", items, least=1, most=2) is items


@pytest.mark.parametrize("items", [[], ["a", "b", "c"]])
def test_counts_outside_are_refused(items):
    assert refused(checks.count, "messages", items, least=1, most=2) == {"field": "messages", "limit": "1 to 2 items"}


@pytest.mark.parametrize(("asked", "given_size"), [(0, 50), (1, 1), (200, 200), (201, 200)])
def test_page_size_is_the_default_for_0_and_cut_above_the_most(asked, given_size):
    assert checks.page_size(asked, default=50, most=200) == given_size


def test_negative_page_size_is_refused():
    assert refused(checks.page_size, -1, default=50, most=200) == {"field": "page_size", "limit": "0 to 200"}
