"""The gate: nothing goes out that must not, and nothing is kept back that may go."""

from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.conversations.check import load
from kit.bot import outbound, talk
from kit.bot.gate import Speaks, findings
from kit.bot.numbers import Unit, held, numbers
from kit.bot.spec import Move, MoveKind
from tests.support.bots import BOTS, BROKERAGE, Conversation, a_situation
from tests.support.listings import in_memory
from tests.support.sales import Town


@dataclass(frozen=True)
class AListing:
    listing_id: str = "KC-98117-4"
    price_usd_cents: int = 585_000_00
    bedrooms: int = 3
    bathrooms: float = 1.75
    area_sqft: int = 1_810
    year_built: int = 1929
    view: int = 4
    as_of: date = date(2015, 5, 28)
    zip: str = "98117"
    neighborhood: str = ""
    distance_miles: float = 0.337
    estimate_usd: int = 624_792


SPEAKS = Speaks(
    brokerage="Elm Realty 24/7",
    facts={
        "price_max_usd": 650_000,
        "area": "Ballard 98107",
        "bathrooms_min_quarters": 10,
        "timeline": "1_to_3_months",
    },
    records=(AListing(),),
    constants=("Roughly when: within 3 months, within a year, or later?",),
)


def codes(text, speaks=SPEAKS):
    return [each.code for each in findings(text, speaks)]


@pytest.mark.parametrize(
    "text",
    [
        "Got it: up to $650,000, in Ballard 98107.",
        "That is $650k, or $0.65 million, or 650,000 dollars.",
        "KC-98117-4, ZIP 98117: $585,000, 3 bd, 1.75 ba, 1,810 sqft, built 1929.",
        "It has three bedrooms and a view, grade 4.",
        "At least 2.5 baths.",
        "Sample data as of May 2015. As of 2015-05-28.",
        "One 1,810 sq ft home 0.3 mi away sold for $625,000.",
        "Roughly when: within 3 months, within a year, or later?",
        "Elm Realty 24/7 is here for you, one wish at a time.",
        "No two of them are alike? Which one do you mean?".replace("two of them", "homes"),
    ],
)
def test_numbers_of_facts_records_and_written_phrases_pass(text):
    assert codes(text) == []


@pytest.mark.parametrize(
    "text",
    [
        "It costs $586,000.",
        "It costs $585.",
        "It costs 585,000.",
        "It costs $585k more than $1.2 million.",
        "$98107 is the price.",
        "It has 98107 sqft.",
        "It has 4 bedrooms.",
        "It has four bedrooms.",
        "It has 3 baths.",
        "It is 3% below the market.",
        "Sold within 3 days.",
        "Somebody answers within 4 minutes.",
        "Sample data as of June 2015.",
        "As of 2015-05-29.",
        "Built 1930.",
        "KC-98117-5 is next.",
        "KC-98117-41 is next.",
        "Call (206) 555-0100.",
        "Open 24/7.",
        "Half a million dollars.",
        "Five hundred thousand dollars.",
        "a million",
        "Twenty percent down.",
        "one bedroom",
        "Within 3 months it is sold.",
        "It costs 5OO,000.",
        "It costs \uff15\uff18\uff15,000.",
        "About \u0665 rooms.",
        "$650,000,000",
        "$650,000k",
        "-98107",
        "1/2 price",
        "3-4 bedrooms",
    ],
)
def test_number_that_no_record_holds_is_found(text):
    assert "NUMBER" in codes(text)


amounts = st.integers(0, 10**9)
forms = st.sampled_from(
    [
        "It costs ${:,}.",
        "It costs ${}.",
        "about {:,} dollars",
        "{} sqft",
        "{} bedrooms",
        "{} baths",
        "built in {}",
        "grade {}",
        "{} of them fit",
        "{} mi away",
        "({:,})",
        "{}%",
        "${}k",
        "${} million",
        "in {} days",
        "{}",
    ]
)


