"""Reads from the CRM what its webhooks did not bring, and stores it as they would have been stored.

The CRM sends a webhook again only after a 429. What it sent while we were away is in its conversations alone: they are
read from the oldest that changed to the newest, behind a cursor in the database, by one replica at a time. That a
message which comes both ways is answered once is kept by the database (`accept_event`). Why so: docs/adr/0047.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from kit import log, metrics
from kit.clock import Clock, utc_now
from kit.errors import Invalid, PorchlightError, StoreUnavailable
from kit.lane import Accepted, Event, EventKind
from kit.rest import rest
from services.gateway.crm import SKEW
from services.gateway.crm_history import PAGE, Conversation, History
from services.gateway.cursors import Cursor, Cursors
from services.gateway.payload import Payload, moment
from services.gateway.translate import Ignored, Reader

LOOK_SECONDS: Final = 5.0
"""How often a replica looks whether a round is due, at the longest."""
ROUND_SECONDS: Final = 30.0
LEASE: Final = timedelta(seconds=40)
"""How long a round is nobody's when its replica dies; longer than a round, and the call that it is in."""
OVERLAP: Final = timedelta(minutes=2)
"""What is read again, as the CRM may show a message later than one that was written after it."""
_MESSAGES_MOST: Final = 1_000
"""Stored in a round, and a little more: what is one conversation is stored together."""
_PAGES_MOST: Final = 5
"""Of one conversation."""
_REMEMBERED_MOST: Final = 10_000
_BACK_OFF_MOST: Final = timedelta(minutes=15)

RECONCILED: Final = metrics.counter(
    "reconciled", "Messages that were read from the CRM and had not come by webhook.", ("kind", "outcome", "late")
)
ROUNDS: Final = metrics.counter("reconcile_rounds", "Rounds of reading the CRM, by how they ended.", ("result",))

logger = log.get_logger()


@dataclass(frozen=True, kw_only=True, slots=True)
class Bounds:
    """What a round keeps to."""

    every: timedelta
    settle: timedelta
    """How long a webhook may take; what is younger is left to it."""
    answer_within: timedelta
    """How old a message may be for a bot to answer it."""
    reach: timedelta
    """How old a message may be to be looked at."""
    calls: int
    """To the CRM in one round."""


class _Cut(Exception):
    """A bound of the round is met; the next one goes on."""


@dataclass(kw_only=True)
class _Round:
    """One round under way."""

    cursor: Cursor
    now: datetime
    floor: datetime
    """What was written before is out of reach."""
    calls: int
    messages: int = _MESSAGES_MOST
    reached: datetime

    @property
    def since(self) -> datetime:
        """What was written before was read in an earlier round."""
        return max(self.cursor.whole_time - OVERLAP, self.floor)

    def call(self) -> None:
        """Take one of the round's calls."""
        if self.calls <= 0:
            raise _Cut
        self.calls -= 1


