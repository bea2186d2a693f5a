"""What Claude is asked for in a minute: what was used, what calls under way may use yet. Pure."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

WINDOW_SECONDS: Final = 60.0


class Priority(IntEnum):
    """Whose call goes first; the lower the sooner."""

    LIVE = 0
    """A person waits for it."""
    AUDIT = 1
    """It checks an answer that was given."""


# What a call may use of every limit: the rest stays free for people who wait.
SHARES: Final[Mapping[Priority, float]] = {Priority.LIVE: 1.0, Priority.AUDIT: 0.6}


@dataclass(frozen=True, kw_only=True, slots=True)
class Use:
    """What calls use, or may use; 0 for nothing, or for no limit."""

    requests: int = 0
    input_tokens: int = 0
    """Without what comes out of Claude's own prompt cache, which does not count."""
    output_tokens: int = 0

    def __add__(self, other: "Use") -> "Use":
        return Use(
            requests=self.requests + other.requests,
            input_tokens=self.input_tokens + other.input_tokens,
            output_tokens=self.output_tokens + other.output_tokens,
        )

    def __sub__(self, other: "Use") -> "Use":
        return Use(
            requests=self.requests - other.requests,
            input_tokens=self.input_tokens - other.input_tokens,
            output_tokens=self.output_tokens - other.output_tokens,
        )

    def part(self, share: float) -> "Use":
        """Return a share of it, rounded down, but at least 1 of everything that has a limit at all."""
        return Use(
            requests=_part(self.requests, share),
            input_tokens=_part(self.input_tokens, share),
            output_tokens=_part(self.output_tokens, share),
        )

    def least(self, other: "Use") -> "Use":
        """Return the stricter of two limits, each by each."""
        return Use(
            requests=_least(self.requests, other.requests),
            input_tokens=_least(self.input_tokens, other.input_tokens),
            output_tokens=_least(self.output_tokens, other.output_tokens),
        )

    def over(self, limit: "Use") -> str:
        """Name the first thing that is above a limit; "" when nothing is."""
        for name in NAMES:
            most = getattr(limit, name)
            if most and getattr(self, name) > most:
                return name
        return ""


NAMES: Final = ("requests", "input_tokens", "output_tokens")
NOTHING: Final = Use()


class Window:
    """What one process used of one model.

    A call counts with the most it can use from its start, and with what it used for
    60 seconds after its end: the model saw it somewhere between the two, so whatever
    60 seconds the model looks at, we never counted less than it does.
    """

    def __init__(self) -> None:
        self._under_way: dict[str, Use] = {}
        self._ended: deque[tuple[float, Use]] = deque()
        self._sum = NOTHING

    def used(self, now: float) -> Use:
        """Return what counts at a moment, in seconds on a clock that never goes back."""
        while self._ended and self._ended[0][0] <= now - WINDOW_SECONDS:
            self._sum -= self._ended.popleft()[1]
        return self._sum

    def begin(self, call_id: str, most: Use) -> None:
        """Count a call with the most it can use."""
        self._under_way[call_id] = most
        self._sum += most

    def end(self, call_id: str, used: Use | None, now: float) -> None:
        """Count what a call used in place of the most it could, once only; None when nobody knows."""
        most = self._under_way.pop(call_id, None)
        if most is None:
            return
        used = most if used is None else used
        self._ended.append((now, used))
        self._sum += used - most

    def frees_in(self, now: float) -> float:
        """Return the seconds until something is free again, at least 1."""
        return max(1.0, self._ended[0][0] + WINDOW_SECONDS - now) if self._ended else 1.0


def _part(limit: int, share: float) -> int:
    return max(1, int(limit * share)) if limit else 0


def _least(one: int, other: int) -> int:
    return min(one, other) if one and other else one or other
