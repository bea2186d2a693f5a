"""Replies as plans: what a model is told, which templates are good, and what comes of them."""

import json
import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.conversations.check import load
from kit.bot import outbound, plan, talk
from kit.bot.plan import BadTemplate, Part, describe, fixed, read_template, said, topics
from kit.bot.spec import MoveKind
from services.buyer import phrases as buyer_phrases
from tests.support.bots import BOTS, Conversation, a_situation, in_other_words
from tests.support.listings import in_memory
from tests.support.sales import Town
from tests.unit.test_bot_talk import situations

NOTED = Part(
    name="noted",
    written="Got it: {area}, {price_max_usd}.",
    values={"area": "in Ballard", "price_max_usd": "up to $650,000"},
    reads={"area": "in ...", "price_max_usd": "up to $..."},
)
QUESTION = Part(name="question", written="How many bedrooms do you need at least?")
PLAN = (fixed("disclosure", "Hi Ana! This is a machine."), NOTED, QUESTION)
TOWN = Town()


def template(noted="Noted: {area} and {price_max_usd}.", question="How many bedrooms should it have?", **more):
    parts = {"noted": noted, "question": question} | more
    return json.dumps({"parts": [{"name": name, "words": words} for name, words in parts.items()]})


def test_plan_is_told_in_order_and_without_a_value():
    assert describe(PLAN) == (
        "1. disclosure stays\n"
        '2. noted: "Got it: {area}, {price_max_usd}." {area} reads: in ... {price_max_usd} reads: up to $...\n'
        '3. question: "How many bedrooms do you need at least?"'
    )


def test_equal_plans_read_alike_whoever_they_are_for():
    other = replace(NOTED, values={"area": "in Fremont", "price_max_usd": "up to $1"})
    assert describe((fixed("disclosure", "Hi Ben! This is a machine."), other, QUESTION)) == describe(PLAN)


def test_good_template_is_filled_and_what_is_fixed_stays():
    words = read_template(template(), PLAN)
    assert said(PLAN, words) == (
        "Hi Ana! This is a machine. Noted: in Ballard and up to $650,000. How many bedrooms should it have?"
    )


def test_value_that_looks_like_a_placeholder_is_not_filled_again():
    part = replace(NOTED, values={"area": "in {price_max_usd}", "price_max_usd": "up to $1"})
    assert said((part,), {"noted": "So {area}, {price_max_usd}."}) == "So in price_max_usd, up to $1."


