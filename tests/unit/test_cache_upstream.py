import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest

from kit.errors import BudgetExhausted, ModelUnavailable
from services.cache.ledger import MemoryLedger
from services.cache.limiter import Limiter
from services.cache.limits import Priority, Use
from services.cache.model import MemoryModel, ModelFailed, Question, Scripted
from services.cache.money import Money
from services.cache.recorder import MOST_WAITING, Recorder
from services.cache.slots import Slots
from services.cache.upstream import BREAKER_FAILURES, Call, Upstream, Written
from tests.support.claude_script import message

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
BUSY = ModelFailed("OVERLOADED", retryable=True, may_cost=False)


HAIKU, SONNET, OPUS = "claude-haiku-5-5", "claude-sonnet-5-5", "claude-opus-5-5"


class House:
    def __init__(
        self,
        *script: Scripted,
        limit: int = 10_000,
        tenant: int = 10_000,
        minute: int = 100,
        seconds: float = 12.0,
        ledger: MemoryLedger | None = None,
        replicas: int = 1,
    ) -> None:
        self.model = MemoryModel(*script)
        self.ledger = ledger or MemoryLedger(clock=lambda: NOON)
        self.money = Money(
            self.ledger, total_microusd=limit, tenant_microusd=tenant, replicas=replicas, clock=lambda: NOON
        )
        self.recorder = Recorder(self.ledger, self.money)
        self.limiter = Limiter(None, limit=Use(requests=minute), replicas=1, replica="one")
        self.upstream = Upstream(
            self.model,
            limiter=self.limiter,
            money=self.money,
            recorder=self.recorder,
            slots=Slots(1),
            total_seconds=seconds,
            luck=lambda: 0.0,
        )

    async def write(
        self, *, seconds: float = 12.0, model: str = HAIKU, tenant_id: str = "loc_1", priority: Priority = Priority.LIVE
    ) -> Written:
        question = Question(model=model, max_tokens=100, effort="", schema=None, system="s", user="u")
        call = Call(
            question=question,
            prompt_version="p@1",
            key_id="k",
            tenant_id=tenant_id,
            request_id="r",
            priority=priority,
        )
        return await self.upstream.ask(call, lambda: seconds)

    async def ask(self, **changed: Any) -> str:
        return (await self.write(**changed)).content

    @property
    def asked(self) -> list[str]:
        return [question.model for question in self.model.questions]


async def test_trouble_that_passes_is_waited_out_and_every_try_is_on_record():
    house = House(BUSY, BUSY, message("hello"))
    assert await house.ask() == "hello"
    await house.recorder.write()
    rows = list(house.ledger.rows.values())
    assert [(row.attempt, row.outcome, row.cost_microusd) for row in rows] == [
        (1, "OVERLOADED", 0),
        (2, "OVERLOADED", 0),
        (3, "ANSWERED", 15),
    ]


async def test_third_failure_is_the_answer():
    house = House(BUSY, BUSY, BUSY, message("late"))
    with pytest.raises(ModelUnavailable) as caught:
        await house.ask()
    assert caught.value.metadata == {"defect": "OVERLOADED"}
    assert len(house.model.questions) == 3


async def test_retry_after_is_honoured_only_if_it_fits():
    asked = ModelFailed("RATE_LIMITED", retryable=True, may_cost=False, retry_after_seconds=0.01)
    assert await House(asked, message("hello")).ask() == "hello"
    house = House(ModelFailed("RATE_LIMITED", retryable=True, may_cost=False, retry_after_seconds=11.5), message("x"))
    with pytest.raises(ModelUnavailable) as caught:
        await house.ask()
    assert (len(house.model.questions), caught.value.retry_after_seconds) == (1, 11.5)


async def test_nothing_is_tried_again_when_the_caller_has_no_time_for_it():
    house = House(BUSY, message("x"))
    with pytest.raises(ModelUnavailable):
        await house.ask(seconds=0.9)
    assert len(house.model.questions) == 1


async def test_budget_that_ends_between_two_tries_is_told_as_the_models_failure():
    house = House(BUSY, message("x"), minute=1)
    with pytest.raises(ModelUnavailable) as caught:
        await house.ask()
    assert caught.value.metadata == {"defect": "OVERLOADED"}


