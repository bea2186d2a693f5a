import asyncio
from datetime import UTC, datetime

import pytest

from kit.errors import BudgetExhausted, ModelUnavailable
from services.cache.budget import DayBudget, MinuteBudget
from services.cache.ledger import MOST_WAITING, MemoryLedger, Recorder
from services.cache.model import MemoryModel, ModelFailed, Question, Scripted
from services.cache.upstream import Call, Upstream
from tests.support.claude_script import message

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
BUSY = ModelFailed("OVERLOADED", retryable=True, may_cost=False)


class House:
    def __init__(self, *script: Scripted, limit: int = 10_000, minute: int = 100, seconds: float = 12.0) -> None:
        self.model = MemoryModel(*script)
        self.ledger = MemoryLedger()
        self.day = DayBudget(limit)
        self.recorder = Recorder(self.ledger, self.day, clock=lambda: NOON)
        self.upstream = Upstream(
            self.model,
            day=self.day,
            minute=MinuteBudget(minute),
            recorder=self.recorder,
            slots=1,
            total_seconds=seconds,
            clock=lambda: NOON,
            luck=lambda: 0.0,
        )

    async def ask(self, seconds: float = 12.0, model: str = "claude-haiku-5-5") -> str:
        if self.day.spent_microusd is None:
            await self.recorder.read_spent()
        question = Question(model=model, max_tokens=100, effort="", schema=None, system="s", user="u")
        call = Call(question=question, prompt_version="p@1", key_id="k", tenant_id="loc_1", request_id="r")
        return (await self.upstream.ask(call, lambda: seconds)).content


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
    assert row.cost_microusd == house.day.spent_microusd > 50


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
    await house.recorder.read_spent()
    await asyncio.gather(*(house.ask() for _ in range(10)))
    assert most == 1


async def test_hundred_at_once_with_money_for_one_make_one_call():
    async def costly(_: Question) -> bytes:
        await asyncio.sleep(0)
        return message("x", usage={"input_tokens": 300, "output_tokens": 100})

    house = House(*[costly] * 100, limit=100)
    await house.recorder.read_spent()
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
    assert house.day.spent_microusd == 30
    house.ledger.lost = False
    assert await house.recorder.write()
    await house.recorder.read_spent()
    assert house.day.spent_microusd == 30
    assert len(house.ledger.rows) == 2


async def test_nothing_is_asked_when_nobody_can_account_for_it(monkeypatch: pytest.MonkeyPatch):
    assert MOST_WAITING == 10_000
    monkeypatch.setattr("services.cache.ledger.MOST_WAITING", 1)
    house = House(message("x"), message("y"))
    await house.ask()
    with pytest.raises(BudgetExhausted) as caught:
        await house.ask()
    assert caught.value.metadata["budget"] == "unrecorded_calls"
