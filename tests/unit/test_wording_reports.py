"""What a bot's turn gets of a report on a refused template: nothing, neither its time nor its failure."""

import asyncio
from typing import Any

from porchlight.cache.v1 import cache_service_pb2 as pb

from kit.bot.plan import Part
from kit.bot.wording import Wordings
from kit.errors import StoreUnavailable

PARTS = (Part(name="noted", written="Got it: {area}.", values={"area": "in Ballard"}),)


class Cache:
    """Gives what is no template, and takes reports when it is let."""

    def __init__(self) -> None:
        self.let = asyncio.Event()
        self.told: list[pb.FeedbackRequest] = []

    async def Complete(self, _request: Any, *, timeout: float) -> pb.CompleteResponse:
        return pb.CompleteResponse(content="Sure!", key_id="k_1", answer_id="a_1")

    async def Feedback(self, request: Any, *, timeout: float) -> pb.FeedbackResponse:
        self.told.append(request)
        await self.let.wait()
        raise StoreUnavailable("postgres does not answer", store="postgres")


async def test_turn_neither_waits_for_the_report_of_a_refused_template_nor_fails_with_it() -> None:
    cache = Cache()
    wordings = Wordings("lead.reply", cache, turned_on=True)  # type: ignore[arg-type]
    causes = [(await wordings.word("loc_1", contact, PARTS)).cause for contact in ("c_1", "c_2")]
    (report,) = wordings._reporting.values()
    cache.let.set()
    await report
    assert causes == ["TEMPLATE_NOT_A_TEMPLATE"] * 2
    assert cache.told == [pb.FeedbackRequest(tenant_id="loc_1", answer_id="a_1", verdict=pb.VERDICT_WRONG)]
