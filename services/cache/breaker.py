"""Stop asking what does not answer, and try again soon. Pure."""

from enum import IntEnum


class State(IntEnum):
    """Of a breaker; the numbers are those of the metric."""

    CLOSED = 0
    """All is well."""
    HALF_OPEN = 1
    """One request finds out whether it answers again."""
    OPEN = 2
    """Nobody asks."""


class Breaker:
    """Opens after `failures` in a row, lets one probe through `open_seconds` later.

    Times are in seconds on a clock that never goes back.
    """

    def __init__(self, *, failures: int, open_seconds: float) -> None:
        self._most = failures
        self._open_seconds = open_seconds
        self._failures = 0
        self._probe_time: float | None = None
        self.state = State.CLOSED

    def allows(self, now_seconds: float) -> bool:
        """Say whether to ask now; a True in the half-open state is for one request only."""
        if self.state is State.CLOSED:
            return True
        # A probe whose asker was cancelled never reports; after another wait the next one probes.
        if self._probe_time is not None and now_seconds >= self._probe_time:
            self.state = State.HALF_OPEN
            self._probe_time = now_seconds + self._open_seconds
            return True
        return False

    def succeeded(self) -> bool:
        """Note an answer; True when this closes the breaker."""
        closes = self.state is not State.CLOSED
        self.state, self._failures, self._probe_time = State.CLOSED, 0, None
        return closes

    def failed(self, now_seconds: float, *, at_once: bool = False) -> bool:
        """Note a failure, which may be enough by itself; True when this opens a breaker that was closed."""
        self._failures += self._most if at_once else 1
        if self.state is State.CLOSED and self._failures < self._most:
            return False
        opens = self.state is State.CLOSED
        self.state, self._probe_time = State.OPEN, now_seconds + self._open_seconds
        return opens
