"""Ask a model within time, money and manners: slots, limits, budgets, tries again, smaller models, a row for every request."""

import asyncio
import itertools
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final
from uuid import uuid4

from kit.errors import BudgetExhausted, ModelUnavailable
from kit.log import get_logger
from services.cache import metrics
from services.cache.answer import BadAnswer, check_content, read_reply
from services.cache.breaker import Breaker
from services.cache.budget import RetryBudget
from services.cache.ladder import goes_on, steps
from services.cache.ledger import LOST, CallRow
from services.cache.limiter import Limiter
from services.cache.limits import SHARES, Priority, Use
from services.cache.model import Model, ModelFailed, Question
from services.cache.money import Hold, Money
from services.cache.pricing import PRICES, Price, Tokens, cost_microusd, most_microusd, most_tokens
from services.cache.recorder import Recorder
from services.cache.slots import Slots

log = get_logger()

ATTEMPTS: Final = 3
RETRY_ROOM_SECONDS: Final = 4.0
"""What the first try leaves for another one, should it hang, when there is at least twice as much time."""
LEAST_SECONDS: Final = 1.0
"""A try with less time than this is not worth its tokens."""
BACKOFF_SECONDS: Final = 0.2
MOST_BACKOFF_SECONDS: Final = 5.0
BREAKER_FAILURES: Final = 5
BREAKER_SECONDS: Final = 5.0
PATIENCE_SECONDS: Final = 2.0
"""A model that was given less time than this and did not answer may be well."""


@dataclass(frozen=True, kw_only=True)
class Call:
    """What is asked, and for which record."""

    question: Question
    prompt_version: str
    key_id: str
    tenant_id: str
    request_id: str
    priority: Priority = Priority.LIVE


@dataclass(frozen=True, kw_only=True)
class Written:
    """An answer that was written just now and may be served."""

    content: str
    tokens: Tokens
    cost_microusd: int
    model: str = ""
    """Who wrote it."""
    fallback: bool = False
    """A smaller model wrote it in the place of the prompt's own: to be served, never stored as that one's."""


@dataclass(frozen=True, kw_only=True)
class _Outcome:
    """What one request came to; before it is known, the worst."""

    code: str = "ABANDONED"
    stop_reason: str = ""
    tokens: Tokens | None = None
    may_cost: bool = True


