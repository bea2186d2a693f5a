"""Who answers when Claude does not: the student, less sure than usual, once, and marked as such."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from kit.errors import BudgetExhausted, ModelUnavailable
from kit.prompt_file import parse
from services.cache.analyze import Analysed, Analyses, Utterance
from services.cache.canonical import State
from services.cache.complete import Completions
from services.cache.generations import Generations, MemoryGenerationStore, key_tag
from services.cache.labels import LabelWriter, MemoryLabelStore
from services.cache.lease import Turns
from services.cache.model import MemoryModel, ModelFailed, Scripted
from services.cache.prompts import make_prompt
from services.cache.student import Guess, NoStudent
from services.cache.tier_memory import MemoryTier
from services.cache.tiers import Tiers
from tests.support.analyses import PROMPT, analysis
from tests.support.claude_script import message
from tests.support.mutations import upstream

ANALYSES = make_prompt(1, parse(PROMPT).body)
DOWN = ModelFailed("OVERLOADED", retryable=False, may_cost=False)
SELL, BUY = analysis("sell", words=""), analysis("buy", words="")


class Unsure(NoStudent):
    """Answers only where nobody else does."""

    def __init__(self, *, sure: bool = False) -> None:
        self.asked: list[bool] = []
        self._sure = sure

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
        """Return that they sell."""
        self.asked.append(loose)
        return Guess(analysis=SELL, score=0.6, version="light-1", loose=loose) if loose or self._sure else None


class House:
    def __init__(self, student: NoStudent, *script: Scripted, money: int = 10**9) -> None:
        self.model = MemoryModel(*script)
        self.labels = MemoryLabelStore()
        self.writer = LabelWriter(self.labels)
        self.generations = Generations(MemoryGenerationStore(), None, seconds=lambda: 0.0, forget=lambda: None)

        def now() -> datetime:
            return datetime(2026, 11, 27, 12, tzinfo=UTC)

        tiers = Tiers(MemoryTier(10**6), None, clock=now, luck=lambda: 0.0, generations=self.generations)
        completions = Completions(tiers, upstream(self.model, now, money=money), total_seconds=10.0, turns=Turns(None))
        self._analyses = Analyses(completions, student, self.writer)

    async def ask(self) -> Analysed:
        wanted = Utterance(
            tenant_id="loc_1",
            contact_id="c_1",
            prompt=ANALYSES.name,
            label="production",
            texts=("I want to buy",),
            state=State(),
            own=(),
        )
        return await self._analyses.analyse(wanted, ANALYSES, request_id="r", seconds=None)


async def test_student_answers_for_a_claude_that_is_down_and_nothing_of_it_is_kept():
    house = House(Unsure(), DOWN, message(BUY))
    first = (await house.ask()).answered
    assert (first.tier, first.fallback, first.score, first.model) == ("STUDENT", True, 0.6, "light-1")
    second = (await house.ask()).answered
    assert (second.tier, second.fallback, second.content) == (
        "UPSTREAM",
        False,
        BUY.replace(", ", ",").replace(": ", ":"),
    )
    await house.writer.write()
    assert [kept.label.source for kept in house.labels.kept.values()] == ["upstream"]


async def test_student_answers_where_the_money_is_used_up():
    house = House(Unsure(), message(BUY), money=1)
    assert (await house.ask()).answered.fallback
    assert house.model.questions == []


@pytest.mark.parametrize(
    "refused", [message(BUY, stop_reason="refusal"), message(BUY, stop_reason="max_tokens"), b"<html>"]
)
async def test_refusal_of_claude_stays_one(refused: bytes):
    student = Unsure()
    with pytest.raises(ModelUnavailable):
        await House(student, refused).ask()
    assert student.asked == [False]


async def test_student_that_is_sure_answers_as_ever():
    house = House(Unsure(sure=True), DOWN)
    said = (await house.ask()).answered
    assert (said.tier, said.fallback) == ("STUDENT", False)
    assert house.model.questions == []


async def test_what_a_person_called_wrong_is_left_to_claude_even_then():
    student = Unsure()
    house = House(student, DOWN, DOWN)
    wrong = (await house.ask()).answered
    student.asked.clear()
    await house.generations.invalidate([key_tag(wrong.key_id)])
    with pytest.raises(ModelUnavailable):
        await house.ask()
    assert student.asked == []


async def test_caller_hears_what_claude_met_where_the_student_is_silent_too():
    with pytest.raises(ModelUnavailable) as caught:
        await House(NoStudent(), DOWN).ask()
    assert caught.value.metadata["defect"] == "OVERLOADED"
    with pytest.raises(BudgetExhausted):
        await House(NoStudent(), message(BUY), money=1).ask()
