"""Answer a prompt: memory, then Redis, then Claude; overlapping requests for the same share the way."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from kit.prompt_file import fill
from services.cache import metrics
from services.cache.canonical import Key, key
from services.cache.entry import new_entry
from services.cache.flight import Flight, Shared
from services.cache.model import Question
from services.cache.prompts import Prompt
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


@dataclass(frozen=True, kw_only=True)
class Answered:
    """What it gets."""

    content: str
    tier: str
    """L1, L2, L3 or UPSTREAM."""
    prompt_version: str
    model: str
    key_id: str
    age_seconds: float = 0.0
    cost_microusd: int = 0
    saved_microusd: int = 0
    input_tokens: int = 0
    output_tokens: int = 0


class Completions:
    """Answers prompts.

    Args:
        tiers: Where answers are kept.
        upstream: Who writes new ones.
        total_seconds: The most that one request waits.
    """

    def __init__(self, tiers: Tiers, upstream: Upstream, *, total_seconds: float) -> None:
        self._tiers = tiers
        self._upstream = upstream
        self._total_seconds = total_seconds
        self._flight: Flight[Hit | Written] = Flight()

    async def answer(self, wanted: Wanted, prompt: Prompt, *, request_id: str, seconds: float | None) -> Answered:
        """Return the answer to a prompt with exactly its variables.

        Args:
            wanted: The request.
            prompt: The version that its label points at.
            request_id: For the record of calls to the model.
            seconds: How much time the caller has; None means as much as it takes.

        Raises:
            BudgetExhausted: Nothing is stored and the budget for the model is used up.
            ModelUnavailable: Nothing is stored and no answer came that may be used.
        """
        named = key_of(wanted, prompt)
        near = await self._tiers.near_hit(named)
        if near is not None:
            return _from_hit(near)
        until = asyncio.get_running_loop().time() + min(self._total_seconds, seconds or self._total_seconds)
        found, leads = await self._flight.share(
            named.key_id, lambda shared: self._fetch(named, wanted, prompt, request_id, shared), until=until
        )
        if not leads:
            metrics.SHARED.inc()
        if isinstance(found, Hit):
            return _from_hit(found)
        return _from_model(found, named, prompt, leads=leads)

    async def close(self) -> None:
        """Give up what is under way."""
        await self._flight.close()

    async def _fetch(
        self, named: Key, wanted: Wanted, prompt: Prompt, request_id: str, shared: Shared[Hit | Written]
    ) -> Hit | Written:
        far = await self._tiers.far_hit(named)
        if far is not None:
            return far
        call = Call(
            question=Question(
                model=prompt.model,
                max_tokens=prompt.max_tokens,
                effort=prompt.effort,
                schema=prompt.schema,
                system=prompt.system,
                user=fill(prompt.user, wanted.variables),
            ),
            prompt_version=prompt.prompt_version,
            key_id=named.key_id,
            tenant_id=wanted.tenant_id,
            request_id=request_id,
        )
        written = await self._upstream.ask(call, lambda: shared.seconds_left() - STORE_SECONDS)
        await self._tiers.store(
            new_entry(
                named,
                content=written.content,
                prompt_version=prompt.prompt_version,
                model=prompt.model,
                cost_microusd=written.cost_microusd,
                now=self._tiers.now,
                luck=self._tiers.luck(),
            )
        )
        return written


def key_of(wanted: Wanted, prompt: Prompt) -> Key:
    """Return the key of a request: with the contact in it when the prompt's variables hold a person's words."""
    return key(
        tenant_id=wanted.tenant_id,
        contact_id=None if prompt.scope == "tenant" else wanted.contact_id,
        prompt=prompt.name,
        version=prompt.version,
        model=prompt.model,
        parameters={"max_tokens": prompt.max_tokens, "effort": prompt.effort},
        schema_hash=prompt.schema_hash,
        variables=wanted.variables,
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
    )


def _from_model(written: Written, named: Key, prompt: Prompt, *, leads: bool) -> Answered:
    """Only the caller that started the call bears its cost, so that sums over callers are right."""
    tokens = written.tokens
    return Answered(
        content=written.content,
        tier="UPSTREAM",
        prompt_version=prompt.prompt_version,
        model=prompt.model,
        key_id=named.key_id,
        cost_microusd=written.cost_microusd if leads else 0,
        input_tokens=tokens.input + tokens.cache_write + tokens.cache_read if leads else 0,
        output_tokens=tokens.output if leads else 0,
    )
