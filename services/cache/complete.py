"""Answer a prompt: memory, then Redis, then Claude; overlapping requests for the same share the way."""

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from os import urandom
from typing import Final, Protocol

from kit.errors import BudgetExhausted, ModelUnavailable
from kit.prompt_file import fill
from services.cache import metrics
from services.cache.canonical import Key, key, tag
from services.cache.entry import About, new_entry
from services.cache.flight import Flight, Shared
from services.cache.ladder import goes_on
from services.cache.lease import Turns
from services.cache.limits import Priority
from services.cache.model import Question
from services.cache.prompts import Prompt
from services.cache.student import Guess
from services.cache.tiers import Hit, Tiers
from services.cache.upstream import Call, Upstream, Written

STORE_SECONDS: Final = 0.15
"""What is kept back for storing an answer in a Redis that hangs, so that the answer is not lost with it."""


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What a caller asked for."""

    tenant_id: str
    contact_id: str
    prompt: str
    label: str
    variables: Mapping[str, str]
    tags: tuple[str, ...] = ()
    """What the answer is about, in the caller's words, to be invalidated by."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A request with everything that decides about its answer and about who shares it."""

    key: Key
    prompt: Prompt
    variables: Mapping[str, str]
    tenant_id: str
    contact_id: str
    """Whose words the answer holds; empty when it holds nobody's, so that all of the tenant share it."""
    request_id: str
    about: tuple[str, ...] = ()
    """What the answer is about, in the caller's words."""
    told: Mapping[str, object] = field(default_factory=dict)
    """What else the key is made of and may be told to people."""

    # The rest is for new answers: a stored one has its own.

    @cached_property
    def owner(self) -> str:
        """The tag of the contact whose words the answer holds; empty when it holds nobody's."""
        return tag("contact", self.tenant_id, self.contact_id) if self.contact_id else ""

    @cached_property
    def tags(self) -> tuple[str, ...]:
        """What the answer can be invalidated by."""
        everybodys = tag("prompt", self.prompt.name), tag("tenant", self.tenant_id)
        named = (tag("tag", self.tenant_id, name) for name in self.about)
        return (*everybodys, *((self.owner,) if self.owner else ()), *named)

    @cached_property
    def basis(self) -> str:
        """What the key was made of, as JSON, without a word of a person's."""
        fields = {
            "scope": "contact" if self.contact_id else "tenant",
            "prompt_version": self.prompt.prompt_version,
            "model": self.prompt.model,
            "max_tokens": self.prompt.max_tokens,
            "effort": self.prompt.effort,
            "schema_hash": self.prompt.schema_hash,
        }
        return json.dumps(fields | dict(self.told), ensure_ascii=False, sort_keys=True)


@dataclass(frozen=True, kw_only=True)
class Answered:
    """What it gets."""

    content: str
    tier: str
    """L1, L2, L3, STUDENT or UPSTREAM."""
    prompt_version: str
    model: str
    key_id: str
    score: float = 0.0
    """How sure the student is."""
    age_seconds: float = 0.0
    cost_microusd: int = 0
    saved_microusd: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    fallback: bool = False
    """A smaller model wrote it, or the student less sure than usual, in the place of the prompt's own model."""
    basis: str = "{}"
    """What the key was made of, as JSON, without a word of a person's."""
    answer_id: str = field(default_factory=lambda: urandom(16).hex())
    """Names this very answer, where `key_id` names all that are the same."""


class Guesser(Protocol):
    """The student, about one question."""

    async def __call__(self, *, loose: bool) -> Guess | None:
        """Return what it is sure enough of; `loose` when nobody else answers."""


