"""Messages that are more than messages."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.lane import Keyword
from services.gateway.keywords import Brokerage, keyword, reply

# 47 CFR 64.1200(a)(10), the carriers' lists, and wordings of the same meaning.
STOPS = """STOP|STOPALL|STOP ALL|UNSUBSCRIBE|CANCEL|END|QUIT|REVOKE|OPTOUT|OPT-OUT|OPT OUT|REMOVE|ARRET|TD|alto|parar
no más mensajes|leave me alone|take me off|wrong number stop texting""".replace("\n", "|").split("|")
FORMS = [
    "{}", "{}.", "{}!!", " {} ", "{}\n", "\t{}", "\"{}\"", "({})", "*{}*", "{} please", "please {}", "{}, please!!",
    "{} pls", "{} thanks", "{} thank you", "{} 🛑", "🛑🛑{}", "{}\u200b", "{}\ufe0f", "...{}...", "¡{}!", "{} por favor",
]  # fmt: skip
CASES = [str.lower, str.upper, str.title, str.swapcase]


@pytest.mark.parametrize("word", STOPS)
def test_opt_out_is_recognised_in_every_form(word):
    missed = [
        form.format(case(word))
        for form in FORMS
        for case in CASES
        if keyword(form.format(case(word))) is not Keyword.STOP
    ]
    assert missed == []


@pytest.mark.parametrize(
    "text",
    ["Stop.", "STOP!!", "sTop ", "stop please", "please stop texting me", "S.T.O.P.", "s t o p", "STOP STOP STOP", "ＳＴＯＰ",
     "Don't text me", "don’t text me anymore", "stop, stop", "Take me off your list!", "NO MAS MENSAJES", "S-T-O-P"],
)  # fmt: skip
def test_opt_out_in_peoples_own_hand_is_recognised(text):
    assert keyword(text) is Keyword.STOP


@pytest.mark.parametrize(
    "text",
    """stop by the house at 5|can't stop thinking about that kitchen|non-stop flights|is there a bus stop near it?|yes|YES|Yes!
no more than 500k|not interested in condos|cancel my 5pm showing|the end unit|we have got to STOP this bill|ok|no|no thanks
quit my job last week|end of the month|I want to remove the carpet|stop at 4 bedrooms|para mi familia|we stopped renting|
unsubscribe rate|opt out of the inspection|td bank pre-approved us|🛑|?!|starting next month|let's start|help me find a home
can you help|more info please send|information|start looking in May|revoked listing|stopp|sto p it|please|thank you""".replace("\n", "|").split("|"),
)  # fmt: skip
def test_ordinary_words_are_no_keyword(text):
    assert keyword(text) is None


@pytest.mark.parametrize("text", ["START", "start", "Start!", "unstop", "UNSTOP please"])
def test_start_is_recognised(text):
    assert keyword(text) is Keyword.START


@pytest.mark.parametrize("text", ["HELP", "help?", "Info", "INFO please", "ayuda"])
def test_help_is_recognised(text):
    assert keyword(text) is Keyword.HELP


@given(st.sampled_from(STOPS), st.text(alphabet="abcdefghijklmnopqrstuvwxyz", min_size=2, max_size=20))
def test_keyword_with_another_word_behind_it_is_none_of_ours_unless_listed(word, other):
    # A longer message is ours only when all of it is on the list: what it becomes without its politeness.
    found = keyword(f"{word} {other} tomorrow")
    assert found is None


@given(st.text())
def test_whatever_is_written_is_a_keyword_or_not(text):
    assert keyword(text) in (None, *Keyword)


@pytest.mark.parametrize("meaning", Keyword)
def test_answer_to_a_keyword_names_the_brokerage(meaning):
    assert reply(meaning, Brokerage(name="Acme Homes")).startswith("Acme Homes: ")


def test_answer_to_help_says_how_to_reach_a_person_and_how_to_stop():
    answer = reply(Keyword.HELP, Brokerage(name="Acme Homes", contact="206-555-0100"))
    assert "206-555-0100" in answer and "STOP" in answer and "automated" in answer


@pytest.mark.parametrize("meaning", Keyword)
def test_answer_to_a_keyword_fits_one_text(meaning):
    assert len(reply(meaning, Brokerage(name="Porchlight Realty (sample)"))) <= 160
