"""Money, counts, times and negation in what people text."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit import text

NOVEMBER = date(2026, 11, 23)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("400-500k", (400_000, 500_000)),
        ("400\u2013500K", (400_000, 500_000)),
        ("400k to 500k", (400_000, 500_000)),
        ("between 400 and 500k", (400_000, 500_000)),
        ("$400,000 - $500,000", (400_000, 500_000)),
        ("$1.2 million", (None, 1_200_000)),
        ("1.2m", (None, 1_200_000)),
        ("450 thousand", (None, 450_000)),
        ("no more than 500k", (None, 500_000)),
        ("under 500", (None, 500_000)),
        ("3/2 under 500", (None, 500_000)),
        ("budget is 450", (None, 450_000)),
        ("up to $650,000 in Ballard", (None, 650_000)),
        ("at least 400k", (400_000, None)),
        ("500k+", (500_000, None)),
        ("zip 98115 under 700k", (None, 700_000)),
        ("My rent is $2,500 and my budget is 450k", (None, 450_000)),
        ("rent is $2,500, budget 450k", (None, 450_000)),
        ("half a million tops", (None, 500_000)),
        ("over a million", (1_000_000, None)),
        ("a million and a half", (None, 1_500_000)),
        ("one and a half million", (None, 1_500_000)),
    ],
)
def test_price_is_read_with_its_unit_and_its_bound(said, expected):
    assert [(price.low, price.high) for price in text.prices(text.fold(said))] == [expected]


@pytest.mark.parametrize(
    "said",
    [
        "98107",
        "call me at 206-555-1234",
        "2065551234",
        "2,800 sqft",
        "my rent is $2,500",
        "I make $90,000 a year",
        "I have 20k down",
        "we owe 300k on the mortgage",
        "3 bedrooms, 2 baths",
        "in 6 months",
        "built in 1998",
        "123 Main St",
        "I am 45",
        "within 60 days",
        "one in a million",
        "thanks a million",
        "my income is half a million",
    ],
)
def test_what_is_no_price_of_a_home_is_not_read_as_one(said):
    assert text.prices(text.fold(said)) == ()


def test_bare_number_is_thousands_only_where_a_price_was_asked_for():
    assert text.prices("450") == ()
    assert text.prices("450", bare_thousands=True)[0].high == 450_000


@given(low=st.integers(50, 900), more=st.integers(1, 900), dash=st.sampled_from(["-", " - ", " to ", "-$"]))
def test_range_is_never_upside_down(low, more, dash):
    (price,) = text.prices(f"${low}k{dash}{low + more}k")
    assert (price.low, price.high) == (low * 1_000, (low + more) * 1_000)


@given(st.text(max_size=200))
def test_folding_keeps_every_place_and_reading_never_fails(said):
    folded = text.fold(said)
    assert len(folded) == len(said)
    for price in text.prices(folded, bare_thousands=True):
        assert 0 <= price.start < price.end <= len(said)
        assert price.low is None or price.high is None or price.low <= price.high
    text.timing(folded, today=NOVEMBER, asked=True)
    text.bedrooms(folded, bare=True)


@pytest.mark.parametrize(
    ("said", "months"),
    [
        ("I need to sell my house ASAP", 0),
        ("as soon as possible", 0),
        ("I want to look at homes to buy now", 0),
        ("within 3 months", 3),
        ("in 2-3 months", 3),
        ("in two weeks", 14 / 30),
        ("in a couple of months", 2),
        ("a year from now", 12),
        ("in the next 6 months", 6),
        ("next month", 1.5),
        ("by June", 7),
        ("next spring", 5),
        ("in may", 6),
        ("end of the year", 1),
        ("next year", 7),
        ("in a year, no wait, in 2 months", 2),
    ],
)
def test_time_is_read_in_months_from_now(said, months):
    found = text.timing(text.fold(said), today=NOVEMBER)
    assert found is not None
    assert found.months == pytest.approx(months)


@pytest.mark.parametrize(
    "said",
    [
        "I don't know when",
        "I know now that it was wrong",
        "My rent is due Monday, looking to buy",
        "I may sell",
        "we might march ahead",
        "the house is 10 years old",
        "lived here for 10 years",
        "I bought it 3 years ago",
        "not in the next 6 months",
        "can't wait 6 months",
        "no rush",
        "I want to sell my house today is fine",
        "a 30 year mortgage",
    ],
)
def test_what_says_no_time_is_not_read_as_one(said):
    assert text.timing(text.fold(said), today=NOVEMBER) is None


def test_short_answer_is_a_time_only_where_one_was_asked_for():
    assert text.timing("two months", today=NOVEMBER) is None
    assert text.timing("two months", today=NOVEMBER, asked=True) is not None
    assert text.timing("now", today=NOVEMBER, asked=True) is not None


@pytest.mark.parametrize(
    ("said", "count"),
    [("3 bed", 3), ("3br", 3), ("three-bedroom", 3), ("3-4 bedrooms", 3), ("at least 2 bedrooms", 2), ("4+ beds", 4)],
)
def test_bedrooms_are_the_lower_end(said, count):
    found = text.bedrooms(text.fold(said))
    assert found is not None
    assert found.value == count


@pytest.mark.parametrize("said", ["not 3 bedrooms", "bedroom", "300k", "2 baths", "3 cars"])
def test_what_counts_no_bedrooms_is_not_read_as_them(said):
    assert text.bedrooms(text.fold(said)) is None


@pytest.mark.parametrize(
    ("said", "word", "expected"),
    [
        ("I do not want to sell", "sell", True),
        ("I don\u2019t want to sell", "sell", True),
        ("no, I want to sell", "sell", False),
        ("I don't want to sell I want to buy", "buy", False),
        ("I don't think I want to sell", "sell", True),
        ("not sell but buy", "buy", False),
        ("can't wait to sell", "sell", False),
        ("not only sell", "sell", False),
        ("I don't know if I should sell", "sell", False),
        ("not pre-approved", "approved", True),
        ("rather than sell", "sell", True),
        ("I am not in a hurry. I want to sell", "sell", False),
        ("no more than 500k", "500k", False),
    ],
)
def test_negation_reaches_to_the_end_of_its_own_clause(said, word, expected):
    folded = text.fold(said)
    assert text.negated(folded, folded.index(word)) is expected
