"""The tree of errors."""

import pytest

from kit import errors

KINDS = (
    errors.Invalid,
    errors.Unauthenticated,
    errors.Missing,
    errors.Refused,
    errors.Forbidden,
    errors.Conflict,
    errors.Exhausted,
    errors.Unavailable,
    errors.Expired,
    errors.Broken,
)


def test_metadata_holds_every_value_as_text():
    error = errors.StaleTurn("turn 3 of c_81 is over", contact_id="c_81", epoch=2, turn_no=3)
    assert error.metadata == {"contact_id": "c_81", "epoch": "2", "turn_no": "3"}


def test_message_is_the_sentence_it_was_raised_with():
    error = errors.NotTheOwner("seller owns c_81", bot="lead", contact_id="c_81", owner="seller")
    assert (error.message, str(error)) == ("seller owns c_81", "seller owns c_81")


@pytest.mark.parametrize("error", errors.BY_REASON.values(), ids=lambda error: error.__name__)
def test_every_error_is_of_exactly_one_kind(error):
    assert sum(issubclass(error, kind) for kind in KINDS) == 1


@pytest.mark.parametrize("error", errors.BY_REASON.values(), ids=lambda error: error.__name__)
def test_errors_say_when_to_ask_again_exactly_if_asking_again_helps(error):
    helps = issubclass(error, errors.Exhausted | errors.Unavailable)
    assert (error("no").retry_after_seconds is not None) is helps


def test_retry_after_can_be_set():
    assert errors.BudgetExhausted("spent", retry_after_seconds=30.0).retry_after_seconds == 30.0


def test_metadata_may_be_called_message():
    assert errors.InvalidField("no", message="m_1").metadata == {"message": "m_1"}
