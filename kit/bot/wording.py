"""Ask the model, through the cache service, for other words for a plan; without it the written ones go out."""

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from porchlight.cache.v1 import cache_service_pb2 as pb
from porchlight.cache.v1 import cache_service_pb2_grpc as pb_grpc

from kit.bot import plan, wire
from kit.bot.plan import BadTemplate, Part
from kit.errors import PorchlightError
from kit.log import get_logger
from kit.rpc import client, context

log = get_logger()

WORDING_SECONDS: Final = 5.0
KEPT_SECONDS: Final = 2.0
"""Of a turn's time, for the store and the way back."""
LEAST_SECONDS: Final = 0.3
REPORT_SECONDS: Final = 2.0
REPORTS_MOST: Final = 2
"""Of refused templates for one plan. A plan whose template fails again and again is left with the refusal: each report
costs a call."""
PLANS_MOST: Final = 1_000
"""That are remembered as reported; the oldest is forgotten first."""


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
        self._reported: OrderedDict[str, int] = OrderedDict()
        """Plan, as the key of its answers, to the number of reports."""
        self._reporting: dict[str, asyncio.Task[None]] = {}

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
            self._report(tenant_id, answer)
        return Worded(
            words=words,
            cause=cause,
            prompt_version=answer.prompt_version,
            cache_tier=wire.tier(answer),
            cost_microusd=answer.cost_microusd,
        )

    def _report(self, tenant_id: str, answer: pb.CompleteResponse) -> None:
        """Tell the cache, beside the turn, that an answer is no template, so that the next turn gets another one."""
        key = answer.key_id
        if key in self._reporting or self._reported.get(key, 0) >= REPORTS_MOST:
            return
        self._reported[key] = self._reported.pop(key, 0) + 1
        if len(self._reported) > PLANS_MOST:
            self._reported.popitem(last=False)
        task = self._reporting[key] = asyncio.create_task(self._tell_wrong(tenant_id, answer.answer_id))
        task.add_done_callback(lambda _: self._reporting.pop(key))

    async def _tell_wrong(self, tenant_id: str, answer_id: str) -> None:
        request = pb.FeedbackRequest(tenant_id=tenant_id, answer_id=answer_id, verdict=pb.VERDICT_WRONG)
        try:
            await client.call(self._stub.Feedback, request, seconds=REPORT_SECONDS)
        except PorchlightError as error:
            # The refusal then stands until the answer ends, which costs nothing but variety.
            log.warning("refusal.unreported", answer_id=answer_id, reason=error.reason)