async def test_call_that_is_given_up_counts_the_most_it_can_have_cost():
    async def hang(_: Question) -> bytes:
        await asyncio.Event().wait()
        return b""

    house = House(hang)
    call = asyncio.create_task(house.ask())
    while not house.model.questions:
        await asyncio.sleep(0)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await house.recorder.write()
    (row,) = house.ledger.rows.values()
    assert (row.outcome, row.cost_estimated) == ("ABANDONED", True)
    assert row.cost_microusd == house.money.spent_microusd > 50


async def test_all_tries_together_end_with_the_total():
    async def hang(_: Question) -> bytes:
        await asyncio.Event().wait()
        return b""

    with pytest.raises(ModelUnavailable) as caught:
        await House(hang, seconds=0.05).ask()
    assert caught.value.metadata == {"defect": "TIMEOUT"}


async def test_one_after_the_other_when_there_is_one_slot():
    running, most = 0, 0

    async def answer(_: Question) -> bytes:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        running -= 1
        return message("x")

    house = House(*[answer] * 10)
    await asyncio.gather(*(house.ask() for _ in range(10)))
    assert most == 1


async def test_hundred_at_once_with_money_for_one_make_one_call():
    async def costly(_: Question) -> bytes:
        await asyncio.sleep(0)
        return message("x", usage={"input_tokens": 300, "output_tokens": 100})

    house = House(*[costly] * 100, limit=100)
    results = await asyncio.gather(*(house.ask() for _ in range(100)), return_exceptions=True)
    assert sum(isinstance(result, BudgetExhausted) for result in results) == 99
    assert len(house.model.questions) == 1


async def test_model_without_a_price_is_never_asked():
    house = House(message("x"))
    with pytest.raises(ModelUnavailable) as caught:
        await house.ask(model="claude-free-9")
    assert caught.value.metadata == {"defect": "NO_PRICE"}
    assert house.model.questions == []


async def test_rows_wait_for_a_ledger_that_is_away_and_count_meanwhile():
    house = House(message("x"), message("y"))
    await house.ask()
    house.ledger.lost = True
    assert not await house.recorder.write()
    await house.ask()
    assert house.money.spent_microusd == 30
    house.ledger.lost = False
    assert await house.recorder.write()
    await house.recorder.read_spent()
    assert house.money.spent_microusd == 30
    assert len(house.ledger.rows) == 2


async def test_nothing_is_asked_when_nobody_can_account_for_it(monkeypatch: pytest.MonkeyPatch):
    assert MOST_WAITING == 10_000
    monkeypatch.setattr("services.cache.recorder.MOST_WAITING", 1)
    house = House(message("x"), message("y"))
    await house.ask()
    with pytest.raises(BudgetExhausted) as caught:
        await house.ask()
    assert caught.value.metadata["budget"] == "unrecorded_calls"


async def test_hundred_at_once_over_three_replicas_with_money_for_one_make_one_call():
    async def costly(_: Question) -> bytes:
        await asyncio.sleep(0)
        return message("x", usage={"input_tokens": 300, "output_tokens": 100})

    ledger = MemoryLedger(clock=lambda: NOON)
    houses = [House(*[costly] * 100, limit=100, ledger=ledger) for _ in range(3)]
    results = await asyncio.gather(*(houses[n % 3].ask() for n in range(100)), return_exceptions=True)
    assert sum(isinstance(result, BudgetExhausted) for result in results) == 99
    assert sum(len(house.model.questions) for house in houses) == 1


async def test_tenant_that_spent_its_day_takes_nothing_from_others():
    house = House(*[message("x", usage={"input_tokens": 300, "output_tokens": 100})] * 9, tenant=100)
    await house.ask()
    with pytest.raises(BudgetExhausted) as caught:
        await house.ask()
    assert caught.value.metadata == {"budget": "tenant_daily_microusd", "limit": "100"}
    assert await house.ask(tenant_id="loc_2") == "x"