@given(
    forms,
    amounts,
    st.dictionaries(
        st.sampled_from(["price_max_usd", "area_min_sqft", "bedrooms_min", "year_built_min"]), amounts, max_size=4
    ),
)
def test_no_number_outside_the_record_ever_passes(form, amount, facts):
    text = form.format(amount)
    (stated,) = numbers(text)
    known = {(unit, value) for unit, value in held(facts.items()).values}
    passes = "NUMBER" not in codes(text, Speaks(brokerage="Elm", facts=facts))
    assert passes is ((stated.unit, stated.value) in known)
    if passes:
        assert stated.value in {Decimal(each) for each in facts.values()} | {
            Decimal((each + 500) // 1_000 * 1_000) for each in facts.values()
        }


@given(forms, amounts, st.text("abc0123456789 $%,.-", max_size=12), st.text("abc0123456789 $%,.-", max_size=12))
def test_nothing_around_a_quote_turns_its_number_into_another(form, amount, before, after):
    quote = Speaks(brokerage="Elm", facts={"area": "98107"})
    text = f"{before}98107{after}"
    if "NUMBER" not in codes(text, quote):
        assert all(each.unit is Unit.PLAIN and text[each.start : each.end] == "98107" for each in numbers(text))


@given(st.text(max_size=200))
def test_every_digit_of_any_text_belongs_to_a_number_that_was_looked_at(text):
    covered = {place for each in numbers(text) for place in range(each.start, each.end)}
    assert [place for place, each in enumerate(text) if each.isdigit() and place not in covered] == []


@pytest.mark.parametrize("miles", [0.15, 0.25, 0.35, 2.45])
def test_distance_is_rounded_as_a_text_rounds_it(miles):
    record = replace(AListing(), distance_miles=miles)
    assert codes(f"One is {miles:.1f} mi away.", replace(SPEAKS, records=(record,))) == []


# --- words


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("I am a real person.", "HUMAN_CLAIM"),
        ("I'm a licensed agent and happy to help.", "HUMAN_CLAIM"),
        ("You are talking to a human.", "HUMAN_CLAIM"),
        ("I am not a bot.", "HUMAN_CLAIM"),
        ("This isn't an automated message.", "HUMAN_CLAIM"),
        ("There is a real person typing here.", "HUMAN_CLAIM"),
        ("Speaking as an agent, I like it.", "HUMAN_CLAIM"),
        ("I have booked your tour.", "BOOKING"),
        ("Your showing is confirmed.", "BOOKING"),
        ("I'll schedule it.", "BOOKING"),
        ("See you on Saturday!", "BOOKING"),
        ("You're all set.", "BOOKING"),
        ("An agent will call you.", "BOOKING"),
        ("Someone will reach out.", "BOOKING"),
        ("We guarantee the price.", "GUARANTEE"),
        ("It will definitely sell.", "GUARANTEE"),
        ("You will get your price.", "GUARANTEE"),
        ("You are approved for a loan.", "GUARANTEE"),
        ("Our commission is low.", "COMPENSATION"),
        ("There is cash back for you.", "COMPENSATION"),
        ("Our services are free.", "COMPENSATION"),
        ("That is free of charge.", "COMPENSATION"),
        ("A free valuation for you.", "COMPENSATION"),
        ("It is a safe neighborhood.", "STEERING"),
        ("There are great schools.", "STEERING"),
        ("Perfect for families.", "STEERING"),
        ("Visit http://evil.example/x now.", "URL"),
        ("Visit evil.com now.", "URL"),
        ("Visit bit.ly/abc now.", "URL"),
        ("Write to me@evil.example please.", "URL"),
        ("Hi {first_name}!", "PLACEHOLDER"),
        ("Hi\x00", "CONTROL_CHARACTER"),
        ("a" * 700, "TOO_LONG"),
    ],
)
def test_words_that_must_not_go_out_are_found_by_name(text, code):
    assert codes(text) == [code]


@pytest.mark.parametrize(
    "text",
    [
        "I am an automated assistant of Elm Realty 24/7, not a person.",
        "No person is typing here.",
        "An agent of Elm Realty 24/7 can read this conversation and take over at any time.",
        "I have booked nothing.",
        "As noted, the buyer agreement is signed, so an agent can arrange a tour.",
        "I go by the home, never by who lives around it, and do not rate areas, safety or schools.",
        "How would you pay: cash, already pre-approved for a loan, or not yet?",
        "Feel free to ask about any of them. A walk-in closet, a great view, a family room and a quiet street.",
        "It is for sale by the owner, a person of few words.",
        "Is it a person you would like to hear from? This is about your agent.",
        "Would you like to schedule a time that suits you? An agent can confirm it.",
    ],
)
def test_honest_words_pass(text):
    assert codes(text) == []


