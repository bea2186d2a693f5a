"""What the lead bot understands and does."""

import pytest

from kit.bot.spec import MoveKind
from services.lead.decide import confidence
from tests.support.bots import BOTS, Conversation, a_fact, a_situation, decided, learned, learned_facts

LEAD = BOTS["lead"]


@pytest.mark.parametrize(
    ("said", "facts"),
    [
        ("I need to sell my house ASAP", {"intent": "sell", "timeline": "under_1_month"}),
        ("I want to buy a house, I'm pre-approved for $500K", {"intent": "buy"}),
        ("looking to purchase property", {"intent": "buy"}),
        ("My rent is due Monday, looking to buy", {"intent": "buy"}),
        ("I want to sell my house today is fine", {"intent": "sell"}),
        (
            "I want to sell my condo in Fremont and buy a house in Ballard",
            {"intent": "both", "address_area": "Fremont", "area": "Ballard", "buying_plan": True},
        ),
        (
            "thinking about selling my place in Ballard and buying something bigger",
            {"intent": "both", "address_area": "Ballard", "buying_plan": True},
        ),
        ("sell my home in 98115 by June", {"intent": "sell", "address_area": "98115", "timeline": "6_to_12_months"}),
        ("Looking for a 3 bed in West Seattle", {"intent": "buy", "area": "West Seattle"}),
        ("I want to sell. Sorry, I meant buy", {"intent": "buy"}),
        ("I don't want to sell I want to buy", {"intent": "buy"}),
        ("I do not want to sell, just curious", {}),
        ("I listened to your show", {}),
        (
            "I need to sell my condo in Fremont ASAP",
            {"intent": "sell", "address_area": "Fremont", "timeline": "under_1_month"},
        ),
        ("do you have a 2 bedroom apartment for rent?", {"renting": True}),
        ("I don't need a place to rent, I want to buy", {"intent": "buy"}),
        ("heyyy im lookin 4 a hous in ballard", {"intent": "buy", "area": "ballard"}),
        ("i wanna by a house", {"intent": "buy"}),
        ("we're hoping to find something w/ 3+ beds near Green Lake", {"intent": "buy", "area": "Green Lake"}),
        ("can you come see my house to give me a price", {"intent": "sell"}),
        ("can you stop by and look at my house to give me a price", {"intent": "sell"}),
        ("¿cuánto vale mi casa?", {"intent": "sell"}),
        ("quiero poner en venta mi casa", {"intent": "sell"}),
        ("buy ballard 3br", {"intent": "buy", "area": "ballard"}),
        ("let me talk to a human being right now", {}),
        ("im an investor looking for fixers cash under 400k", {"intent": "buy"}),
        (
            "thinking about downsizing from our home in Magnolia to something smaller in Bothell",
            {"intent": "both", "buying_plan": True, "address_area": "Magnolia", "area": "Bothell"},
        ),
        ("hi", {}),
        ("I don't know when", {}),
        ("I know now what I need", {}),
    ],
)
def test_first_text_yields_what_it_says_and_nothing_else(said, facts):
    assert learned(LEAD, said) == facts


def test_no_to_buying_and_selling_is_taken_for_an_answer():
    talked = Conversation()
    talked.say("hey")
    assert talked.say("no thanks").reply.startswith("No rush.")
    assert "?" not in talked.say("no i said no").reply


def test_who_wants_to_rent_hears_that_this_is_not_for_it():
    reply = decided(LEAD, "looking for a 2 bedroom apartment to rent in fremont").reply
    assert "I can help with buying and selling, not with renting." in reply


def test_question_about_buying_instead_is_answered_by_helping():
    talked = Conversation()
    talked.say("looking for an apartment to rent")
    assert "cannot answer" not in talked.say("ok how about buying then").reply


@pytest.mark.parametrize(
    ("said", "value"),
    [
        ("buy", "buy"),
        ("selling", "sell"),
        ("both", "both"),
        ("yes both", "both"),
        ("ugh. both", "both"),
        ("I'm a buyer", "buy"),
        ("seller", "sell"),
    ],
)
def test_one_word_answers_the_question_what_it_is_about(said, value):
    (intent, *_) = learned_facts(LEAD, said, asked="intent")
    assert (intent.name, intent.value) == ("intent", value)
    assert intent.confidence >= 0.9


