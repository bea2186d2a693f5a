"""The CMA: parts add up, nothing comes from the future, and no number is invented."""

from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.seller import shares
from services.seller.book import make_book, miles_from, on_sphere
from services.seller.cma import NOT_AN_APPRAISAL, Confidence, Estimate, TooFewSales, estimate
from services.seller.comparables import NEEDED
from services.seller.hedonic import fit
from services.seller.market import make_market
from services.seller.sentences import say
from tests.support.sales import CENTER, LAST, a_sale, a_subject, a_town, price_of, sample_sales, valued, with_features

TOWN = make_book(a_town())
MARKET = make_market(TOWN, on=LAST, knowledge=a_subject().knowledge)
MAY = date(2015, 5, 28)
amounts = st.floats(-1e7, 1e7, allow_nan=False)


def an_estimate(**rest) -> Estimate:
    found = estimate(MARKET, a_subject(**rest), on=LAST)
    assert isinstance(found, Estimate)
    return found


subjects = st.builds(
    a_subject,
    st.floats(700, 5_000),
    features=st.fixed_dictionaries({"bathrooms": st.floats(0, 8)}),
    point=st.tuples(st.floats(CENTER[0] - 0.05, CENTER[0] + 0.05), st.floats(CENTER[1] - 0.05, CENTER[1] + 0.05)),
)


@given(subjects)
@settings(max_examples=60, deadline=None)
def test_every_column_adds_up_to_the_dollar_and_the_range_is_never_upside_down(subject):
    found = estimate(MARKET, subject, on=LAST)
    if isinstance(found, TooFewSales):
        assert found.found < found.needed
        return
    sales = found.comparables
    assert sum(each.share_usd for each in sales) == found.value_usd
    assert sum(each.weight_ppm for each in sales) == 1_000_000
    exact = sum(each.weight_ppm * each.adjusted_price_usd for each in sales)
    assert abs(exact - found.value_usd * 1_000_000) <= 500_000
    for each in sales:
        assert each.price_usd + sum(part.amount_usd for part in each.adjustments) == each.adjusted_price_usd
    assert found.low_usd <= found.value_usd <= found.high_usd


@given(st.lists(amounts, min_size=1, max_size=30))
def test_rounded_parts_add_up_and_none_is_off_by_more_than_a_dollar(parts):
    total = round(sum(parts))
    rounded = shares.whole(parts, total)
    assert sum(rounded) == total
    assert all(abs(after - before) < 1.01 for after, before in zip(rounded, parts, strict=True))


@given(st.integers(10_000, 50_000_000), st.lists(st.floats(-0.8, 0.8), min_size=1, max_size=14))
def test_adjustments_add_up_to_the_change_and_point_where_their_effect_does(price, effects):
    after, parts = shares.split(price, effects)
    assert price + sum(parts) == after
    assert all(part * effect >= 0 or abs(part) <= 1 for part, effect in zip(parts, effects, strict=True))


@given(st.lists(st.floats(1e-6, 1.0), min_size=1, max_size=25))
def test_weights_add_up_to_a_million(weights):
    assert sum(shares.per_million(weights)) == 1_000_000


def test_no_comparable_is_dated_on_or_after_the_valuation_date():
    on = LAST - timedelta(days=60)
    found = valued(a_town(), a_subject(), on=on)
    assert isinstance(found, Estimate)
    assert max(each.sale_date for each in found.comparables) < on


def test_later_sales_change_nothing_at_all():
    on = LAST - timedelta(days=60)
    earlier = tuple(sale for sale in a_town() if sale.sale_date < on)
    wild = tuple(replace(sale, price_usd=9_999_999) for sale in a_town() if sale.sale_date >= on)
    assert valued(earlier, a_subject(), on=on) == valued(earlier + wild, a_subject(), on=on)


def test_own_earlier_sale_is_left_out():
    own = a_sale(10_001, home_id="mine", latitude=CENTER[0], longitude=CENTER[1], area_sqft=1_800)
    sales = (*a_town(), replace(own, sale_date=LAST - timedelta(days=5)))
    ids = {found: None for found in ("s10001",)}
    asked, known = valued(sales, a_subject()), valued(sales, a_subject(home_id="mine"))
    assert isinstance(asked, Estimate) and isinstance(known, Estimate)
    assert ids.keys() <= {each.sale_id for each in asked.comparables}
    assert not ids.keys() & {each.sale_id for each in known.comparables}


def test_estimate_is_near_the_law_of_the_town():
    assert an_estimate().value_usd == pytest.approx(price_of(1_800, 3), rel=0.04)