class Completions:
    """Answers prompts.

    Args:
        tiers: Where answers are kept.
        upstream: Who writes new ones.
        total_seconds: The most that one request waits.
        turns: Keeps other replicas from asking the same at the same time.
    """

    def __init__(self, tiers: Tiers, upstream: Upstream, *, total_seconds: float, turns: Turns) -> None:
        self._tiers = tiers
        self._upstream = upstream
        self._total_seconds = total_seconds
        self._turns = turns
        self._flight: Flight[Hit | Guess | Written] = Flight()

    async def answer(self, wanted: Wanted, prompt: Prompt, *, request_id: str, seconds: float | None) -> Answered:
        """Return the answer to a prompt with exactly its variables; see `ask`."""
        return await self.ask(asked(wanted, prompt, request_id=request_id), seconds=seconds)

    async def ask(
        self,
        asked: Asked,
        *,
        seconds: float | None,
        guess: Guesser | None = None,
        check: Callable[[str], str] = str,
    ) -> Answered:
        """Return an answer, from the nearest place that has one.

        Args:
            asked: The request.
            seconds: How much time the caller has; None means as much as it takes.
            guess: Who is tried between Redis and Claude, and once more when Claude does not answer.
            check: Returns what Claude wrote as it may be served and stored, or raises ModelUnavailable.

        Raises:
            BudgetExhausted: Nothing is stored and the budget for the model is used up.
            ModelUnavailable: Nothing is stored and no answer came that may be used.
        """
        near = await self._tiers.near_hit(asked.key)
        if near is not None:
            return _from_hit(near)
        until = asyncio.get_running_loop().time() + min(self._total_seconds, seconds or self._total_seconds)
        found, leads = await self._flight.share(
            asked.key.key_id, lambda shared: self._fetch(asked, shared, guess, check), until=until
        )
        if not leads:
            metrics.SHARED.inc()
        if isinstance(found, Hit):
            return _from_hit(found)
        if isinstance(found, Guess):
            return _from_student(found, asked)
        return _from_model(found, asked, leads=leads)

    async def write(
        self,
        asked: Asked,
        seconds_left: Callable[[], float],
        check: Callable[[str], str],
        *,
        priority: Priority = Priority.LIVE,
    ) -> Written:
        """Ask Claude, and keep the answer, unless a smaller model gave it.

        Raises:
            BudgetExhausted: The budget for the model is used up.
            ModelUnavailable: No answer came that may be used.
        """
        prompt, generation = asked.prompt, self._tiers.generation
        call = Call(
            question=Question(
                model=prompt.model,
                max_tokens=prompt.max_tokens,
                effort=prompt.effort,
                schema=prompt.schema,
                system=prompt.system,
                user=fill(prompt.user, asked.variables),
            ),
            prompt_version=prompt.prompt_version,
            key_id=asked.key.key_id,
            tenant_id=asked.tenant_id,
            request_id=asked.request_id,
            priority=priority,
        )
        written = await self._upstream.ask(call, lambda: seconds_left() - STORE_SECONDS)
        written = replace(written, content=check(written.content))
        if written.fallback:
            return written
        entry = new_entry(
            asked.key,
            content=written.content,
            prompt_version=prompt.prompt_version,
            model=prompt.model,
            cost_microusd=written.cost_microusd,
            now=self._tiers.now,
            luck=self._tiers.luck(),
            about=About(tags=asked.tags, generation=generation, basis=asked.basis),
        )
        await self._tiers.store(entry, owner=asked.owner)
        return written

    async def close(self) -> None:
        """Give up what is under way."""
        await self._flight.close()

    async def _fetch(
        self,
        asked: Asked,
        shared: Shared[Hit | Guess | Written],
        guess: Guesser | None,
        check: Callable[[str], str],
    ) -> Hit | Guess | Written:
        far = await self._tiers.far_hit(asked.key)
        if far is not None:
            return far
        # A word that the answer was wrong is against the student's as well; Claude is asked.
        if self._tiers.was_removed(asked.key.key_id):
            guess = None
        guessed = None if guess is None else await guess(loose=False)
        if guessed is not None:
            return guessed
        try:
            return await self._turns.one(
                asked.key.key_id,
                look=lambda: self._tiers.far_hit(asked.key),
                ask=lambda: self.write(asked, shared.seconds_left, check),
                seconds_left=shared.seconds_left,
            )
        except (BudgetExhausted, ModelUnavailable) as failure:
            guessed = None if guess is None or not goes_on(failure) else await guess(loose=True)
            if guessed is None:
                raise
            return guessed


def asked(wanted: Wanted, prompt: Prompt, *, request_id: str) -> Asked:
    """Say who shares the answer to a request: the tenant, unless the prompt's variables hold a person's words."""
    return make_asked(
        prompt,
        tenant_id=wanted.tenant_id,
        contact_id=wanted.contact_id,
        variables=wanted.variables,
        shared=prompt.scope == "tenant",
        request_id=request_id,
        about=wanted.tags,
    )


def make_asked(
    prompt: Prompt,
    *,
    tenant_id: str,
    contact_id: str,
    variables: Mapping[str, str],
    shared: bool,
    request_id: str,
    about: tuple[str, ...] = (),
    told: Mapping[str, object] | None = None,
) -> Asked:
    """Put a request together.

    Args:
        prompt: The version that is asked.
        tenant_id: The CRM location.
        contact_id: Who it is about.
        variables: What fills the prompt.
        shared: Whether all contacts of the tenant share the answer.
        request_id: For the record of calls to the model.
        about: What the answer can be invalidated by, beside prompt, tenant and contact.
        told: What else the key is made of and may be told to people.
    """
    return Asked(
        key=key(
            tenant_id=tenant_id,
            contact_id=None if shared else contact_id,
            prompt=prompt.name,
            version=prompt.version,
            model=prompt.model,
            parameters={"max_tokens": prompt.max_tokens, "effort": prompt.effort},
            schema_hash=prompt.schema_hash,
            variables=variables,
        ),
        prompt=prompt,
        variables=variables,
        tenant_id=tenant_id,
        contact_id="" if shared else contact_id,
        request_id=request_id,
        about=about,
        told=told or {},
    )


def _from_hit(hit: Hit) -> Answered:
    entry = hit.entry
    return Answered(
        content=entry.content,
        tier=hit.tier,
        prompt_version=entry.prompt_version,
        model=entry.model,
        key_id=entry.key_id,
        age_seconds=hit.age_seconds,
        saved_microusd=entry.cost_microusd,
        basis=entry.basis,
    )


def _from_student(guess: Guess, asked: Asked) -> Answered:
    return Answered(
        content=guess.analysis,
        tier="STUDENT",
        prompt_version=asked.prompt.prompt_version,
        model=guess.version,
        key_id=asked.key.key_id,
        score=guess.score,
        fallback=guess.loose,
        basis=asked.basis,
    )


def _from_model(written: Written, asked: Asked, *, leads: bool) -> Answered:
    """Only the caller that started the call bears its cost, so that sums over callers are right."""
    tokens = written.tokens
    return Answered(
        content=written.content,
        tier="UPSTREAM",
        prompt_version=asked.prompt.prompt_version,
        model=written.model,
        key_id=asked.key.key_id,
        fallback=written.fallback,
        basis=asked.basis,
        cost_microusd=written.cost_microusd if leads else 0,
        input_tokens=tokens.input + tokens.cache_write + tokens.cache_read if leads else 0,
        output_tokens=tokens.output if leads else 0,
    )
