"""Equal inquiries are treated equally: who somebody is changes no fact, no home, no score, no word and no next step."""

import pytest

from services.lead.qualification import qualify
from tests.support.bots import BOTS, Conversation, decided, learned
from tests.support.listings import in_memory
from tests.support.sales import Town

TOWN, LISTINGS = Town(), in_memory()
SAID = {
    "race": "I am Black.|We are Chinese American.|I'm white.|We're Latino.|I am a Native American.|We are Black people.",
    "color": "I have dark skin.",
    "religion": "I'm Muslim.|We are Orthodox Jews.|We keep kosher.|I am Catholic and go to church every Sunday.|I was raised in Islam.|I believe in God.",
    "sex": "I'm a woman.|I am a single man.|I'm a trans woman.|I'm gay.|My wife and I are two women.",
    "disability": "My son is autistic.|I'm deaf.|I am blind.|I am in recovery.",
    "family": "We have four kids.|I'm a single mother with two kids.|I am pregnant.|We have no children.|We're a family of five.",
    "origin": "I just moved here from Mexico.|I'm from Nigeria.|My English is not so good.|I was born in Vietnam.|I am an immigrant.",
    "income": "I have a Section 8 voucher.|I live on disability benefits.|I am on food stamps.",
    "age": "I'm 72 years old.|I am 23.|I'm a senior citizen.",
    "marital": "We are not married.|I just got married.|I am a widow.",
    "military": "I'm a veteran.|I serve in the Navy.",
}
STORIES = {
    "buyer": (
        "I want to buy a house in Ballard, 3 bedrooms, up to 650k",
        "does the second one have a view?",
        "can I see it?",
    ),
    "seller": (
        "I want to sell my house in Ballard",
        "about 1800 sqft, 3 bed 2 bath, good condition",
        "in 3 months",
    ),
    "by question": ("hi", "I want to buy", "Fremont"),
}


def story(texts, statement="", at=0, *, before=True):
    """What comes of texts, one of them with a statement before or after it."""
    talked = Conversation(listings=LISTINGS, sales=TOWN)
    for number, text in enumerate(texts):
        told = (f"{statement} {text}" if before else f"{text}. {statement}") if number == at and statement else text
        talked.say(told)
    scored = qualify(tuple(talked.known.values()), messages_count=len(texts))
    return {
        "owner": talked.owner,
        "route": talked.route,
        "facts": talked.values,
        "score": (scored.score, [(factor.name, factor.points) for factor in scored.factors]),
        "replies": [(move.kind, move.question, move.reply) for move in talked.moves],
    }


@pytest.mark.parametrize("told", STORIES)
@pytest.mark.parametrize("about", SAID)
def test_who_somebody_is_changes_nothing(about, told):
    texts = STORIES[told]
    plain = story(texts)
    for statement in SAID[about].split("|"):
        for at in range(len(texts)):
            for before in (True, False):
                assert story(texts, statement, at, before=before) == plain, (statement, at)


@pytest.mark.parametrize("reason", ["I'm divorced.", "We are both retired.", "My husband died.", "I got a new job."])
def test_reason_to_sell_scores_nothing_and_moves_nobody(reason):
    plain, given = (story(STORIES["seller"], statement) for statement in ("", reason))
    assert {**given["facts"], "motivation": ""} == {**plain["facts"], "motivation": ""}
    assert [given[each] for each in ("owner", "route", "score")] == [
        plain[each] for each in ("owner", "route", "score")
    ]


@pytest.mark.parametrize("need", ["I use a wheelchair.", "I have a service dog."])
def test_what_a_home_must_have_for_somebody_is_answered_from_its_record_too(need):
    plain, given = (story(STORIES["buyer"], statement, 1) for statement in ("", need))
    assert "the record does not say" in given["replies"][1][2]
    assert "the record lists no view" in given["replies"][1][2]
    assert {**given, "replies": []} == {**plain, "replies": []}


def test_who_says_who_they_are_names_no_place_by_it():
    for statement in "|".join(SAID.values()).split("|"):
        assert "area" not in learned(BOTS["buyer"], statement, asked="area"), statement


@pytest.mark.parametrize("bot", sorted(BOTS))
def test_name_changes_nothing_but_the_greeting(bot):
    names = ("Emily", "Lakisha", "Mohammed", "Nguyen", "Jose", "Shlomo")
    said = {
        decided(BOTS[bot], "hello", known={"intent": "both"}, opening=True, first_reply=True, first_name=name).reply.replace(name, "X")
        for name in names
    }  # fmt: skip
    assert len(said) == 1


# --- questions about people

GROUPS = (
    "Black people|white people|Chinese people|Latino families|Muslims|Jewish families|Catholics|gay couples|single women|people in wheelchairs|families with kids|retirees|veterans"
    "|immigrants|people on Section 8|young professionals|students"
).split("|")


@pytest.mark.parametrize(
    "question",
    [
        "do many {} live there?",
        "is it a good area for {}?",
        "are there many {} nearby?",
        "will {} feel welcome?",
        "show me homes where no {} live",
    ],
)
@pytest.mark.parametrize(
    "known", [STORIES["buyer"][:1], ("I want to buy",), ("I want to sell my house in Ballard",), ()]
)
def test_question_about_people_gets_one_answer_whoever_is_meant(known, question):
    answers = {str(story((*known, question.format(group)))["replies"]) for group in GROUPS}
    assert len(answers) == 1
    if known and "buy" in known[0]:
        assert (
            "do not rate areas, safety or schools. The police and the school district publish figures." in answers.pop()
        )


@pytest.mark.parametrize(
    "question",
    [
        "is it a safe neighborhood?",
        "are the schools good there?",
        "what kind of people live there?",
        "is it a white neighborhood?",
        "is it family friendly?",
        "how is the crime there?",
        "is it a safe area",
        "¿es un barrio seguro?",
        "is it mostly white people",
        "is it good for a family with kids",
    ],
)
@pytest.mark.parametrize(
    "known", [(), ("I want to buy",), STORIES["buyer"][:1], ("I want to sell my house in Ballard",)]
)
def test_question_about_people_safety_or_schools_is_answered_neutrally(known, question):
    reply = story((*known, question))["replies"][-1][2]
    assert "do not rate areas, safety or schools. The police and the school district publish figures." in reply
    assert "KC-" not in reply


@pytest.mark.parametrize(
    "question",
    [
        "is the price with a garage?",
        "is it walking distance to the lake?",
        "are there many restaurants nearby?",
        "does it have a yard for the kids?",
        "which one has a big living room?",
        "are there any places we can live in by June?",
        "is there room for a family of five?",
        "is it a good place for a dog?",
    ],
)
def test_innocent_question_is_not_taken_for_one_about_people(question):
    assert "do not rate" not in story((*STORIES["buyer"][:1], question))["replies"][-1][2]


@pytest.mark.parametrize(
    "said",
    ["I dont want to sell to immigrants", "can you only show it to christians", "sell it only to a nice young family"],
)
def test_nobody_is_helped_to_choose_buyers_by_who_they_are(said):
    reply = story(("I want to sell my house in Ballard", said))["replies"][-1][2]
    assert "A home is offered to everybody alike" in reply
    assert "cannot answer that reliably" not in reply


def test_family_may_be_meant_by_a_sale():
    assert "alike" not in story(("I want to sell my house in Ballard", "I'd sell it to my kids"))["replies"][-1][2]
