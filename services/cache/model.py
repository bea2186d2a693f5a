"""What is asked of a model, and how it fails. One try; `upstream.py` decides about more."""

from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from services.cache.limits import Use


@dataclass(frozen=True, kw_only=True)
class Question:
    """Everything a model is told."""

    model: str
    max_tokens: int
    effort: str
    """Empty means the model's own default."""
    schema: Mapping[str, Any] | None
    """Of the answer; None means text."""
    system: str
    user: str

    @property
    def bytes(self) -> int:
        """How much is sent, in UTF-8, the schema roughly."""
        return len(self.system.encode()) + len(self.user.encode()) + len(str(self.schema or "").encode())


class ModelFailed(Exception):
    """One try brought no answer.

    Args:
        defect: What happened, as a code.
        retryable: Whether another try may do better.
        may_cost: Whether the model may have worked, unseen by us, and be paid for it.
        retry_after_seconds: When the model wants to be asked again, if it said so.
        limit: What the model takes in a minute, if it said so.
    """

    def __init__(
        self,
        defect: str,
        *,
        retryable: bool,
        may_cost: bool,
        retry_after_seconds: float | None = None,
        limit: Use | None = None,
    ) -> None:
        super().__init__(defect)
        self.defect = defect
        self.retryable = retryable
        self.may_cost = may_cost
        self.retry_after_seconds = retry_after_seconds
        self.limit = limit


@dataclass(frozen=True, kw_only=True)
class Sent:
    """A successful answer, unread."""

    body: bytes
    limit: Use | None = None
    """What the model takes in a minute, if it said so."""


class Model(Protocol):
    """Something that answers, once per call."""

    async def ask(self, question: Question, *, seconds: float) -> Sent:
        """Return a successful answer, unread.

        Raises:
            ModelFailed: There is none within `seconds`.
        """


Scripted = bytes | ModelFailed | Callable[[Question], Awaitable[bytes]]


class MemoryModel:
    """Answers what it was told to, in that order, and keeps the questions."""

    def __init__(self, *script: Scripted) -> None:
        self.script = deque(script)
        self.questions: list[Question] = []

    async def ask(self, question: Question, *, seconds: float) -> Sent:
        """Return or raise what is next in the script."""
        self.questions.append(question)
        if not self.script:
            raise ModelFailed("OUT_OF_SCRIPT", retryable=False, may_cost=False)
        step = self.script.popleft()
        if isinstance(step, ModelFailed):
            raise step
        return Sent(body=step if isinstance(step, bytes) else await step(question))
