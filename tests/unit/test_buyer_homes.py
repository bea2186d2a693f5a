"""What the buyer bot says of homes: matches, answers from their records, tours that nobody booked."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.bot.gate import Speaks, strange_numbers
from kit.bot.spec import MoveKind
from services.buyer import about, homes
from tests.support.bots import BOTS, Conversation, learned
from tests.support.listings import a_listing, in_memory, sample_listings

BUYER = BOTS["buyer"]
NEEDS = "3 bed home in Ballard under 750k"
SAMPLE = "Sample data as of May 2015."


def talked(*texts: str, **rest: object) -> Conversation:
    conversation = Conversation(owner="buyer", listings=in_memory(), **rest)  # type: ignore[arg-type]
    for text in texts:
        conversation.say(text)
    return conversation


def said_last(*texts: str) -> str:
    return talked(*texts).moves[-1].reply


def shown_by(conversation: Conversation) -> list[str]:
    return list(conversation.memory["buyer"]["shown"])


def test_three_matches_are_shown_once_area_price_and_bedrooms_are_known():
    conversation = talked("hello", "Ballard", "750k")
    assert "KC-" not in conversation.moves[-1].reply
    reply = conversation.say("3").reply
    assert reply == (
        "Sample data as of May 2015. 6 listings fit your price, bedrooms and area; 3 of them: "
        "1) KC-98117-4, ZIP 98117: $585,000, 3 bd, 1.5 ba, 1,810 sqft, built 1929. "
        "2) KC-98117-3, ZIP 98117: $709,000, 4 bd, 1.75 ba, 2,170 sqft, built 1950. "
        "3) KC-98107-4, ZIP 98107: $580,000, 3 bd, 2.5 ba, 1,980 sqft, built 1996. "
        "Ask me about any of them, or say which one you would like to see."
    )


def test_matches_are_shown_once_and_the_questions_go_on():
    conversation = talked(NEEDS, "ok")
    assert conversation.moves[-1].question == "timeline"
    assert "KC-" not in conversation.moves[-1].reply


def test_changed_wish_is_searched_for_again():
    conversation = talked(NEEDS)
    first = shown_by(conversation)
    assert "KC-" in conversation.say("make that up to 600k").reply
    assert shown_by(conversation) != first


def test_wish_for_a_view_ranks_and_says_what_is_missed():
    reply = said_last("3 bed in Ballard under 900k with a view")
    assert "no view on record" in reply


def test_more_shows_others_until_there_are_none():
    conversation = talked(NEEDS)
    seen = shown_by(conversation)
    for _ in range(5):
        reply = conversation.say("show me more").reply
        if "Those were all" in reply:
            break
        seen += shown_by(conversation)
    assert "Those were all that fit your price, bedrooms and area" in reply
    assert len(seen) == len(set(seen)) == 6


def test_nothing_fits_says_what_would():
    reply = said_last("hello", "98039", "up to 900k", "2 beds")
    assert (
        "No listing fits your price, bedrooms and area. But up to $938,000 ($38,000 more) there would be 1 listing."
        in reply
    )
    assert reply.startswith(SAMPLE)


def test_unknown_area_is_asked_for_its_zip_once():
    conversation = talked("3 bed in Pioneer Square under 800k")
    assert "I do not know the ZIP codes of Pioneer Square." in conversation.moves[-1].reply
    assert "Pioneer Square" not in conversation.say("hm").reply
    assert "KC-98117-" in conversation.say("98117").reply


def test_bot_without_listings_talks_as_before():
    conversation = Conversation(owner="buyer", listings=in_memory(a_listing()))
    conversation.listings = None
    questions = [conversation.say(text).question for text in ("hello", "Ballard", "450k", "3")]
    assert questions == ["area", "price_max_usd", "bedrooms_min", "timeline"]


def test_location_without_any_listing_hears_nothing_of_listings():
    conversation = talked()
    conversation.listings = type(conversation.listings)({})  # type: ignore[call-arg,misc]
    assert conversation.say(NEEDS).question == "timeline"


# --- one that was shown


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("does the second one have a view?", "KC-98117-3: the record lists no view."),
        ("how many bathrooms does number 3 have?", "KC-98107-4: 2.5 baths."),
        ("is the first one on the water?", "KC-98117-4: it is not on the water."),
        ("when was KC-98107-4 built?", "KC-98107-4: built in 1996."),
        ("how big is the lot of the last one?", "KC-98107-4: a lot of 1,873 sqft"),
        ("does the first one have a basement?", "KC-98117-4: 500 sqft below ground."),
        ("was the second one renovated?", "KC-98117-3: the record does not say."),
        ("does the second one have a garage?", "KC-98117-3: the record does not say."),
        ("does the second one have a helipad?", "KC-98117-3: the record does not say."),
        ("does number 2 allow pets?", "KC-98117-3: the record does not say."),
        ("where is number 1?", "KC-98117-4: in ZIP 98117; the record names no street address."),
        ("which one is the cheapest?", "KC-98107-4: listed at $580,000."),
        ("is the first one still available?", "KC-98117-4: sample data, not for sale."),
        ("what would the monthly payment be for number 1?", "I cannot quote loan terms, a licensed lender can."),
        ("does the second one have a view and a garage?", "the record does not say (garage), the record lists no view"),
    ],
)
def test_question_about_one_is_answered_from_its_record_alone(question, answer):
    reply = said_last(NEEDS, question)
    assert answer in reply
    assert reply.startswith(SAMPLE)


def test_it_is_the_one_spoken_of_before():
    assert "KC-98117-3: 4 bedrooms." in said_last(
        NEEDS, "how big is the second one?", "how many bedrooms does it have?"
    )


def test_question_about_no_one_in_particular_is_answered_for_each():
    reply = said_last(NEEDS, "do any of them have a view?")
    assert all(f"{each}: the record lists no view." in reply for each in ("KC-98117-4", "KC-98117-3", "KC-98107-4"))


def test_number_alone_tells_all_there_is_of_that_one():
    reply = said_last(NEEDS, "2")
    assert "KC-98117-3, ZIP 98117: $709,000, 4 bd" in reply
    assert "condition average" in reply


def test_question_about_a_home_changes_no_wish():
    conversation = talked(NEEDS, "does the second one have 5 bedrooms, and is it near Green Lake?")
    assert (conversation.values["bedrooms_min"], conversation.values["area"]) == (3, "Ballard")
    assert learned(BUYER, "is it in Fremont? under 500k?") == {"price_max_usd": 500_000}


@pytest.mark.parametrize(
    "text",
    [
        "do you have 3 bedroom homes in Ballard under 600k?",
        "what can I get in Ballard for 600k with 3 beds, is that possible?",
        "is it possible to find 3 beds in Ballard for 600k?",
        "can you find 3 bedrooms in Ballard up to 600k?",
        "what about 3 beds in Ballard under 600k?",
    ],
)
def test_question_that_holds_a_wish_is_read_as_one(text):
    found = learned(BUYER, text)
    assert (found["bedrooms_min"], found["price_max_usd"], found["area"]) == (3, 600_000, "Ballard")


@given(st.sampled_from(sample_listings()), st.text(max_size=80))
def test_every_number_of_an_answer_stands_in_the_record(home, asked):
    speaks = Speaks(brokerage="Elm Realty", facts={}, records=(home,))
    for word in ("view", "bath", "bed", "lot", "built", "size", "floor", "condition", "price", "where", "garage"):
        assert strange_numbers(about.answer(f"{word} {asked}", home), speaks) == ()
    assert strange_numbers(about.details(home), speaks) == ()


def test_praise_with_a_question_gets_the_answer():
    assert "KC-98117-4: the record does not say." in said_last(NEEDS, "I like the first one, is it quiet?")


@pytest.mark.parametrize("text", ["show me homes", "anything under 500k?", "do you have 3 bedroom homes?"])
def test_question_for_homes_is_answered_by_asking_what_is_missing(text):
    move = talked("hello", text).moves[-1]
    assert "cannot answer" not in move.reply
    assert move.question == "area"


# --- seeing one


@pytest.mark.parametrize("text", ["the first one", "ooh #1 looks nice", "number 1"])
def test_whoever_names_a_home_hears_of_it(text):
    reply = said_last(NEEDS, text)
    assert "KC-98117-4, ZIP 98117: $585,000" in reply
    assert "condition" in reply


@pytest.mark.parametrize(
    "text", ["would they take 550?", "whats the lowest they'd accept", "can u offer 550k for me", "offer them $560,000"]
)
def test_bargaining_is_no_budget_and_no_bot_makes_an_offer(text):
    conversation = talked(NEEDS, text)
    reply = conversation.moves[-1].reply
    assert reply.startswith("I can neither make an offer nor pass one on")
    assert "An agent of Porchlight Realty (sample) can read this conversation" in reply
    assert conversation.values["price_max_usd"] == talked(NEEDS).values["price_max_usd"]


def test_wish_to_make_an_offer_becomes_one_task():
    moves = talked(NEEDS, "make an offer of 560k on the first one", "so can you offer 560k?").moves
    assert [[each.title for each in move.effects] for move in moves[-2:]] == [["Wants to make an offer"], []]


def test_wish_to_see_one_names_the_agreement_first_and_books_nothing():
    reply = said_last(NEEDS, "can I see the second one on Saturday?")
    assert "Noted: you would like to see KC-98117-3. It is a sample and cannot be visited." in reply
    assert "Before a tour, a written buyer agreement with us must be signed" in reply
    assert "I have booked nothing." in reply
    assert "An agent of Porchlight Realty (sample) can read this conversation" in reply
    assert not re.search(r"\bagent will\b|\bcall you\b|\bscheduled\b|\bfree\b", reply)


def test_wish_to_see_a_home_becomes_one_task_for_an_agent():
    conversation = talked(NEEDS, "can I see the second one on Saturday?", "so can I see the second one?")
    (task,) = conversation.moves[-2].effects
    assert (task.title, conversation.moves[-1].effects) == ("Wants to see KC-98117-3", ())
    assert "is not signed as far as is known, and comes before a tour" in task.text and "sample" in task.text


def test_signed_agreement_is_not_asked_for_again():
    reply = said_last("I signed the buyer agreement", NEEDS, "can I see number 1")
    assert "As noted, the buyer agreement is signed" in reply
    assert "must be signed" not in reply
    assert "I have booked nothing." in reply


@pytest.mark.parametrize("text", ["I have not signed the buyer agreement", "I never signed your agreement"])
def test_agreement_that_was_not_signed_is_not_signed(text):
    assert learned(BUYER, text) == {"buyer_agreement_signed": False}


def test_which_one_is_asked_before_a_tour_of_one_of_three():
    conversation = talked(NEEDS, "can I see it?")
    assert conversation.moves[-1].reply == "Which one do you mean: 1, 2 or 3?"
    assert "you would like to see KC-98117-3" in conversation.say("2").reply


def test_wish_to_see_one_is_heard_in_spanish():
    assert "Noted: you would like to see KC-98117-4." in said_last(NEEDS, "¿puedo ver la primera?")


def test_question_what_one_can_afford_is_a_lenders():
    assert "a licensed lender can" in said_last(NEEDS, "2", "can i afford it on 90k salary")


def test_photos_are_no_tour():
    assert "you would like to see" not in said_last(NEEDS, "2", "can I see some photos?")


# --- an agent of their own


@pytest.mark.parametrize(
    ("text", "has"),
    [
        ("I already have an agent", True),
        ("we're working with a realtor", True),
        ("I don't have an agent", False),
        ("not working with an agent yet", False),
        ("can you have an agent call me", None),
        ("I would like to have an agent", None),
        ("do I need to have an agent?", None),
        ("do you have an agent", None),
    ],
)
def test_agent_of_their_own_is_heard_with_its_negation(text, has):
    assert learned(BUYER, text).get("has_agent") is has


def test_who_has_an_agent_is_asked_and_offered_nothing_more():
    conversation = talked("hello", "I have an agent already")
    assert "Your agent is the right person" in conversation.moves[-1].reply
    move = conversation.say(NEEDS)
    assert move.question == ""
    assert "KC-" not in move.reply


# --- wishes


@pytest.mark.parametrize(
    ("text", "facts"),
    [
        ("a condo with a view", {"home_type": "condo", "wants_view": True}),
        ("not a condo", {}),
        ("townhouse, 2.5 baths", {"home_type": "townhouse", "bathrooms_min_quarters": 10}),
        ("at least two bathrooms and 1,500 sqft", {"bathrooms_min_quarters": 8, "area_min_sqft": 1_500}),
        ("no view needed", {"wants_view": False}),
        ("something on the water", {"wants_waterfront": True}),
        ("newer than 2000", {"year_built_min": 2000}),
        ("a lot of at least 5000 sqft", {}),
        ("I want to view homes", {}),
        ("single family home", {"home_type": "house"}),
    ],
)
def test_wish_of_a_home_is_read_as_it_was_said(text, facts):
    assert {name: value for name, value in learned(BUYER, text).items() if name not in ("intent", "area")} == facts


# --- every reply


TEXTS = (
    NEEDS,
    "hello",
    "98117",
    "up to 900k",
    "2 beds",
    "show me homes",
    "more",
    "2",
    "does it have a view?",
    "can I see it?",
    "the last one",
    "is it safe?",
    "a condo please",
    "I have an agent",
    "in Pioneer Square",
    "are you a bot?",
    "thanks",
    "I don't know",
    "I also need to sell my condo",
)


@given(st.lists(st.sampled_from(TEXTS), min_size=1, max_size=7))
def test_reply_is_short_plain_says_sample_and_shows_three_at_most(texts):
    conversation = talked(*texts, refused=frozenset({"buyer>seller", "buyer>lead"}))
    ids = {each.listing_id for each in sample_listings()}
    for move in conversation.moves:
        assert len(move.reply) <= homes.LONGEST_REPLY
        assert move.reply.isascii()
        named = set(re.findall(r"KC-\d{5}-\d", move.reply))
        assert named <= ids
        assert len(named) <= 3
        if named:
            assert SAMPLE in move.reply
        assert move.reply or move.kind is MoveKind.STAY_SILENT
    assert conversation.blocked == []
