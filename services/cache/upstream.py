"""Ask the model within time, money and manners: slots, budgets, tries again, a row for every request."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final
from uuid import uuid4

from kit.clock import Clock
from kit.errors import BudgetExhausted, ModelUnavailable
from kit.log import get_logger
from services.cache import metrics
from services.cache.answer import BadAnswer, check_content, read_reply
from services.cache.budget import DayBudget, MinuteBudget, RetryBudget
from services.cache.ledger import CallRow, Recorder
from services.cache.model import Model, ModelFailed, Question
from services.cache.pricing import PRICES, Price, Tokens, cost_microusd, most_microusd

log = get_logger()

ATTEMPTS: Final = 3
ATTEMPT_SHARE: Final = 2 / 3
"""Of the time that is left goes to one try, so that a hanging one leaves room for another."""
LEAST_SECONDS: Final = 1.0
"""A try with less time than this is not worth its tokens."""
BACKOFF_SECONDS: Final = 0.2
MOST_BACKOFF_SECONDS: Final = 5.0


@dataclass(frozen=True, kw_only=True)
class Call:
    """What is asked, and for which record."""

    question: Question
    prompt_version: str
    key_id: str
    tenant_id: str
    request_id: str


@dataclass(frozen=True, kw_only=True)
class Written:
    """An answer that was written just now and may be served."""

    content: str
    tokens: Tokens
    cost_microusd: int


@dataclass(frozen=True, kw_only=True)
class _Outcome:
    """What one request came to; before it is known, the worst."""

    code: str = "ABANDONED"
    stop_reason: str = ""
    tokens: Tokens | None = None
    may_cost: bool = True


class Upstream:
    """Asks the model, up to three times.

    Args:
        model: None when there is none.
        day: Money, shared with other processes.
        minute: Requests.
        recorder: Takes a row for each request.
        slots: How many requests may be under way.
        total_seconds: For all tries together.
        clock: For the day.
        luck: Gives numbers in [0, 1) for the waits.
    """

    def __init__(
        self,
        model: Model | None,
        *,
        day: DayBudget,
        minute: MinuteBudget,
        recorder: Recorder,
        slots: int,
        total_seconds: float,
        clock: Clock,
        luck: Callable[[], float],
    ) -> None:
        self._model = model
        self._day = day
        self._minute = minute
        self._recorder = recorder
        self._slots = asyncio.Semaphore(slots)
        self._total_seconds = total_seconds
        self._clock = clock
        self._luck = luck
        self._retries = RetryBudget()

    async def ask(self, call: Call, seconds_left: Callable[[], float]) -> Written:
        """Return an answer that was checked.

        Args:
            call: What to ask.
            seconds_left: How long anybody waits for it.

        Raises:
            BudgetExhausted: Money or requests are used up.
            ModelUnavailable: No answer that may be used, in the time that was left.
        """
        model, price = self._model, PRICES.get(call.question.model)
        if model is None:
            raise ModelUnavailable("no model is configured", defect="NOT_CONFIGURED")
        if price is None:
            raise ModelUnavailable(f"{call.question.model} has no price here", defect="NO_PRICE")
        end = time.monotonic() + self._total_seconds

        def left() -> float:
            return min(seconds_left(), end - time.monotonic())

        self._retries.first_try()
        attempt = 1
        while True:
            try:
                return await self._try(model, call, price, attempt, left)
            except ModelFailed as failure:
                wait = self._wait(failure, attempt, left())
                if wait is None:
                    raise _unavailable(failure) from failure
                last = failure
            await asyncio.sleep(wait)
            attempt += 1
            try:
                self._check_budgets(most=0)
            except BudgetExhausted:
                raise _unavailable(last) from last

    async def _try(self, model: Model, call: Call, price: Price, attempt: int, left: Callable[[], float]) -> Written:
        async with self._slots:
            if left() <= 0:  # the queue took all of it
                raise ModelFailed("TIMEOUT", retryable=False, may_cost=False)
            question = call.question
            most = most_microusd(price, prompt_bytes=question.bytes, max_tokens=question.max_tokens)
            self._recorder.check_room()
            self._minute.take(time.monotonic())
            reservation = self._day.reserve(most, self._clock())
            started, outcome = time.monotonic(), _Outcome()
            try:
                body = await model.ask(question, seconds=_attempt_seconds(left()))
                reply = read_reply(body)
                outcome = _Outcome(code="MISSHAPEN", stop_reason=reply.stop_reason, tokens=reply.tokens)
                content = check_content(reply.content, question.schema)
                outcome = _Outcome(code="ANSWERED", stop_reason=reply.stop_reason, tokens=reply.tokens)
            except BadAnswer as bad:
                outcome = _Outcome(
                    code=bad.defect,
                    stop_reason=bad.stop_reason or outcome.stop_reason,
                    tokens=bad.tokens or outcome.tokens,
                )
                # The same prompt would very likely end the same way, and was paid for already.
                raise ModelFailed(bad.defect, retryable=False, may_cost=True) from bad
            except ModelFailed as failure:
                outcome = _Outcome(code=failure.defect, may_cost=failure.may_cost)
                raise
            finally:
                cost = _cost(price, outcome, most)
                self._day.settle(reservation, cost)
                row = _row(call, attempt, outcome, cost, time.monotonic() - started)
                self._recorder.add(row, reservation)
                _tell(row)
            return Written(content=content, tokens=reply.tokens, cost_microusd=cost)
