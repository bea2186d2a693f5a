"""Decide whether a student still deserves to be believed, and how many of its answers are checked. Pure.

A share of what it serves is asked of Claude as well. Checked at five in a hundred, a
student whose world has changed overnight would serve dozens of wrong answers before
anybody knew. So the share goes up to all of them whenever something is odd: just
after it has learned, after a wrong answer, and when Claude's answers to what the
student leaves to it are ones that the student has never heard of.
"""

from collections import deque
from collections.abc import Callable
from typing import Final

from services.cache.student_bounds import at_least

AUDIT_SHARE: Final = 0.05
PROBATION: Final = 20
"""So many answers in a row must be found right before only a share is checked."""
WINDOW: Final = 400
"""Audits that are remembered."""
MISSES: Final = 40
"""Questions left to Claude that are remembered."""
WRONG_LEAST: Final = 2
"""One wrong answer is no proof; it only makes us look closer."""


class Watch:
    """Watches one student from the day it has learned to the day it is replaced.

    Args:
        target: The most that may be wrong, as a share.
        strange: The share of questions left to Claude whose answer may be unheard of.
        luck: Gives numbers in [0, 1).
    """

    def __init__(self, *, target: float, strange: float, luck: Callable[[], float]) -> None:
        self._target = target
        self._strange = strange
        self._luck = luck
        self._audits: deque[bool] = deque(maxlen=WINDOW)
        self._misses: deque[bool] = deque(maxlen=MISSES)
        self._right_in_a_row = 0
        self._open = False

    @property
    def is_open(self) -> bool:
        """Whether it must keep quiet until it has learned anew."""
        return self._open

    @property
    def audits(self) -> tuple[int, int]:
        """How many of the last audits there were, and how many found a wrong answer."""
        return len(self._audits), sum(self._audits)

    def audits_next(self) -> float:
        """Say for how many answers a check of the one about to be served stands; 0 when it is not checked."""
        if self._is_odd():
            return 1.0
        return 1 / AUDIT_SHARE if self._luck() < AUDIT_SHARE else 0.0

    def audited(self, *, wrong: bool) -> bool:
        """Hear what a check found; returns whether this one is why it must keep quiet from now on."""
        self._audits.append(wrong)
        self._right_in_a_row = 0 if wrong else self._right_in_a_row + 1
        count = sum(self._audits)
        proven = count >= WRONG_LEAST and at_least(count, len(self._audits)) > self._target
        opened = proven and not self._open
        self._open = self._open or proven
        return opened

    def missed(self, *, strange: bool) -> None:
        """Hear whether Claude's answer to a question left to it is one that the student has never heard of."""
        self._misses.append(strange)

    def _is_odd(self) -> bool:
        if self._right_in_a_row < PROBATION:
            return True
        return at_least(sum(self._misses), len(self._misses)) > self._strange
