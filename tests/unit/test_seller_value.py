"""What the seller bot says of a home's value: a real estimate, or plainly that there is none."""

import re
from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kit.bot import outbound
from kit.bot.spec import MoveKind
from services.seller import value
from services.seller.cma import NOT_AN_APPRAISAL, Comparable, Confidence, Estimate, Subject, TooFewSales, _because
from services.seller.sentences import dollars
from tests.support.bots import BOTS, Conversation, a_situation
from tests.support.sales import LAST, Town

SELLER = BOTS["seller"]
TOWN = Town()
BALLARD = "thinking about selling my place in Ballard and buying something bigger"


def talked(*texts: str, owner: str = "seller", town: Town = TOWN) -> Conversation:
    conversation = Conversation(owner=owner, sales=town)
    for text in texts:
        conversation.say(text)
    return conversation


def estimated(**features: float) -> Estimate:
    found = TOWN.value(Subject(area_sqft=1_800, zips=("98107", "98117"), features=features))
    assert isinstance(found, Estimate)
    return found


def test_place_and_size_bring_the_range_its_date_its_confidence_its_sales_and_what_it_is_not():
    move = talked("it is in Ballard", "1,800 sq ft").moves[-1]
    found = estimated()
    assert f"{dollars(found.low_usd)} to {dollars(found.high_usd)}, as of June 2026, {TOWN.title}" in move.reply
    assert f"from {len(found.comparables)} comparable sales" in move.reply
    assert f"({found.confidence} confidence)" in move.reply
    assert NOT_AN_APPRAISAL in move.reply
    assert move.question == "condition"
    assert move.reply.endswith(SELLER.slot("condition").question)
    assert len(move.reply) <= value.LONGEST_REPLY
    assert move.reply.isascii()


def test_ballard_story_sells_first_keeps_the_plan_asks_the_size_and_estimates():
    story = talked(BALLARD, owner="lead")
    assert story.route == ["lead>seller"]
    assert story.values["buying_plan"] is True
    assert story.values["address_area"] == "Ballard"
    assert story.moves[-1].question == "area_sqft"
    assert "buy as well" in story.moves[-1].reply
    reply = story.say("about 1800 square feet").reply
    assert dollars(estimated().low_usd) in reply
    assert "ZIP" not in reply


def test_first_text_with_place_and_size_is_answered_with_who_speaks_and_an_estimate():
    (move,) = talked("I want to sell my 1,800 sq ft house in Ballard", owner="lead").moves
    assert "Reply STOP to opt out." in move.reply
    assert dollars(estimated().low_usd) in move.reply
    assert len(move.reply) <= value.LONGEST_REPLY


def test_estimate_is_said_once_and_again_when_the_details_have_been_told():
    story = talked("it is in Ballard", "1,800 sq ft", "good", "3 bed 2 bath", "in 2 months", "downsizing", "no idea")
    said = ["comparable sales" in move.reply for move in story.moves]
    assert said == [False, True, False, True, False, False, False]
    assert story.moves[3].reply.startswith("Got it: 3 bd. With what I know now: Homes like yours")
    assert dollars(estimated(bathrooms=2.0).low_usd) in story.moves[3].reply
    assert story.moves[-1].question == ""


def test_corrected_size_brings_a_new_estimate():
    story = talked("it is in Ballard", "1,800 sq ft", "sorry, it is 2,400 sq ft")
    larger = TOWN.value(Subject(area_sqft=2_400, zips=("98107", "98117")))
    assert isinstance(larger, Estimate)
    assert dollars(larger.low_usd) in story.moves[-1].reply


def test_question_of_value_is_answered_again_and_not_counted_as_an_answer_left_out():
    move = talked("it is in Ballard", "1,800 sq ft", "so what is it worth?").moves[-1]
    assert move.kind is MoveKind.ANSWER
    assert dollars(estimated().high_usd) in move.reply


@pytest.mark.parametrize("said", ["what's it worth?", "how much could I get for it?", "can you give me an estimate?"])
def test_question_of_value_before_the_size_asks_for_the_size_and_says_why(said):
    move = talked("it is in Ballard", said).moves[-1]
    assert (move.kind, move.question) == (MoveKind.ANSWER, "area_sqft")
    assert "so I need to know its size first" in move.reply
    assert "$" not in move.reply


def test_size_that_nobody_knows_is_not_asked_for_a_third_time():
    story = talked("it is in Ballard", "I don't know", "what is it worth?")
    assert "so I need to know its size first" in story.moves[-1].reply
    assert story.moves[-1].question == "condition"


def test_too_few_sales_are_said_plainly_with_no_price():
    move = talked("90210", "1,800 sq ft").moves[-1]
    assert "I do not have enough sales there to say what it may sell for" in move.reply
    assert "$" not in move.reply
    assert move.question == "condition"


