"""The arbiter's store: what it must be able to do, whoever implements it."""

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol, TypeAlias

from kit.lane import Fact
from services.handoff.values import Handoff, Snapshot, State

Position: TypeAlias = tuple[datetime, str]
"""Where a page of handoffs ended: decide time and handoff id."""

Cursor: TypeAlias = tuple[int, int]
"""A place in what happens: transaction and event."""


class Recorded(enum.Enum):
    """What became of a decision that was to be written."""

    RECORDED = "RECORDED"
    RETRY = "RETRY"
    """The contact, the policy or the request id is not what was decided on."""
    STALE = "STALE"
    """The turn that the handoff would end is over."""


class Ended(enum.Enum):
    """What became of an open handoff that was to be settled."""

    DONE = "DONE"
    WRONG_STATE = "WRONG_STATE"
    UNKNOWN = "UNKNOWN"


@dataclass(frozen=True, kw_only=True)
class Reading:
    """One look at the store: everything that a decision needs.

    `earlier` is the decision this request id had before; `snapshot` is None when
    nobody ever heard of the contact.
    """

    earlier: Handoff | None
    snapshot: Snapshot | None
    policy_version: int
    policy_body: object


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A decision to write, with what it was decided on and what it brings along."""

    handoff: Handoff
    expected_version: int
    turn_no: int
    facts: Sequence[Fact]
    turn_record: Mapping[str, str | int]
    inputs: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """What the decision looked at; see `inputs`."""
    capsule: bytes = field(repr=False)
    offer_seconds: float
    claim_seconds: float = 0.0
    """For how long whoever records an approval claims its offer, as `claim_offers` does; 0 leaves it to anybody, and
    is all that a decision without an offer may have."""


@dataclass(frozen=True, kw_only=True)
class Offer:
    """An approved handoff whose target is to be asked now."""

    handoff: Handoff
    capsule: bytes = field(repr=False)
    attempt: int


@dataclass(frozen=True, kw_only=True)
class Settled:
    """How an attempt to settle a handoff ended, and the state that stands now."""

    ended: Ended
    state: State | None


@dataclass(frozen=True, kw_only=True)
class Owner:
    """Who has a contact."""

    name: str
    epoch: int
    pending_handoff_id: str | None


@dataclass(frozen=True, kw_only=True)
class PolicyVersion:
    """A version of the policy as it is stored; see `read_policy` for `body`."""

    version: int
    body: object
    author: str
    reason: str
    create_time: datetime


@dataclass(frozen=True, kw_only=True)
class Decided:
    """A decision with what it takes to make it again.

    `inputs` is None when nobody decided, or when the contact was deleted.
    """

    handoff: Handoff
    inputs: Mapping[str, Any] | None = field(repr=False)
    policy: PolicyVersion | None = None


@dataclass(frozen=True, kw_only=True)
class Change:
    """A state that a handoff came to, with the record as it stands now."""

    cursor: Cursor
    handoff: Handoff
    state: State
    event_time: datetime


@dataclass(frozen=True, kw_only=True)
class Changes:
    """What happened after a place; `head` is where whoever has read it all stands."""

    head: Cursor
    found: Sequence[Change]


class Ledger(Protocol):
    """Holds contacts' owners and every decision. Its clock is the one that counts.

    Each method is one transaction. All raise StoreUnavailable when the store is gone;
    what a method was about to write may then have been written.
    """

    async def read(
        self,
        *,
        tenant_id: str,
        contact_id: str,
        request_id: str,
        target_bot: str,
        override_message_id: str,
    ) -> Reading:
        """Read everything at one moment. `request_id` is empty for a dry run."""

    async def record(self, entry: Entry) -> Recorded:
        """Write a decision if the world is still the one that was decided on.

        An approval also stores the facts, ends the turn, makes the target the owner
        at the next epoch, and leaves the waiting messages in the lane. A person as
        target preempts an offer under way and has the waiting messages; from a person
        back, what nobody answered waits for the bot.
        """

    async def claim_offers(self, *, limit: int, lease_seconds: float) -> list[Offer]:
        """Take offers that are due; nobody else gets them for `lease_seconds`."""

    async def postpone_offer(self, handoff_id: str, *, seconds: float) -> None:
        """Let an offer be due again after `seconds`."""

    async def expire_offers(self, *, limit: int) -> list[str]:
        """Give back what nobody took in time, and return those handoffs' ids."""

    async def redeem(self, handoff_id: str, *, epoch: int) -> Settled:
        """Accept: once, at this epoch, before the offer ends."""

    async def decline(self, handoff_id: str, *, reason: str) -> Settled:
        """Give the contact back to the source at the next epoch."""

    async def get(self, handoff_id: str) -> Handoff | None:
        """Return a handoff, or None when there is none of that id."""

    async def page(self, tenant_id: str, contact_id: str, *, limit: int, before: Position | None) -> list[Handoff]:
        """Return handoffs older than `before`, refused ones too, newest first."""

    async def escalations(self, tenant_id: str, *, limit: int, before: Position | None) -> list[Handoff]:
        """Return the handoffs by which people have contacts now, newest first."""

    async def decision(self, handoff_id: str) -> Decided | None:
        """Return a decision with its policy version, or None when there is none of that id."""

    async def decisions(self, tenant_id: str, *, limit: int) -> list[Decided]:
        """Return the last decisions between bots that can be made again, newest first."""

    async def policy(self, version: int | None) -> PolicyVersion | None:
        """Return a version of the policy, the current one for None; None when there is no such version."""

    async def put_policy(
        self, body: Mapping[str, object], *, expected: int, author: str, reason: str
    ) -> PolicyVersion | None:
        """Write the version after `expected`; None when that is not the current one."""

    async def changes(self, tenant_id: str, contact_id: str, *, after: Cursor | None, limit: int) -> Changes:
        """Return what happened after a place, oldest first, in an order that never changes.

        Args:
            tenant_id: The location.
            contact_id: The contact; empty for all.
            after: None for nothing but where one stands now.
            limit: The most that is found; with fewer, `head` is the next place.
        """

    async def owner(self, tenant_id: str, contact_id: str) -> Owner | None:
        """Return who has the contact, or None when nobody ever heard of it."""
