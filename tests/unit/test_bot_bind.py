"""What becomes of an analysis: values are read from the person's words, or there are none."""

import json
from typing import Any

import pytest

from kit.bot.bind import Analysis, bind
from kit.lane import Fact
from kit.spans import Place, mask
from tests.support.bots import BOTS, a_message


def analysed(texts: tuple[str, ...], items: dict[str, Any]) -> Analysis:
    """What the cache service answers when the model said these items of the masked texts."""
    masked = mask(texts)
    said = [item[key] for item in items.values() if isinstance(item, dict) for key in ("words", "value") if key in item]
    places = {words: masked.quote(words) for words in said if isinstance(words, str)}
    return Analysis(
        content=json.dumps(items),
        values={span.ref: Place(text=span.text, start=span.start, end=span.end) for span in masked.spans},
        quotes={words: place for words, place in places.items() if place is not None},
    )


def facts(bot: str, *texts: str, **items: Any) -> dict[str, Fact]:
    messages = tuple(a_message(text, f"m_{number}") for number, text in enumerate(texts, 1))
    found = bind(analysed(texts, items), slots=BOTS[bot].slots, messages=messages, extractor=f"{bot}.extract@3")
    return {fact.name: fact for fact in found}


def values(bot: str, *texts: str, **items: Any) -> dict[str, Any]:
    return {name: fact.value for name, fact in facts(bot, *texts, **items).items()}


def an_item(value: object, words: object, confidence: object = 0.9) -> dict[str, object]:
    return {"value": value, "words": words, "confidence": confidence}


def test_fact_has_the_persons_words_their_message_and_the_prompt():
    found = facts("buyer", "hi", "somewhere near  BALLARD please", area=an_item("PLACE_1", "near PLACE_1", 0.8))
    assert found["area"] == Fact(
        name="area",
        value="BALLARD",
        words="near  BALLARD",
        message_id="m_2",
        extractor="buyer.extract@3",
        confidence=0.8,
    )


@pytest.mark.parametrize(
    ("text", "slot", "value", "words", "bound"),
    [
        ("up to 450k", "price_max_usd", "MONEY_1", "up to MONEY_1", 450_000),
        ("450", "price_max_usd", "COUNT_1", "COUNT_1", 450_000),
        ("$400k - 500k", "price_min_usd", "MONEY_1", "MONEY_1 to MONEY_2", 400_000),
        ("400-500k", "price_min_usd", "MONEY_1", "MONEY_1 to MONEY_2", 400_000),
        ("400-500k", "price_max_usd", "MONEY_2", "MONEY_1 to MONEY_2", 500_000),
        ("half a million", "price_max_usd", "MONEY_1", "MONEY_1", 500_000),
        ("three-bedroom", "bedrooms_min", "COUNT_1", "COUNT_1 bedroom", 3),
        ("within 2-3 months", "timeline", "TIME_1", "within TIME_1", "1_to_3_months"),
        ("by next spring", "timeline", "TIME_1", "by TIME_1", "3_to_6_months"),
        ("right away", "timeline", "under_1_month", "right away", "under_1_month"),
        ("98107-1234", "area", "PLACE_1", "PLACE_1", "98107-1234"),
        ("we love Zacherlville", "area", "zacherlville", "love zacherlville", "Zacherlville"),
    ],
)
def test_value_is_read_where_its_reference_stands(text, slot, value, words, bound):
    assert values("buyer", text, **{slot: an_item(value, words)}) == {slot: bound}


def test_reason_comes_back_in_the_persons_own_words():
    said = "It's because of my DIVORCE from Marta, 650k or not"
    found = facts("seller", said, motivation=an_item("my divorce from marta, MONEY_1", "because of my divorce"))
    assert found["motivation"].value == "my DIVORCE from Marta, 650k"


@pytest.mark.parametrize(
    ("text", "items"),
    [
        ("hi", {"area": an_item("PLACE_1", "PLACE_1")}),
        ("I like Ballard", {"area": an_item("PLACE_1", "in PLACE_1")}),
        ("I like Ballard", {"area": an_item("PLACE_1", "")}),
        ("I like Ballard", {"area": an_item(7, "like PLACE_1")}),
        ("I like Ballard", {"area": an_item("PLACE_1", None)}),
        ("I like Ballard", {"area": an_item("PLACE_1", "PLACE_1", "sure")}),
        ("I like Ballard", {"area": an_item("PLACE_1", "PLACE_1", True)}),
        ("I like Ballard", {"area": "PLACE_1"}),
        ("up to 450k", {"price_max_usd": an_item(450_000, "up to MONEY_1")}),
        ("up to 450k", {"price_max_usd": an_item("450000", "up to MONEY_1")}),
        ("up to 450k", {"bedrooms_min": an_item("MONEY_1", "up to MONEY_1")}),
        ("my rent is $2,500", {"price_max_usd": an_item("MONEY_1", "MONEY_1")}),
        ("for 5k", {"price_max_usd": an_item("MONEY_1", "for MONEY_1")}),
        ("99 bedrooms", {"bedrooms_min": an_item("COUNT_1", "COUNT_1 bedrooms")}),
        ("owned it for 10 years", {"timeline": an_item("TIME_1", "TIME_1")}),
        ("call at 5pm", {"timeline": an_item("TIME_1", "TIME_1")}),
        ("soon", {"timeline": an_item("soon", "soon")}),
        ("with a loan", {"financing": an_item("loan", "with loan")}),
        ("sorry, I meant I want to buy", {"area": an_item("i meant want to buy", "i meant want to buy")}),
        ("I like Ballard", {"mood": an_item("good", "PLACE_1")}),
    ],
)
def test_value_that_the_words_do_not_give_is_dropped(text, items):
    assert values("buyer", text, **items) == {}


@pytest.mark.parametrize("content", ["", "no JSON", "[]", "3", "null", '"text"'])
def test_answer_of_another_shape_yields_nothing(content):
    found = Analysis(content=content, values={}, quotes={})
    assert bind(found, slots=BOTS["buyer"].slots, messages=(a_message("hi"),), extractor="x@1") == ()


@pytest.mark.parametrize(
    "place", [Place(text=1, start=0, end=2), Place(text=0, start=0, end=99), Place(text=-1, start=0, end=1)]
)
def test_place_outside_of_the_texts_yields_nothing(place):
    content = json.dumps({"area": an_item("PLACE_1", "PLACE_1")})
    found = Analysis(content=content, values={"PLACE_1": place}, quotes={})
    assert bind(found, slots=BOTS["buyer"].slots, messages=(a_message("hi"),), extractor="x@1") == ()


@pytest.mark.parametrize(("said", "kept"), [(7.0, 0.9), (0.5, 0.5), (-1.0, 0.0), (float("nan"), 0.0)])
def test_confidence_of_a_model_is_capped(said, kept):
    found = facts("buyer", "in Ballard", area=an_item("PLACE_1", "PLACE_1", said))
    assert found["area"].confidence == kept


def test_model_is_not_asked_for_what_only_rules_read():
    assert values("lead", "hi", buying_plan=an_item(True, "hi")) == {}
