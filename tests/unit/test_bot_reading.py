"""Who wins where rules and model both speak."""

from kit.bot import reading
from kit.bot.spec import Reading
from kit.lane import Fact
from tests.support.bots import BOTS, a_fact, facts_of, learned_facts

LEAD = BOTS["lead"]


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
