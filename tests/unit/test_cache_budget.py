from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.errors import BudgetExhausted
from services.cache.budget import DayBudget, RetryBudget

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


def a_day(limit: int, spent: int = 0) -> DayBudget:
    day = DayBudget(limit)
    day.read_ends(day.read_begins(), spent, NOON)
    return day


def test_nothing_is_spent_before_it_is_known_what_was_spent():
    with pytest.raises(BudgetExhausted) as caught:
        DayBudget(1_000).reserve(1, NOON)
    assert caught.value.metadata == {"budget": "daily_microusd", "limit": "1000"}


def test_money_put_aside_counts_until_the_cost_is_known():
    day = a_day(100)
    first = day.reserve(60, NOON)
    with pytest.raises(BudgetExhausted):
        day.reserve(41, NOON)
    day.settle(first, 10)
    day.reserve(90, NOON)


def test_limit_itself_may_be_spent():
    a_day(100, spent=40).reserve(60, NOON)
    with pytest.raises(BudgetExhausted):
        a_day(100, spent=41).reserve(60, NOON)


def test_refusal_says_to_come_back_at_midnight_utc():
    with pytest.raises(BudgetExhausted) as caught:
        a_day(0).reserve(1, NOON + timedelta(minutes=30))
    assert caught.value.retry_after_seconds == 11.5 * 3600


def test_cost_is_counted_once_whether_the_ledger_has_it_or_not():
    day = a_day(1_000)
    call = day.reserve(100, NOON)
    day.settle(call, 70)
    assert day.spent_microusd == 70
    day.recorded(call)
    assert day.spent_microusd == 70  # no read has seen it yet
    day.read_ends(day.read_begins(), 70, NOON)
    assert day.spent_microusd == 70


def test_cost_recorded_while_the_ledger_is_read_is_not_lost():
    day = a_day(1_000)
    call = day.reserve(100, NOON)
    read = day.read_begins()
    day.settle(call, 70)
    day.recorded(call)
    day.read_ends(read, 0, NOON)  # the read began before the row was there
    assert day.spent_microusd == 70
    day.read_ends(day.read_begins(), 70, NOON)
    assert day.spent_microusd == 70


def test_cost_that_the_ledger_does_not_take_keeps_counting():
    day = a_day(1_000)
    day.settle(day.reserve(100, NOON), 70)
    for _ in range(3):
        day.read_ends(day.read_begins(), 5, NOON)
    assert day.spent_microusd == 75


def test_what_others_spent_counts():
    day = a_day(100)
    day.read_ends(day.read_begins(), 95, NOON)
    with pytest.raises(BudgetExhausted):
        day.reserve(6, NOON)


def test_new_day_starts_at_zero_with_what_is_under_way():
    day = a_day(100, spent=90)
    call = day.reserve(10, NOON)
    tomorrow = NOON + timedelta(hours=12)
    day.reserve(90, tomorrow)
    assert day.spent_microusd == 100
    day.settle(call, 10)


def test_day_that_nobody_knows_stays_unknown_at_midnight():
    day = DayBudget(100)
    for when in (NOON, NOON + timedelta(days=1)):
        with pytest.raises(BudgetExhausted):
            day.reserve(1, when)


@given(st.lists(st.tuples(st.integers(1, 50), st.integers(0, 50), st.booleans(), st.booleans())))
def test_own_spending_never_passes_the_limit_and_is_never_forgotten(calls):
    day, ledger, spent = a_day(200), 0, 0
    for most, cost, recorded, read in calls:
        try:
            call = day.reserve(most, NOON)
        except BudgetExhausted:
            assert spent + most > 200
            continue
        day.settle(call, min(cost, most))
        spent += min(cost, most)
        if recorded:
            ledger += min(cost, most)
            day.recorded(call)
        if read:
            day.read_ends(day.read_begins(), ledger, NOON)
        assert day.spent_microusd == spent <= 200


def test_processes_that_are_alone_take_a_part_each_of_what_was_left():
    days = [a_day(100, spent=40) for _ in range(3)]
    for day in days:
        day.reserve(20, NOON, replicas=3)
        with pytest.raises(BudgetExhausted):
            day.reserve(1, NOON, replicas=3)


def test_what_is_not_urgent_leaves_a_part_of_the_limit():
    day = a_day(100)
    day.reserve(60, NOON, share=0.6)
    with pytest.raises(BudgetExhausted):
        day.reserve(1, NOON, share=0.6)
    day.reserve(40, NOON)


def test_one_retry_for_ten_requests():
    retries = RetryBudget(saved=0)
    for _ in range(9):
        retries.first_try()
    assert not retries.take()
    retries.first_try()
    assert retries.take()
    assert not retries.take()


def test_three_retries_to_begin_with_and_never_more_than_ten_at_once():
    retries = RetryBudget()
    assert [retries.take() for _ in range(4)] == [True, True, True, False]
    for _ in range(1_000):
        retries.first_try()
    assert sum(retries.take() for _ in range(20)) == 10
