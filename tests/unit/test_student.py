"""The student: what it learns, when it keeps quiet, and when it is made to."""

import random
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.cache.canonical import State
from services.cache.student_bounds import FLOOR, LEAST, NEVER, at_least, at_most, threshold
from services.cache.student_features import text_features
from services.cache.student_label import label_of, render
from services.cache.student_model import Example, learn
from services.cache.student_train import pack, unpack
from services.cache.student_watch import AUDIT_EVERY, PROBATION, WINDOW, Watch

TARGET = 0.01
START = State()
WISHES = {
    "buy": ("buy", "purchase", "find", "get", "look for"),
    "sell": ("sell", "list", "part with", "get rid of", "unload"),
}
THINGS = ("a house", "a home", "a condo", "property", "a townhouse", "a place in PLACE_1", "something near PLACE_1")
OPENINGS = ("want to", "looking to", "hoping to", "we would like to", "ready to", "thinking about how to", "need to")


def wishes(count: int, state: State = START, *, luck: int = 1) -> list[Example]:
    """Say the two wishes in many ways."""
    rng = random.Random(luck)
    made = []
    for _ in range(count):
        side = rng.choice(sorted(WISHES))
        said = f"{rng.choice(OPENINGS)} {rng.choice(WISHES[side])} {rng.choice(THINGS)}"
        made.append(Example(state=state, masked=said, label=side, group=said))
    return made


@pytest.fixture(scope="module")
def student():
    learned = learn(wishes(400), target=TARGET)
    assert learned is not None
    return learned


def test_two_ways_to_say_a_wish_get_one_label_and_the_other_side_another(student):
    said = ("want to buy a house", "looking to purchase property", "want to sell a house")
    assert [student.answer(START, each).label for each in said] == ["buy", "buy", "sell"]


def test_where_nobody_else_answers_it_may_be_less_sure(student):
    assert 0 < student.loose <= student.threshold < NEVER
    unsure = replace(student, loose=0.0)
    said = "hoping to get rid of the thing"
    assert replace(unsure, threshold=0.999).answer(START, said) is None
    assert unsure.answer(START, said, loose=True) is not None
    assert unsure.answer(State(opening=True), said, loose=True) is None


def test_the_same_examples_teach_the_same(student):
    again = learn(wishes(400), target=TARGET)
    assert pack(again) == pack(student)


def test_what_was_learned_survives_its_way_between_processes(student):
    there = unpack(pack(student))
    said = "hoping to get rid of a condo"
    assert (there.answer(START, said), there.threshold, there.loose) == (
        student.answer(START, said),
        student.threshold,
        student.loose,
    )


def test_a_state_that_was_never_met_is_left_to_claude(student):
    assert student.answer(State(asked="area"), "want to buy a house") is None
    assert student.answer(State(known={"intent": "sell"}), "want to buy a house") is None
    assert student.answer(State(opening=True), "want to buy a house") is None


def test_a_text_of_words_never_met_is_left_to_claude(student):
    assert student.answer(START, "what is the weather like on the moon") is None


def test_the_same_word_means_what_was_asked():
    yes = [
        Example(state=State(asked=asked), masked=said, label=label, group=f"{n}")
        for n in range(120)
        for asked, label in (("view", "wants view"), ("done", "is done"))
        for said in ("yes", "yes please", "sure")
    ]
    student = learn(yes, target=TARGET)
    answers = [student.answer(State(asked=asked), "yes").label for asked in ("view", "done")]
    assert answers == ["wants view", "is done"]


def test_too_few_examples_teach_nothing_that_is_served():
    few = learn(wishes(150), target=TARGET)
    assert few.threshold == NEVER and few.answer(START, "want to buy a house") is None
    assert learn(wishes(1), target=TARGET) is None


def test_labels_that_are_noise_draw_no_line():
    rng = random.Random(2)
    noise = [replace(each, label=rng.choice(["buy", "sell"])) for each in wishes(300)]
    assert learn(noise, target=TARGET).threshold == NEVER


