"""Decide whether a student still deserves to be believed, and how many of its answers are checked. Pure.

One in nineteen of its answers is asked of Claude as well. Checked no more than that, a
student whose world has changed overnight would serve dozens of wrong answers before
anybody knew. So the share goes up to all of them whenever something is odd: just
after it has learned, after a wrong answer, and when Claude's answers to what the
student leaves to it are ones that the student has never heard of.

A check may take seconds, or fail. So it does not matter how many were asked for, but
how many answers were served since the last one that was found right: beyond
`AUDIT_EVERY` of them none is served before another was found right.
"""

from collections import deque
from collections.abc import Sequence
from typing import Final

from services.cache.student_bounds import at_least

AUDIT_EVERY: Final = 19
"""One in so many answers is checked. By turns and not by luck: when all of them have become wrong, the 19th shows it,
the 20th proves it, and no 21st is served."""
PROBATION: Final = 20
"""So many answers in a row must be found right before only a share is checked."""
WINDOW: Final = 400
"""Audits that are remembered."""
MISSES: Final = 40
"""Questions left to Claude that are remembered."""
RECENT: Final = 10
"""Two wrong ones among the last few audits are proof too, however long it was right before."""
WRONG_LEAST: Final = 2
"""One wrong answer is no proof; it only makes us look closer."""


class Watch:
    """Watches one student from the day it has learned to the day it is replaced.

    Args:
        target: The most that may be wrong, as a share.
        strange: The share of questions left to Claude whose answer may be unheard of.
    """

    def __init__(self, *, target: float, strange: float) -> None:
        self._target = target
        self._strange = strange
        self._audits: deque[bool] = deque(maxlen=WINDOW)
        self._misses: deque[bool] = deque(maxlen=MISSES)
        self._right_in_a_row = 0
        self._unchecked = 0
        self._right = 0
        self._open = False
        self.served = 0
        """How many answers were served; names the last one."""

    @property
    def is_open(self) -> bool:
        """Whether it must keep quiet until it has learned anew."""
        return self._open

    @property
    def audits(self) -> tuple[int, int]:
        """How many of the last audits there were, and how many found a wrong answer."""
        return len(self._audits), sum(self._audits)

    @property
    def owes_audits(self) -> bool:
        """Whether nobody has vouched for so many of the last answers that no other may be served."""
        return self.served - self._right >= AUDIT_EVERY

    def audits_next(self) -> int:
        """Say for how many answers a check of the one about to be served stands; 0 when it is not checked."""
        odd = self._is_odd()
        self.served += 1
        self._unchecked += 1
        if not odd and self._unchecked < AUDIT_EVERY:
            return 0
        stands_for, self._unchecked = self._unchecked, 0
        return 1 if odd else stands_for

    def audited(self, *, wrong: bool, served: int) -> bool:
        """Hear what a check found; returns whether this one is why it must keep quiet from now on.

        Args:
            wrong: Whether the answer was.
            served: How many were served when it was made, itself included.
        """
        self._audits.append(wrong)
        self._right = self._right if wrong else max(self._right, served)
        self._right_in_a_row = 0 if wrong else self._right_in_a_row + 1
        proven = any(self._proves(part) for part in (list(self._audits), list(self._audits)[-RECENT:]))
        opened = proven and not self._open
        self._open = self._open or proven
        return opened

    def _proves(self, audits: Sequence[bool]) -> bool:
        return sum(audits) >= WRONG_LEAST and at_least(sum(audits), len(audits)) > self._target

    def missed(self, *, strange: bool) -> None:
        """Hear whether Claude's answer to a question left to it is one that the student has never heard of."""
        self._misses.append(strange)

    def _is_odd(self) -> bool:
        if self._right_in_a_row < PROBATION:
            return True
        return at_least(sum(self._misses), len(self._misses)) > self._strange