class Reconciler:
    """A worker of the process.

    Args:
        history: The CRM's conversations.
        cursors: How far they were read.
        accept: Stores an event, as the door for webhooks does.
        reader: Reads messages, as it reads webhooks.
        tenants: Locations that are read.
        bounds: What a round keeps to.
        clock: Our clock, beside which the CRM's times are read.
    """

    def __init__(
        self,
        history: History,
        cursors: Cursors,
        accept: Callable[[Event], Awaitable[Accepted]],
        reader: Reader,
        *,
        tenants: Collection[str],
        bounds: Bounds,
        clock: Clock = utc_now,
    ) -> None:
        self._history = history
        self._cursors = cursors
        self._accept = accept
        self._reader = reader
        self._tenants = sorted(tenants)
        self._bounds = bounds
        self._clock = clock
        self._failures: dict[str, int] = {}
        self._read: dict[tuple[str, str], datetime] = {}
        """Conversations up to which message they were read: spares the calls of the overlap, and is lost at no harm."""

    async def __call__(self, stopping: asyncio.Event) -> None:
        """Read the CRM until `stopping`."""
        logger.info("reconcile.started", count=len(self._tenants))
        while not stopping.is_set():
            for tenant_id in self._tenants:
                try:
                    await self.round(tenant_id, stopping)
                # Protects the other locations, and this one's next round, from a mistake of ours in this one.
                except Exception as error:  # noqa: BLE001
                    logger.error("reconcile.failed", tenant_id=tenant_id, **log.describe(error))
            await rest(stopping, min(self._bounds.every.total_seconds(), LOOK_SECONDS))

    async def round(self, tenant_id: str, stopping: asyncio.Event) -> None:
        """Read on where the last round ended, if one is due and no other replica does."""
        now = self._clock()
        try:
            cursor = await self._cursors.claim(tenant_id, now=now, lease=LEASE)
        except StoreUnavailable:
            return
        if cursor is None:
            return
        floor = max(cursor.begin_time, now - self._bounds.reach)
        if cursor.whole_time < floor:
            logger.warning("reconcile.gap", tenant_id=tenant_id, age_seconds=(now - cursor.whole_time).total_seconds())
        current = _Round(cursor=cursor, now=now, floor=floor, calls=self._bounds.calls, reached=cursor.read_time)
        wait, result = self._bounds.every, "whole"
        try:
            async with asyncio.timeout(ROUND_SECONDS):
                await self._go(current, stopping)
            self._failures.pop(tenant_id, None)
        except (_Cut, TimeoutError):
            result = "cut"
        except PorchlightError as error:
            result, wait = "failed", self._back_off(tenant_id)
            logger.warning(
                "reconcile.failed", tenant_id=tenant_id, reason=error.reason, retry_after_seconds=wait.total_seconds()
            )
        ROUNDS.labels(result).inc()
        # What is young may still be on its way, by webhook or into the CRM's search.
        settled = now - self._bounds.settle
        reached = min(current.reached, settled)
        if result == "whole":
            # Though nobody wrote: but for what the CRM's clock may be behind ours.
            reached = max(reached, settled - SKEW)
        moved = replace(cursor, read_time=reached, whole_time=reached if result == "whole" else cursor.whole_time)
        with contextlib.suppress(StoreUnavailable):  # the lease ends by itself, and the round is made again
            await self._cursors.move(moved, wait=wait)

    def _back_off(self, tenant_id: str) -> timedelta:
        failures = self._failures[tenant_id] = min(self._failures.get(tenant_id, 0) + 1, 20)
        return min(self._bounds.every * 2.0**failures, max(_BACK_OFF_MOST, self._bounds.every))

    async def _go(self, current: _Round, stopping: asyncio.Event) -> None:
        tenant_id = current.cursor.tenant_id
        after = max(current.cursor.read_time - OVERLAP, current.floor)
        while True:
            current.call()
            page = await self._history.changed(tenant_id, after=after)
            for conversation in page:
                if stopping.is_set():
                    raise _Cut
                if self._read.get((tenant_id, conversation.conversation_id)) != conversation.last_time:
                    await self._take(current, conversation)
                current.reached = max(current.reached, conversation.last_time)
            if len(page) < PAGE:
                return
            # Once more from the last one's time, as others may share it; unless all do, which would never end.
            last = page[-1].last_time
            after = last - timedelta(milliseconds=1) if page[0].last_time < last else last

    async def _take(self, current: _Round, conversation: Conversation) -> None:
        """Store what a conversation has that we do not."""
        if current.messages <= 0:
            raise _Cut
        tenant_id = current.cursor.tenant_id
        events = [self._event(tenant_id, message, current.now) for message in await self._load(current, conversation)]
        found = [event for event in events if event is not None]
        # A person of the brokerage who wrote silences the bots before one can answer what came earlier.
        found.sort(key=lambda event: (event.kind is EventKind.MESSAGE_IN, event.write_time or current.now))
        settled = current.now - self._bounds.settle
        young = [e for e in found if e.kind is EventKind.MESSAGE_IN and (e.write_time or current.now) > settled]
        for event in found:
            if event not in young:
                current.messages -= 1
                await self._store(event)
        if not young:
            self._read.pop((tenant_id, conversation.conversation_id), None)
            self._read[tenant_id, conversation.conversation_id] = conversation.last_time
            if len(self._read) > _REMEMBERED_MOST:
                del self._read[next(iter(self._read))]

    async def _load(self, current: _Round, conversation: Conversation) -> list[Payload]:
        tenant_id, conversation_id = current.cursor.tenant_id, conversation.conversation_id
        loaded: list[Payload] = []
        before: str | None = None
        for _ in range(_PAGES_MOST):
            current.call()
            page = await self._history.messages(tenant_id, conversation_id, before=before)
            times = [moment(message, "dateAdded", now=None) for message in page.messages]
            pairs = zip(page.messages, times, strict=True)
            loaded += [message for message, time in pairs if time is not None and time >= current.since]
            before = page.next_id
            if before is None or any(time is not None and time < current.since for time in times):
                return loaded
        logger.warning("reconcile.skipped", tenant_id=tenant_id, cause="TOO_LONG", messages=len(loaded))
        return loaded

    def _event(self, tenant_id: str, message: Payload, now: datetime) -> Event | None:
        try:
            event = self._reader.read_stored(tenant_id, message, now=now, answer_within=self._bounds.answer_within)
        except Invalid as error:
            logger.warning("reconcile.skipped", tenant_id=tenant_id, cause=error.reason)
            return None
        return None if isinstance(event, Ignored) else event

    async def _store(self, event: Event) -> None:
        try:
            accepted = await self._accept(event)
        except PorchlightError:
            raise
        # Protects all that is read after it: a message that cannot be stored would be met in every round.
        except Exception as error:  # noqa: BLE001
            logger.error("reconcile.skipped", tenant_id=event.tenant_id, cause="NOT_STORED", **log.describe(error))
            return
        if accepted.duplicate:
            return
        outcome = accepted.outcome.lower()
        RECONCILED.labels(event.kind, outcome, "yes" if event.late else "no").inc()
        logger.warning(
            "reconcile.found",
            tenant_id=event.tenant_id,
            contact_id=event.contact_id,
            crm_message_id=event.crm_message_id,
            message_id=accepted.message_id,
            kind=event.kind,
            outcome=outcome,
            text_chars=len(event.text),
        )