def test_unknown_place_is_said_once_and_a_zip_code_helps():
    story = talked("in Atlantis", "1,800 sq ft", "98107")
    assert "I cannot say what it may sell for. A ZIP code would help." in story.moves[0].reply
    assert "ZIP" not in story.moves[1].reply
    assert "comparable sales" in story.moves[2].reply


def test_unknown_place_is_said_in_the_next_reply_where_the_first_has_no_room():
    conversation = Conversation(sales=Town())
    first = conversation.say(
        "We need to sell our condo. It's in Belltown, about 900 sqft, 2 bed 2 bath. Then we'd like to buy in Shoreline"
    )
    assert "sales that I can place" not in first.reply
    assert "sales that I can place" in conversation.say("good").reply


def test_store_that_is_away_means_no_word_of_value():
    story = Conversation(owner="seller")
    replies = [story.say(text).reply for text in ("it is in Ballard", "1,800 sq ft", "what is it worth?")]
    assert not any("$" in reply for reply in replies)
    assert "I cannot answer that reliably myself." in replies[-1]


def test_who_asks_for_a_person_gets_the_person_before_the_estimate():
    move = talked("it is in Ballard", "1,800 sq ft, can I talk to an agent?").moves[-1]
    assert "An agent of" in move.reply
    assert "$" not in move.reply


def test_nothing_is_valued_for_who_wants_to_buy_after_all():
    known = {"intent": "buy", "address_area": "Ballard", "area_sqft": 1_800}
    assert value.home_to_value(a_situation(SELLER, "ok", known=known)) is None


amounts = st.integers(30_000, 40_000_000)
comparables = st.builds(
    Comparable,
    sale_id=st.just("s"),
    sale_date=st.dates(),
    zip_code=st.just("98107"),
    distance_miles=st.floats(0, 8),
    area_sqft=st.floats(150, 30_000),
    price_usd=amounts,
    adjustments=st.just(()),
    adjusted_price_usd=amounts,
    weight_ppm=st.just(1),
    share_usd=amounts,
)
estimates = st.builds(
    Estimate,
    value_usd=amounts,
    low_usd=amounts,
    high_usd=amounts,
    confidence=st.sampled_from(list(Confidence)),
    typical_error=st.floats(0, 1),
    comparables=st.lists(comparables, min_size=1, max_size=30).map(tuple),
    valuation_date=st.just(LAST),
)
subjects = st.builds(
    Subject,
    area_sqft=st.floats(200, 20_000),
    zips=st.lists(st.sampled_from(("98107", "98117", "98103")), min_size=1, max_size=3, unique=True).map(tuple),
)
reasons = st.builds(_because, st.integers(0, 4), subjects, st.dates(date(2000, 1, 1), date(2030, 1, 1)))


def too_few(because):
    return st.builds(
        TooFewSales, found=st.integers(0, 4), needed=st.just(5), because=because, valuation_date=st.just(LAST)
    )


def said_of(result, *, first, opening):
    """What the seller bot decides when this was looked up."""
    known = {"intent": "both", "buying_plan": True, "address_area": "98107"}
    situation = a_situation(
        SELLER, "1,800 sq ft", known=known, asked="area_sqft", first_reply=first, opening=opening,
        found={"value": value.LookedUp(result=result, title="King County public records, sample data")},
    )  # fmt: skip
    return situation, SELLER.decide(situation)


@given(estimates | too_few(reasons), st.booleans(), st.booleans())
@settings(max_examples=200, deadline=None)
def test_every_text_fits_is_plain_and_names_no_amount_that_the_estimate_does_not(result, first, opening):
    situation, move = said_of(result, first=first, opening=opening)
    assert len(move.reply) <= value.LONGEST_REPLY
    assert move.reply.isascii()
    assert outbound.admit(SELLER, situation, move).blocked == ()
    if isinstance(result, Estimate):
        best = result.comparables[0]
        allowed = {dollars(each) for each in (result.low_usd, result.high_usd, best.price_usd, best.adjusted_price_usd)}
        said = {each.rstrip(",") for each in re.findall(r"\$[\d,]+", move.reply)}
        assert {dollars(result.low_usd), dollars(result.high_usd)} <= said <= allowed
        assert NOT_AN_APPRAISAL in move.reply


@given(too_few(st.text(max_size=200)), st.booleans(), st.booleans())
@settings(deadline=None)
def test_whatever_the_reason_says_what_goes_out_fits_and_is_plain(result, first, opening):
    situation, move = said_of(result, first=first, opening=opening)
    reply = outbound.admit(SELLER, situation, move).move.reply
    assert len(reply) <= value.LONGEST_REPLY
    assert reply.isascii()
