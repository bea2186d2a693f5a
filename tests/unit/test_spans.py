"""Masking: what is shared holds nothing of anybody's, and what means something else is another text."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.spans import MOST_SHARED_TOKENS, OwnValue, SpanKind, mask
from kit.vocabulary import words


def masked(*texts: str, name: str = "") -> str:
    return mask(texts, [OwnValue(kind=SpanKind.NAME, value=name)] if name else []).text


def originals(text: str, *own: OwnValue) -> dict[str, str]:
    return {span.ref: text[span.start : span.end] for span in mask([text], own).spans}


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("under $650k in Ballard", {"MONEY_1": "$650k", "PLACE_1": "Ballard"}),
        ("400-500k", {"MONEY_1": "400", "MONEY_2": "500k"}),
        ("between 400 and 500k", {"MONEY_1": "400", "MONEY_2": "500k"}),
        ("half a million", {"MONEY_1": "half a million"}),
        ("3-4 bedrooms, two baths", {"COUNT_1": "3", "COUNT_2": "4", "COUNT_3": "two"}),
        ("900-1200 sqft", {"COUNT_1": "900", "COUNT_2": "1200"}),
        ("a 3 bedroom place in Green Lake", {"COUNT_1": "3", "PLACE_1": "Green Lake"}),
        ("98107 or West Seattle", {"PLACE_1": "98107", "PLACE_2": "West Seattle"}),
        ("within 2-3 months", {"TIME_1": "2-3 months"}),
        ("by next spring, at 5pm on Monday", {"TIME_1": "next spring", "TIME_2": "5pm", "TIME_3": "Monday"}),
        ("1234 Maple St apt 4", {"ADDRESS_1": "1234 Maple St apt 4"}),
        ("call (206) 555-0100 or 555-0100", {"PHONE_1": "(206) 555-0100", "PHONE_2": "555-0100"}),
        ("ana@example.com, www.example.com/ana", {"EMAIL_1": "ana@example.com", "URL_1": "www.example.com/ana"}),
        ("is KC-98107-3 still there?", {"LISTING_1": "KC-98107-3"}),
    ],
)
def test_value_is_found_with_its_kind_and_its_place(text, values):
    assert originals(text) == values


def test_contacts_own_values_are_masked_wherever_they_stand():
    own = (OwnValue(kind=SpanKind.NAME, value="Zacherl"), OwnValue(kind=SpanKind.ADDRESS, value="77 Elm"))
    said = "zacherl here, ZACHERL of 77  elm"
    assert originals(said, *own) == {"NAME_1": "zacherl", "NAME_2": "ZACHERL", "ADDRESS_1": "77  elm"}


def test_name_that_is_a_word_too_is_masked_as_a_name_only_and_such_a_text_is_not_shared():
    will = [OwnValue(kind=SpanKind.NAME, value="Will")]
    found = mask(["this is Will, I will sell"], will)
    assert found.text == "this is NAME_1, i will sell"
    assert not found.own_free


@pytest.mark.parametrize(
    "text",
    ["my wife is Marta", "ask for zacherl", "code zq7xk", "we love Zacherlville", "\N{THUMBS UP SIGN}", "x" * 40],
)
def test_word_that_no_dictionary_has_is_not_shared(text):
    assert not mask([text]).own_free


def test_long_text_is_not_shared():
    assert mask(["buy " * MOST_SHARED_TOKENS]).own_free
    assert not mask(["buy " * (MOST_SHARED_TOKENS + 1)]).own_free


@pytest.mark.parametrize(
    "same",
    [
        ["I want to buy a house", "looking to purchase property", "Hi! We'd like to buy a home please.", "want to buy the house!!"],
        ["I'm not pre-approved", "i\N{RIGHT SINGLE QUOTATION MARK}m NOT pre approved", "I am not preapproved."],
        ["I do not want to sell", "i dont want to sell", "Hello, I don't want to sell..."],
        ["under 650k", "under $1.2 million", "UNDER  $700,000 !"],
        ["3 bedrooms in Ballard", "four bedrooms in 98115", "5 bedrooms in Queen Anne, thank you"],
        ["400-500k", "$600k to $700k", "600\N{EN DASH}700k"],
        ["in 3 months", "in 10 weeks"],
    ],
)  # fmt: skip
def test_what_means_the_same_is_one_text(same):
    assert len({masked(each) for each in same}) == 1, {masked(each) for each in same}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("I want to buy a house", "I want to sell my house"),
        ("I'm pre-approved", "I'm not pre-approved"),
        ("I want to sell", "I don't want to sell"),
        ("from 400k, at most 500k", "at most 400k, from 500k"),
        ("under 500k", "over 500k"),
        ("500k", "500k+"),
        ("400-500k", "500k"),
        ("3 bedrooms", "3 bathrooms"),
        ("3 bedrooms", "3 bedrooms?"),
        ("buy in Ballard", "not in Ballard"),
        ("sell in Ballard, buy in Fremont", "buy in Ballard, sell in Fremont"),
        ("in 3 months", "3 months ago"),
        ("my rent is 2500", "my budget is 2500"),
        ("can't wait to sell", "can wait to sell"),
        ("I want to buy, not sell", "I want to sell, not buy"),
        ("they want to sell", "we want to sell"),
    ],
)
def test_what_means_something_else_is_another_text(one, other):
    assert masked(one) != masked(other)


SENTENCES = st.sampled_from(
    [
        "I want to buy a house in Ballard",
        "we need to sell our condo by March",
        "not pre-approved yet, budget 400-500k",
        "3 beds and 2 baths under $650,000",
        "I don't want to sell, just curious",
        "no, I meant sell",
    ]
)


@given(SENTENCES, st.data())
def test_case_spacing_and_what_ends_a_sentence_change_nothing(text, data):
    changed = "".join(
        data.draw(st.sampled_from([each.upper(), each.lower()])) if each.isalpha() else each for each in text
    )
    changed = re.sub(" ", lambda _: " " * data.draw(st.integers(1, 3)), changed)
    changed = (
        data.draw(st.sampled_from(["", " ", "Hi, ", "hello! ", "um, "]))
        + changed
        + data.draw(st.sampled_from(["", ".", "!!", " ", "..."]))
    )
    assert masked(changed) == masked(text)


@given(st.lists(st.text(max_size=80), min_size=1, max_size=4))
def test_any_texts_are_masked_and_every_span_lies_in_its_text(texts):
    found = mask(texts)
    for span in found.spans:
        assert 0 <= span.start < span.end <= len(texts[span.text])
    assert len({span.ref for span in found.spans}) == len(found.spans)
    # No digit is left outside of a reference, so no number of anybody's.
    assert not re.search(r"\d", re.sub(r"\b[A-Z]+_\d+\b", "", found.text)) or not found.own_free


@given(SENTENCES, st.data())
def test_quoted_words_lead_back_to_what_was_written(text, data):
    found = mask([text])
    quoted = found.text.replace(",", " ").split()
    first = data.draw(st.integers(0, len(quoted) - 1))
    last = data.draw(st.integers(first, len(quoted) - 1))
    place = found.quote(" ".join(quoted[first : last + 1]))
    assert place is not None
    values = {span.ref: text[span.start : span.end] for span in found.spans}
    wanted = [values[word] for word in quoted[first : last + 1] if word in values]
    assert all(value in text[place.start : place.end] for value in wanted)


@pytest.mark.parametrize("words_", ["", "zacherl", "PLACE_2", "buy Ballard", "house in", ","])
def test_words_that_do_not_stand_there_are_no_quote(words_):
    assert mask(["I want to buy a house in Ballard"]).quote(words_) is None


def test_numbering_goes_on_over_the_texts_of_a_turn():
    found = mask(["under 500k", "no, 600k"])
    assert found.text == "under MONEY_1, no, MONEY_2"
    assert [(span.ref, span.text) for span in found.spans] == [("MONEY_1", 0), ("MONEY_2", 1)]
    quoted = found.quote("no MONEY_2")
    assert quoted is not None and (quoted.text, quoted.start, quoted.end) == (1, 0, 8)


def test_list_of_words_holds_no_digit_and_no_capital():
    assert [word for word in words() if not re.fullmatch(r"[a-záéíóúñü'&-]+", word)] == []