async def test_call_that_no_limit_lets_through_costs_nothing():
    house = House(message("x"), limit=1)
    with pytest.raises(BudgetExhausted):
        await house.ask()
    await house.recorder.write()
    assert (house.ledger.rows, house.money.spent_microusd) == ({}, 0)


async def test_while_the_ledger_is_away_replicas_share_what_was_left():
    ledger = MemoryLedger(clock=lambda: NOON)
    houses = [House(*[message("x")] * 9, limit=500, ledger=ledger, replicas=3) for _ in range(3)]
    for house in houses:
        await house.recorder.read_spent()
    ledger.lost = True
    for house in houses:
        assert await house.ask() == "x"  # puts 70 aside of the 166 that are its part, and costs 15
        for _ in range(9):
            try:
                await house.ask()
            except BudgetExhausted:
                break
        assert (house.money.spent_microusd or 0) <= 166


async def test_breaker_keeps_calls_from_a_model_that_is_down_and_lets_one_find_out(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("services.cache.upstream.BREAKER_SECONDS", 0.0)
    house = House(*[BUSY] * BREAKER_FAILURES, message("well"), message("again"))
    for _ in range(BREAKER_FAILURES // 3 + 1):
        with pytest.raises(ModelUnavailable):
            await house.ask(seconds=2.5)
    assert [await house.ask(), await house.ask()] == ["well", "again"]


async def test_open_breaker_is_told_without_a_call():
    house = House(*[BUSY] * 20)
    with pytest.raises(ModelUnavailable):
        await house.ask()
    with pytest.raises(ModelUnavailable):
        await house.ask()
    with pytest.raises(ModelUnavailable) as caught:
        await house.ask()
    assert caught.value.metadata == {"defect": "BREAKER_OPEN"}
    assert len(house.model.questions) == BREAKER_FAILURES


@pytest.mark.parametrize("trouble", ["OVERLOADED", "RATE_LIMITED", "SERVER_ERROR", "CONNECTION_LOST"])
async def test_smaller_model_answers_where_the_prompts_own_is_down_and_says_so(trouble: str):
    down = ModelFailed(trouble, retryable=True, may_cost=False)
    written = await House(down, down, down, message("hello")).write(model=SONNET)
    assert (written.content, written.model, written.fallback) == ("hello", HAIKU, True)


async def test_model_that_hangs_is_not_asked_twice_while_a_smaller_one_could_answer():
    house = House(ModelFailed("TIMEOUT", retryable=True, may_cost=True), message("hello"))
    await house.ask(model=OPUS)
    assert house.asked == [OPUS, SONNET]


async def test_smaller_model_is_asked_where_a_minute_of_the_prompts_own_is_used_up():
    house = House(*[message("x")] * 3, minute=1)
    written = [await house.write(model=OPUS) for _ in range(3)]
    assert [each.model for each in written] == [OPUS, SONNET, HAIKU]
    assert [each.fallback for each in written] == [False, True, True]
    with pytest.raises(BudgetExhausted) as caught:
        await house.ask(model=OPUS)
    assert caught.value.metadata == {"budget": "requests_per_minute", "limit": "1"}


async def test_refusal_is_not_asked_for_again_elsewhere():
    house = House(message("", stop_reason="refusal", content=[]), message("hello"))
    with pytest.raises(ModelUnavailable) as caught:
        await house.ask(model=SONNET)
    assert (caught.value.metadata, house.asked) == ({"defect": "REFUSED"}, [SONNET])


async def test_when_nobody_answers_the_first_failure_is_told():
    gone = ModelFailed("CONNECTION_LOST", retryable=True, may_cost=False)
    with pytest.raises(ModelUnavailable) as caught:
        await House(BUSY, BUSY, BUSY, gone, gone, gone).ask(model=SONNET)
    assert caught.value.metadata == {"defect": "OVERLOADED"}


async def test_audits_leave_money_and_requests_for_people():
    house = House(*[message("x")] * 12, minute=10)
    for _ in range(6):
        await house.ask(priority=Priority.AUDIT)
    with pytest.raises(BudgetExhausted):
        await house.ask(priority=Priority.AUDIT)
    assert await house.ask() == "x"
