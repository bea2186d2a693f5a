"""Ask the model within time, money and manners: slots, budgets, tries again, a row for every request."""

import asyncio
import itertools
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
RETRY_ROOM_SECONDS: Final = 4.0
"""What the first try leaves for another one, should it hang, when there is at least twice as much time."""
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
        try:
            async with asyncio.timeout(self._total_seconds):
                return await self._ask(model, price, call, lambda: min(seconds_left(), end - time.monotonic()))
        except TimeoutError:
            raise ModelUnavailable("the model took too long", defect="TIMEOUT") from None

    async def _ask(self, model: Model, price: Price, call: Call, left: Callable[[], float]) -> Written:
        await self._recorder.know_spent()
        self._retries.first_try()
        last: ModelFailed | None = None
        for attempt in itertools.count(1):
            try:
                return await self._try(model, price, call, attempt, left)
            except ModelFailed as failure:
                last = failure
                wait = self._wait(failure, attempt, left())
                if wait is None:
                    raise _unavailable(failure) from failure
            except BudgetExhausted:
                if last is None:
                    raise
                raise _unavailable(last) from last
            await asyncio.sleep(wait)
        raise AssertionError("count() does not end")

    def _wait(self, failure: ModelFailed, attempt: int, left: float) -> float | None:
        """Return how long to wait before another try, or None when there is none.

        Full jitter, so that callers who failed together do not come back together; what
        the model asks for is waited for when there is time, and never cut short.
        """
        if not failure.retryable or attempt >= ATTEMPTS:
            return None
        wait = self._luck() * min(MOST_BACKOFF_SECONDS, BACKOFF_SECONDS * 2.0 ** (attempt - 1))
        wait += failure.retry_after_seconds or 0.0
        if wait + LEAST_SECONDS > left or not self._retries.take():
            return None
        return wait

    async def _try(self, model: Model, price: Price, call: Call, attempt: int, left: Callable[[], float]) -> Written:
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
                body = await model.ask(question, seconds=_attempt_seconds(attempt, left()))
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


def _attempt_seconds(attempt: int, left: float) -> float:
    return left - RETRY_ROOM_SECONDS if attempt == 1 and left >= 2 * RETRY_ROOM_SECONDS else left


def _cost(price: Price, outcome: _Outcome, most: int) -> int:
    if outcome.tokens is not None:
        return cost_microusd(price, outcome.tokens)
    return most if outcome.may_cost else 0


def _row(call: Call, attempt: int, outcome: _Outcome, cost: int, seconds: float) -> CallRow:
    tokens = outcome.tokens or Tokens()
    return CallRow(
        call_id=uuid4().hex,
        tenant_id=call.tenant_id,
        request_id=call.request_id,
        prompt_version=call.prompt_version,
        model=call.question.model,
        key_id=call.key_id,
        attempt=attempt,
        outcome=outcome.code,
        stop_reason=outcome.stop_reason,
        input_tokens=tokens.input,
        output_tokens=tokens.output,
        cache_write_tokens=tokens.cache_write,
        cache_read_tokens=tokens.cache_read,
        cost_microusd=cost,
        cost_estimated=outcome.tokens is None and outcome.may_cost,
        latency_ms=round(seconds * 1000),
    )


def _tell(row: CallRow) -> None:
    metrics.CALLS.labels(row.model, row.outcome).inc()
    metrics.COST.labels(row.model).inc(row.cost_microusd)
    write, event = (log.info, "model.called") if row.outcome == "ANSWERED" else (log.warning, "model.failed")
    write(
        event,
        prompt_version=row.prompt_version,
        model=row.model,
        key_id=row.key_id,
        attempt=row.attempt,
        outcome=row.outcome,
        stop_reason=row.stop_reason,
        input_tokens=row.input_tokens,
        output_tokens=row.output_tokens,
        cost_microusd=row.cost_microusd,
        duration_ms=row.latency_ms,
    )


def _unavailable(failure: ModelFailed) -> ModelUnavailable:
    return ModelUnavailable(
        f"the model gave no answer that may be used: {failure.defect}",
        retry_after_seconds=failure.retry_after_seconds,
        defect=failure.defect,
    )
