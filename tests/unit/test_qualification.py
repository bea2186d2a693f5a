"""How promising a lead is, and why."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.bot import reading
from services.lead import qualification
from services.lead.qualification import Grade, Part, Scale, qualify
from tests.support.bots import BOTS, a_fact, learned_facts

VALUES = {
    "intent": st.sampled_from(["buy", "sell", "both"]),
    "timeline": st.sampled_from(list(reading.TIMELINES)),
    "financing": st.sampled_from(["cash", "pre_approved", "not_yet"]),
    "area": st.sampled_from(["Ballard", "98118"]),
    "address_area": st.sampled_from(["Ballard", "98118"]),
    "price_max_usd": st.integers(10_000, 100_000_000),
    "bedrooms_min": st.integers(1, 12),
    "condition": st.sampled_from(["excellent", "good", "fair", "needs_work"]),
    "has_agent": st.booleans(),
    "renting": st.booleans(),
}


@st.composite
def leads(draw):
    names = draw(st.lists(st.sampled_from(sorted(VALUES)), unique=True))
    return tuple(a_fact(name, draw(VALUES[name])) for name in names)


def without(facts, name):
    return tuple(fact for fact in facts if fact.name != name)


def read(*texts, bot="lead", asked=""):
    return learned_facts(BOTS[bot], *texts, asked=asked)


@pytest.mark.parametrize(
    "said", ["hi", "hello?", "I don't know when", "just browsing", "I listened to your show", "thanks", "who is this?"]
)
def test_greeting_is_not_warm_and_has_no_factor(said):
    scored = qualify(read(said), messages_count=1)
    assert (scored.score, scored.grade, scored.factors) == (0, Grade.NURTURE, ())


def test_many_messages_about_nothing_are_not_warm():
    assert qualify(read("hi"), messages_count=40).score == 0


def test_not_knowing_when_is_no_timeline():
    facts = read("I want to sell my house", "I don't know when", bot="seller", asked="timeline")
    assert "timeline" not in {factor.name for factor in qualify(facts).factors}


def test_every_factor_carries_the_words_and_the_message_behind_it():
    facts = read("hello", "I need to sell my condo in Fremont ASAP")
    scored = qualify(facts, messages_count=2)
    rows = {factor.name: (factor.part, factor.words, factor.message_id) for factor in scored.factors}
    assert rows["timeline"] == (Part.READINESS, "ASAP", "m_2")
    assert rows["address_area"] == (Part.FIT, "Fremont", "m_2")
    assert rows["intent"][:2] == (Part.INTENT, "I need to sell my condo in Fremont ASAP")


@pytest.mark.parametrize(
    ("said", "grade"),
    [
        ("I want to buy a house", Grade.NURTURE),
        ("I want to buy a house in Ballard", Grade.WARM),
        ("I need to sell my house ASAP", Grade.WARM),
        ("might maybe sell someday", Grade.NURTURE),
        ("I want to buy a 3 bed in Ballard under 800k within 2 months, pre-approved", Grade.HOT),
        ("I want to buy a 3 bed in Ballard under 800k within 2 months, not pre-approved", Grade.HOT),
    ],
)
def test_grades_are_what_an_agent_would_say(said, grade):
    bot = "buyer" if "bed" in said else "lead"
    assert qualify(read(said, bot=bot), messages_count=1).grade is grade


@pytest.mark.parametrize(
    "texts",
    [
        (
            "I need to sell my house ASAP",
            "I have to sell my home as soon as possible",
            "must sell our place right away",
        ),
        ("I want to buy in Ballard", "looking to buy a house in Ballard", "Hoping to purchase in Ballard"),
        ("might maybe sell someday", "perhaps we'd sell one day", "not sure if I want to sell"),
    ],
)
def test_score_is_the_same_for_the_same_thing_in_other_words(texts):
    assert len({qualify(read(text), messages_count=1).score for text in texts}) == 1


@pytest.mark.parametrize(
    ("texts", "financing"),
    [
        (("I'm pre-approved", "already preapproved", "we are pre-qualified"), "pre_approved"),
        (("not pre-approved", "I'm not approved yet", "I was denied for a loan"), "not_yet"),
        (("paying cash", "all cash", "cash offer"), "cash"),
    ],
)
def test_financing_counts_the_same_in_other_words(texts, financing):
    found = {
        (fact.value, qualify([fact]).score) for text in texts for fact in read(text, bot="buyer", asked="financing")
    }
    assert {value for value, _ in found} == {financing}
    assert len(found) == 1


@given(leads())
def test_pre_approval_never_lowers_the_score(facts):
    before = qualify(without(facts, "financing"))
    assert qualify((*without(facts, "financing"), a_fact("financing", "pre_approved"))).score >= before.score
    other = qualify((*without(facts, "financing"), a_fact("financing", "not_yet")))
    assert qualify((*without(facts, "financing"), a_fact("financing", "pre_approved"))).score >= other.score


@given(leads(), st.sampled_from(sorted(set(VALUES) - {"has_agent", "renting"})), st.data())
def test_answer_to_a_question_never_lowers_the_score(facts, name, data):
    before = qualify(without(facts, name)).score
    assert qualify((*without(facts, name), a_fact(name, data.draw(VALUES[name])))).score >= before


@given(leads(), st.integers(0, 50))
def test_score_is_the_sum_of_its_factors_within_0_and_100(facts, count):
    scored = qualify(facts, messages_count=count)
    assert scored.score == max(0, min(100, sum(factor.points for factor in scored.factors)))


@given(leads(), st.integers(0, 50))
def test_another_message_never_lowers_the_score(facts, count):
    assert qualify(facts, messages_count=count + 1).score >= qualify(facts, messages_count=count).score


@given(leads())
def test_another_agent_or_a_wish_to_rent_never_raises_it(facts):
    for name in ("has_agent", "renting"):
        assert (
            qualify((*facts, a_fact(name, True))).score <= qualify((*without(facts, name), a_fact(name, False))).score
        )


@given(leads(), st.integers(0, 50))
def test_who_asked_for_no_more_messages_is_nobody_to_write_to(facts, count):
    assert qualify(facts, messages_count=count, opted_out=True).grade is Grade.NURTURE


@given(
    leads(),
    st.sampled_from(["religion", "children_count", "national_origin", "has_voucher", "age_years", "disability"]),
)
def test_who_a_person_is_changes_nothing(facts, name):
    assert qualify((*facts, a_fact(name, "anything"))) == qualify(facts)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("I want to buy in Ballard, we have three kids", "I want to buy in Ballard, we have three cars"),
        ("As a Muslim family we want to buy in Ballard", "As a Seattle family we want to buy in Ballard"),
        ("I use a wheelchair and want to buy in Ballard", "I use a bicycle and want to buy in Ballard"),
        ("I want to buy in Ballard near a church", "I want to buy in Ballard near a lake"),
    ],
)
def test_paired_texts_that_differ_in_who_writes_score_the_same(one, other):
    scores = [qualify(read(text)).score for text in (one, other)]
    assert scores[0] == scores[1] > 0


def test_words_and_place_names_are_never_rated():
    facts = (a_fact("intent", "buy"), a_fact("area", "Ballard"))
    elsewhere = (a_fact("intent", "buy"), replace(a_fact("area", "98118"), words="where my people live"))
    assert qualify(facts).score == qualify(elsewhere).score


def test_hedged_intent_counts_half_and_says_so():
    sure, hedged = (qualify([a_fact("intent", "sell", confidence=each)]) for each in (0.9, 0.69))
    assert hedged.score == sure.score // 2
    assert "half" in hedged.factors[0].because


def test_thresholds_are_data():
    facts = [a_fact("intent", "buy")]
    assert qualify(facts, scale=Scale(hot_from=20)).grade is Grade.HOT
    assert qualify(facts, scale=Scale(warm_from=90)).grade is Grade.NURTURE
    assert qualification.STANDARD.warm_from < qualification.STANDARD.hot_from


def test_everything_that_scores_is_a_thing_some_bot_learns():
    learned = {slot.name for bot in BOTS.values() for slot in bot.slots}
    assert {*qualification.VALUES, *qualification.PRESENCE} <= learned
