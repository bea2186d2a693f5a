"""Which listings fit: hard wishes are kept, numbers come from records, advice is true, and nobody is treated otherwise."""

import re
from dataclasses import asdict, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.buyer import matching, phrases
from services.buyer.listings import MemoryListings, find
from services.buyer.values import Found, HardWish, HomeType, Listing, Wishes
from tests.support.bots import at_once
from tests.support.listings import ZIPS, a_listing, in_memory, many_listings, sample_listings, some_wishes


def found_in(listings: tuple[Listing, ...], wishes: Wishes) -> Found:
    found: Found = at_once(find(MemoryListings({"loc_1": listings}), "loc_1", wishes))
    return found


def numbers_of(words: str) -> set[str]:
    return set(re.findall(r"\d+(?:\.\d+)?", words.replace(",", "")))


def numbers_in(record: Listing) -> set[str]:
    values = [value for value in asdict(record).values() if isinstance(value, int | float)]
    written = {f"{value:g}" if isinstance(value, float) else str(value) for value in values}
    dollars, cents = divmod(record.price_usd_cents, 100)
    price = {str(dollars), f"{dollars}.{cents:02}"}
    return written | price | numbers_of(record.listing_id) | {record.zip}


@given(many_listings(), some_wishes())
def test_what_is_proposed_keeps_every_hard_wish(listings, wishes):
    for proposal in found_in(listings, wishes).proposals:
        home = proposal.listing
        assert wishes.price_max_usd_cents is None or home.price_usd_cents <= wishes.price_max_usd_cents
        assert wishes.bedrooms_min is None or home.bedrooms >= wishes.bedrooms_min
        assert not wishes.zips or home.zip in wishes.zips
        assert wishes.home_type is None or home.home_type is wishes.home_type


@given(many_listings(), some_wishes())
def test_every_listing_that_keeps_the_hard_wishes_is_found(listings, wishes):
    fitting = {each.listing_id for each in listings if not matching.broken(wishes, each)}
    found = found_in(listings, wishes)
    assert {each.listing.listing_id for each in found.proposals} == fitting
    assert found.total_count == len(fitting)


@given(many_listings(), some_wishes())
def test_numbers_in_words_stand_in_the_record(listings, wishes):
    for proposal in found_in(listings, wishes).proposals:
        said = [*proposal.reasons, *proposal.missed, phrases.proposal(proposal)]
        assert numbers_of(" ".join(said)) <= numbers_in(proposal.listing)


@given(many_listings(), some_wishes())
def test_whoever_keeps_more_soft_wishes_comes_first(listings, wishes):
    missed = [len(each.missed) for each in found_in(listings, wishes).proposals]
    assert missed == sorted(missed)


@given(many_listings(), some_wishes(), st.randoms(use_true_random=False))
def test_order_of_the_records_changes_nothing(listings, wishes, random):
    shuffled = list(listings)
    random.shuffle(shuffled)
    assert found_in(tuple(shuffled), wishes) == found_in(listings, wishes)


@given(many_listings(), some_wishes())
def test_relaxing_a_wish_opens_just_what_was_said(listings, wishes):
    found = found_in(listings, wishes)
    assert not (found.proposals and found.relaxations)
    for relaxation in found.relaxations:
        again = found_in(listings, relaxation.wishes)
        assert again.total_count == relaxation.opens_count > 0
        assert f"{relaxation.opens_count} listing" in matching.say_relaxation(wishes, relaxation)
        assert relaxation.nearest in [each.listing for each in again.proposals]


@given(many_listings(), some_wishes())
def test_relaxing_gives_up_one_wish_only(listings, wishes):
    names = {
        HardWish.PRICE_MAX: "price_max_usd_cents",
        HardWish.BEDROOMS_MIN: "bedrooms_min",
        HardWish.HOME_TYPE: "home_type",
        HardWish.AREA: "zips",
    }
    for relaxation in found_in(listings, wishes).relaxations:
        before, after = asdict(wishes), asdict(relaxation.wishes)
        assert {name for name in before if before[name] != after[name]} == {names[relaxation.wish]}


@given(many_listings(), some_wishes())
def test_no_advice_means_that_no_single_wish_stands_in_the_way(listings, wishes):
    found = found_in(listings, wishes)
    if found.proposals or found.relaxations:
        return
    for trial in matching.trials(wishes):
        assert not any(matching.broken(trial.wishes, each) == () for each in listings)
    assert found.empty is not bool(listings)


