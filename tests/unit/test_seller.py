"""What the seller bot understands and does."""

import pytest

from kit.bot.spec import MoveKind
from tests.support.bots import BOTS, Conversation, a_situation, decided, learned

SELLER = BOTS["seller"]
SELLING = {"intent": "sell"}


@pytest.mark.parametrize(
    ("said", "asked", "facts"),
    [
        ("great condition, no work needed", "", {"condition": "excellent"}),
        ("no work needed", "", {"condition": "good"}),
        ("it doesn't need any repairs", "", {"condition": "good"}),
        ("it needs a lot of work", "", {"condition": "needs_work"}),
        ("it's a fixer-upper", "", {"condition": "needs_work"}),
        ("not in great shape", "", {"condition": "fair"}),
        ("recently renovated", "", {"condition": "excellent"}),
        ("well maintained", "", {"condition": "good"}),
        ("a bit dated", "", {"condition": "fair"}),
        ("good", "condition", {"condition": "good"}),
        ("good morning", "", {}),
        ("ok", "condition", {}),
        ("it's ok", "condition", {"condition": "average"}),
        ("it has a great view", "condition", {}),
        ("average shape", "", {"condition": "average"}),
        ("it's falling apart", "", {"condition": "poor"}),
        ("it's 1,850 sq ft", "", {"area_sqft": 1_850}),
        ("1800 pies cuadrados, buen estado", "", {"area_sqft": 1_800, "condition": "good"}),
        ("about 2100 square feet, 3 bed 2.5 bath", "", {"area_sqft": 2_100, "bedrooms": 3, "bathrooms_quarters": 10}),
        ("1800 sqft on a 6,000 sq ft lot", "", {"area_sqft": 1_800}),
        ("the lot is 7,000 sq ft", "", {}),
        ("around 1800", "area_sqft", {"area_sqft": 1_800}),
        ("built in 1950", "area_sqft", {}),
        ("98107", "area_sqft", {"address_area": "98107"}),
        ("50 sq ft", "", {}),
        ("2 baths", "bedrooms", {"bathrooms_quarters": 8}),
        ("2 car garage", "bedrooms", {}),
        ("3/2", "bedrooms", {"bedrooms": 3, "bathrooms_quarters": 8}),
        ("two and a half", "bathrooms_quarters", {"bathrooms_quarters": 10}),
        ("it's right on the water", "", {"on_waterfront": True}),
        ("not on the water", "", {"on_waterfront": False}),
        ("I also want to buy something with 5 bedrooms and 3,000 sq ft", "", {"buying_plan": True}),
        ("relocating for work", "", {"motivation": "relocating for work"}),
        ("because of a job transfer, soon", "", {"motivation": "a job transfer"}),
        ("we just want less yard", "motivation", {"motivation": "we just want less yard"}),
        ("I'd rather not say", "motivation", {}),
        ("why do you ask?", "motivation", {}),
        ("hoping for $800k", "", {"price_expectation_usd": 800_000}),
        ("400-500k", "price_expectation_usd", {"price_expectation_usd": 400_000}),
        ("650", "price_expectation_usd", {"price_expectation_usd": 650_000}),
        ("the neighbor's went for 700k", "", {}),
        ("I want to buy something for 900k too", "", {"buying_plan": True}),
        ("98107", "address_area", {"address_area": "98107"}),
        ("in Queen Anne", "address_area", {"address_area": "Queen Anne"}),
        ("I don't know when", "timeline", {}),
        ("within 3 months", "", {"timeline": "1_to_3_months"}),
        ("the house is 10 years old", "timeline", {}),
        ("and I'm also looking to buy something bigger", "", {"buying_plan": True}),
        ("sorry, I meant I want to buy", "", {"intent": "buy"}),
        ("buying, not selling", "", {"intent": "buy"}),
        (
            "I want to look at homes to buy now",
            "",
            {"buying_plan": True, "intent": "both", "timeline": "under_1_month"},
        ),
        ("I really want to sell", "", {}),
    ],
)
def test_text_yields_what_it_says_and_nothing_else(said, asked, facts):
    assert learned(SELLER, said, asked=asked, known=SELLING) == facts


