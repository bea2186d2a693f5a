from services.cache.breaker import Breaker, State


def broken(now: float = 0.0) -> Breaker:
    breaker = Breaker(failures=5, open_seconds=1.0)
    opened = [breaker.failed(now) for _ in range(5)]
    assert opened == [False] * 4 + [True]
    return breaker


def test_five_failures_in_a_row_stop_the_asking_for_a_second():
    breaker = broken()
    assert breaker.state is State.OPEN
    assert not breaker.allows(0.99)
    assert breaker.allows(1.0)


def test_answer_in_between_starts_the_count_anew():
    breaker = Breaker(failures=5, open_seconds=1.0)
    for _ in range(20):
        assert not any(breaker.failed(0.0) for _ in range(4))
        breaker.succeeded()
    assert breaker.allows(0.0)


def test_one_probe_at_a_time_decides():
    breaker = broken()
    assert [breaker.allows(1.0) for _ in range(3)] == [True, False, False]
    assert not breaker.failed(1.1)
    assert not breaker.allows(2.0)
    assert breaker.allows(2.1)
    assert breaker.succeeded()
    assert [breaker.allows(2.1) for _ in range(3)] == [True] * 3
    assert breaker.state is State.CLOSED


def test_probe_that_never_reports_is_followed_by_another():
    breaker = broken()
    assert breaker.allows(1.0)
    assert breaker.state is State.HALF_OPEN
    assert not breaker.allows(1.9)
    assert breaker.allows(2.0)
