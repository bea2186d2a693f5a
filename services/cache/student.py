"""Who answers before Claude is asked: a port, and its twins in memory."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

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
    audit: bool = False
    """Whether Claude shall be asked the same afterwards, and the student be told by `audited`."""


class Student(Protocol):
    """Guesses analyses of masked texts, or keeps quiet."""

    async def guess(
        self, prompt_version: str, schema_hash: str, state: State, masked: str, *, tenant_id: str
    ) -> Guess | None:
        """Return an analysis, or None to ask Claude.

        Never raises and takes milliseconds: whatever needs longer runs elsewhere. A
        student knows one prompt version and one schema; for any other it returns None.

        Args:
            prompt_version: `lead.extract@3`.
            schema_hash: Of the analysis's schema.
            state: Where the dialogue stands.
            masked: The text of the turn without its values (`kit/spans.py`).
            tenant_id: Whose contact wrote it; labels of other tenants are not to be learned from.
        """

    async def audited(self, prompt_version: str, version: str, *, wrong: bool) -> None:
        """Hear whether a guess that this version of the student had served was found to be right."""


class NoStudent:
    """Knows nothing."""

    async def guess(
        self, prompt_version: str, schema_hash: str, state: State, masked: str, *, tenant_id: str
    ) -> Guess | None:
        """Return None."""
        return None

    async def audited(self, prompt_version: str, version: str, *, wrong: bool) -> None:
        """Forget it."""


class MemoryStudent:
    """Knows by heart what it was told, by masked text, and remembers its audits."""

    def __init__(self, known: Mapping[str, Guess]) -> None:
        self.known = dict(known)
        self.audits: list[bool] = []

    async def guess(
        self, prompt_version: str, schema_hash: str, state: State, masked: str, *, tenant_id: str
    ) -> Guess | None:
        """Return what is known of the text."""
        return self.known.get(masked)

    async def audited(self, prompt_version: str, version: str, *, wrong: bool) -> None:
        """Remember it."""
        self.audits.append(wrong)
