import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.cache.limits import NOTHING, Use, Window


def a_use(tokens: int) -> Use:
    return Use(requests=1, input_tokens=tokens, output_tokens=tokens)


def test_call_counts_with_the_most_it_can_use_and_then_with_what_it_used():
    window = Window()
    window.begin("a", a_use(100))
    assert window.used(0.0) == a_use(100)
    window.end("a", a_use(7), 10.0)
    assert window.used(10.0) == window.used(69.9) == a_use(7)
    assert window.used(70.0) == NOTHING


def test_call_of_unknown_use_keeps_counting_with_the_most():
    window = Window()
    window.begin("a", a_use(100))
    window.end("a", None, 10.0)
    assert window.used(60.0) == a_use(100)


def test_call_ends_once():
    window = Window()
    window.begin("a", a_use(100))
    for _ in range(2):
        window.end("a", a_use(7), 10.0)
    assert window.used(10.0) == a_use(7)


def test_window_says_when_something_is_free_again():
    window = Window()
    assert window.frees_in(0.0) == 1.0
    window.begin("a", a_use(1))
    window.end("a", a_use(1), 10.0)
    assert window.frees_in(30.0) == 40.0


@pytest.mark.parametrize(
    ("use", "over"),
    [
        (Use(requests=1, input_tokens=10, output_tokens=10), ""),
        (Use(requests=2), "requests"),
        (Use(input_tokens=11), "input_tokens"),
        (Use(output_tokens=11), ""),
    ],
)
def test_first_limit_that_is_passed_is_named_and_none_is_no_limit(use, over):
    assert use.over(Use(requests=1, input_tokens=10, output_tokens=0)) == over


def test_part_of_a_limit_is_never_nothing_and_no_limit_stays_none():
    assert Use(requests=2, input_tokens=1_000).part(1 / 3) == Use(requests=1, input_tokens=333)


def test_stricter_of_two_limits_counts_each_by_each():
    ours, theirs = Use(requests=300, input_tokens=1_000), Use(requests=50, output_tokens=10)
    assert ours.least(theirs) == Use(requests=50, input_tokens=1_000, output_tokens=10)


@given(st.integers(1, 5), st.lists(st.tuples(st.floats(0, 30), st.floats(0, 5)), max_size=40))
def test_any_minute_a_model_may_look_at_keeps_the_limit(limit, calls):
    window, now, seen = Window(), 0.0, []
    for number, (gap, lasts) in enumerate(calls):
        now += gap
        if (window.used(now) + Use(requests=1)).over(Use(requests=limit)):
            continue
        window.begin(str(number), Use(requests=1))
        # The model counts it somewhere between its start and its end.
        seen.append(now + lasts / 2)
        now += lasts
        window.end(str(number), Use(requests=1), now)
    for end in seen:
        assert sum(1 for each in seen if end - 60 < each <= end) <= limit