class Upstream:
    """Asks the models: each up to three times, the smaller ones when the prompt's own is down or used up.

    Args:
        model: Who answers for all of them; None when there is none.
        limiter: What the models take in a minute, shared with other processes.
        money: The day's, shared with other processes.
        recorder: Takes a row for each request.
        slots: Who goes next.
        total_seconds: For all tries together.
        luck: Gives numbers in [0, 1) for the waits.
    """

    def __init__(
        self,
        model: Model | None,
        *,
        limiter: Limiter,
        money: Money,
        recorder: Recorder,
        slots: Slots,
        total_seconds: float,
        luck: Callable[[], float],
    ) -> None:
        self._model = model
        self._limiter = limiter
        self._money = money
        self._recorder = recorder
        self._slots = slots
        self._total_seconds = total_seconds
        self._luck = luck
        self._retries = RetryBudget()
        self._breakers: defaultdict[str, Breaker] = defaultdict(
            lambda: Breaker(failures=BREAKER_FAILURES, open_seconds=BREAKER_SECONDS)
        )

    async def ask(self, call: Call, seconds_left: Callable[[], float]) -> Written:
        """Return an answer that was checked.

        Args:
            call: What to ask.
            seconds_left: How long anybody waits for it.

        Raises:
            BudgetExhausted: Money, requests or tokens are used up.
            ModelUnavailable: No answer that may be used, in the time that was left.
        """
        if self._model is None:
            raise ModelUnavailable("no model is configured", defect="NOT_CONFIGURED")
        end = time.monotonic() + self._total_seconds
        try:
            async with asyncio.timeout(self._total_seconds):
                return await self._descend(self._model, call, lambda: min(seconds_left(), end - time.monotonic()))
        except TimeoutError:
            raise ModelUnavailable("the model took too long", defect="TIMEOUT") from None

    async def _descend(self, model: Model, call: Call, left: Callable[[], float]) -> Written:
        """Ask the prompt's own model, then the smaller ones; what the first one met is what the caller hears."""
        first: ModelUnavailable | BudgetExhausted | None = None
        names = steps(call.question.model)
        for name in names:
            step = replace(call, question=replace(call.question, model=name))
            try:
                written = await self._ask(model, step, left, last=name == names[-1])
            except (ModelUnavailable, BudgetExhausted) as failure:
                first = first or failure
                if not goes_on(failure) or left() < LEAST_SECONDS:
                    break
            else:
                return replace(written, model=name, fallback=name != call.question.model)
        assert first is not None
        raise first

    async def _ask(self, model: Model, call: Call, left: Callable[[], float], *, last: bool) -> Written:
        name = call.question.model
        price = PRICES.get(name)
        if price is None:
            raise ModelUnavailable(f"{name} has no price here", defect="NO_PRICE")
        self._retries.first_try()
        failed: ModelFailed | None = None
        for attempt in itertools.count(1):
            try:
                return await self._try(model, price, call, attempt, left)
            except ModelFailed as failure:
                failed = failure
                # A model that hangs is not asked again while another one could answer in the time.
                again = last or failure.defect != "TIMEOUT"
                wait = self._wait(failure, attempt, left()) if again else None
                if wait is None:
                    raise _unavailable(failure) from failure
            except BudgetExhausted:
                if failed is None:
                    raise
                raise _unavailable(failed) from failed
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
        async with self._slots.take(call.priority):
            if left() <= 0:  # the queue took all of it
                raise ModelFailed("TIMEOUT", retryable=False, may_cost=False)
            question = call.question
            most = most_microusd(price, prompt_bytes=question.bytes, max_tokens=question.max_tokens)
            row = _row(call, attempt, most)
            self._recorder.check_room()
            breaker = self._breakers[question.model]
            if not breaker.allows(time.monotonic()):
                raise ModelFailed("BREAKER_OPEN", retryable=False, may_cost=False)
            tokens = most_tokens(prompt_bytes=question.bytes, max_tokens=question.max_tokens)
            await self._limiter.take(question.model, row.call_id, _use(tokens), call.priority)
            hold, outcome, started = None, _Outcome(), time.monotonic()
            try:
                hold = await self._money.reserve(row, share=SHARES[call.priority])
                started = time.monotonic()
                sent = await model.ask(question, seconds=_attempt_seconds(attempt, left()))
                self._limiter.learn(question.model, sent.limit)
                reply = read_reply(sent.body)
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
                self._limiter.learn(question.model, failure.limit)
                raise
            finally:
                self._end(row, outcome, hold, price, most, time.monotonic() - started)
            return Written(content=content, tokens=reply.tokens, cost_microusd=_cost(price, outcome, most))

    def _end(self, row: CallRow, outcome: _Outcome, hold: Hold | None, price: Price, most: int, seconds: float) -> None:
        """Settle everything that was put aside for a call; without a hold it was never made."""
        if hold is None:
            self._limiter.settle(row.model, row.call_id, Use())
            return
        self._learn(row.model, outcome.code, seconds)
        cost, used = _cost(price, outcome, most), outcome.tokens or Tokens()
        if outcome.tokens is None and outcome.may_cost:
            self._limiter.settle_at_most(row.model, row.call_id)
        else:
            self._limiter.settle(row.model, row.call_id, _use(used))
        self._money.settle(hold, cost)
        ended = replace(
            row,
            outcome=outcome.code,
            stop_reason=outcome.stop_reason,
            input_tokens=used.input,
            output_tokens=used.output,
            cache_write_tokens=used.cache_write,
            cache_read_tokens=used.cache_read,
            cost_microusd=cost,
            cost_estimated=outcome.tokens is None and outcome.may_cost,
            latency_ms=round(seconds * 1000),
        )
        self._recorder.add(ended, hold)
        _tell(ended)

    def _learn(self, model: str, code: str, seconds: float) -> None:
        """Tell the model's breaker how a call ended.

        A limit that was met is no sign of a model that is down, and no more is a caller
        with little time.
        """
        breaker = self._breakers[model]
        if code == "TIMEOUT" and seconds < PATIENCE_SECONDS:
            return
        if code in _DOWN:
            if breaker.failed(time.monotonic()):
                log.warning("model.lost", model=model)
        elif code not in ("ABANDONED", "RATE_LIMITED") and breaker.succeeded():
            log.info("model.recovered", model=model)
        metrics.MODEL_BREAKER.labels(model).set(breaker.state)


_DOWN: Final = frozenset({"OVERLOADED", "SERVER_ERROR", "TIMEOUT", "CONNECTION_LOST"})


def _attempt_seconds(attempt: int, left: float) -> float:
    return left - RETRY_ROOM_SECONDS if attempt == 1 and left >= 2 * RETRY_ROOM_SECONDS else left


def _cost(price: Price, outcome: _Outcome, most: int) -> int:
    if outcome.tokens is not None:
        return cost_microusd(price, outcome.tokens)
    return most if outcome.may_cost else 0


def _row(call: Call, attempt: int, most: int) -> CallRow:
    """Return what is on record should the process die now."""
    return CallRow(
        call_id=uuid4().hex,
        tenant_id=call.tenant_id,
        request_id=call.request_id,
        prompt_version=call.prompt_version,
        model=call.question.model,
        key_id=call.key_id,
        attempt=attempt,
        outcome=LOST,
        stop_reason="",
        input_tokens=0,
        output_tokens=0,
        cache_write_tokens=0,
        cache_read_tokens=0,
        cost_microusd=most,
        cost_estimated=True,
        latency_ms=0,
    )


def _use(tokens: Tokens) -> Use:
    return Use(requests=1, input_tokens=tokens.input + tokens.cache_write, output_tokens=tokens.output)


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