def test_price_is_relaxed_to_the_next_thousand_and_said_with_the_difference():
    home = a_listing(price_usd_cents=612_345_00)
    wishes = Wishes(price_max_usd_cents=600_000_00, bedrooms_min=3, zips=("98107",))
    found = found_in((home, a_listing("KC-2", price_usd_cents=900_000_00)), wishes)
    assert phrases.nothing_fits(found) == (
        "Sample data as of May 2015. No listing fits your price, bedrooms and area. But up to $613,000 ($13,000 more) "
        "there would be 1 listing. Tell me what to change, and I look again."
    )


def test_bedrooms_are_relaxed_to_the_most_there_is():
    found = found_in((a_listing(bedrooms=2), a_listing("KC-2", bedrooms=4)), Wishes(bedrooms_min=5))
    (relaxation,) = found.relaxations
    assert matching.say_relaxation(found.wishes, relaxation) == (
        "with 4 bedrooms instead of 5 bedrooms there would be 1 listing"
    )


def test_smallest_change_is_said_first_and_other_areas_are_not_named():
    wishes = Wishes(price_max_usd_cents=500_000_00, zips=("98103",))
    dear = a_listing("KC-1", zip="98103", price_usd_cents=1_500_000_00)
    found = found_in((dear, a_listing("KC-2", price_usd_cents=400_000_00)), wishes)
    assert [each.wish for each in found.relaxations] == [HardWish.AREA, HardWish.PRICE_MAX]
    assert matching.say_relaxation(wishes, found.relaxations[0]) == "in other areas there would be 1 listing"


def test_record_that_does_not_say_its_type_is_no_condo():
    assert matching.broken(Wishes(home_type=HomeType.CONDO), a_listing()) == (HardWish.HOME_TYPE,)


def test_reasons_and_what_is_missed_are_said_for_each():
    home = a_listing(view=2, bathrooms=1.75, waterfront=False)
    wishes = Wishes(price_max_usd_cents=700_000_00, bedrooms_min=3, view=True, waterfront=True, bathrooms_min=2.0)
    (proposal,) = matching.rank(wishes, [home])
    assert proposal.reasons == ("$600,000 is within your maximum", "the bedrooms you asked for", "has a view")
    assert proposal.missed == ("not on the water", "fewer baths")


# --- fair housing: nothing of a person is among the wishes


def test_wishes_are_of_the_home_only():
    """A new wish must be looked at here: none may be of people, or stand for them."""
    assert set(Wishes.__dataclass_fields__) == {
        "price_max_usd_cents", "bedrooms_min", "zips", "home_type", "price_min_usd_cents", "bathrooms_min",
        "area_sqft_min", "lot_sqft_min", "year_built_min", "waterfront", "view",
    }  # fmt: skip


@given(some_wishes(), st.permutations(ZIPS))
def test_equal_homes_rank_equally_wherever_they_are(wishes, zips):
    """Method: the same home in three ZIP codes; only age of the listing, price and id may tell them apart."""
    wishes = replace(wishes, zips=())
    homes = [a_listing(f"L-{number}", zip=each) for number, each in enumerate(zips)]
    ranked = matching.rank(wishes, homes)
    assert [each.listing.listing_id for each in ranked] == [each.listing_id for each in homes[: len(ranked)]]


# --- the sample


def test_sample_is_what_its_rule_says():
    listings = sample_listings()
    by_zip: dict[str, list[Listing]] = {}
    for each in listings:
        by_zip.setdefault(each.zip, []).append(each)
    assert (len(listings), len(by_zip)) == (560, 70)
    assert {len(each) for each in by_zip.values()} == {8}
    assert all(each.sample and each.list_date < each.as_of for each in listings)
    for zip_code, homes in by_zip.items():
        assert [each.listing_id for each in homes] == [f"KC-{zip_code}-{place}" for place in range(1, 9)]
        assert [each.list_date for each in homes] == sorted((each.list_date for each in homes), reverse=True)


@pytest.mark.parametrize("wishes", [Wishes(zips=("98107", "98117"), price_max_usd_cents=750_000_00, bedrooms_min=3)])
def test_story_of_ballard_has_three_matches(wishes):
    assert len(at_once(find(in_memory(), "loc_1", wishes)).proposals) >= 3
