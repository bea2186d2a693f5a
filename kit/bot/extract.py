"""Ask the model, through the cache service, what a person's words say; without it the rules stand alone."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from porchlight.cache.v1 import cache_service_pb2 as pb
from porchlight.cache.v1 import cache_service_pb2_grpc as pb_grpc

from kit import metrics
from kit.bot import reading, wire
from kit.bot.bind import bind
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
TEXTS_MOST: Final = 20
OWN_CHARS: Final = 200
STUDENT_ALONE: Final = "STUDENT_ALONE"
"""Claude did not answer, and the student was less sure than it usually has to be."""
_DECIDING: Final = ("intent",)
_OWN: Final = {
    "first_name": pb.SPAN_KIND_NAME,
    "phone": pb.SPAN_KIND_PHONE,
    "email": pb.SPAN_KIND_EMAIL,
}

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
    answer_id: str = ""
    """The cache's answer, so that people can ask why it was given."""


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
        asked: str,
        known: Mapping[str, Fact],
        opening: bool,
        profile: Mapping[str, object],
    ) -> Extracted:
        """Read facts out of messages. Never fails: what keeps the model away is named in the answer.

        Args:
            tenant_id: The CRM location.
            contact_id: Who wrote.
            messages: What they wrote in this turn, oldest first.
            asked: The slot that was asked for last; empty when none was.
            known: What is known.
            opening: Whether a handoff brought the contact with this turn.
            profile: What the CRM says about the contact; masked where the messages hold it.
        """
        if not self._use_model:
            return self._without("TURNED_OFF")
        left = context.remaining_seconds()
        seconds = MODEL_SECONDS if left is None else min(MODEL_SECONDS, left - KEPT_SECONDS)
        if seconds < LEAST_SECONDS:
            return self._without("NO_TIME_LEFT")
        heard = tuple(messages)[-TEXTS_MOST:]
        request = pb.AnalyzeRequest(
            tenant_id=tenant_id,
            contact_id=contact_id,
            prompt=self._spec.prompt,
            texts=[message.text for message in heard],
            state=pb.DialogueState(asked=asked, known=_known(known), opening=opening),
            own_values=_own_values(profile),
        )
        asking = asyncio.ensure_future(client.call(self._stub.Analyze, request, seconds=seconds))
        await asyncio.sleep(0)
        crash_point("bot.during_model_call")
        try:
            answer = await asking
        except PorchlightError as error:
            return self._without(error.reason)
        facts = bind(wire.analysis(answer), slots=self._spec.slots, messages=heard, extractor=answer.prompt_version)
        alone = answer.fallback == pb.FALLBACK_STUDENT
        if alone:
            # Nobody could check it, so nothing that hangs on confidence, such as a handoff, may take it for Claude's.
            facts = tuple(replace(fact, confidence=min(fact.confidence, answer.score)) for fact in facts)
            log.info("fallback.used", bot=self._spec.name, fallback_cause=STUDENT_ALONE, prompt=self._spec.prompt)
        return Extracted(
            facts=facts,
            fallback_cause=STUDENT_ALONE if alone else "",
            extractor=answer.prompt_version,
            cache_tier=wire.tier(answer),
            cost_microusd=answer.cost_microusd,
            answer_id=answer.answer_id,
        )

    def _without(self, cause: str) -> Extracted:
        FALLBACKS.labels(self._spec.name, cause).inc()
        log.info("fallback.used", bot=self._spec.name, fallback_cause=cause, prompt=self._spec.prompt)
        return Extracted(fallback_cause=cause)


def _known(known: Mapping[str, Fact]) -> dict[str, str]:
    """Of what is known, only the side changes what words mean: a place is where one sells, or where one buys."""
    return {name: str(known[name].value) for name in _DECIDING if name in known}


def _own_values(profile: Mapping[str, object]) -> list[pb.OwnValue]:
    return [
        pb.OwnValue(kind=kind, value=value.strip()[:OWN_CHARS])
        for name, kind in _OWN.items()
        if isinstance(value := profile.get(name), str) and value.strip()
    ]