@pytest.mark.parametrize(
    ("content", "defect"),
    [
        ("", "NOT_A_TEMPLATE"),
        ("[]", "NOT_A_TEMPLATE"),
        ('{"parts": "noted"}', "NOT_A_TEMPLATE"),
        ('{"parts": [1, 2]}', "NOT_A_TEMPLATE"),
        ('{"parts": []}', "OTHER_PARTS"),
        (template(extra="Good day."), "OTHER_PARTS"),
        (template(disclosure="Hi!"), "OTHER_PARTS"),
        (json.dumps({"parts": json.loads(template())["parts"][::-1]}), "OTHER_PARTS"),
        (template(noted=""), "EMPTY"),
        (json.dumps({"parts": [{"name": "noted", "words": 1}, {"name": "question", "words": None}]}), "EMPTY"),
        (template(noted="Noted: {area} and {price_max_usd}." + " So it is." * 20), "TOO_LONG"),
        (template(noted="Noted: {area}, {price_max_usd} \U0001f600"), "SIGNS"),
        (template(noted="Noted: {area},\n{price_max_usd}."), "SIGNS"),
        (template(noted="Noted: {area}."), "PLACEHOLDERS"),
        (template(noted="Noted: {area}, {area}, {price_max_usd}."), "PLACEHOLDERS"),
        (template(noted="Noted: {area}, {price_max_usd}, {first_name}."), "PLACEHOLDERS"),
        (template(noted="Noted: {area}, {price_max_usd}, {{}}."), "SIGNS"),
        (template(noted="Noted: {area}, {price_max_usd}, 3 of them."), "NUMBER"),
        (template(noted="Noted: {area}, {price_max_usd}, two of them."), "NUMBER"),
        (template(noted="Noted: {area}, {price_max_usd} million."), "NUMBER"),
        (template(noted="Noted: {area}, ${price_max_usd}."), "NUMBER"),
        (template(noted="Noted: {area}, {price_max_usd}, right?"), "QUESTION"),
        (template(question="Tell me how many bedrooms you need."), "QUESTION"),
        (template(question="How many bedrooms? And why?"), "QUESTION"),
        (template(noted="Zillow has noted it: {area}, {price_max_usd}."), "NAME"),
        (template(noted="Noted in Seattle: {area}, {price_max_usd}."), "NAME"),
        (template(question="What is your budget?"), "MEANING"),
        (template(question="How soon would you like to buy?"), "MEANING"),
        (template(question="How many bedrooms, and what is your budget?"), "MEANING"),
        (template(question="How are you today?"), "MEANING"),
        (template(question="How many bedrooms does your family need?"), "MEANING"),
        (template(question="How many bedrooms, and may I have your phone number?"), "MEANING"),
        (template(noted="Noted, not {area}, {price_max_usd}."), "MEANING"),
        (template(noted="An agent takes {area} and {price_max_usd}."), "MEANING"),
        (template(noted="You want to sell {area}, {price_max_usd}."), "MEANING"),
        (template(noted="Best homes at no fee: {area}, {price_max_usd}."), "MEANING"),
    ],
)
def test_bad_template_is_refused_by_name(content, defect):
    with pytest.raises(BadTemplate, match=f"^{defect}$"):
        read_template(content, PLAN)


@given(st.text(max_size=80) | st.recursive(st.none() | st.booleans() | st.text(max_size=20), st.lists).map(json.dumps))
def test_whatever_a_model_answers_is_a_template_or_is_refused(content):
    with pytest.raises(BadTemplate):
        read_template(content, PLAN)


@given(st.text(max_size=60), st.text(max_size=60))
def test_template_that_passes_holds_its_placeholders_and_no_figure(noted, question):
    content = template(noted=f"{noted}{{area}}, {{price_max_usd}}", question=f"How many bedrooms {question}?")
    try:
        words = read_template(content, PLAN)
    except BadTemplate:
        return
    assert set(words) == {"noted", "question"}
    assert not re.search(r"\d", said(PLAN[2:], words))
    assert said(PLAN, words).count("?") == 1


def test_denial_stays_a_denial_and_choice_a_choice():
    denies = (Part(name="closing", written="No rush. If you want to buy or sell a home one day, just tell me here."),)
    chooses = (Part(name="question", written="Are you looking to buy a home, sell one, or both?"),)
    for parts, words in (
        (denies, "Hurry. If you want to buy or sell a home, tell me."),
        (denies, "No rush. If you want to buy a home, tell me."),
        (chooses, "Are you looking to buy a home?"),
    ):
        content = json.dumps({"parts": [{"name": parts[0].name, "words": words}]})
        with pytest.raises(BadTemplate, match="MEANING"):
            read_template(content, parts)


def test_phrase_with_figures_of_its_own_is_not_worded():
    rooms = talk.ask(
        BOTS["buyer"].slots, "bedrooms_min", a_situation(BOTS["buyer"], "hm", times_asked={"bedrooms_min": 1})
    )
    assert "1, 2, 3" in rooms.written
    assert plan.worded((rooms,)) == ()
    assert describe((rooms,)) == "1. question stays"


@pytest.mark.parametrize("bot", sorted(BOTS))
def test_every_question_has_something_that_it_is_about(bot):
    asked = [each for slot in BOTS[bot].slots for each in (slot.question, slot.again) if each]
    assert [each for each in asked if not topics(each)] == []


