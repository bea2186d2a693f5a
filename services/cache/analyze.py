"""Analyse what a person wrote: mask it, then share the way of all others who wrote the same."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from kit.errors import InvalidField, ModelUnavailable, PorchlightError
from kit.log import get_logger
from kit.spans import Masked, OwnValue, Place
from services.cache import labels, metrics
from services.cache.analysis import NotOfTheText, check, quotes, substance
from services.cache.canonical import State
from services.cache.complete import Answered, Asked, Completions, make_asked
from services.cache.labels import Label, LabelWriter
from services.cache.limits import Priority
from services.cache.masks import Masks
from services.cache.prompts import Prompt
from services.cache.student import Guess, Student

log = get_logger()

VARIABLES: Final = frozenset({"asked", "known", "turn", "messages"})
"""The placeholders of a prompt for analyses."""
MOST_AUDITS: Final = 16
"""Audits under way; a guess that were to be audited beyond them is withheld, as nobody would know of a wrong one."""
AUDIT_SECONDS: Final = 12.0


@dataclass(frozen=True, kw_only=True)
class Utterance:
    """What a caller wants analysed."""

    tenant_id: str
    contact_id: str
    prompt: str
    label: str
    texts: tuple[str, ...]
    state: State
    own: tuple[OwnValue, ...]


@dataclass(frozen=True, kw_only=True)
class Analysed:
    """What it gets."""

    answered: Answered
    masked: Masked
    quotes: Mapping[str, Place]
    shared: bool


class Analyses:
    """Analyses utterances.

    Args:
        completions: The way to stored answers and to Claude.
        student: Tried between them.
        writer: Takes what Claude says of texts that may be shared.
    """

    def __init__(self, completions: Completions, student: Student, writer: LabelWriter) -> None:
        self._completions = completions
        self._student = student
        self._writer = writer
        self._masks = Masks()
        self._audits: set[asyncio.Task[None]] = set()

    async def analyse(self, wanted: Utterance, prompt: Prompt, *, request_id: str, seconds: float | None) -> Analysed:
        """Return what an utterance says.

        Raises:
            InvalidField: The prompt is none for analyses.
            BudgetExhausted: Nothing is stored and the budget for the model is used up.
            ModelUnavailable: Nothing is stored and no answer came that may be used.
        """
        if prompt.variables != VARIABLES or prompt.schema is None:
            limit = f"a schema, and the placeholders {', '.join(sorted(VARIABLES))}"
            raise InvalidField(
                f"{prompt.prompt_version} is no prompt for analyses: {limit}", field="prompt", limit=limit
            )
        masked = self._masks.mask(wanted.texts, wanted.own)
        shared = masked.own_free and prompt.scope == "tenant"
        asked = make_asked(
            prompt,
            tenant_id=wanted.tenant_id,
            contact_id=wanted.contact_id,
            variables={**wanted.state.variables(), "messages": masked.text},
            shared=shared,
            request_id=request_id,
            told={"state": _state(wanted.state), "masked": masked.text} if shared else {},
        )

        withheld: list[Guess] = []

        async def guess(*, loose: bool) -> Guess | None:
            found = await self._guess(asked, wanted.state, masked, shared=shared, loose=loose)
            if found is not None and found.withheld:
                withheld.append(found)
                return None
            return found

        answered = await self._completions.ask(
            asked, seconds=seconds, guess=guess, check=lambda content: _held("upstream", content, prompt, masked)
        )
        # Once for a call, by who started it; and the prompt's own model alone teaches.
        if answered.output_tokens and not answered.fallback:
            for each in withheld:
                self._compare(asked, each, answered.content)
            if shared:
                label = _label(asked, wanted.state, masked.text, answered.content, labels.UPSTREAM)
                self._writer.add(label)
                if not withheld:
                    self._student.missed(prompt.prompt_version, label.analysis, tenant_id=wanted.tenant_id)
        return Analysed(
            answered=answered, masked=masked, quotes=quotes(answered.content, prompt.schema, masked), shared=shared
        )

    async def close(self) -> None:
        """Give up the audits under way."""
        for task in self._audits:
            task.cancel()
        await asyncio.gather(*self._audits, return_exceptions=True)

    async def _guess(self, asked: Asked, state: State, masked: Masked, *, shared: bool, loose: bool) -> Guess | None:
        prompt = asked.prompt
        assert prompt.schema is not None
        guess = await self._student.guess(
            prompt.prompt_version, prompt.schema, state, masked.text, tenant_id=asked.tenant_id, loose=loose
        )
        if guess is None:
            return None
        try:
            guess = replace(guess, analysis=_held("student", guess.analysis, prompt, masked))
        except ModelUnavailable:
            return None
        if guess.stands_for:
            if len(self._audits) >= MOST_AUDITS:
                return replace(guess, withheld=True)
            task = asyncio.create_task(self._audit(asked, state, masked, guess, shared=shared))
            self._audits.add(task)
            task.add_done_callback(self._audits.discard)
        return guess

    async def _audit(self, asked: Asked, state: State, masked: Masked, guess: Guess, *, shared: bool) -> None:
        """Ask Claude what was guessed; its answer is stored, so the next one gets that."""
        prompt = asked.prompt
        assert prompt.schema is not None
        end = asyncio.get_running_loop().time() + AUDIT_SECONDS
        try:
            written = await self._completions.write(
                asked,
                lambda: end - asyncio.get_running_loop().time(),
                lambda content: _held("upstream", content, prompt, masked),
                priority=Priority.AUDIT,
            )
        except PorchlightError as failure:
            metrics.AUDITS.labels(prompt.name, failure.reason).inc()
            return
        if written.fallback:
            return
        wrong = self._compare(asked, guess, written.content)
        if shared:
            label = _label(asked, state, masked.text, written.content, labels.AUDIT)
            self._writer.add(replace(label, wrong=wrong, stands_for=guess.stands_for))

    def _compare(self, asked: Asked, guess: Guess, said: str) -> bool:
        """Tell the student what Claude says, and return whether its guess was wrong."""
        prompt = asked.prompt
        assert prompt.schema is not None
        wrong: bool = substance(said, prompt.schema) != substance(guess.analysis, prompt.schema)
        metrics.AUDITS.labels(prompt.name, "WRONG" if wrong else "RIGHT").inc()
        self._student.audited(prompt.prompt_version, guess, tenant_id=asked.tenant_id, wrong=wrong)
        return wrong


def _held(source: str, content: str, prompt: Prompt, masked: Masked) -> str:
    assert prompt.schema is not None
    try:
        return check(content, prompt.schema, masked)
    except NotOfTheText as error:
        metrics.REFUSED.labels(source, str(error)).inc()
        raise ModelUnavailable(f"the analysis does not come from its text: {error}", defect=str(error)) from None


def _state(state: State) -> dict[str, Any]:
    return {"asked": state.asked, "known": dict(state.known), "opening": state.opening}


def _label(asked: Asked, state: State, masked: str, analysis: str, source: str) -> Label:
    return Label(
        tenant_id=asked.tenant_id,
        prompt=asked.prompt.name,
        prompt_version=asked.prompt.version,
        schema_hash=asked.prompt.schema_hash,
        state=_state(state),
        masked=masked,
        analysis=json.loads(analysis),
        source=source,
        key_id=asked.key.key_id,
    )
