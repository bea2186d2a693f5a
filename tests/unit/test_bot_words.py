"""Places, and what a person asks of the bot itself."""

import pytest

from kit.bot import words


@pytest.mark.parametrize(
    ("said", "asked", "expected"),
    [
        ("selling my condo in Green Lake to buy in 98107, in June", False, ["Green Lake", "98107"]),
        ("looking to buy in ballard under 500k", False, ["ballard"]),
        ("home in north seattle for 500k", False, ["north seattle"]),
        ("moving to Seattle in March", False, ["Seattle"]),
        ("my condo in West Seattle I'd like to sell", False, ["West Seattle"]),
        ("my house at 4711 Elm Road", False, ["4711 Elm Road"]),
        ("Ballard", True, ["Ballard"]),
        ("in ballard", True, ["ballard"]),
        ("I think maybe the Ballard area", True, ["Ballard"]),
        ("It's in Queen Anne.", True, ["Queen Anne"]),
        ("west seattle or ballard", True, ["west seattle or ballard"]),
        ("Ballard, soon", True, ["Ballard"]),
        ("98107", True, ["98107"]),
        ("Ballard", False, []),
        ("house in good shape", False, []),
        ("its in excellent shape", False, []),
        ("my home is in pretty decent condition, in Ballard", False, ["Ballard"]),
        ("we're in a hurry", False, []),
        ("buy in cash", False, []),
        ("I want to sell in May", False, []),
        ("not in Ballard", True, []),
        ("I don't know", True, []),
        ("hello", True, []),
        ("yes", True, []),
        ("why do you ask?", True, []),
        ("call me at 206-555-1234", True, []),
        ("400k", True, []),
        ("up to 450k, 3 bedrooms", True, []),
        ("next month", True, []),
        ("asap", True, []),
        ("sorry, I meant I want to buy", True, []),
        ("but not until 2027", True, []),
        ("what about Queen Anne instead", False, ["Queen Anne"]),
        ("nah go back to ballard", False, ["ballard"]),
        ("what about the garage", False, []),
    ],
)
def test_place_is_a_name_where_one_can_stand(said, asked, expected):
    assert [place.name for place in words.places(said, asked=asked)] == expected


@pytest.mark.parametrize(
    "said",
    [
        "Are you a bot?",
        "are you a real person",
        "is this a real person?",
        "Am I talking to a human",
        "are you real",
        "is this AI",
        "you human?",
        "bot?",
        "r u a robot",
        "Are you a person or a machine",
        "Are you an actual human being?",
        "is this an automated message",
        "wait, are you really a person?",
    ],
)
def test_question_whether_this_is_a_bot_is_heard(said):
    assert words.asks_if_bot(said)


@pytest.mark.parametrize(
    "said",
    [
        "is this a real listing?",
        "are you the agent?",
        "are you a real estate agent?",
        "is it a good time to sell",
        "hi",
    ],
)
def test_other_questions_are_not_taken_for_it(said):
    assert not words.asks_if_bot(said)


@pytest.mark.parametrize(
    "said",
    [
        "can I talk to a person",
        "I want to speak with an agent",
        "get me a human",
        "call me",
        "real person please",
        "please have someone call",
        "can we talk on the phone?",
        "YOU NEVER CALLED ME BACK. terrible service",
        "i will report you",
    ],
)
def test_wish_for_a_person_is_heard(said):
    assert words.asks_for_human(said)


@pytest.mark.parametrize("said", ["I'm working with an agent", "I don't want to talk to a person", "nice people here"])
def test_mention_of_a_person_is_no_wish_for_one(said):
    assert not words.asks_for_human(said)


@pytest.mark.parametrize(
    "said",
    [
        "leave me alone",
        "stop texting me",
        "quit texting me please",
        "wrong number",
        "take me off your list",
        "fuck off",
        "Please stop.",
        "don't contact me again",
        "just go away!",
        "no more texts",
        "stop calling me",
        "don't call or text me",
        "stop texting me, call me instead",
        "don't text me until Monday",
        "not interested, please stop",
        "not interested",
        "actually im not interested anymore thx",
        "f*** off",
        "no me interesa, gracias",
    ],
)
def test_wish_to_be_left_alone_is_heard(said):
    assert words.wants_no_texts(said)