def test_burst_is_read_as_one_statement():
    assert learned(LEAD, "hi", "I want to sell my house", "it's in Fremont")["intent"] == "sell"
    assert learned(LEAD, "I want to sell", "sorry I meant buy")["intent"] == "buy"


def test_words_of_an_intent_stand_in_the_message_that_it_names():
    intent = next(fact for fact in learned_facts(LEAD, "hi", "Well. I need to sell!") if fact.name == "intent")
    assert (intent.words, intent.message_id) == ("I need to sell", "m_2")


def test_second_wish_is_added_only_when_it_says_so():
    assert learned(LEAD, "I also want to buy", known={"intent": "sell"})["intent"] == "both"
    assert learned(LEAD, "sorry, I want to buy", known={"intent": "sell"})["intent"] == "buy"
    assert learned(LEAD, "I want to buy", known={"intent": "both"})["intent"] == "both"


def test_place_told_before_the_wish_to_sell_is_where_the_home_is():
    assert learned(LEAD, "I want to sell", known={"area": "Fremont"})["address_area"] == "Fremont"


@pytest.mark.parametrize(
    ("said", "target", "sure"),
    [
        ("I need to sell my house ASAP", "seller", 0.97),
        ("I want to sell my house", "seller", 0.92),
        ("I want to buy a house", "buyer", 0.92),
        ("looking to purchase property", "buyer", 0.92),
        ("I want to sell my condo and buy a house", "seller", 0.92),
        ("might maybe sell someday", "seller", 0.69),
    ],
)
def test_one_statement_asks_the_arbiter_for_the_bot_that_can_help(said, target, sure):
    move = decided(LEAD, said)
    assert (move.kind, move.target, move.confidence) == (MoveKind.HAND_OFF, target, sure)


def test_confidence_rises_with_every_answer():
    said = ("selling", "selling in Fremont", "selling in Fremont by June")
    sure = [confidence(a_situation(LEAD, each)) for each in said]
    assert sure == sorted(set(sure))


def test_handoff_is_explained_by_what_is_known():
    summary = decided(LEAD, "I need to sell my condo in Fremont ASAP").summary
    assert summary.startswith("The contact wants to sell a home.")
    assert "address_area: Fremont" in summary


@pytest.mark.parametrize("said", ["hi", "I listened to your show", "what do you do?"])
def test_unclear_text_gets_the_one_question(said):
    assert decided(LEAD, said).question == "intent"


def test_denied_sale_is_not_offered_again_in_the_same_breath():
    reply = decided(LEAD, "I do not want to sell, just curious").reply
    assert "no sale" in reply
    assert "buy a home" in reply
    assert "sell one" not in reply


def test_refused_handoff_is_answered_with_the_next_unknown_question():
    move = decided(LEAD, "I want to sell my house in Fremont", denied_targets=frozenset({"seller"}))
    assert (move.kind, move.question) == (MoveKind.ASK, "timeline")
    assert "selling" in move.reply


def test_hedged_wish_is_taken_to_the_arbiter_once_and_again_when_it_is_surer():
    talked = Conversation(refused=frozenset({"lead>seller"}))
    assert talked.say("might maybe sell someday").question == "address_area"
    assert decided(LEAD, "hello?", known={"intent": a_fact("intent", "sell").value}).kind is MoveKind.HAND_OFF
    hedged = a_situation(LEAD, "hello?")
    before = {"intent": a_fact("intent", "sell", confidence=0.69)}
    assert LEAD.decide(type(hedged)(brokerage="b", messages=hedged.messages, before=before)).kind is MoveKind.ASK
    talked.refused = frozenset()
    assert talked.say("Fremont").kind is MoveKind.ASK
    assert talked.route == ["lead>seller"]


def test_who_was_handed_back_is_asked_before_being_moved_again():
    talked = Conversation()
    talked.say("I need to sell my house ASAP")
    back = talked.say("sorry, I meant I want to buy")
    assert talked.route == ["lead>seller", "seller>lead"]
    assert (talked.owner, back.question) == ("lead", "area")
    assert "buying" in back.reply
    on = talked.say("Ballard")
    assert talked.route[-1] == "lead>buyer"
    assert on.question == "price_max_usd"
    assert talked.values["area"] == "Ballard"
