"""Ask the model, through the cache service, what a person's words say; without it the rules stand alone."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from porchlight.cache.v1 import cache_service_pb2 as pb
from porchlight.cache.v1 import cache_service_pb2_grpc as pb_grpc

from kit import metrics
from kit.bot import reading, wire
from kit.bot.spec import BotSpec
from kit.crash import crash_point
from kit.errors import PorchlightError
from kit.lane import Fact, InboundMessage
from kit.log import get_logger
from kit.rpc import client, context

log = get_logger()

MODEL_SECONDS: Final = 12.0
KEPT_SECONDS: Final = 4.0
"""Of a turn's time, for the arbiter (2 s), the store and the way back."""
LEAST_SECONDS: Final = 0.3
VARIABLE_CHARS: Final = 12_000

FALLBACKS: Final = metrics.counter("bot_fallbacks", "Turns that the rules read alone.", ("bot", "cause"))


@dataclass(frozen=True, kw_only=True, slots=True)
class Extracted:
    """What the model found, and what that took."""

    facts: tuple[Fact, ...] = ()
    extractor: str = reading.RULES
    cache_tier: str = "NONE"
    cost_microusd: int = 0
    fallback_cause: str = ""
    """Why the rules stand alone, as a code; empty when the model answered."""


class Extractor:
    """Asks one bot's extraction prompt."""

    def __init__(self, spec: BotSpec, stub: pb_grpc.CacheServiceStub, *, use_model: bool) -> None:
        self._spec = spec
        self._stub = stub
        self._use_model = use_model

    async def extract(
        self,
        tenant_id: str,
        contact_id: str,
        messages: Sequence[InboundMessage],
        *,
        question: str,
        known: Mapping[str, Fact],
    ) -> Extracted:
        """Read facts out of messages. Never fails: what keeps the model away is named in the answer."""
        if not self._use_model:
            return self._without("TURNED_OFF")
        left = context.remaining_seconds()
        seconds = MODEL_SECONDS if left is None else min(MODEL_SECONDS, left - KEPT_SECONDS)
        if seconds < LEAST_SECONDS:
            return self._without("NO_TIME_LEFT")
        request = pb.CompleteRequest(
            tenant_id=tenant_id,
            contact_id=contact_id,
            prompt=self._spec.prompt,
            variables={
                "messages": "\n".join(message.text for message in messages)[-VARIABLE_CHARS:],
                "question": question,
                "known": _lines(known)[:VARIABLE_CHARS],
            },
        )
        asking = asyncio.ensure_future(client.call(self._stub.Complete, request, seconds=seconds))
        await asyncio.sleep(0)
        crash_point("bot.during_model_call")
        try:
            answer = await asking
        except PorchlightError as error:
            return self._without(error.reason)
        facts = reading.read_answer(
            answer.content, slots=self._spec.slots, messages=tuple(messages), extractor=answer.prompt_version
        )
        return Extracted(
            facts=facts,
            extractor=answer.prompt_version,
            cache_tier=wire.tier(answer),
            cost_microusd=answer.cost_microusd,
        )

    def _without(self, cause: str) -> Extracted:
        FALLBACKS.labels(self._spec.name, cause).inc()
        log.info("fallback.used", bot=self._spec.name, fallback_cause=cause, prompt=self._spec.prompt)
        return Extracted(fallback_cause=cause)


def _lines(known: Mapping[str, Fact]) -> str:
    return "\n".join(f"{name}: {fact.value}" for name, fact in sorted(known.items()))