def test_an_encoder_is_a_part_of_what_is_seen():
    def encode(texts):
        return np.array([[1.0, 0.0] if "buy" in text else [0.0, 1.0] for text in texts], dtype=np.float32)

    student = learn(wishes(300), target=TARGET, encode=encode)
    said = "zzz"
    sides = [student.score(START, said, vector).label for vector in np.eye(2, dtype=np.float32)]
    assert sides == ["buy", "sell"]


# --- features


def test_features_are_the_same_for_any_number_of_a_reference():
    assert text_features("", "under MONEY_1") == text_features("", "under MONEY_2")


@given(st.text(max_size=400), st.text(max_size=10))
def test_features_of_any_text_are_bounded(masked, asked):
    assert sum(text_features(asked, masked).values()) <= 5 * 80 + 2


# --- bounds


@pytest.mark.parametrize(("wrong", "of"), [(0, 50), (1, 50), (5, 400), (49, 50)])
def test_bounds_lie_around_the_share_and_hold_what_they_say(wrong, of):
    low, high = at_least(wrong, of), at_most(wrong, of)
    assert low <= wrong / of <= high
    # A share at the upper bound gives so few wrong ones in one sample of twenty.
    rng = np.random.default_rng(3)
    assert (rng.binomial(of, high, 20_000) <= wrong).mean() == pytest.approx(0.05, abs=0.006)


def scored(count, wrong_every):
    return [(1.0 - n / count / 2, n % wrong_every != wrong_every - 1, 1.0) for n in range(count)]


def test_below_the_floor_the_bound_draws_the_line_and_not_the_share():
    sample = scored(600, 150)  # 0.67 % wrong: the share would take all of it
    assert threshold(sample, target=TARGET) == pytest.approx(FLOOR)
    sure = scored(4_000, 400)
    line = threshold(sure, target=TARGET)
    above = [right for score, right, _ in sure if score >= line]
    assert line < FLOOR and at_most(above.count(False), len(above)) <= TARGET


def test_above_the_floor_the_share_is_kept():
    sample = scored(2_000, 60)
    line = threshold(sample, target=TARGET)
    above = [right for score, right, _ in sample if score >= line]
    assert not above or above.count(False) <= TARGET * len(above)


def test_a_few_right_ones_at_the_top_are_no_sign():
    assert threshold([(1 - n / 2000, n < 99, 1.0) for n in range(1_000)], target=TARGET / 2) == NEVER
    assert threshold([(0.99, True, 1.0)] * (LEAST - 1), target=TARGET) == NEVER


def test_few_that_stand_for_many_prove_less_than_many():
    low = FLOOR - 0.1
    light = [(low, True, 1.0)] * 1_000
    heavy = [(low, True, 1.0)] * 900 + [(low, True, 1_000.0)] * 100
    assert threshold(light, target=TARGET) == low
    assert threshold(heavy, target=TARGET) == NEVER


def test_what_it_answers_is_seen_in_few_heavy_audits_and_does_not_silence_it():
    misses = [(0.5, n % 2 == 0, 1.0) for n in range(3_000)]
    audits = [(0.97, n != 0, 1.0 if n < 200 else 20.0) for n in range(350)]
    assert threshold([*misses, *audits], target=TARGET) == 0.97


def test_equal_scores_are_served_together_or_not_at_all():
    tied = [(0.95, True, 1.0)] * 500 + [(0.95, False, 1.0)] * 20
    assert threshold(tied, target=TARGET) == NEVER


# --- labels

FINDING = {
    "type": "object",
    "properties": {
        "value": {"type": "string", "enum": ["buy", "sell"]},
        "words": {"type": "string"},
        "confidence": {"type": "number"},
    },
}
PLACE = {
    "type": "object",
    "properties": {"value": {"type": "string"}, "words": {"type": "string"}, "confidence": {"type": "number"}},
}
SCHEMA = {
    "type": "object",
    "properties": {
        "intent": {"anyOf": [FINDING, {"type": "null"}]},
        "area": {"anyOf": [PLACE, {"type": "null"}]},
    },
}


