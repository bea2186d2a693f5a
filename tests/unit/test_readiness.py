"""How ready somebody is, and what a home costs a month."""

from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.bot import reading
from services.buyer.payment import Assumptions, estimate, instalment
from services.buyer.readiness import Band, assess
from services.buyer.settings import BuyerSettings
from tests.support.bots import BOTS, facts_of, learned_facts

BUYER = BOTS["buyer"]


@pytest.mark.parametrize(
    ("loan", "rate", "years", "cents"),
    [
        # Printed in mortgage tables everywhere.
        (100_000_00, "6", 30, 599_55),
        (200_000_00, "6.5", 30, 1_264_14),
        (100_000_00, "5", 15, 790_79),
        (400_000_00, "3.87", 30, 1_879_80),
        (120_000_00, "0", 10, 1_000_00),
        (0, "6", 30, 0),
    ],
)
def test_instalment_is_that_of_the_annuity_tables(loan, rate, years, cents):
    assert instalment(loan, Decimal(rate), years) == cents


@given(st.integers(1, 10**11), st.decimals("0", "30", places=3), st.integers(1, 50))
def test_instalments_pay_the_loan_back_within_half_a_cent_a_month(loan, rate, years):
    paid = instalment(loan, rate, years) * years * 12
    assert paid >= loan - years * 12 / 2


@given(st.integers(1, 10**11), st.decimals("0", "100", places=2))
def test_parts_of_a_payment_add_up(price, down):
    payment = estimate(price, a_set_of_assumptions(down_payment_percent=down))
    parts = (payment.principal_and_interest_usd_cents, payment.property_tax_usd_cents, payment.insurance_usd_cents)
    assert payment.total_usd_cents == sum(parts)
    assert 0 <= payment.loan_usd_cents <= price


def a_set_of_assumptions(**changes: object) -> Assumptions:
    made: dict[str, object] = {
        "rate_percent": Decimal("6.5"),
        "rate_date": date(2026, 11, 19),
        "rate_source": "somebody",
        "down_payment_percent": Decimal(20),
        "loan_years": 30,
        "property_tax_percent": Decimal(1),
        "insurance_usd_cents_per_year": 1_200_00,
        "carrying_costs_source": "somebody else",
    }
    return Assumptions(**(made | changes))  # type: ignore[arg-type]


def test_estimate_says_that_it_is_one_with_date_and_source_of_the_rate():
    payment = estimate(250_000_00, a_set_of_assumptions())
    assert (payment.principal_and_interest_usd_cents, payment.total_usd_cents) == (1_264_14, 1_572_47)
    assert payment.words == (
        "An estimate, not an offer of credit. 30 years at 6.5 % (somebody, 2026-11-19), 20 % down, "
        "1 % property tax a year and insurance (somebody else). Without association dues."
    )


def test_small_down_payment_says_that_mortgage_insurance_is_left_out():
    words = estimate(250_000_00, a_set_of_assumptions(down_payment_percent=Decimal(10))).words
    assert "Without mortgage insurance and association dues." in words


def test_rate_of_the_settings_has_its_date_and_source():
    held = BuyerSettings().assumptions()
    assert (held.rate_percent, held.rate_date, held.rate_source) == (
        Decimal("3.87"),
        date(2015, 5, 28),
        "Freddie Mac PMMS, 30-year fixed, US average",
    )


# --- readiness


def points(**known: str | int | bool) -> int:
    return assess(facts_of(known)).points


def test_nothing_known_is_no_readiness():
    assessed = assess({})
    assert (assessed.points, assessed.band) == (0, Band.EARLY)
    assert {each.reason for each in assessed.factors} == {"not known"}


@pytest.mark.parametrize(
    ("said", "points_of_financing", "reason"),
    [
        ("I'm pre-approved", 40, "pre-approved for a loan"),
        ("I'm not pre-approved", 10, "not pre-approved yet"),
        ("was denied last month, not approved yet", 10, "not pre-approved yet"),
        ("paying all cash", 40, "pays cash"),
    ],
)
def test_financing_counts_as_it_was_said_with_its_words(said, points_of_financing, reason):
    known = {fact.name: fact for fact in learned_facts(BUYER, said)}
    factor = next(each for each in assess(known).factors if each.name == "financing")
    assert (factor.points, factor.reason) == (points_of_financing, reason)
    assert factor.words and factor.words in said


known_facts = st.fixed_dictionaries(
    {},
    optional={
        "financing": st.sampled_from(["cash", "pre_approved", "not_yet"]),
        "timeline": st.sampled_from(sorted(reading.TIMELINES)),
        "price_max_usd": st.integers(10_000, 10**8),
        "has_agent": st.booleans(),
    },
)


@given(known_facts)
def test_points_are_the_sum_of_the_factors_and_within_range(known):
    assessed = assess(facts_of(known))
    assert assessed.points == sum(each.points for each in assessed.factors)
    assert 0 <= assessed.points <= 100


@given(known_facts)
def test_telling_more_never_costs_points(known):
    for name in ("financing", "timeline", "price_max_usd"):
        less = {key: value for key, value in known.items() if key != name}
        assert points(**known) >= points(**less)
    assert points(**{**known, "financing": "pre_approved"}) >= points(**known)


def test_who_has_an_agent_is_not_scored():
    assessed = assess(facts_of({"financing": "cash", "timeline": "under_1_month", "has_agent": True}))
    assert (assessed.points, assessed.band) == (0, Band.HAS_AGENT)


def test_everything_good_is_100_and_ready():
    assessed = assess(facts_of({"financing": "cash", "timeline": "under_1_month", "price_max_usd": 500_000}))
    assert (assessed.points, assessed.band) == (100, Band.READY)


@given(known_facts, st.sampled_from(["children_count", "religion", "national_origin", "familial_status", "age"]))
def test_what_a_person_is_counts_for_nothing(known, name):
    assert points(**known) == points(**known, **{name: "x"})
