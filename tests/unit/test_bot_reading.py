"""What becomes of a model's answer, and who wins where rules and model both speak."""

import json
from typing import Any

import pytest

from kit.bot import reading
from kit.bot.spec import Reading
from kit.lane import Fact
from tests.support.bots import BOTS, a_fact, a_message, facts_of, learned_facts

BUYER, LEAD = BOTS["buyer"], BOTS["lead"]


def answered(text: str, **items: Any) -> dict[str, Any]:
    facts = reading.read_answer(
        json.dumps(items), slots=BUYER.slots, messages=(a_message(text),), extractor="buyer.extract@3"
    )
    return {fact.name: fact.value for fact in facts}


def an_item(value: object, words: object, confidence: object = 0.9) -> dict[str, object]:
    return {"value": value, "words": words, "confidence": confidence}


def test_what_stands_in_the_messages_becomes_a_fact_with_its_words_and_its_prompt():
    (fact,) = reading.read_answer(
        json.dumps({"area": an_item("Ballard", "near Ballard", 0.8)}),
        slots=BUYER.slots,
        messages=(a_message("hi", "m_1"), a_message("somewhere near  ballard please", "m_2")),
        extractor="buyer.extract@3",
    )
    assert fact == Fact(
        name="area",
        value="Ballard",
        words="near Ballard",
        message_id="m_2",
        extractor="buyer.extract@3",
        confidence=0.8,
    )


@pytest.mark.parametrize(
    ("text", "items"),
    [
        ("hi", {"area": an_item("Ballard", "Ballard")}),
        ("I like Ballard", {"area": an_item("Fremont", "Ballard")}),
        ("I like Ballard", {"area": an_item("Ballard", "")}),
        ("I like Ballard", {"area": an_item("", "Ballard")}),
        ("I like Ballard", {"area": an_item(7, "Ballard")}),
        ("I like Ballard", {"area": an_item("Ballard", None)}),
        ("I like Ballard", {"area": an_item("Ballard", "Ballard", "sure")}),
        ("I like Ballard", {"area": an_item("Ballard", "Ballard", True)}),
        ("I like Ballard", {"area": "Ballard"}),
        ("a cheap one", {"price_max_usd": an_item(500_000, "a cheap one")}),
        ("up to 450k", {"price_max_usd": an_item(500_000, "up to 450k")}),
        ("up to 450k", {"price_max_usd": an_item("450000", "up to 450k")}),
        ("up to 450k", {"price_max_usd": an_item(450_000.0, "up to 450k")}),
        ("up to 450k", {"price_max_usd": an_item(True, "up to 450k")}),
        ("for 5k", {"price_max_usd": an_item(5_000, "for 5k")}),
        ("many bedrooms", {"bedrooms_min": an_item(4, "many bedrooms")}),
        ("99 bedrooms", {"bedrooms_min": an_item(99, "99 bedrooms")}),
        ("soon", {"timeline": an_item("soon", "soon")}),
        ("with a loan", {"financing": an_item("loan", "with a loan")}),
        (
            "sorry, I meant I want to buy",
            {"area": an_item("sorry, I meant I want to buy", "sorry, I meant I want to buy")},
        ),
        ("I like Ballard", {"mood": an_item("good", "Ballard")}),
    ],
)
def test_invented_or_undeclared_value_is_dropped(text, items):
    assert answered(text, **items) == {}


def test_numbers_that_stand_in_their_words_are_taken():
    found = answered(
        "3 beds for up to 450k",
        price_max_usd=an_item(450_000, "up to 450k"),
        bedrooms_min=an_item(3, "3 beds"),
        area=None,
    )
    assert found == {"price_max_usd": 450_000, "bedrooms_min": 3}


@pytest.mark.parametrize("content", ["", "no JSON", "[]", "3", "null", '"text"'])
def test_answer_of_another_shape_yields_nothing(content):
    assert reading.read_answer(content, slots=BUYER.slots, messages=(a_message("hi"),), extractor="x@1") == ()


@pytest.mark.parametrize(("said", "kept"), [(7.0, 0.9), (0.5, 0.5), (-1.0, 0.0), (float("nan"), 0.0)])
def test_confidence_of_a_model_is_capped(said, kept):
    content = json.dumps({"area": an_item("Ballard", "Ballard", said)})
    (fact,) = reading.read_answer(content, slots=BUYER.slots, messages=(a_message("Ballard"),), extractor="x@1")
    assert fact.confidence == kept


def by_model(name: str, value: str | int) -> Fact:
    return Fact(name=name, value=value, extractor="lead.extract@3", confidence=0.9, words="x", message_id="m_1")


def settled(rules: Reading, *model: Fact, known: dict[str, Fact] | None = None) -> dict[str, object]:
    return {fact.name: fact.value for fact in reading.settle(LEAD.slots, known or {}, rules, model)}


def test_rules_win_where_both_speak():
    assert settled(Reading(facts=(a_fact("area", "Ballard"),)), by_model("area", "Fremont")) == {"area": "Ballard"}


def test_model_adds_what_the_rules_cannot_see():
    assert settled(Reading(facts=(a_fact("area", "Ballard"),)), by_model("intent", "buy")) == {
        "area": "Ballard",
        "intent": "buy",
    }


def test_model_fills_nothing_that_the_rules_heard_denied():
    assert settled(Reading(denied=frozenset({"timeline"})), by_model("timeline", "under_1_month")) == {}


def test_model_alone_does_not_turn_a_known_intent_around():
    assert settled(Reading(), by_model("intent", "buy"), known=facts_of({"intent": "sell"})) == {}


def test_same_value_again_is_no_news_unless_it_is_surer():
    known = {"intent": a_fact("intent", "sell", confidence=0.69)}
    assert settled(Reading(facts=(a_fact("intent", "sell", confidence=0.69),)), known=known) == {}
    assert settled(Reading(facts=(a_fact("intent", "sell", confidence=0.92),)), known=known) == {"intent": "sell"}


def test_private_slot_makes_a_private_fact():
    facts = {fact.name: fact for fact in learned_facts(BOTS["seller"], "divorce, sell by June", asked="motivation")}
    assert facts["motivation"].private_to == "seller"
    assert facts["timeline"].private_to is None


def test_model_is_not_asked_for_what_only_rules_read():
    content = json.dumps({"buying_plan": an_item(True, "hi")})
    assert reading.read_answer(content, slots=LEAD.slots, messages=(a_message("hi"),), extractor="x@1") == ()
