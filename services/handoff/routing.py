"""Ask targets whether they take a contact, and act on what they answer.

Any number of arbiters may do this side by side: an offer is claimed for a while by
one of them, ownership changes hands by a compare-and-set in the ledger, and nothing
is locked while a bot answers. The replica that approves claims the offer with the
approval and makes it at once; what a killed replica left behind is found, once its
claim has run out, by the next sweep of any other.
"""

import asyncio
import contextlib
import time
from collections.abc import Mapping
from datetime import timedelta
from typing import Final

import grpc
from porchlight.bot.v1 import bot_service_pb2 as bot_pb
from porchlight.bot.v1 import bot_service_pb2_grpc as bot_grpc

from kit import tickets
from kit.clock import Clock
from kit.crash import crash_point
from kit.errors import PorchlightError
from kit.log import describe, get_logger
from kit.rpc.client import call
from services.handoff.ledger import Ended, Ledger, Offer, Settled
from services.handoff.observed import Observed
from services.handoff.values import Handoff, TargetSeen

OFFERS_AT_ONCE: Final = 64
# A failed call is tried again soon: most often the target is just being restarted.
AGAIN_SECONDS: Final = 0.3
# More than a call and its redemption take, so that no second replica asks meanwhile.
LEASE_MARGIN_SECONDS: Final = 3.0
LONGEST_REASON: Final = 200

log = get_logger()