@pytest.mark.parametrize(
    "said",
    [
        "no more than 500k",
        "near the bus stop",
        "can't stop thinking about it",
        "I won't stop",
        "I quit my job to move",
        "don't call me, text me instead",
        "please don't call me before 9am",
        "please stop by the house at 5",
        "will the fees go away?",
        "can you take me off the market next week",
        "can I stop sending rent checks once I own it",
        "not interested in condos",
        "I'm not interested in selling, I want to buy",
    ],
)
def test_stop_inside_other_words_is_no_such_wish(said):
    assert not words.wants_no_texts(said)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("ok thanks!", True),
        ("thank you so much!", True),
        ("\U0001f44d", True),
        ("Ballard", False),
        ("ok, 3 months", False),
    ],
)
def test_courtesy_holds_nothing_else(said, expected):
    assert words.is_courtesy(said) is expected


@pytest.mark.parametrize(
    "said",
    [
        "can I deduct the mortgage interest",
        "whats the lowest they'd accept",
        "ok is it a safe area",
        "Ballard, is there parking",
        "would they take less",
        "how's the market",
        "is ballard a safe area",
        "are homes in kent cheap",
        "hmm whats the commute like",
    ],
)
def test_question_without_its_sign_is_one(said):
    assert words.asks_something(said)


@pytest.mark.parametrize(
    "said",
    [
        "do it in May",
        "don't call it a fixer",
        "will do",
        "hi, how are you?",
        "how's it going",
        "in Fremont, where my kids are",
        "have the papers",
    ],
)
def test_statement_is_no_question(said):
    assert not words.asks_something(said)


@pytest.mark.parametrize("said", ["who is this", "who dis", "are you a real estate agent?", "what company is this?"])
def test_question_who_writes_is_heard(said):
    assert words.asks_who(said)


@pytest.mark.parametrize(
    "said",
    ["delete my data", "what info do you have on me", "please remove all my information", "what do u know about me"],
)
def test_question_about_ones_data_is_heard(said):
    assert words.asks_of_data(said)


@pytest.mark.parametrize("said", ["what info do you have on the first one", "remove my wish for a view", "delete it"])
def test_question_about_a_home_is_not_about_ones_data(said):
    assert not words.asks_of_data(said)


@pytest.mark.parametrize(
    "said", ["who is selling it?", "depends who you ask", "what company insures it", "is this a real listing?"]
)
def test_question_about_others_is_not_who_writes(said):
    assert not words.asks_who(said)


def test_question_about_a_home_is_one_that_this_bot_cannot_answer():
    assert words.asks_something("does it have a garage?")
    assert words.asks_something("what is my home worth")
    assert not words.asks_something("can you help me sell?")
    assert not words.asks_something("I want a garage")


@pytest.mark.parametrize(
    "said",
    [
        "christian neighborhood",
        "LLC",
        "one on 5th ave",
        "homes",
        "the house",
        "sorry, I meant I want to buy",
        "next month",
        "asap",
        "x" * 70,
        "",
    ],
)
def test_model_cannot_make_a_place_of_other_words(said):
    assert not words.names_a_place(said)


@pytest.mark.parametrize("said", ["Queen Anne", "98107", "north seattle", "123 Main St", "St. Paul"])
def test_name_of_a_place_is_taken_from_the_model(said):
    assert words.names_a_place(said)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("not Ballard, Fremont", ["Fremont"]),
        ("no, not in Ballard but Green Lake", ["Green Lake"]),
        ("not sure yet, let me think", []),
        ("not Ballard", []),
    ],
)
def test_place_that_is_denied_gives_way_to_the_one_that_follows(said, expected):
    assert [place.name for place in words.places(said, asked=True)] == expected
