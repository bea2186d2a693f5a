"""Who answers before Claude is asked: a port, and who knows nothing."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from services.cache.canonical import State


@dataclass(frozen=True, kw_only=True)
class Guess:
    """What the student is sure enough of to be served."""

    analysis: str
    """JSON of the prompt's schema, as Claude would write it: values are choices or references of the masked text,
    words are quoted from it. It is checked like Claude's; what does not hold is not served."""
    score: float
    """How sure it is, in [0.0, 1.0]."""
    version: str
    """Which student, such as `light-3`; safe to log."""
    stands_for: float = 0.0
    """Above 0: Claude shall be asked the same afterwards, for so many guesses, and the student be told by `audited`."""
    loose: bool = False
    """Whether it is less sure than it usually has to be, since nobody else answers."""
    withheld: bool = False
    """Whether it may not be served before others were found right; only to be compared with what Claude says."""
    served: int = field(default=0, compare=False)
    """How many of this student's were served with this one; for `audited`."""


class Student(Protocol):
    """Guesses analyses of masked texts, or keeps quiet."""

    async def guess(
        self,
        prompt_version: str,
        schema: Mapping[str, Any],
        state: State,
        masked: str,
        *,
        tenant_id: str,
        loose: bool = False,
    ) -> Guess | None:
        """Return an analysis, or None to ask Claude.

        Never raises and takes milliseconds: whatever needs longer runs elsewhere. What is
        known of one prompt version, and so of one schema, is never used for another.

        Args:
            prompt_version: `lead.extract@3`.
            schema: Of that version's analyses.
            state: Where the dialogue stands.
            masked: The text of the turn without its values (`kit/spans.py`).
            tenant_id: Whose contact wrote it; labels of other tenants are not to be learned from.
            loose: Nobody else answers, so it may be less sure than usual.
        """

    def audited(self, prompt_version: str, guess: Guess, *, tenant_id: str, wrong: bool) -> None:
        """Hear whether Claude says otherwise than a guess."""

    def missed(self, prompt_version: str, analysis: Mapping[str, Any], *, tenant_id: str) -> None:
        """Hear what Claude says of a text on which it had kept quiet."""


class NoStudent:
    """Knows nothing."""

    async def guess(
        self,
        prompt_version: str,
        schema: Mapping[str, Any],
        state: State,
        masked: str,
        *,
        tenant_id: str,
        loose: bool = False,
    ) -> Guess | None:
        """Return None."""
        return None

    def audited(self, prompt_version: str, guess: Guess, *, tenant_id: str, wrong: bool) -> None:
        """Forget it."""

    def missed(self, prompt_version: str, analysis: Mapping[str, Any], *, tenant_id: str) -> None:
        """Forget it."""
