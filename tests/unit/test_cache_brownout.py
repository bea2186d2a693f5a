"""Who answers when Claude does not: the student, less sure than usual, once, and marked as such."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
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
from services.cache.student_watch import AUDIT_EVERY, Watch
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


class Watched(Unsure):
    """Is sure, and watched as the student that learns is."""

    def __init__(self) -> None:
        super().__init__(sure=True)
        self.watch = Watch(target=0.01, strange=0.2)

    async def guess(self, *asked: Any, loose: bool = False, **of: Any) -> Guess | None:
        """Return that they sell."""
        found = await super().guess(*asked, loose=loose, **of)
        if found is None or self.watch.is_open:
            return None
        if loose or self.watch.owes_audits:
            return replace(found, withheld=not loose, served=self.watch.served)
        return replace(found, stands_for=self.watch.audits_next(), served=self.watch.served)

    def audited(self, prompt_version: str, guess: Guess, *, tenant_id: str, wrong: bool) -> None:
        """Tell the watch."""
        self.watch.audited(wrong=wrong, served=guess.served)


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

    async def ask(self, text: str = "I want to buy") -> Analysed:
        wanted = Utterance(
            tenant_id="loc_1",
            contact_id="c_1",
            prompt=ANALYSES.name,
            label="production",
            texts=(text,),
            state=State(),
            own=(),
        )
        return await self._analyses.analyse(wanted, ANALYSES, request_id="r", seconds=None)

    async def quiet(self) -> None:
        """Wait until no audit is under way."""
        await asyncio.gather(*self._analyses._audits)


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


SAID = [f"I want to buy {what}" for what in ("a house", "a home", "a condo", "land", "a farm", "something", "a loft")]


async def test_student_whose_audits_fail_serves_nineteen_answers_and_then_none_that_is_not_marked():
    house = House(Watched(), *[DOWN] * 60)
    served = []
    for number in range(25):
        served.append((await house.ask(f"{SAID[number % 7]} {number}")).answered)
        await house.quiet()
    assert [each.tier for each in served] == ["STUDENT"] * 25
    assert [each.fallback for each in served] == [False] * AUDIT_EVERY + [True] * (25 - AUDIT_EVERY)


@pytest.mark.parametrize(("claude", "goes_on"), [(SELL, True), (BUY, False)])
async def test_audit_that_is_owed_is_made_of_the_next_answer_that_claude_gives(claude: str, goes_on: bool):
    student = Watched()
    refused = message(BUY, stop_reason="refusal")
    house = House(student, *[refused] * AUDIT_EVERY, message(claude))
    for number in range(AUDIT_EVERY):
        await house.ask(f"{SAID[number % 7]} {number}")
        await house.quiet()
    assert (await house.ask("I want to buy now")).answered.tier == "UPSTREAM"
    assert student.watch.audits == (1, 0 if goes_on else 1)
    assert student.watch.owes_audits is not goes_on


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