def test_conversation_asks_for_each_thing_once_and_promises_no_value():
    talked = Conversation(owner="seller")
    texts = ("hello", "Ballard", "1,800", "good", "3 and 2", "in 2 months", "downsizing", "650k")
    questions = [talked.say(text).question for text in texts]
    assert questions == [
        "address_area", "area_sqft", "condition", "bedrooms", "timeline", "motivation", "price_expectation_usd", "",
    ]  # fmt: skip
    assert not any("650" in move.reply or "downsizing" in move.reply for move in talked.moves)


def test_opening_acknowledges_what_was_said_and_asks_where_the_home_is():
    move = decided(SELLER, "I need to sell my house ASAP", known=SELLING | {"timeline": "under_1_month"}, opening=True)
    assert move.reply == (
        "I can help you sell. Got it: as soon as possible. To start, which neighborhood or ZIP code is the home in?"
    )


def test_both_intents_keep_the_buying_need_as_a_plan():
    talked = Conversation()
    opening = talked.say("I want to sell my condo in Fremont and buy a house in Ballard")
    assert talked.route == ["lead>seller"]
    assert "buy as well" in opening.reply
    assert opening.question == "area_sqft"
    assert talked.values["buying_plan"] is True


def test_correction_goes_back_with_the_message_that_contradicts_the_route():
    move = decided(SELLER, "sorry, I meant I want to buy", known=SELLING, source_bot="lead")
    assert (move.kind, move.target, move.override_message_id) == (MoveKind.HAND_OFF, "lead", "m_1")
    assert move.confidence >= 0.7


def test_correction_of_a_contact_that_nobody_handed_over_goes_to_the_lead_bot():
    assert decided(SELLER, "sorry, I meant I want to buy", known=SELLING).target == "lead"


def test_wish_for_something_bigger_keeps_the_contact():
    move = decided(SELLER, "and I'm also looking to buy something bigger", known=SELLING, source_bot="lead")
    assert move.kind is MoveKind.ASK
    assert "buy as well" in move.reply


def test_plain_wish_to_look_at_homes_now_goes_to_the_buyer_bot():
    move = decided(SELLER, "I want to look at homes to buy now", known=SELLING, source_bot="lead")
    assert (move.kind, move.target, move.override_message_id) == (MoveKind.HAND_OFF, "buyer", "")
    assert 0.6 <= move.confidence < 0.8


def test_plain_wish_to_buy_moves_the_contact_also_when_buying_was_planned_before():
    known = {"intent": "both", "buying_plan": True}
    assert decided(SELLER, "I want to look at homes to buy now", known=known, source_bot="lead").target == "buyer"
    assert decided(SELLER, "I also want to buy something bigger", known=known, source_bot="lead").target == ""


def test_what_is_confided_stands_in_no_summary_for_another_bot():
    situation = a_situation(SELLER, "I must get 600k at least. And I want to look at homes to buy now", known=SELLING)
    assert {fact.name for fact in situation.learned if fact.private_to} == {"price_expectation_usd"}
    move = SELLER.decide(situation)
    assert move.target == "buyer"
    assert "600" not in move.summary


def test_wish_to_look_at_homes_now_says_nothing_of_when_the_home_is_sold():
    known = {"intent": "sell", "timeline": "1_to_3_months"}
    assert "timeline" not in learned(SELLER, "also I want to look at homes to buy now in Fremont", known=known)


def test_refused_correction_is_answered_without_asking_about_selling():
    move = decided(SELLER, "sorry, I meant buy", known=SELLING, denied_targets=frozenset({"lead"}))
    assert (move.kind, move.question) == (MoveKind.ANSWER, "")
    assert "you want to buy, not sell" in move.reply


def test_question_about_the_value_is_answered_with_why_the_size_comes_first_and_with_no_number():
    move = decided(SELLER, "what is my home worth?", known=SELLING | {"address_area": "Ballard"})
    assert (move.kind, move.question) == (MoveKind.ANSWER, "area_sqft")
    assert "I need to know its size first" in move.reply
    assert not any(sign.isdigit() for sign in move.reply)