def test_one_distressed_sale_does_not_move_the_estimate():
    before = an_estimate()
    heaviest = before.comparables[0].sale_id
    sold = tuple(replace(s, price_usd=s.price_usd * 2 // 5) if s.sale_id == heaviest else s for s in a_town())
    after = valued(sold, a_subject())
    assert isinstance(after, Estimate)
    assert after.value_usd == pytest.approx(before.value_usd, rel=0.02)


def test_larger_home_is_not_worth_less():
    values = [an_estimate(area_sqft=area).value_usd for area in (1_200, 1_500, 1_800, 2_300, 2_800)]
    assert values == sorted(values)


@given(st.floats(200, 20_000), st.floats(200, 20_000))
def test_no_comparable_is_adjusted_down_for_a_larger_home(one, other):
    assert MARKET is not None
    small, large = sorted((one, other))
    worth = [MARKET.hedonic.effects_of(area, {})[0] for area in (small, large)]
    assert worth[0] <= worth[1] + 1e-12


def test_data_in_which_larger_sold_for_less_still_adjusts_upwards():
    sales = tuple(replace(sale, price_usd=round(9e8 / sale.area_sqft)) for sale in a_town())
    market = make_market(make_book(sales), on=LAST, knowledge=a_subject().knowledge)
    assert market is not None
    assert market.hedonic.effects_of(1_000, {})[0] <= market.hedonic.effects_of(3_000, {})[0]


def test_bathroom_is_worth_what_the_town_pays_for_it():
    hedonic = fit(TOWN, before=LAST.toordinal(), features={"bathrooms"})
    assert hedonic is not None
    three, two = (hedonic.effects_of(1_800, {"bathrooms": rooms})[1] for rooms in (3.0, 2.0))
    assert three - two == pytest.approx(0.05, abs=0.012)


def test_feature_that_is_not_known_is_not_adjusted_for():
    found = valued(a_town(), a_subject(features={}))
    assert isinstance(found, Estimate)
    names = {part.name for each in found.comparables for part in each.adjustments}
    assert "bathrooms" not in names


def test_less_known_means_a_wider_range():
    def width(**known) -> float:
        found = valued(sample_sales(), a_subject(point=(47.68, -122.378), **known), on=MAY)
        assert isinstance(found, Estimate)
        return found.high_usd / found.low_usd

    much = {"quality": 7.0, "condition": 3.0, "year_built": 1940.0, "view": 0.0, "waterfront": 0.0}
    assert width(features=much) < width(features={})


def test_empty_area_says_so_and_names_no_price():
    found = estimate(MARKET, a_subject(point=(10.0, 10.0)), on=LAST)
    assert found == TooFewSales(
        found=0,
        needed=NEEDED,
        because="No home between 1,125 and 2,880 sq ft sold within 8 miles in the 365 days before 2026-06-01; 5 are needed.",
        valuation_date=LAST,
    )


def test_zip_code_without_sales_says_so():
    market = make_market(TOWN, on=LAST, knowledge=a_subject(point=None).knowledge)
    found = estimate(market, a_subject(point=None, zips=("99999",)), on=LAST)
    assert isinstance(found, TooFewSales)
    assert "sold in 99999" in found.because


@pytest.mark.parametrize("count", [0, 1, 5, 59, 80])
def test_too_few_sales_to_learn_from_is_said_plainly(count):
    found = valued(a_town()[:count], a_subject())
    assert isinstance(found, TooFewSales)


def test_other_countys_columns_make_an_estimate():
    bare = with_features(a_town(), {})
    assert isinstance(valued(bare, a_subject(features={"quality": 7.0, "bathrooms": 2.0})), Estimate)


def test_source_without_zip_codes_makes_an_estimate_for_a_point():
    assert isinstance(valued(tuple(replace(s, zip_code="") for s in a_town()), a_subject()), Estimate)


def test_sales_that_lack_a_feature_here_and_there_are_used_all_the_same():
    holed = tuple(replace(s, features={}) if number % 3 == 0 else s for number, s in enumerate(a_town()))
    found = valued(holed, a_subject())
    assert isinstance(found, Estimate)
    assert found.value_usd == pytest.approx(price_of(1_800, 3), rel=0.06)


def test_order_of_the_sales_does_not_matter():
    assert valued(a_town(), a_subject()) == valued(a_town()[::-1], a_subject())


def test_distance_is_the_great_circle():
    seattle, portland = (on_sphere(np.array(a), np.array(b)) for a, b in ((47.6062, -122.3321), (45.5152, -122.6784)))
    assert miles_from(seattle, portland[None])[0] == pytest.approx(145.4, abs=0.5)


def test_price_of_the_past_is_brought_to_the_valuation_date():
    def later(sale, yearly=0.2):
        return replace(sale, price_usd=round(sale.price_usd * (1 + yearly * (sale.sale_date - LAST).days / 365)))

    found = valued(tuple(later(sale) for sale in a_town()), a_subject())
    assert isinstance(found, Estimate)
    assert found.value_usd == pytest.approx(price_of(1_800, 3), rel=0.05)


def test_confidence_is_never_high_where_half_of_the_estimates_miss_by_a_tenth():
    found = valued(sample_sales(), a_subject(point=None, zips=("98107", "98117"), features={}), on=MAY)
    assert isinstance(found, Estimate)
    assert found.typical_error > 0.10
    assert found.confidence is not Confidence.HIGH


def test_confidence_is_low_where_every_sale_is_remote_and_the_nearest_is_named():
    tacoma = valued(sample_sales(), a_subject(point=(47.2529, -122.4443)), on=MAY)
    assert isinstance(tacoma, Estimate)
    nearest = min(each.distance_miles for each in tacoma.comparables)
    assert nearest > 4 and tacoma.confidence is Confidence.LOW
    assert say(tacoma, title="Records")[1] == f"The nearest of these sales is {nearest:.1f} mi away (low confidence)."


def test_sentences_hold_no_number_that_the_estimate_does_not():
    found = an_estimate()
    said = say(found, title="Town records")
    assert said[-1] == NOT_AN_APPRAISAL
    assert all(len(sentence) <= 160 for sentence in said)
    assert "as of June 2026, Town records" in said[0]
    rounded = {found.value_usd, found.low_usd, found.high_usd}
    assert all(f"${(amount + 500) // 1_000:,},000".replace(",,", ",") in said[0] for amount in rounded)


def test_too_few_sales_become_one_sentence_without_a_price():
    found = estimate(MARKET, a_subject(point=(10.0, 10.0)), on=LAST)
    (said,) = say(found, title="Town records")
    assert "$" not in said and said.startswith("I have no estimate, as of June 2026, Town records: No home")
