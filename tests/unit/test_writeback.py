"""What of a score stands in the CRM's custom fields."""

from sandbox.crm_wire import CUSTOM_FIELDS
from services.lead.qualification import qualify
from services.lead.writeback import FACTS, PREFIX, fields
from tests.support.bots import a_fact

WORDS = "because my wife left me"


def written(*facts):
    return fields(qualify(facts), facts)


def test_score_grade_reasons_and_plain_facts_are_written():
    found = written(a_fact("intent", "buy"), a_fact("timeline", "1_to_3_months"), a_fact("price_max_usd", 650_000))
    assert found == {
        "contact.porchlight_score": 49,
        "contact.porchlight_grade": "warm",
        "contact.porchlight_reasons": "+8 Says a budget.; +25 Says what they want: buy.; +16 Says when: 1 to 3 months.",
        "contact.porchlight_intent": "buy",
        "contact.porchlight_timeline": "1 to 3 months",
        "contact.porchlight_budget_usd": 650_000,
    }


def test_neither_the_persons_words_nor_what_is_private_is_written():
    motive = a_fact("motivation", WORDS, private_to="seller")
    hidden = a_fact("area", "Ballard", private_to="seller")
    assert WORDS not in repr(written(motive, hidden)) and "Ballard" not in repr(written(motive, hidden))


def test_stand_in_has_every_field_that_is_written():
    written_keys = {f"{PREFIX}{name}" for name in ("score", "grade", "reasons", *FACTS.values())}
    assert written_keys == {key for key, _, _ in CUSTOM_FIELDS}
