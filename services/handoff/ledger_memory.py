"""The ledger in memory, for tests and try-outs: the same promises, one process, nothing kept."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeAlias

from kit.clock import Clock
from kit.lane import Fact
from services.handoff.ledger import (
    Change,
    Changes,
    Cursor,
    Decided,
    Ended,
    Entry,
    Offer,
    Owner,
    PolicyVersion,
    Position,
    Reading,
    Recorded,
    Settled,
)
from services.handoff.values import (
    GIVEN_BACK,
    HUMAN,
    NOT_APPROVED,
    Handoff,
    Kind,
    OverrideMessage,
    PastHandoff,
    Snapshot,
    State,
)

_OPEN: Final = frozenset({State.PENDING, State.OFFERED})
_KEPT: Final = timedelta(hours=24, minutes=1)
_NEVER: Final = datetime.max.replace(tzinfo=UTC)

Key: TypeAlias = tuple[str, str]
"""Tenant and contact."""


@dataclass(kw_only=True)
class _Contact:
    owner: str
    epoch: int = 1
    version: int = 1
    pending_handoff_id: str | None = None
    opted_out: bool = False
    dnd: bool = False
    turn_no: int = 0
    turn_open: bool = False
    waiting: list[str] = field(default_factory=list)
    held: list[str] = field(default_factory=list)
    """What a person is to answer."""
    messages: dict[str, tuple[str, datetime]] = field(default_factory=dict)
    facts: dict[str, Fact] = field(default_factory=dict)


@dataclass(kw_only=True)
class _Row:
    handoff: Handoff
    capsule: bytes = b""
    expire_time: datetime = _NEVER
    preempted: bool = False
    inputs: Mapping[str, Any] | None = None
    lease_time: datetime | None = None
    attempts: int = 0


class MemoryLedger:
    """A Ledger without a store. No method awaits anything, so each is atomic.

    The methods before `read` do what the gateway and people do in Postgres.
    """

    def __init__(self, clock: Clock, *, policy_body: Mapping[str, object]) -> None:
        self._clock = clock
        self._policies = [PolicyVersion(version=1, body=policy_body, author="", reason="", create_time=clock())]
        self._contacts: dict[Key, _Contact] = {}
        self._rows: dict[str, _Row] = {}
        self._events: list[Change] = []

    def put_contact(self, tenant_id: str, contact_id: str, *, owner: str) -> None:
        """Make a contact known."""
        self._contacts[(tenant_id, contact_id)] = _Contact(owner=owner)

    def put_message(self, tenant_id: str, contact_id: str, text: str) -> str:
        """Store a message that waits for an answer, and return its id."""
        contact = self._contacts[(tenant_id, contact_id)]
        message_id = f"m_{sum(len(each.messages) for each in self._contacts.values()) + 1}"
        contact.messages[message_id] = (text, self._clock())
        (contact.held if contact.owner == HUMAN else contact.waiting).append(message_id)
        return message_id

    def put_human_message(self, tenant_id: str, contact_id: str) -> None:
        """Let a person of the brokerage write from the CRM: they take the contact, or answer for it."""
        contact, now = self._contacts[(tenant_id, contact_id)], self._clock()
        if contact.owner != HUMAN:
            handoff_id, source, messages = f"h_{uuid.uuid4().hex}", contact.owner, tuple(contact.waiting)
            self._give_to_human(contact)
            taken = _takeover(
                handoff_id,
                (tenant_id, contact_id),
                source,
                messages=messages,
                epoch=contact.epoch,
                policy_version=self._policies[-1].version,
                now=now,
            )
            self._put(_Row(handoff=taken))
        contact.held.clear()
        for row in self._with_person(tenant_id, contact_id):
            row.handoff = replace(row.handoff, answer_time=row.handoff.answer_time or now)

    def claim_turn(self, tenant_id: str, contact_id: str) -> int:
        """Begin a turn and return its number."""
        contact = self._contacts[(tenant_id, contact_id)]
        contact.turn_no += 1
        contact.turn_open = True
        return contact.turn_no

    def opt_out(self, tenant_id: str, contact_id: str) -> None:
        """Note that the person wants no more messages."""
        contact = self._contacts[(tenant_id, contact_id)]
        contact.opted_out = True
        contact.version += 1

    async def read(
        self,
        *,
        tenant_id: str,
        contact_id: str,
        request_id: str,
        target_bot: str,
        override_message_id: str,
    ) -> Reading:
        contact = self._contacts.get((tenant_id, contact_id))
        return Reading(
            earlier=self._earlier(tenant_id, request_id),
            snapshot=self._snapshot(tenant_id, contact_id, contact, target_bot, override_message_id)
            if contact
            else None,
            policy_version=self._policies[-1].version,
            policy_body=self._policies[-1].body,
        )

    async def record(self, entry: Entry) -> Recorded:
        handoff = entry.handoff
        contact = self._contacts[(handoff.tenant_id, handoff.contact_id)]
        seen = (entry.expected_version, handoff.policy_version)
        if seen != (contact.version, self._policies[-1].version) or self._earlier(
            handoff.tenant_id, handoff.request_id
        ):
            return Recorded.RETRY
        if entry.turn_no and not (contact.turn_open and contact.turn_no == entry.turn_no):
            return Recorded.STALE
        row = _Row(
            handoff=handoff,
            capsule=entry.capsule,
            inputs=entry.inputs,
            expire_time=handoff.decide_time + timedelta(seconds=entry.offer_seconds),
        )
        self._put(row)
        if entry.claim_seconds:
            self._claim(row, entry.claim_seconds)
        if handoff.state not in NOT_APPROVED:
            for fact in entry.facts:
                contact.facts[fact.name] = replace(fact, bot=handoff.source_bot, learn_time=self._clock())
            self._move(contact, handoff)
        return Recorded.RECORDED

    async def claim_offers(self, *, limit: int, lease_seconds: float) -> list[Offer]:
        now = self._clock()
        due = [
            row
            for row in self._rows.values()
            if row.handoff.state in _OPEN
            and row.expire_time > now
            and (row.lease_time is None or row.lease_time <= now)
        ]
        for row in due[:limit]:
            self._claim(row, lease_seconds)
        return [Offer(handoff=row.handoff, capsule=row.capsule, attempt=row.attempts) for row in due[:limit]]

    def _claim(self, row: "_Row", seconds: float) -> None:
        self._come_to(row, State.OFFERED)
        row.lease_time = self._clock() + timedelta(seconds=seconds)
        row.attempts += 1

    async def postpone_offer(self, handoff_id: str, *, seconds: float) -> None:
        row = self._rows.get(handoff_id)
        if row and row.handoff.state is State.OFFERED:
            row.lease_time = self._clock() + timedelta(seconds=seconds)

    async def expire_offers(self, *, limit: int) -> list[str]:
        late = [
            handoff_id
            for handoff_id, row in self._rows.items()
            if row.handoff.state in _OPEN and row.expire_time <= self._clock()
        ]
        for handoff_id in late[:limit]:
            self._give_back(handoff_id, State.EXPIRED)
        return late[:limit]

    async def redeem(self, handoff_id: str, *, epoch: int) -> Settled:
        row = self._rows.get(handoff_id)
        if row is None:
            return Settled(ended=Ended.UNKNOWN, state=None)
        contact = self._contact(row.handoff)
        current = row.handoff.epoch == contact.epoch == epoch and contact.pending_handoff_id == handoff_id
        if row.handoff.state not in _OPEN or row.expire_time <= self._clock() or not current:
            return Settled(ended=Ended.WRONG_STATE, state=row.handoff.state)
        self._come_to(row, State.ACCEPTED)
        contact.pending_handoff_id = None
        contact.version += 1
        return Settled(ended=Ended.DONE, state=State.ACCEPTED)

    async def decline(self, handoff_id: str, *, reason: str) -> Settled:
        return self._give_back(handoff_id, State.DECLINED)

    async def get(self, handoff_id: str) -> Handoff | None:
        row = self._rows.get(handoff_id)
        return self._told(row.handoff) if row else None

    async def page(self, tenant_id: str, contact_id: str, *, limit: int, before: Position | None) -> list[Handoff]:
        found = [
            row.handoff
            for row in self._rows.values()
            if (row.handoff.tenant_id, row.handoff.contact_id) == (tenant_id, contact_id)
            and (before is None or _position(row.handoff) < before)
        ]
        return sorted(map(self._told, found), key=_position, reverse=True)[:limit]

    async def escalations(self, tenant_id: str, *, limit: int, before: Position | None) -> list[Handoff]:
        found = [
            row.handoff for row in self._with_person(tenant_id) if before is None or _position(row.handoff) < before
        ]
        return sorted(map(self._told, found), key=_position, reverse=True)[:limit]

    async def decision(self, handoff_id: str) -> Decided | None:
        row = self._rows.get(handoff_id)
        if row is None:
            return None
        policy = await self.policy(row.handoff.policy_version)
        return Decided(handoff=self._told(row.handoff), inputs=row.inputs, policy=policy)

    async def decisions(self, tenant_id: str, *, limit: int) -> list[Decided]:
        found = [
            Decided(handoff=self._told(row.handoff), inputs=row.inputs)
            for row in self._rows.values()
            if (row.handoff.tenant_id, row.handoff.kind) == (tenant_id, Kind.HANDOFF) and row.inputs is not None
        ]
        return found[::-1][:limit]

    async def policy(self, version: int | None) -> PolicyVersion | None:
        return next((each for each in self._policies[::-1] if version in (None, each.version)), None)

    async def put_policy(
        self, body: Mapping[str, object], *, expected: int, author: str, reason: str
    ) -> PolicyVersion | None:
        if expected != self._policies[-1].version:
            return None
        made = PolicyVersion(version=expected + 1, body=body, author=author, reason=reason, create_time=self._clock())
        self._policies.append(made)
        return made

    async def changes(self, tenant_id: str, contact_id: str, *, after: Cursor | None, limit: int) -> Changes:
        found = [
            replace(each, handoff=self._told(self._rows[each.handoff.handoff_id].handoff))
            for each in self._events
            if after is not None
            and each.cursor > after
            and each.handoff.tenant_id == tenant_id
            and contact_id in ("", each.handoff.contact_id)
        ]
        return Changes(head=(len(self._events) + 1, 0), found=found[:limit])

    async def owner(self, tenant_id: str, contact_id: str) -> Owner | None:
        contact = self._contacts.get((tenant_id, contact_id))
        if contact is None:
            return None
        return Owner(
            name=contact.owner,
            epoch=contact.epoch,
            pending_handoff_id=contact.pending_handoff_id,
        )

    def _snapshot(
        self,
        tenant_id: str,
        contact_id: str,
        contact: _Contact,
        target_bot: str,
        override_message_id: str,
    ) -> Snapshot:
        now = self._clock()
        text, receive_time = contact.messages.get(override_message_id, ("", now))
        rows = [
            row.handoff
            for row in self._rows.values()
            if (row.handoff.tenant_id, row.handoff.contact_id) == (tenant_id, contact_id)
            and row.handoff.state not in NOT_APPROVED
            and not row.preempted
        ]
        return Snapshot(
            now=now,
            owner=contact.owner,
            epoch=contact.epoch,
            version=contact.version,
            turn_no=contact.turn_no,
            turn_open=contact.turn_open,
            pending_handoff_id=contact.pending_handoff_id,
            opted_out=contact.opted_out,
            dnd=contact.dnd,
            history=tuple(_past(row) for row in sorted(rows, key=_position) if _matters(row, now, contact.waiting)),
            waiting_message_ids=tuple(contact.waiting),
            override=OverrideMessage(
                message_id=override_message_id,
                text=text,
                receive_time=receive_time,
                used=any(row.override_message_id == override_message_id for row in rows),
            )
            if override_message_id in contact.messages
            else None,
            facts=tuple(fact for fact in contact.facts.values() if fact.private_to in (None, target_bot)),
        )

    def _put(self, row: _Row) -> None:
        self._rows[row.handoff.handoff_id] = row
        self._come_to(row, row.handoff.state)

    def _come_to(self, row: _Row, state: State) -> None:
        row.handoff = replace(row.handoff, state=state)
        number = len(self._events) + 1
        change = Change(cursor=(number, number), handoff=row.handoff, state=state, event_time=self._clock())
        self._events.append(change)

    def _earlier(self, tenant_id: str, request_id: str) -> Handoff | None:
        return next(
            (
                row.handoff
                for row in self._rows.values()
                if (row.handoff.tenant_id, row.handoff.request_id) == (tenant_id, request_id)
            ),
            None,
        )

    def _give_back(self, handoff_id: str, state: State) -> Settled:
        row = self._rows.get(handoff_id)
        if row is None:
            return Settled(ended=Ended.UNKNOWN, state=None)
        contact = self._contact(row.handoff)
        if row.handoff.state not in _OPEN or contact.pending_handoff_id != handoff_id:
            return Settled(ended=Ended.WRONG_STATE, state=row.handoff.state)
        self._come_to(row, state)
        self._change_owner(contact, row.handoff.source_bot, pending=None)
        return Settled(ended=Ended.DONE, state=state)

    def _move(self, contact: _Contact, handoff: Handoff) -> None:
        match handoff.kind:
            case Kind.HANDOFF:
                self._change_owner(contact, handoff.target_bot, pending=handoff.handoff_id)
            case Kind.ESCALATION:
                self._give_to_human(contact)
            case Kind.RETURN:
                for row in self._with_person(handoff.tenant_id, handoff.contact_id):
                    self._come_to(row, State.COMPLETED)
                self._change_owner(contact, handoff.target_bot, pending=None)
                contact.waiting, contact.held = contact.held, []

    def _give_to_human(self, contact: _Contact) -> None:
        pending = self._rows.get(contact.pending_handoff_id or "")
        if pending is not None:
            pending.preempted = True
            self._come_to(pending, State.EXPIRED)
        self._change_owner(contact, HUMAN, pending=None)
        contact.held += contact.waiting
        contact.waiting = []

    def _with_person(self, tenant_id: str, contact_id: str | None = None) -> list[_Row]:
        return [
            row
            for row in self._rows.values()
            if (row.handoff.kind, row.handoff.state) == (Kind.ESCALATION, State.ACCEPTED)
            and row.handoff.tenant_id == tenant_id
            and contact_id in (None, row.handoff.contact_id)
        ]

    def _told(self, handoff: Handoff) -> Handoff:
        waits = handoff.state is State.ACCEPTED and handoff.answer_time is None
        late = waits and handoff.due_time is not None and handoff.due_time <= self._clock()
        return replace(handoff, overdue=late)

    def _contact(self, handoff: Handoff) -> _Contact:
        return self._contacts[(handoff.tenant_id, handoff.contact_id)]

    def _change_owner(self, contact: _Contact, owner: str, *, pending: str | None) -> None:
        contact.owner = owner
        contact.epoch += 1
        contact.version += 1
        contact.turn_open = False
        contact.pending_handoff_id = pending


def _takeover(
    handoff_id: str,
    key: Key,
    source: str,
    *,
    messages: tuple[str, ...],
    epoch: int,
    policy_version: int,
    now: datetime,
) -> Handoff:
    return Handoff(
        handoff_id=handoff_id,
        tenant_id=key[0],
        contact_id=key[1],
        request_id=handoff_id,
        request_digest="",
        kind=Kind.ESCALATION,
        actor=HUMAN,
        source_bot=source,
        target_bot=HUMAN,
        state=State.ACCEPTED,
        reason="CRM_USER",
        verdicts=(),
        blocking_rule=None,
        block_reason="",
        confidence=1.0,
        summary="A person of the brokerage took the contact.",
        open_question="",
        message_ids=messages,
        override_message_id=None,
        policy_version=policy_version,
        epoch=epoch,
        decide_time=now,
    )


def _position(handoff: Handoff) -> Position:
    return (handoff.decide_time, handoff.handoff_id)


def _matters(handoff: Handoff, now: datetime, waiting: list[str]) -> bool:
    barred = handoff.state in GIVEN_BACK and not set(waiting).isdisjoint(handoff.message_ids)
    return barred or now - handoff.decide_time < _KEPT


def _past(handoff: Handoff) -> PastHandoff:
    return PastHandoff(
        source_bot=handoff.source_bot,
        target_bot=handoff.target_bot,
        state=handoff.state,
        decide_time=handoff.decide_time,
        message_ids=handoff.message_ids,
    )