class Router:
    """Offers approved handoffs to their targets.

    Args:
        ledger: Holds the offers.
        channels: A channel to each bot, by its name.
        key: Signs the tickets.
        clock: The clock of tickets.
        offer_life: How long a target has to answer; also the life of a ticket.
        call_seconds: Deadline of one call.
        sweep_seconds: How often offers left behind are looked for.
    """

    def __init__(
        self,
        ledger: Ledger,
        channels: Mapping[str, grpc.aio.Channel],
        *,
        key: tickets.SigningKey,
        clock: Clock,
        offer_life: timedelta,
        call_seconds: float,
        sweep_seconds: float,
    ) -> None:
        self._ledger = ledger
        self._channels = channels
        self._bots = {bot: bot_grpc.BotServiceStub(channel) for bot, channel in channels.items()}
        self._key = key
        self._clock = clock
        self._offer_life = offer_life
        self._call_seconds = call_seconds
        self._sweep_seconds = sweep_seconds
        self._kicked = asyncio.Event()
        self._running: set[asyncio.Task[None]] = set()
        self._stopping = False
        self._next_sweep = 0.0
        self._observed = Observed(time.monotonic)

    def claim_seconds(self) -> float:
        """Return for how long an offer that is made now is claimed; 0 when this process makes no more."""
        full = self._stopping or len(self._running) >= OFFERS_AT_ONCE
        return 0.0 if full else self._call_seconds + LEASE_MARGIN_SECONDS

    def offer(self, offer: Offer) -> None:
        """Ask a target whose offer this process has claimed."""
        task = asyncio.create_task(self._make(offer))
        self._running.add(task)
        task.add_done_callback(self._made)

    def seen(self, bot: str) -> TargetSeen:
        """Return how a bot answered lately.

        The channel watches the bot's gRPC health, so one that is draining does not
        answer either.
        """
        channel = self._channels.get(bot)
        if channel is None:
            return TargetSeen(known=False)
        state = channel.get_state(try_to_connect=True)
        failing = state is grpc.ChannelConnectivity.TRANSIENT_FAILURE
        answers = True if state is grpc.ChannelConnectivity.READY else False if failing else None
        return self._observed.of(bot, answers=answers)

    def probe(self, bot: str) -> None:
        """Note that a request goes to a bot that was sick."""
        self._observed.probe(bot)

    async def work(self, stop: asyncio.Event) -> None:
        """Make offers until `stop` is set; then finish those that are being made."""
        for bot in self._channels:
            self.seen(bot)
        stopping = asyncio.create_task(self._kick_at(stop))
        while not stop.is_set():
            self._kicked.clear()
            try:
                await self._round()
            except PorchlightError as error:
                log.warning("handoff.failed", reason=error.reason)
            # Protects the loop, without which approved contacts would wait for ever.
            except Exception as error:  # noqa: BLE001
                log.error("handoff.failed", worker="routing", **describe(error))
            await self._kicked_or_late()
        await stopping
        if self._running:
            await asyncio.wait(self._running)

    async def _kick_at(self, stop: asyncio.Event) -> None:
        await stop.wait()
        self._stopping = True
        self._kicked.set()

    async def _kicked_or_late(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._sweep_seconds):
                await self._kicked.wait()

    async def _round(self) -> None:
        now = asyncio.get_running_loop().time()
        if now >= self._next_sweep:
            self._next_sweep = now + self._sweep_seconds
            for handoff_id in await self._ledger.expire_offers(limit=OFFERS_AT_ONCE):
                log.info("handoff.expired", handoff_id=handoff_id)
        free = OFFERS_AT_ONCE - len(self._running)
        if free <= 0:
            return
        lease = self._call_seconds + LEASE_MARGIN_SECONDS
        for offer in await self._ledger.claim_offers(limit=free, lease_seconds=lease):
            self.offer(offer)

    def _made(self, task: asyncio.Task[None]) -> None:
        if len(self._running) >= OFFERS_AT_ONCE:
            self._kicked.set()
        self._running.discard(task)

    async def _make(self, offer: Offer) -> None:
        try:
            await self._ask(offer)
        except PorchlightError as error:
            # The claim runs out and somebody asks again, until the offer ends.
            log.warning(
                "handoff.failed",
                handoff_id=offer.handoff.handoff_id,
                reason=error.reason,
            )
        # Protects the other offers and the process from one that breaks.
        except Exception as error:  # noqa: BLE001
            log.error("handoff.failed", handoff_id=offer.handoff.handoff_id, **describe(error))

    async def _ask(self, offer: Offer) -> None:
        handoff = offer.handoff
        target = self._bots.get(handoff.target_bot)
        if target is None:
            await self._ledger.postpone_offer(handoff.handoff_id, seconds=self._offer_life.total_seconds())
            return
        request = bot_pb.OfferHandoffRequest(ticket=self._ticket(offer), capsule=offer.capsule)
        began = time.monotonic()
        crash_point("handoff.before_offer")
        try:
            response = await call(target.OfferHandoff, request, seconds=self._call_seconds)
            self._observed.saw(handoff.target_bot, ok=True, seconds=time.monotonic() - began)
        except PorchlightError as error:
            self._observed.saw(handoff.target_bot, ok=False, seconds=time.monotonic() - began)
            _log("handoff.failed", handoff, reason=error.reason, attempt=offer.attempt)
            await self._ledger.postpone_offer(handoff.handoff_id, seconds=AGAIN_SECONDS)
            return
        crash_point("handoff.after_offer")
        if response.answer == bot_pb.OFFER_ANSWER_ACCEPT:
            settled = await self._ledger.redeem(handoff.handoff_id, epoch=handoff.epoch)
            crash_point("handoff.after_redeem")
            _log_settled("handoff.accepted", handoff, settled)
        elif response.answer == bot_pb.OFFER_ANSWER_DECLINE:
            settled = await self._ledger.decline(handoff.handoff_id, reason=response.reason[:LONGEST_REASON])
            _log_settled("handoff.declined", handoff, settled)
        else:
            # DEFER, or an answer of a newer contract: the target calls, or the offer ends.
            await self._ledger.postpone_offer(handoff.handoff_id, seconds=self._offer_life.total_seconds())
            _log("handoff.deferred", handoff)

    def _ticket(self, offer: Offer) -> bot_pb.Ticket:
        handoff = offer.handoff
        names = bot_pb.TicketPayload(
            handoff_id=handoff.handoff_id,
            tenant_id=handoff.tenant_id,
            contact_id=handoff.contact_id,
            source_bot=handoff.source_bot,
            target_bot=handoff.target_bot,
            epoch=handoff.epoch,
            policy_version=handoff.policy_version,
        )
        return tickets.sign(names, key=self._key, capsule=offer.capsule, now=self._clock(), life=self._offer_life)


def _log_settled(event: str, handoff: Handoff, settled: Settled) -> None:
    if settled.ended is Ended.DONE:
        _log(event, handoff)
    else:
        # Somebody was faster: the offer ended, a person took over, the answer came twice.
        _log(
            "ticket.refused",
            handoff,
            state=settled.state.value if settled.state else "UNKNOWN",
        )


def _log(event: str, handoff: Handoff, **facts: object) -> None:
    log.info(
        event,
        handoff_id=handoff.handoff_id,
        contact_id=handoff.contact_id,
        source_bot=handoff.source_bot,
        target_bot=handoff.target_bot,
        epoch=handoff.epoch,
        **facts,
    )
