"""The Claude stand-in reads what people write, and fills any schema with it."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.claude_answer import answer, count_tokens
from sandbox.claude_fill import fill
from sandbox.claude_prompt import Prompt, read_prompt
from sandbox.claude_request import Refused, check
from sandbox.claude_reword import reworded

INTENT = {"type": "string", "enum": ["buy", "sell", "both", "unknown"]}


def a_prompt(words, *, around="", question=""):
    return Prompt(words=words, around=around, question=question)


def an_object(**properties):
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def or_null(kind, **more):
    return {"anyOf": [{"type": kind, **more}, {"type": "null"}]}


def read(words, name, schema, *, question=""):
    value, _ = fill(an_object(**{name: schema}), a_prompt(words, question=question))
    return value[name]


@pytest.mark.parametrize(
    ("words", "intent"),
    [
        ("I need to sell my house ASAP", "sell"),
        ("sorry, I meant I want to buy", "buy"),
        ("I don't want to sell, I'm buying", "buy"),
        ("we want to sell our condo and then buy something bigger", "both"),
        ("what's my home worth?", "sell"),
        ("would you buy my house?", "sell"),
        ("we'd like to buy our first home", "buy"),
        ("looking for a 3 bedroom near Tacoma", "buy"),
        ("why are they selling?", "unknown"),
        ("quiero vender mi casa", "sell"),
        ("busco una casa", "buy"),
        ("ok thanks", "unknown"),
        ("", "unknown"),
    ],
)
def test_intent_is_what_the_person_wants_and_not_what_they_deny(words, intent):
    assert read(words, "intent", INTENT) == intent


def test_without_a_choice_for_both_a_home_to_sell_comes_first():
    intent = {"type": "string", "enum": ["buy", "sell", "unknown"]}
    assert read("I want to buy a bigger house and sell mine", "intent", intent) == "sell"


@pytest.mark.parametrize(
    ("words", "low", "high"),
    [
        ("$450k", None, 450_000),
        ("up to 1.2 million", None, 1_200_000),
        ("400-500k", 400_000, 500_000),
        ("between $400,000 and $500,000", 400_000, 500_000),
        ("at least 300k", 300_000, None),
        ("under 650000", None, 650_000),
        ("98103", None, None),
        ("call 206-555-0100", None, None),
        ("3 bed 2 bath, 2,000 sqft", None, None),
    ],
)
def test_prices_are_read_in_dollars_with_the_end_that_was_said(words, low, high):
    wanted = an_object(price_min_usd=or_null("integer"), price_max_usd=or_null("integer"))
    value, _ = fill(wanted, a_prompt(words))
    assert (value["price_min_usd"], value["price_max_usd"]) == (low, high)


@pytest.mark.parametrize(
    ("words", "approved"),
    [
        ("we are pre-approved", True),
        ("not pre-approved yet", False),
        ("I haven't been preapproved", False),
        ("no, I am pre-approved", True),
        ("nice weather", None),
    ],
)
def test_a_denied_word_is_no_and_an_unsaid_one_is_unknown(words, approved):
    assert read(words, "pre_approved", or_null("boolean")) is approved


@pytest.mark.parametrize(
    ("words", "choice"),
    [
        ("ASAP please", "asap"),
        ("in 2 months", "1-3_months"),
        ("in 4-5 months", "3-6_months"),
        ("next year", "6-12_months"),
        ("just looking", "over_12_months"),
        ("hello", "unknown"),
    ],
)
def test_time_words_fall_into_the_span_that_holds_them(words, choice):
    spans = ["asap", "1-3_months", "3-6_months", "6-12_months", "over_12_months", "unknown"]
    assert read(words, "timeline", {"type": "string", "enum": spans}) == choice


@pytest.mark.parametrize(
    ("words", "place"),
    [
        ("something in Capitol Hill under 500k", "Capitol Hill"),
        ("near rancho cucamonga with a pool", "rancho cucamonga"),
        ("3/2 in 98103", "98103"),
        ("in 3 months", None),
        ("in good condition", None),
    ],
)
def test_a_place_is_a_name_after_in_or_near(words, place):
    assert read(words, "area", or_null("string")) == place


@pytest.mark.parametrize(
    ("words", "question", "name", "schema", "value"),
    [
        ("Capitol Hill", "Which area are you looking in?", "area", or_null("string"), "Capitol Hill"),
        ("450", "What is your budget?", "price_max_usd", or_null("integer"), 450_000),
        ("three", "How many bedrooms do you need?", "bedrooms", or_null("integer"), 3),
        ("yes", "Are you pre-approved?", "pre_approved", or_null("boolean"), True),
        ("not yet", "Are you pre-approved?", "pre_approved", or_null("boolean"), False),
        ("yes", "Would you like a tour?", "pre_approved", or_null("boolean"), None),
    ],
)
def test_a_short_reply_is_read_by_the_question_it_answers(words, question, name, schema, value):
    assert read(words, name, schema, question=question) == value


TWO_PLACES = an_object(
    area=or_null("string", description="Where the person wants to buy."),
    address_area=or_null("string", description="Where the home is that the person wants to sell."),
)


@pytest.mark.parametrize(
    ("words", "known", "buys_in", "sells_in"),
    [
        ("sell our condo in Tacoma and buy near Ballard", "", "Ballard", "Tacoma"),
        ("My house is in Tacoma. I want to buy something in Ballard", "", "Ballard", "Tacoma"),
        ("it is in Ballard", "intent: sell", None, "Ballard"),
        ("somewhere in Ballard", "intent: buy", "Ballard", None),
        ("hello", "intent: buy", None, None),
    ],
)
def test_a_place_belongs_to_the_home_that_is_spoken_of(words, known, buys_in, sells_in):
    value, _ = fill(TWO_PLACES, Prompt(words=words, around="", known=known))
    assert (value["area"], value["address_area"]) == (buys_in, sells_in)


def test_a_choice_that_is_denied_is_the_choice_that_says_no():
    financing = {"type": "string", "enum": ["cash", "pre_approved", "not_yet"]}
    assert read("not pre-approved", "financing", financing) == "not_yet"


def test_a_hedged_wish_is_less_than_sure():
    wish = an_object(value=INTENT, confidence={"type": "number"})
    sure, hedged = (fill(wish, a_prompt(text))[0]["confidence"] for text in ("I want to sell", "maybe I would sell"))
    assert hedged < 0.7 <= sure


def test_rent_and_down_payment_are_no_prices():
    assert read("my rent is $2,000 a month, 20k down", "price_max_usd", or_null("integer")) is None


def test_words_are_the_exact_substring_that_the_value_came_from():
    text = "Hi, I need to sell my house in Tacoma"
    value, _ = fill(an_object(intent=INTENT, words={"type": "string"}), a_prompt(text))
    assert value == {"intent": "sell", "words": "I need to sell my house"}
    assert value["words"] in text


def test_an_object_per_fact_has_the_value_and_its_words():
    fact = an_object(value=or_null("integer"), words=or_null("string"), confidence={"type": "number"})
    value, _ = fill(an_object(bedrooms=fact, bathrooms=fact), a_prompt("a 3 bed please"))
    assert value["bedrooms"] == {"value": 3, "words": "3 bed", "confidence": 0.93}
    assert value["bathrooms"] == {"value": None, "words": None, "confidence": 0.2}


def test_a_list_of_facts_names_only_what_was_said():
    names = {"type": "string", "enum": ["intent", "area", "price_max_usd", "bedrooms", "pre_approved"]}
    fact = an_object(name=names, value={"type": "string"}, words={"type": "string"})
    value, _ = fill(an_object(facts={"type": "array", "items": fact}), a_prompt("I want to buy in Tacoma, max 500k"))
    assert [(each["name"], each["value"]) for each in value["facts"]] == [
        ("intent", "buy"),
        ("area", "Tacoma"),
        ("price_max_usd", "500000"),
    ]


def test_acts_are_all_that_the_words_speak_of():
    acts = {
        "type": "array",
        "items": {"type": "string", "enum": ["greeting", "request_tour", "talk_to_human", "ask_valuation"]},
    }
    assert read("Hi! Can I talk to a real person about a tour?", "acts", acts) == [
        "greeting",
        "request_tour",
        "talk_to_human",
    ]


def test_a_choice_nobody_foresaw_is_found_by_its_description():
    pet = {
        "type": "string",
        "enum": ["feline", "canine", "none"],
        "description": "feline: has cats; canine: has puppies",
    }
    assert read("we have two puppies", "pet", pet) == "canine"


def test_a_span_reference_is_one_that_stands_in_the_text():
    schema = {"anyOf": [{"type": "string", "enum": ["MONEY_1", "MONEY_2", "PLACE_1"]}, {"type": "null"}]}
    assert read("up to MONEY_1 near PLACE_1", "area", schema) == "PLACE_1"
    assert read("hello", "area", schema) is None


def test_only_what_stands_inside_the_message_tags_is_read():
    body = {
        "system": "A buyer may say: I want to buy a house.",
        "messages": [
            {"role": "user", "content": "They wrote:\n<messages>\n- hi\n- I want to sell my house\n</messages>\nBuy?"}
        ],
    }
    assert "Buy" not in read_prompt(body).words
    value, _ = fill(an_object(intent=INTENT), read_prompt(body))
    assert value == {"intent": "sell"}


def test_without_a_schema_the_reply_speaks_of_what_was_said_and_asks_on():
    body = {
        "model": "claude-haiku-5-5",
        "max_tokens": 100,
        "messages": [{"role": "user", "content": "I want to buy in Tacoma"}],
    }
    text = answer(body, effort="low", thinks=False).text
    assert "Tacoma" in text
    assert text.endswith("?")


def test_a_reply_keeps_to_the_length_it_was_given():
    reply = {"type": "string", "description": "The text message, at most 60 characters."}
    assert 0 < len(read("I want to buy a 3 bed in Tacoma under 500k", "reply", reply)) <= 60


def test_the_same_request_gets_the_same_answer():
    body = {"model": "claude-haiku-5-5", "max_tokens": 100, "messages": [{"role": "user", "content": "hello there"}]}
    assert answer(body, effort="low", thinks=True) == answer(dict(body), effort="low", thinks=True)


def test_more_effort_thinks_more_tokens():
    body = {"model": "claude-haiku-5-5", "max_tokens": 100, "messages": [{"role": "user", "content": "I want to sell"}]}
    low, high = (answer(body, effort=effort, thinks=True).thinking_tokens for effort in ("low", "high"))
    assert 0 < low < high


def test_tokens_are_counted_as_characters_over_3_6_rounded_up():
    assert [count_tokens("x" * size) for size in (0, 1, 36, 37)] == [0, 1, 10, 11]


# --- any schema, any text ----------------------------------------------------------------------------------------

names = st.sampled_from(
    "intent area price_max_usd price_min_cents bedrooms timeline words confidence value name label reply is_urgent x months".split()
)
leaves = st.one_of(
    st.sampled_from([{"type": kind} for kind in ("string", "integer", "number", "boolean", "null")]),
    st.sampled_from([{"type": [kind, "null"]} for kind in ("string", "integer", "number", "boolean")]),
    st.lists(
        st.sampled_from(["buy", "sell", "asap", "1-3_months", "yes", "no", "MONEY_1", "other"]), min_size=1, unique=True
    ).map(lambda values: {"type": "string", "enum": values}),
    st.just({"const": "v1"}),
)


def _composed(inner):
    return st.one_of(
        st.dictionaries(names, inner, max_size=4).map(lambda properties: an_object(**properties)),
        inner.map(lambda item: {"type": "array", "items": item}),
        inner.map(lambda item: {"type": "array", "items": item, "minItems": 1}),
        st.lists(inner, min_size=1, max_size=3).map(lambda options: {"anyOf": options}),
    )


schemas = st.recursive(leaves, _composed, max_leaves=8)
texts = st.one_of(
    st.text(max_size=200),
    st.lists(
        st.sampled_from(
            "I we want to sell buy not my house 3 bed $450k 400-500k million in near Tacoma 98103 ASAP months yes ? , . \n".split(
                " "
            )
        )
    ).map(" ".join),
)


def fits(value: Any, schema: dict[str, Any]) -> bool:
    """Check the part of JSON Schema that the strategies above make."""
    if "anyOf" in schema:
        return any(fits(value, option) for option in schema["anyOf"])
    if "const" in schema:
        return value == schema["const"]
    if "enum" in schema:
        return value in schema["enum"]
    kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    return any(_is(value, kind, schema) for kind in kinds)


def _is(value: Any, kind: str, schema: dict[str, Any]) -> bool:
    if kind == "object":
        properties = schema["properties"]
        return (
            isinstance(value, dict)
            and set(value) == set(properties)
            and all(fits(value[k], properties[k]) for k in value)
        )
    if kind == "array":
        return (
            isinstance(value, list)
            and len(value) >= schema.get("minItems", 0)
            and all(fits(v, schema["items"]) for v in value)
        )
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return {
        "string": isinstance(value, str),
        "boolean": isinstance(value, bool),
        "integer": number and float(value).is_integer(),
        "number": number,
        "null": value is None,
    }[kind]


@settings(max_examples=300, deadline=None)
@given(schema=schemas, text=texts, question=texts)
def test_any_schema_the_api_takes_is_filled_validly_from_any_text(schema, text, question):
    value, _ = fill(schema, a_prompt(text, question=question))
    assert fits(value, schema), (value, schema)


@settings(deadline=None)
@given(text=texts)
def test_words_always_stand_in_the_text(text):
    value, readings = fill(an_object(intent=INTENT, area=or_null("string"), words={"type": "string"}), a_prompt(text))
    assert value["words"] in text
    assert all(reading.words in text for reading in readings)


# --- what is refused -----------------------------------------------------------------------------------------------


def a_body(**changes):
    return {"model": "claude-sonnet-5-5", "max_tokens": 64, "messages": [{"role": "user", "content": "hi"}], **changes}


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "properties": {}},
        an_object(n={"type": "integer", "minimum": 1}),
        an_object(s={"type": "string", "maxLength": 5}),
        an_object(a={"type": "array", "items": {"type": "string"}, "maxItems": 3}),
        {"$defs": {"x": an_object(x={"$ref": "#/$defs/x"})}, "$ref": "#/$defs/x"},
        an_object(x={}),
    ],
)
def test_a_schema_outside_the_subset_of_structured_outputs_is_refused(schema):
    with pytest.raises(Refused, match=r"output_config\.format\.schema"):
        check(a_body(output_config={"format": {"type": "json_schema", "schema": schema}}))


def test_a_field_the_api_does_not_know_is_refused_by_name():
    with pytest.raises(Refused, match="colour: Extra inputs are not permitted"):
        check(a_body(colour="red"))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"messages": []}, "at least one message"),
        ({"messages": [{"role": "system", "content": "x"}]}, "first message"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "messages.0.role"),
        ({"messages": [{"role": "user", "content": ""}]}, "non-empty"),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": " "}]}]}, "non-whitespace"),
        ({"messages": [{"role": "user", "content": [{"type": "audio"}]}]}, "does not match"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": 10**6}, "maximum allowed"),
        ({"output_config": {"effort": "huge"}}, "effort"),
        ({"stream": "yes"}, "stream"),
    ],
)
def test_a_wrong_shape_is_refused_with_its_place(changes, words):
    with pytest.raises(Refused, match=words):
        check(a_body(**changes))


# --- sentences in other words

SENTENCES = {
    "type": "object",
    "properties": {"lines": {"type": "array", "items": an_object(key={"type": "string"}, text={"type": "string"})}},
    "required": ["lines"],
    "additionalProperties": False,
}
LISTED = """Please reword.
1. greeting stays
2. summary: "Got it: {place}, {amount}." {place} reads: in ...
3. ask: "How many rooms do you need?"
"""


def test_listed_sentences_come_back_by_name_in_other_words_with_their_placeholders():
    said = reworded(SENTENCES, LISTED, seed=0)
    assert said == {
        "lines": [
            {"key": "summary", "text": "Noted: {place}, {amount}."},
            {"key": "ask", "text": "Could you tell me: how many rooms do you need?"},
        ]
    }
    assert len({json.dumps(reworded(SENTENCES, LISTED, seed=seed)) for seed in range(6)}) > 2


def test_question_that_has_its_own_opening_gets_no_second_one():
    asked = '1. ask: "So that I can help: is it about buying a home?"'
    said = [reworded(SENTENCES, asked, seed=seed)["lines"][0]["text"] for seed in range(3)]
    assert said == ["So that I can help: is it about buying a home?"] * 3


def test_list_is_no_rewording_where_the_schema_or_the_text_asks_for_something_else():
    assert reworded(an_object(intent=INTENT), LISTED, seed=0) is None
    assert reworded(SENTENCES, "I want to buy 2 homes: soon", seed=0) is None


def test_rewording_is_dispatched_by_the_request_alone():
    body = {"model": "claude-sonnet-5-5", "max_tokens": 400, "messages": [{"role": "user", "content": LISTED}]}
    body["output_config"] = {"format": {"type": "json_schema", "schema": SENTENCES}}
    told = answer(body, effort="low", thinks=True)
    assert [each["key"] for each in json.loads(told.text)["lines"]] == ["summary", "ask"]