def test_brokerage_may_be_called_what_it_likes():
    speaks = replace(SPEAKS, brokerage="Free Commission 1.com")
    assert codes("An agent of Free Commission 1.com can read this.", speaks) == []
    assert codes("An agent of Free Commission 2.com can read this.", speaks) == ["NUMBER", "URL", "COMPENSATION"]


def test_first_message_must_begin_with_who_writes():
    speaks = replace(SPEAKS, begins="Hi! This is the automated assistant of Elm Realty 24/7. Reply STOP to opt out.")
    assert codes("Hello there.", speaks) == ["NO_DISCLOSURE"]
    assert codes(f"{speaks.begins} Hello there.", speaks) == []
    assert codes(f"Hello there. {speaks.begins}", speaks) == ["NO_DISCLOSURE"]


def test_notice_must_stand_in_the_text():
    speaks = replace(SPEAKS, holds=("Sample data as of May 2015.",))
    assert codes("$585,000", speaks) == ["NO_NOTICE"]
    assert codes("Sample data as of May 2015. $585,000", speaks) == []


# --- what the bots say


TOWN = Town()


@pytest.mark.parametrize("known", [{}, {"listings": in_memory(), "sales": TOWN}], ids=["no data", "listings and sales"])
def test_gate_lets_every_written_reply_of_the_authored_conversations_through(known):
    said, blocked = set(), []
    for each in load():
        talked = Conversation(**known)
        said |= {talked.say(turn.say).reply for turn in each.turns}
        blocked += talked.blocked
    assert blocked == []
    assert len(said) > 50


def a_move(reply, **rest):
    return Move(kind=MoveKind.ASK, reply=reply, question="area", memory={"shown": ["a"]}, **rest)


@pytest.mark.parametrize("first", [True, False])
def test_blocked_reply_gives_way_to_a_safe_sentence_that_asks_and_shows_nothing(first):
    situation = a_situation(BOTS["buyer"], "hi", first_reply=first)
    admitted = outbound.admit(BOTS["buyer"], situation, a_move("It costs $5. Where?"))
    assert "NUMBER" in {each.code for each in admitted.blocked}
    move = admitted.move
    assert (move.kind, move.question, move.memory, move.spoken) == (MoveKind.ANSWER, "", None, ())
    assert move.reply.endswith(talk.agent_reads(situation))
    assert move.reply.startswith(talk.disclosure(situation)) is first
    assert not any(each.isdigit() for each in move.reply)


def test_where_even_the_safe_sentence_does_not_pass_nothing_goes_out():
    situation = replace(a_situation(BOTS["buyer"], "hi"), brokerage="x" * 800)
    admitted = outbound.admit(BOTS["buyer"], situation, a_move("It costs $5."))
    assert (admitted.move.kind, admitted.move.reply) == (MoveKind.STAY_SILENT, "")


def test_handoff_and_silence_say_nothing_and_pass():
    situation = a_situation(BOTS["buyer"], "hi")
    for kind in (MoveKind.HAND_OFF, MoveKind.STAY_SILENT):
        assert outbound.admit(BOTS["buyer"], situation, Move(kind=kind)).blocked == ()


def test_disclosure_of_a_brokerage_with_accents_passes():
    situation = replace(a_situation(BOTS["lead"], "hi", first_reply=True), brokerage="Café Ñandú Realty")
    move = BOTS["lead"].decide(situation)
    assert outbound.admit(BOTS["lead"], situation, move).blocked == ()
    assert BROKERAGE not in move.reply


@given(st.floats(min_value=0, max_value=30))
def test_distance_is_rounded_by_the_gate_as_it_is_said(miles):
    # 0.45 as a decimal number is said as 0.4, as a float as 0.5.
    for distance in (miles, 0.45, 0.35, 1.25):
        said = f"One home {distance:.1f} mi away."
        assert codes(said, replace(SPEAKS, records=(AListing(distance_miles=distance),))) == []
