"""What an arbiter remembers of how targets answered."""

from services.handoff.observed import Observed
from services.handoff.values import TargetSeen


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def seen(observed: Observed) -> TargetSeen:
    return observed.of("buyer", answers=True)


def test_bot_that_was_never_asked_has_no_samples() -> None:
    assert seen(Observed(Clock())) == TargetSeen(answers=True)


def test_errors_and_the_slow_end_of_the_times_are_counted() -> None:
    observed = Observed(Clock())
    for ms in range(1, 21):
        observed.saw("buyer", ok=ms != 7, seconds=ms / 1000)
    observed.saw("seller", ok=False, seconds=9)
    found = seen(observed)
    assert (found.samples, found.errors, found.p95_ms) == (20, 1, 19)


def test_calls_older_than_a_minute_are_forgotten() -> None:
    clock = Clock()
    observed = Observed(clock)
    observed.saw("buyer", ok=False, seconds=1)
    clock.now += 60
    observed.saw("buyer", ok=True, seconds=0.1)
    assert (seen(observed).samples, seen(observed).errors) == (2, 1)
    clock.now += 0.001
    assert (seen(observed).samples, seen(observed).errors) == (1, 0)
    assert seen(observed).quiet_seconds == 0.001


def test_no_more_than_a_hundred_calls_are_remembered() -> None:
    observed = Observed(Clock())
    for _ in range(150):
        observed.saw("buyer", ok=True, seconds=0.1)
    assert seen(observed).samples == 100


def test_probe_that_went_well_makes_what_was_before_forgotten() -> None:
    clock = Clock()
    observed = Observed(clock)
    for _ in range(10):
        observed.saw("buyer", ok=False, seconds=1)
    clock.now += 15
    assert seen(observed).quiet_seconds == 15
    observed.probe("buyer")
    assert (seen(observed).quiet_seconds, seen(observed).errors) == (0, 10)
    observed.saw("buyer", ok=True, seconds=0.1)
    assert (seen(observed).samples, seen(observed).errors) == (1, 0)


def test_probe_that_failed_leaves_the_target_sick() -> None:
    observed = Observed(Clock())
    for _ in range(10):
        observed.saw("buyer", ok=False, seconds=1)
    observed.probe("buyer")
    observed.saw("buyer", ok=False, seconds=1)
    observed.saw("buyer", ok=True, seconds=1)
    assert (seen(observed).samples, seen(observed).errors) == (12, 11)
