"""Sends what waits in the outbox: claim, send, say what became of it.

The CRM has no idempotency key, so what may have reached it is looked up before it is
sent again: a text in the conversation, a note or a task by the reference that stands in
it; custom fields are just set again. The first look comes a lease after the sending, when
a request that was still on its way has landed. Why so: docs/adr/0009.
"""

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from kit import log, metrics, sms
from kit.clock import Clock, utc_now
from kit.crash import crash_point
from kit.errors import ServiceUnavailable, StoreUnavailable
from kit.lane import EFFECTS, Delivery, DeliveryResult, Lane
from services.gateway.addresses import Addresses
from services.gateway.crm import Crm, Fields, Note, SendResult, SendStatus, Task, Text
from services.gateway.dispatch import Bell
from services.gateway.effects import Parcel, parcel_of

LEASE: Final = timedelta(seconds=10)
SEND_SECONDS: Final = 5.5
"""What sending may take of the lease: 4 s for the CRM, 1 s for the rate limit, and some to tell."""
OLDEST: Final = timedelta(hours=24)
_WAIT_MOST_SECONDS: Final = 300.0

# All of them answer what the person wrote just now, or confirm it, which may be done
# at any hour. A text that we begin on our own (a follow-up) has quiet hours to keep:
# its kind does not exist yet, and is refused until the check does.
# Source: 47 CFR 64.1200(c)(1), calls before 8 a.m. or after 9 p.m.
ANSWERS: Final = frozenset({"REPLY", "OPT_OUT_CONFIRMATION", "OPT_IN_CONFIRMATION", "HELP"})

DELIVERIES: Final = metrics.counter("deliveries", "Texts by what became of an attempt.", ("result", "cause"))

logger = log.get_logger()


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """What is to be stored about an attempt."""

    result: DeliveryResult
    cause: str | None = None
    crm_message_id: str | None = None
    wait: timedelta = timedelta(0)
    needs_read_back: bool = False


