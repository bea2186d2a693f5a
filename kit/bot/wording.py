"""Ask the model, through the cache service, for other words for a plan; without it the written ones go out."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from porchlight.cache.v1 import cache_service_pb2 as pb
from porchlight.cache.v1 import cache_service_pb2_grpc as pb_grpc

from kit.bot import plan, wire
from kit.bot.plan import BadTemplate, Part
from kit.errors import PorchlightError
from kit.rpc import client, context

WORDING_SECONDS: Final = 5.0
KEPT_SECONDS: Final = 2.0
"""Of a turn's time, for the store and the way back."""
LEAST_SECONDS: Final = 0.3


@dataclass(frozen=True, kw_only=True, slots=True)
class Worded:
    """Words for the parts of a plan, or why there are none."""

    words: dict[str, str] = field(default_factory=dict)
    """Part to template; empty when the written words stand."""
    cause: str = ""
    """Why there are none, as a code."""
    prompt_version: str = ""
    cache_tier: str = "NONE"
    cost_microusd: int = 0


class Wordings:
    """Asks one bot's reply prompt.

    Args:
        prompt: Its name. Its variables hold a plan and nothing of a person, so its
            answers are shared by a tenant's contacts.
        stub: The way to the cache service.
        turned_on: Whether it is asked at all.
    """

    def __init__(self, prompt: str, stub: pb_grpc.CacheServiceStub, *, turned_on: bool) -> None:
        self._prompt = prompt
        self._stub = stub
        self._turned_on = turned_on

    async def word(self, tenant_id: str, contact_id: str, parts: Sequence[Part]) -> Worded:
        """Return checked words for the parts that are not fixed. Never fails: a cause says what kept them away."""
        if not self._turned_on:
            return Worded(cause="TURNED_OFF")
        if not plan.worded(parts):
            return Worded(cause="NOTHING_TO_WORD")
        left = context.remaining_seconds()
        seconds = WORDING_SECONDS if left is None else min(WORDING_SECONDS, left - KEPT_SECONDS)
        if seconds < LEAST_SECONDS:
            return Worded(cause="NO_TIME_LEFT")
        request = pb.CompleteRequest(
            tenant_id=tenant_id,
            contact_id=contact_id,
            prompt=self._prompt,
            variables={"plan": plan.describe(parts)},
        )
        try:
            answer: pb.CompleteResponse = await client.call(self._stub.Complete, request, seconds=seconds)
        except PorchlightError as error:
            return Worded(cause=error.reason)
        words, cause = {}, ""
        try:
            words = plan.read_template(answer.content, parts)
        except BadTemplate as bad:
            cause = f"TEMPLATE_{bad}"
        return Worded(
            words=words,
            cause=cause,
            prompt_version=answer.prompt_version,
            cache_tier=wire.tier(answer),
            cost_microusd=answer.cost_microusd,
        )
