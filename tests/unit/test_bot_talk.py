"""What all bots keep to, whatever they know: never ask again, tell the truth, stay short."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.bot import outbound, talk
from kit.bot.plan import said
from kit.bot.spec import MoveKind, Situation, SlotKind, SlotSpec
from tests.support.bots import BOTS, BROKERAGE, Conversation, a_fact, a_message, a_situation, decided, facts_of

names = st.sampled_from(sorted(BOTS))
TEXTS = (
    "hi",
    "I don't know",
    "are you a bot?",
    "can I talk to a person",
    "does it have a garage?",
    "Ballard",
    "I want to sell",
    "sorry, I meant I want to buy",
    "\U0001f44d",
    "yes",
    "400-500k and 3 beds, not pre-approved, by June",
)


def values_of(slot: SlotSpec) -> st.SearchStrategy[object]:
    if slot.kind is SlotKind.CHOICE:
        return st.sampled_from(sorted(slot.choices))
    if slot.kind is SlotKind.INTEGER:
        return st.integers(slot.low, slot.high)
    if slot.kind is SlotKind.BOOLEAN:
        return st.booleans()
    return st.text(string.ascii_letters + " ", min_size=1, max_size=60)


@st.composite
def situations(draw: st.DrawFn) -> tuple[str, Situation]:
    spec = BOTS[draw(names)]
    every = [slot for each in BOTS.values() for slot in each.slots]
    known = {slot.name: draw(values_of(slot)) for slot in draw(st.lists(st.sampled_from(every), max_size=8))}
    situation = a_situation(
        spec,
        draw(st.sampled_from(TEXTS)),
        known=known,  # type: ignore[arg-type]
        asked=draw(st.sampled_from(["", *(slot.name for slot in spec.slots)])),
        times_asked={slot.name: draw(st.integers(0, 3)) for slot in spec.slots},
        first_reply=draw(st.booleans()),
        opening=draw(st.booleans()),
        source_bot=draw(st.sampled_from(["", "lead", "buyer", "seller"])),
        closed=draw(st.booleans()),
        denied_targets=draw(st.frozensets(names)),
        first_name=draw(st.sampled_from(["", "Sam"])),
    )
    return spec.name, situation


@given(situations())
def test_nobody_is_asked_for_what_is_known(given_):
    name, situation = given_
    move = BOTS[name].decide(situation)
    assert move.question not in situation.known
    slot = BOTS[name].slot(move.question)
    assert (slot is None) is (move.question == "")


@given(situations())
def test_refused_target_is_not_asked_for_in_the_same_turn(given_):
    name, situation = given_
    move = BOTS[name].decide(situation)
    assert move.target not in situation.denied_targets
    assert (move.kind is MoveKind.HAND_OFF) is bool(move.target)


@given(situations())
def test_every_turn_ends_in_words_a_handoff_or_a_reasoned_silence(given_):
    name, situation = given_
    move = BOTS[name].decide(situation)
    if move.kind in (MoveKind.ASK, MoveKind.ANSWER):
        assert move.reply
    if move.kind is MoveKind.STAY_SILENT:
        assert situation.signals.courtesy
        assert situation.closed
    assert 0.0 <= move.confidence <= 1.0
    assert len(move.summary) <= 2_000


@given(situations())
def test_reply_fits_two_segments_and_plain_signs(given_):
    name, situation = given_
    reply = BOTS[name].decide(situation).reply
    assert len(reply) <= talk.LONGEST_REPLY
    assert reply.isascii()


@given(situations())
def test_gate_lets_every_written_reply_through(given_):
    name, situation = given_
    move = BOTS[name].decide(situation)
    assert outbound.admit(BOTS[name], situation, move).blocked == ()


@given(situations())
def test_question_whether_this_is_a_bot_is_always_answered_truthfully(given_):
    name, situation = given_
    if situation.signals.if_bot:
        move = BOTS[name].decide(situation)
        assert move.kind is MoveKind.HAND_OFF or "not a person" in move.reply or "No person is typing" in move.reply


@given(situations())
def test_first_reply_says_who_writes_that_it_is_a_machine_and_how_to_stop(given_):
    name, situation = given_
    move = BOTS[name].decide(situation)
    if situation.first_reply and move.reply:
        assert "automated assistant" in move.reply
        assert BROKERAGE in move.reply
        assert "STOP" in move.reply


@pytest.mark.parametrize("name", sorted(BOTS))
def test_later_replies_do_not_repeat_the_disclosure(name):
    move = decided(BOTS[name], "hello", known={"intent": "both"}, opening=True)
    assert "STOP" not in move.reply


@pytest.mark.parametrize("name", sorted(BOTS))
@pytest.mark.parametrize("text", ["leave me alone", "stop texting me", "wrong number"])
def test_who_wants_to_be_left_alone_is_left_alone(name, text):
    move = decided(BOTS[name], text, first_reply=True)
    assert (move.kind, move.reply) == (MoveKind.STAY_SILENT, "")


@pytest.mark.parametrize("name", sorted(BOTS))
def test_wish_for_a_person_is_answered_without_promising_a_call(name):
    reply = decided(BOTS[name], "can I talk to a person", known={"intent": "both"}, opening=True).reply
    assert "I have noted that you want to talk to a person. An agent of Porchlight Realty (sample) can read" in reply
    assert "call" not in reply


@pytest.mark.parametrize("name", sorted(BOTS))
def test_request_about_ones_data_becomes_a_task_for_a_person(name):
    move = decided(BOTS[name], "delete my data", known={"intent": "both"}, opening=True)
    assert "I have noted your request about your data for a person to act on." in move.reply
    assert [each.title for each in move.effects] == ["Asks about their data"]


def test_question_is_put_in_other_words_once_and_then_left():
    asked = [Conversation(owner="buyer")]
    questions = [asked[0].say(text).question for text in ("hello", "hm", "hm", "hm")]
    assert questions == ["area", "area", "price_max_usd", "price_max_usd"]
    replies = [move.reply for move in asked[0].moves]
    assert replies[0].split("opt out. ")[1] != replies[1]


def test_who_does_not_know_is_not_asked_again():
    talked = Conversation(owner="buyer")
    talked.say("hello")
    assert talked.say("I don't know").question == "price_max_usd"
    assert "area" not in {talked.say(text).question for text in ("450k", "3", "soon", "cash", "fine")}


def test_who_asks_back_has_not_left_the_question_unanswered():
    situation = a_situation(BOTS["lead"], "are you a bot?", asked="intent", times_asked={"intent": 1})
    move = BOTS["lead"].decide(situation)
    assert move.question == "intent"
    assert talk.count_asked(situation, move) == {"intent": 1}


def test_thanks_after_everything_is_said_gets_no_reply():
    talked = Conversation(owner="buyer")
    for text in ("hello", "Ballard", "450k", "3", "in 2 months", "cash"):
        talked.say(text)
    assert talked.moves[-1].closing
    assert talked.say("thanks!").kind is MoveKind.STAY_SILENT
    assert talked.say("does it have a pool?").kind is MoveKind.ANSWER


@pytest.mark.parametrize(
    ("profile", "name"),
    [
        ({"first_name": " Ana "}, "Ana"),
        ({"first_name": "Anne-Marie O'Hara"}, "Anne-Marie O'Hara"),
        ({"first_name": "Jos\u00e9"}, "Jose"),
        ({"first_name": "\u0141ukasz"}, ""),
        ({"first_name": "visit http://x.example"}, ""),
        ({"first_name": "A" * 40}, ""),
        ({"first_name": "12"}, ""),
        ({"first_name": None}, ""),
        ({}, ""),
        (None, ""),
    ],
)
def test_only_a_name_is_said_as_a_name(profile, name):
    assert talk.first_name(profile) == name


def test_what_was_confided_is_neither_said_back_nor_summed_up():
    seller = BOTS["seller"]
    facts = [
        a_fact("motivation", "divorce", private_to="seller"),
        a_fact("price_expectation_usd", 600_000, private_to="seller"),
        a_fact("address_area", "Ballard"),
    ]
    situation = Situation(brokerage=BROKERAGE, messages=(a_message("hi"),), before={f.name: f for f in facts})
    assert talk.summary(seller.slots, situation) == "Known: address_area: Ballard."
    assert said(talk.noted(seller.slots, facts)) == "Got it: home in Ballard."


def test_long_place_is_cut_when_it_is_said_back():
    noted = talk.noted(BOTS["buyer"].slots, tuple(facts_of({"area": "x" * 300}).values()))
    assert len(said(noted)) < 60