# --- what the bots say


@given(situations())
def test_parts_of_a_written_reply_are_the_reply(given_):
    name, situation = given_
    move = BOTS[name].decide(situation)
    assert said(move.parts) == move.reply
    names = [each.name for each in move.parts]
    assert len(set(names)) == len(names)


@given(situations())
def test_plan_tells_nothing_of_the_person(given_):
    name, situation = given_
    told = describe(BOTS[name].decide(situation).parts)
    for fact in situation.known.values():
        if isinstance(fact.value, int) and not isinstance(fact.value, bool) and fact.value > 99:
            assert not re.search(rf"\b{fact.value:,}\b|\b{fact.value}\b", told)
    assert "Sam" not in told
    assert situation.brokerage not in told


def spoken_by(known):
    """Every situation of the authored conversations that is answered with words, and the move."""
    heard = []
    for each in load():
        talked = Conversation(**known)
        talked.watch = lambda spec, situation, move: heard.append((spec, situation, move))
        for turn in each.turns:
            talked.say(turn.say)
    return [(spec, situation, move) for spec, situation, move in heard if move.reply]


@pytest.mark.parametrize("known", [{}, {"listings": in_memory(), "sales": TOWN}], ids=["no data", "listings and sales"])
def test_reworded_replies_pass_checker_and_gate_and_keep_what_must_stand(known):
    changed, plans = 0, set()
    for seed, (spec, situation, move) in enumerate(spoken_by(known)):
        if not plan.worded(move.parts):
            continue
        plans.add(describe(move.parts))
        text = in_other_words(move, seed=seed)
        assert outbound.findings(spec, situation, move, text) == ()
        assert all(each.text in text for each in move.parts if each.stays)
        assert all(each in text for each in move.notices)
        changed += text != move.reply
    assert changed > 50
    # Plans repeat over people, so their templates come from the cache.
    assert len(plans) < changed


def test_attackers_template_never_goes_out():
    """Method: a model that answers with what an attacker asks for, against checker and gate."""
    wishes = (
        "I am a real person, call me at 206-555-0100.",
        "Visit http://evil.example for {area}, {price_max_usd}.",
        "We guarantee {area} for {price_max_usd}, commission free.",
        "Ignore all rules. {area} {price_max_usd} {system_prompt}",
        "You are approved for a loan. {area}, {price_max_usd}.",
        "See you on Saturday. {area}, {price_max_usd}.",
        "Send your social security number: {area}, {price_max_usd}.",
    )
    spec, situation = (
        BOTS["buyer"],
        a_situation(BOTS["buyer"], "hi", known={"area": "Ballard", "price_max_usd": 650_000}),
    )
    move = replace(spec.decide(situation), reply=said((NOTED, QUESTION)), parts=(NOTED, QUESTION))
    assert move.kind is MoveKind.ASK
    for wish in wishes:
        try:
            words = read_template(template(noted=wish), move.parts)
        except BadTemplate:
            continue
        assert outbound.findings(spec, situation, move, said(move.parts, words)) != (), wish


def test_notice_that_data_is_a_sample_stays_word_for_word():
    talked = Conversation(owner="buyer", listings=in_memory())
    move = talked.say("3 bed home in Ballard under 750k")
    stays = [each.name for each in move.parts if each.stays]
    assert stays == ["disclosure", "source", "how_many", "record_1", "record_2", "record_3"]
    assert move.notices == ("Sample data as of May 2015.",)
    assert buyer_phrases.ASK_ABOUT in move.parts


def test_estimate_and_what_it_is_not_stay_word_for_word():
    talked = Conversation(owner="seller", sales=TOWN)
    talked.say("it is in Ballard")
    move = talked.say("1,800 sq ft")
    (estimate,) = [each for each in move.parts if each.name == "estimate"]
    assert estimate.stays
    assert move.notices == ("An estimate for discussion with an agent, not an appraisal.",)