def found(value, words="", confidence=0.9):
    return {"value": value, "words": words, "confidence": confidence}


def test_what_two_people_quote_does_not_part_their_labels():
    one = label_of({"intent": found("buy", "want to buy", 0.95), "area": None}, SCHEMA)
    other = label_of({"intent": found("buy", "purchase", 0.88), "area": None}, SCHEMA)
    assert one == other


def test_a_hedge_is_another_label():
    sure, hedged = (label_of({"intent": found("buy", "w", c), "area": None}, SCHEMA) for c in (0.7, 0.69))
    assert sure != hedged


def test_a_value_in_a_persons_own_words_is_no_label():
    assert label_of({"intent": None, "area": found("near the lake")}, SCHEMA) is None


def test_a_label_is_rendered_only_for_a_text_that_holds_what_it_names():
    label = label_of({"intent": found("buy"), "area": found("PLACE_1")}, SCHEMA)
    assert render(label, "want to buy in PLACE_10") is None
    assert (
        render(label, "want to buy in PLACE_1") == '{"area":{"confidence":0.9,"value":"PLACE_1","words":"PLACE_1"},'
        '"intent":{"confidence":0.9,"value":"buy","words":"want to buy in PLACE_1"}}'
    )


# --- the watch


def watch(strange=0.01):
    return Watch(target=TARGET, strange=strange)


def settled(audits=PROBATION, **how):
    made = watch(**how)
    for _ in range(audits):
        made.audits_next()
        made.audited(wrong=False, served=made.served)
    return made


def test_who_has_just_learned_is_checked_every_time_and_later_one_in_nineteen():
    assert [watch().audits_next() for _ in range(3)] == [1, 1, 1]
    made = settled()
    assert [made.audits_next() for _ in range(2 * AUDIT_EVERY)] == [*[0] * 18, 19, *[0] * 18, 19]


@pytest.mark.parametrize("audits", [PROBATION, WINDOW])
@pytest.mark.parametrize("since_a_check", range(AUDIT_EVERY))
def test_when_all_its_answers_have_become_wrong_at_most_20_are_served(audits, since_a_check):
    made = settled(audits)
    for _ in range(since_a_check):
        made.audits_next()
    served = 0
    while not made.is_open:
        served += 1
        if made.audits_next():
            made.audited(wrong=True, served=made.served)
    assert served <= 20


def test_checks_that_fail_or_take_long_leave_nineteen_answers_out_that_nobody_vouches_for():
    made = settled()
    for _ in range(AUDIT_EVERY):
        assert not made.owes_audits
        made.audits_next()
    assert made.owes_audits
    made.audited(wrong=True, served=made.served)
    assert made.owes_audits
    made.audited(wrong=False, served=made.served)
    assert not made.owes_audits


def test_a_right_answer_vouches_for_those_before_it_alone():
    made = settled()
    for _ in range(AUDIT_EVERY):
        made.audits_next()
    made.audited(wrong=False, served=made.served - 3)
    for _ in range(AUDIT_EVERY - 3):
        assert not made.owes_audits
        made.audits_next()
    assert made.owes_audits


def test_one_wrong_answer_makes_us_look_closer_and_a_second_ends_it():
    made = settled()
    assert not made.audited(wrong=True, served=made.served) and not made.is_open
    assert made.audits_next()
    assert made.audited(wrong=True, served=made.served) and made.is_open
    assert not made.audited(wrong=True, served=made.served), "it is told once"


def test_wrong_answers_as_rare_as_promised_end_nothing():
    made = watch()
    for n in range(2_000):
        made.audited(wrong=n % 150 == 149, served=n)
    assert not made.is_open


def test_answers_of_claude_that_were_never_heard_of_make_us_look_closer():
    made = settled()
    made.missed(strange=True)
    assert made.audits_next()
    used_to_it = settled(strange=0.5)
    for n in range(40):
        used_to_it.missed(strange=n % 3 == 0)
    assert not used_to_it.audits_next()
