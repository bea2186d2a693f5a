"""What the buyer bot understands and does."""

import pytest

from kit.bot.spec import MoveKind
from tests.support.bots import BOTS, Conversation, decided, learned

BUYER = BOTS["buyer"]


@pytest.mark.parametrize(
    ("said", "asked", "facts"),
    [
        ("400-500k", "", {"price_min_usd": 400_000, "price_max_usd": 500_000}),
        ("$1.2 million", "", {"price_max_usd": 1_200_000}),
        ("rent is $2,500 but budget 450k", "", {"price_max_usd": 450_000}),
        ("no more than 500k", "", {"price_max_usd": 500_000}),
        ("450", "price_max_usd", {"price_max_usd": 450_000}),
        ("at least 400k", "", {"price_min_usd": 400_000}),
        ("I'm pre-approved for $500K", "", {"price_max_usd": 500_000, "financing": "pre_approved"}),
        ("I'm not pre-approved", "", {"financing": "not_yet"}),
        ("was denied last month, not approved yet", "", {"financing": "not_yet"}),
        ("still need to get pre-approved", "", {"financing": "not_yet"}),
        ("I need a lender", "", {"financing": "not_yet"}),
        ("paying all cash", "", {"financing": "cash"}),
        ("cash", "financing", {"financing": "cash"}),
        ("not cash", "financing", {}),
        ("cash", "timeline", {"financing": "cash"}),
        ("ugh. both", "area", {}),
        (
            "3 recámaras, 2 baños, hasta 650 mil",
            "area",
            {"bedrooms_min": 3, "price_max_usd": 650_000, "bathrooms_min_quarters": 8},
        ),
        ("around 2 mil", "", {"price_max_usd": 2_000_000}),
        ("en Ballard, lo antes posible", "area", {"area": "Ballard", "timeline": "under_1_month"}),
        ("no sé", "area", {}),
        ("entre 400 mil y 500 mil", "", {"price_min_usd": 400_000, "price_max_usd": 500_000}),
        ("tengo 50 mil de enganche", "price_max_usd", {}),
        ("en la zona de Auburn", "area", {"area": "Auburn"}),
        ("sí, tengo preaprobación", "", {"financing": "pre_approved"}),
        ("pago en efectivo", "", {"financing": "cash"}),
        ("no", "financing", {"financing": "not_yet"}),
        ("pre-approved", "financing", {"financing": "pre_approved"}),
        ("three", "bedrooms_min", {"bedrooms_min": 3}),
        ("3-4 bedrooms", "", {"bedrooms_min": 3}),
        ("3br in Capitol Hill", "", {"bedrooms_min": 3, "area": "Capitol Hill"}),
        ("looking for a 3br in Capitol Hill", "", {"bedrooms_min": 3, "area": "Capitol Hill", "intent": "buy"}),
        ("Ballard", "area", {"area": "Ballard"}),
        ("not sure yet", "area", {}),
        ("I don't know when", "timeline", {}),
        ("by June", "", {"timeline": "6_to_12_months"}),
        ("3 months", "timeline", {"timeline": "1_to_3_months"}),
        ("I want to sell mine for 600k", "", {"intent": "both"}),
        ("a house with a nice yard", "", {}),
        ("can I see it saturday?", "", {"wants_showing": True}),
        ("I don't want to see it", "", {}),
        ("can I see more homes?", "", {}),
    ],
)
def test_text_yields_what_it_says_and_nothing_else(said, asked, facts):
    assert learned(BUYER, said, asked=asked) == facts


def test_who_does_not_know_when_is_not_asked_when():
    talked = Conversation(owner="buyer")
    questions = [talked.say(text).question for text in ("in Ballard, 450k, 3 beds, not sure when", "hm")]
    assert questions == ["financing", "financing"]


def test_later_figure_takes_the_place_of_the_earlier():
    assert learned(BUYER, "make that 550k", known={"price_max_usd": 450_000}) == {"price_max_usd": 550_000}


def test_conversation_asks_for_each_thing_once_and_ends_with_an_agent():
    talked = Conversation(owner="buyer")
    questions = [talked.say(text).question for text in ("hello", "Ballard", "450k", "3", "in 2 months", "cash")]
    assert questions == ["area", "price_max_usd", "bedrooms_min", "timeline", "financing", ""]
    assert (
        "An agent of Porchlight Realty (sample) can read this conversation and take over at any time."
        in talked.moves[-1].reply
    )


def test_opening_says_back_what_the_handoff_brought_and_asks_the_next_thing():
    move = decided(BUYER, "Ballard", known={"intent": "buy", "area": "Ballard"}, opening=True)
    assert move.reply == "I can help you buy. Got it: in Ballard. What is the most you would like to spend?"


def test_correction_goes_back_to_where_the_contact_came_from():
    known = {"intent": "buy"}
    move = decided(BUYER, "no, I meant I want to sell", known=known, source_bot="lead")
    assert (move.kind, move.target, move.override_message_id) == (MoveKind.HAND_OFF, "lead", "m_1")
    assert move.confidence >= 0.7


def test_home_to_sell_first_goes_to_the_seller_bot():
    move = decided(BUYER, "I need to sell my house first", known={"intent": "buy"}, source_bot="lead")
    assert (move.kind, move.target, move.override_message_id) == (MoveKind.HAND_OFF, "seller", "")
    assert move.confidence >= 0.8


def test_who_came_from_the_seller_bot_is_not_sent_back_for_saying_it_again():
    known = {"intent": "both", "buying_plan": True}
    assert decided(BUYER, "I'm also selling", known=known, source_bot="seller").kind is MoveKind.ASK


def test_refused_correction_is_answered_without_asking_about_buying():
    move = decided(BUYER, "no, I meant sell", known={"intent": "buy"}, denied_targets=frozenset({"lead"}))
    assert (move.kind, move.question) == (MoveKind.ANSWER, "")
    assert "I have noted that you want to sell" in move.reply