class Deliverer:
    """A worker of the process.

    Args:
        live: Whether texts really go to the CRM; otherwise they are marked DRY_RUN.
        most: Texts on their way at once; one for each contact at most.
        clock: Our clock, beside which the CRM's times are read.
    """

    def __init__(
        self,
        lane: Lane,
        crm: Crm,
        bell: Bell,
        addresses: Addresses,
        *,
        live: bool,
        most: int,
        lease: timedelta = LEASE,
        clock: Clock = utc_now,
    ) -> None:
        self._lane = lane
        self._crm = crm
        self._bell = bell
        self._addresses = addresses
        self._live = live
        self._most = most
        self._lease = lease
        self._clock = clock
        self._sending: set[asyncio.Task[None]] = set()

    async def __call__(self, stopping: asyncio.Event) -> None:
        """Deliver until `stopping`; then finish what is on its way."""
        async with asyncio.TaskGroup() as group:
            while not stopping.is_set():
                # Taken before the claim: the lease we count on is never longer than the one we have.
                started = asyncio.get_running_loop().time()
                claimed = await self._claim(self._most - len(self._sending))
                for delivery in claimed:
                    task = group.create_task(self._take(delivery, started))
                    self._sending.add(task)
                    task.add_done_callback(self._ended)
                if not claimed:
                    await self._bell.wait(stopping)

    async def _claim(self, free: int) -> list[Delivery]:
        if free <= 0:
            return []
        try:
            return await self._lane.claim_deliveries(limit=free, lease=self._lease)
        except StoreUnavailable:
            return []
        # Protects the other contacts' texts from one claim that meets a mistake of ours.
        except Exception as error:  # noqa: BLE001
            logger.error("delivery.abandoned", cause="CLAIM", **log.describe(error))
            return []

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._sending.discard(task)
        self._bell.ring()

    async def _take(self, delivery: Delivery, started: float) -> None:
        facts = {
            "tenant_id": delivery.tenant_id,
            "contact_id": delivery.contact_id,
            "outbox_id": delivery.outbox_id,
            "attempt": delivery.attempts,
            "kind": delivery.kind,
        }
        try:
            verdict = await self._attempt(delivery, started)
            kept = await self._lane.finish_delivery(
                delivery,
                verdict.result,
                cause=verdict.cause,
                crm_message_id=verdict.crm_message_id,
                wait=verdict.wait,
                needs_read_back=verdict.needs_read_back,
            )
            if delivery.kind not in EFFECTS:
                crash_point("gateway.after_delivery")
        # Protects the other texts on their way, which a task group would cancel. The lease
        # gives this one back, to be looked up first.
        except Exception as error:  # noqa: BLE001
            logger.warning("delivery.retried", cause="NOT_MARKED", **facts, **log.describe(error))
            return
        DELIVERIES.labels(verdict.result, verdict.cause or "").inc()
        if kept:
            _log(verdict, facts)

    async def _attempt(self, delivery: Delivery, started: float) -> Verdict:
        if (defect := _defect(delivery)) is not None:
            return Verdict(result=DeliveryResult.DEAD, cause=defect)
        try:
            parcel = parcel_of(delivery)
        except ValueError:
            return Verdict(result=DeliveryResult.DEAD, cause="UNREADABLE")
        if not self._live:
            return Verdict(result=DeliveryResult.DRY_RUN)
        too_old = delivery.claim_time - delivery.create_time > OLDEST
        if delivery.needs_read_back and (found := await self._look_up(delivery, parcel, too_old=too_old)) is not None:
            return found
        if too_old:
            return Verdict(result=DeliveryResult.DEAD, cause="TOO_OLD")
        if delivery.unscreened and (kept_in := await self._screen(delivery)) is not None:
            return kept_in
        if asyncio.get_running_loop().time() + SEND_SECONDS > started + self._lease.total_seconds():
            # What is sent after the lease may be sent by two.
            return self._again(delivery, "LEASE_TOO_SHORT", needs_read_back=False)
        return self._judge(delivery, await self._send(parcel))

    async def _screen(self, delivery: Delivery) -> Verdict | None:
        """Look at whom a reply goes to: they may have opted out as a contact that was erased since."""
        try:
            profile = await self._crm.profile(delivery.tenant_id, delivery.contact_id)
        except ServiceUnavailable:
            return self._again(delivery, "CRM_NOT_ASKED", needs_read_back=False)
        hashes = self._addresses.of_profile(delivery.tenant_id, profile)
        silence = await self._lane.screen(delivery.tenant_id, delivery.contact_id, hashes)
        return None if silence is None else Verdict(result=DeliveryResult.SUPPRESSED, cause=silence)

    async def _send(self, parcel: Parcel) -> SendResult:
        if isinstance(parcel, Text):
            crash_point("gateway.before_crm_post")
            sent = await self._crm.send(parcel)
            crash_point("gateway.after_crm_post")
            return sent
        match parcel:
            case Note():
                sent = await self._crm.create_note(parcel)
            case Task():
                sent = await self._crm.create_task(parcel)
            case Fields():
                sent = await self._crm.set_fields(parcel)
        crash_point("gateway.after_crm_entry")
        return sent

    async def _find(self, delivery: Delivery, parcel: Parcel) -> str | None:
        match parcel:
            case Text():
                # Only distances of the database's times mean anything beside our clock.
                since = self._clock() - (delivery.claim_time - delivery.first_attempt_time)
                return await self._crm.find(parcel, since=since, known=delivery.known_crm_message_ids)
            case Note() | Task():
                return await self._crm.find_entry(parcel)
            case Fields():
                return None

    async def _look_up(self, delivery: Delivery, parcel: Parcel, *, too_old: bool) -> Verdict | None:
        try:
            found = await self._find(delivery, parcel)
        except ServiceUnavailable:
            if too_old:
                return Verdict(result=DeliveryResult.AMBIGUOUS, cause="CRM_NEVER_ANSWERED")
            return self._again(delivery, "CRM_NOT_ASKED", needs_read_back=True)
        if found is not None:
            return Verdict(result=DeliveryResult.SENT, cause="FOUND_IN_CRM", crm_message_id=found)
        if delivery.suppress_cause is not None:
            return Verdict(result=DeliveryResult.SUPPRESSED, cause=delivery.suppress_cause)
        return None

    def _judge(self, delivery: Delivery, sent: SendResult) -> Verdict:
        match sent.status:
            case SendStatus.SENT:
                return Verdict(result=DeliveryResult.SENT, cause=sent.cause or None, crm_message_id=sent.crm_message_id)
            case SendStatus.SKIPPED:
                return Verdict(result=DeliveryResult.SUPPRESSED, cause=sent.cause)
            case SendStatus.REFUSED:
                return Verdict(result=DeliveryResult.DEAD, cause=sent.cause)
            case SendStatus.NOT_SENT:
                return self._again(delivery, sent.cause, needs_read_back=False, at_least=sent.wait_seconds)
        return self._again(
            delivery, sent.cause, needs_read_back=True, at_least=max(sent.wait_seconds, self._lease.total_seconds())
        )

    def _again(self, delivery: Delivery, cause: str, *, needs_read_back: bool, at_least: float = 0.0) -> Verdict:
        wait = max(at_least, back_off_seconds(delivery.attempts))
        return Verdict(
            result=DeliveryResult.RETRY, cause=cause, wait=timedelta(seconds=wait), needs_read_back=needs_read_back
        )


def _defect(delivery: Delivery) -> str | None:
    if delivery.kind not in ANSWERS | EFFECTS:
        return "UNKNOWN_KIND"
    # The bot's gate saw the text before it was stored; what can be seen without the turn is looked at once
    # more. What answers a keyword is ours by law, and goes out.
    if delivery.kind == "REPLY" and (wrong := sms.defects(delivery.text, channel=delivery.channel)):
        return wrong[0]
    return None


def back_off_seconds(attempts: int) -> float:
    """Return how long a text waits after so many attempts: 1 s, doubling, at most 5 minutes.

    >>> [back_off_seconds(attempts) for attempts in (1, 2, 9, 10)]
    [1.0, 2.0, 256.0, 300.0]
    """
    return float(min(2.0 ** min(attempts - 1, 20), _WAIT_MOST_SECONDS))


def _log(verdict: Verdict, facts: dict[str, Any]) -> None:
    match verdict.result:
        case DeliveryResult.RETRY:
            logger.warning(
                "delivery.retried", cause=verdict.cause, retry_after_seconds=verdict.wait.total_seconds(), **facts
            )
        case DeliveryResult.SUPPRESSED:
            logger.info("delivery.suppressed", cause=verdict.cause, **facts)
        case DeliveryResult.DEAD | DeliveryResult.AMBIGUOUS:
            logger.error("delivery.abandoned", cause=verdict.cause, state=verdict.result, **facts)
        case _:
            event = "delivery.reconciled" if verdict.cause == "FOUND_IN_CRM" else "delivery.sent"
            logger.info(event, state=verdict.result, crm_message_id=verdict.crm_message_id, **facts)
