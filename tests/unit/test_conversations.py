"""The authored conversations without processes: what the bots make of them, and whether the check can fail."""

import pytest

from bench.conversations.check import Conversation, Played, PlayedTurn, Turn, differences, load
from services.gateway.keywords import keyword
from tests.support.bots import Conversation as Talk
from tests.support.bots import in_other_words

ALL = load()
ROUTES = {"lead>buyer": 0.7, "lead>seller": 0.7, "buyer>seller": 0.8, "seller>buyer": 0.6, "buyer>lead": 0.7, "seller>lead": 0.7}  # fmt: skip
MOVES = {"ask": "ask", "answer": "answer", "stay_silent": "silent"}


def written(move):
    return move.reply


def played(conversation: Conversation, words=written) -> Played:
    """What the bots do with it, with the gateway's keywords and an arbiter that knows only its thresholds."""
    talk, turns, opted_out = Talk(thresholds=ROUTES), [], False
    for turn in conversation.turns:
        word = keyword(turn.say)
        if word or opted_out:
            opted_out = {"STOP": True, "START": False}.get(word or "", opted_out)
            turns.append(PlayedTurn(does="none", replies=("Reply START or STOP.",) if word else ()))
            continue
        before = len(talk.route)
        move = talk.say(turn.say)
        turns.append(
            PlayedTurn(
                does=MOVES[move.kind],
                asks=move.question if move.reply else "",
                route=tuple(talk.route[before:]),
                replies=(words(move),) if move.reply else (),
            )
        )
    return Played(turns=tuple(turns), owner=talk.owner, facts=talk.values, opted_out=opted_out)


@pytest.mark.parametrize("conversation", [each for each in ALL if not each.known_gap], ids=lambda each: each.name)
@pytest.mark.parametrize("words", [written, in_other_words])
def test_conversation_is_understood_by_rules_alone_whoever_words_the_replies(conversation, words):
    assert differences(conversation, played(conversation, words)) == ()


def test_there_are_forty_conversations_beside_the_known_gaps():
    assert len([each for each in ALL if not each.known_gap]) >= 40


def test_bot_that_always_answers_ok_fails_nearly_all_of_them():
    def ok(each: Conversation) -> Played:
        turns = tuple(PlayedTurn(does="answer", replies=("ok",)) for _ in each.turns)
        return Played(turns=turns, owner="lead", facts={})

    assert [each.name for each in ALL if not differences(each, ok(each))] == []


def test_bot_that_says_nothing_fails_nearly_all_of_them():
    def mute(each: Conversation) -> Played:
        return Played(turns=tuple(PlayedTurn(does="silent") for _ in each.turns), owner="lead", facts={})

    assert len([each for each in ALL if not differences(each, mute(each))]) <= 2


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"owner": "seller"}, "owner: seller, not buyer"),
        ({"facts": {"area": "Ballard"}}, "fact area: 'Ballard', not 'Fremont'"),
        ({"facts": {"area": "Fremont", "timeline": "now"}}, "fact timeline: 'now', never said"),
        ({"opted_out": True}, "opted out: True"),
        ({"turns": (PlayedTurn(does="answer", asks="price", route=("lead>buyer",), replies=("ok",)),)}, "asks price"),
    ],
)
def test_check_names_what_differs(changed, said):
    wanted = Conversation(
        name="n",
        owner="buyer",
        facts={"area": "Fremont"},
        unknown=["timeline"],
        turns=(Turn(say="hi", route=["lead>buyer"], not_asks=["price"]),),
    )
    right = {
        "owner": "buyer",
        "facts": {"area": "Fremont"},
        "turns": (PlayedTurn(does="ask", route=("lead>buyer",), replies=("ok",)),),
    }
    assert differences(wanted, Played(**right)) == ()
    (line,) = differences(wanted, Played(**(right | changed)))
    assert said in line
