"""Who answers when a prompt's own model does not: smaller models, then the student when it is less sure. Pure.

The steps below these are the caller's: a bot's own rules, and what it says when even
those do not know.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from kit.errors import BudgetExhausted, ModelUnavailable

SMALLER: Final[Mapping[str, str]] = {
    "claude-opus-5-5": "claude-sonnet-5-5",
    "claude-sonnet-5-5": "claude-haiku-5-5",
}

# Another model may do better where this one is down or used up. Not where it answered: a refusal stays one, and an
# answer of the wrong shape was paid for.
_ELSEWHERE: Final = frozenset(
    {"RATE_LIMITED", "OVERLOADED", "SERVER_ERROR", "TIMEOUT", "CONNECTION_LOST", "BREAKER_OPEN", "HTTP_404"}
)


def steps(model: str) -> Sequence[str]:
    """Return a model and the smaller ones that may answer in its place, in order.

    >>> steps("claude-opus-5-5")
    ('claude-opus-5-5', 'claude-sonnet-5-5', 'claude-haiku-5-5')
    """
    found = [model]
    while (smaller := SMALLER.get(found[-1])) is not None:
        found.append(smaller)
    return tuple(found)


def goes_on(failure: ModelUnavailable | BudgetExhausted) -> bool:
    """Say whether the next step is worth asking after this failure.

    >>> goes_on(ModelUnavailable("", defect="OVERLOADED")), goes_on(ModelUnavailable("", defect="REFUSED"))
    (True, False)
    """
    return isinstance(failure, BudgetExhausted) or failure.metadata["defect"] in _ELSEWHERE
