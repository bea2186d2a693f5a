"""The lane of a contact as values and a port: what came in, whose turn it is, what goes out. Pure.

A lane has one owner and at most one turn in progress. The fence of a turn is
(epoch, turn_no): the epoch changes with the owner, the turn number with every
claim, so neither an earlier owner nor an earlier claim can write.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final, Protocol

from kit.effects import Effect

EFFECTS: Final = frozenset({"NOTE", "TASK", "FIELDS"})
"""The kinds of deliveries that are no texts."""


class EventKind(StrEnum):
    """What a CRM's event is about."""

    MESSAGE_IN = "MESSAGE_IN"
    """The person wrote."""
    HUMAN_MESSAGE = "HUMAN_MESSAGE"
    """Somebody of the brokerage wrote to the person: they take the contact."""
    MESSAGE_OUT = "MESSAGE_OUT"
    """Our own message comes back, or another automation wrote."""
    CONTACT_UPSERT = "CONTACT_UPSERT"
    CONTACT_DELETE = "CONTACT_DELETE"
    DND = "DND"
    TAGS = "TAGS"
    APPOINTMENT = "APPOINTMENT"
    OPPORTUNITY = "OPPORTUNITY"
    INSTALL = "INSTALL"
    UNINSTALL = "UNINSTALL"
    OTHER = "OTHER"
    """Known to the CRM and of no use here; kept for the record."""


class Keyword(StrEnum):
    """A whole message that carriers and law give a meaning of its own."""

    STOP = "STOP"
    START = "START"
    HELP = "HELP"


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """One CRM event in our words."""

    tenant_id: str
    """The CRM location; `-` for events of a whole company."""
    source: str
    """Which adapter read it: `ghl`, `ghl-workflow`, `ghl-reconcile`."""
    event_id: str
    """What the CRM calls this delivery, or a hash; unique per tenant and source."""
    kind: EventKind
    contact_id: str | None = None
    crm_message_id: str | None = None
    conversation_id: str | None = None
    channel: str | None = None
    text: str = ""
    write_time: datetime | None = None
    keyword: Keyword | None = None
    keyword_reply: str = ""
    """What answers the keyword."""
    profile: Mapping[str, Any] = field(default_factory=dict)
    """What the CRM says about the contact: `first_name`, `phone`, `timezone`, `tags`."""
    dnd: bool | None = None
    """Whether the CRM forbids texting this contact; None when the event does not say."""
    contact_hash: str = ""
    """Keyed hash of the contact's id."""
    address_hashes: tuple[str, ...] = ()
    """Keyed hashes of the phone and the e-mail address in `profile`."""
    late: bool | None = None
    """Of a message that was read from the CRM, whether it is too old for an answer; None for what was delivered.

    Such a message has `crm_message_id` and `write_time`.
    """


@dataclass(frozen=True, kw_only=True, slots=True)
class Debounce:
    """How long a burst is gathered before a bot answers."""

    wait: timedelta = timedelta(seconds=8)
    longest: timedelta = timedelta(seconds=30)
    """After the first message of the burst, whatever comes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Accepted:
    """An event is on disk."""

    duplicate: bool
    message_id: str = ""
    outcome: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class InboundMessage:
    """A text from the person, as stored."""

    message_id: str
    text: str
    channel: str
    write_time: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Turn:
    """A claim on a lane: who answers what, under which fence."""

    tenant_id: str
    contact_id: str
    bot: str
    epoch: int
    turn_no: int
    messages: tuple[InboundMessage, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Fact:
    """One thing known about a contact, and how it came to be known."""

    name: str
    value: str | int | bool
    extractor: str
    """`rules`, or a prompt version such as `lead.extract@3`."""
    confidence: float
    """In [0.0, 1.0]."""
    words: str = ""
    """The person's own words it was taken from."""
    message_id: str = ""
    bot: str = ""
    """Who learned it; set by the database."""
    private_to: str | None = None
    """The only bot that may see it; None when every bot may."""
    learn_time: datetime | None = None


class OpenStatus(StrEnum):
    """What `open_turn` found."""

    OPEN = "OPEN"
    FINISHED = "FINISHED"
    STALE = "STALE"
    NOT_THE_OWNER = "NOT_THE_OWNER"
    UNKNOWN_CONTACT = "UNKNOWN_CONTACT"


@dataclass(frozen=True, kw_only=True, slots=True)
class OpenedTurn:
    """What a bot needs to know to answer, read under the lane's lock."""

    status: OpenStatus
    state: str = ""
    """Of a finished turn: `REPLIED`, `SILENT`, `HANDED_OFF`."""
    owner: str = ""
    handoff_id: str = ""
    """Of a finished turn that handed the contact over."""
    facts: tuple[Fact, ...] = ()
    profile: Mapping[str, Any] = field(default_factory=dict)
    messages: tuple[InboundMessage, ...] = ()
    handoff: Mapping[str, Any] | None = None
    """The handoff that brought the contact: `handoff_id`, `source_bot`, `summary`, `open_question`, `state`."""
    last_record: Mapping[str, Any] | None = None
    """The record of this bot's last turn with the contact."""
    turns_before: int = 0
    """Replies the contact has had from any bot; 0 means that this is the first."""
    denied_targets: frozenset[str] = frozenset()
    """Bots that these very messages were already refused for."""


class CompleteStatus(StrEnum):
    """What `complete_turn` did."""

    COMPLETED = "COMPLETED"
    FINISHED = "FINISHED"
    """It had been completed before; nothing was written."""
    STALE = "STALE"
    """Somebody else holds the lane; nothing was written but an audit row."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Delivery:
    """A text that this process may send, or an effect that it may have, until its lease ends."""

    outbox_id: int
    claim_token: str
    tenant_id: str
    contact_id: str
    conversation_id: str | None
    kind: str
    channel: str
    text: str
    """Of an effect its JSON: see `kit.effects.effect_row`."""
    attempts: int
    needs_read_back: bool
    """Whether an earlier attempt may have reached the CRM: look before sending."""
    suppress_cause: str | None
    """Why it may no longer be sent; set only together with `needs_read_back`."""
    create_time: datetime
    first_attempt_time: datetime
    claim_time: datetime
    """By the database's clock, as the two above: only their distance means anything to another clock."""
    known_crm_message_ids: frozenset[str]
    """Ids that already belong to other texts of this contact."""
    reference: str
    """What a note or a task is found again by."""
    unscreened: bool
    """Whether the contact might be somebody who opted out and was erased since: see `Lane.screen`."""


class DeliveryResult(StrEnum):
    """What became of a delivery."""

    SENT = "SENT"
    RETRY = "RETRY"
    SUPPRESSED = "SUPPRESSED"
    DRY_RUN = "DRY_RUN"
    AMBIGUOUS = "AMBIGUOUS"
    """It may or may not have gone out, and the CRM cannot be asked; a person must look."""
    DEAD = "DEAD"


@dataclass(frozen=True, kw_only=True, slots=True)
class Resumed:
    """A contact is no longer paused."""

    silence: str | None
    """Why no bot writes to it even so: `OPTED_OUT`, `DO_NOT_DISTURB`; None when they may."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Erased:
    """A receipt: a contact was erased."""

    erasure_id: str
    tenant_id: str
    contact_id: str
    rows: Mapping[str, int]
    """How many rows went, by table."""
    opt_out_kept: bool
    """Whether hashes stay by which nobody writes to the person again."""
    erase_time: datetime


class Lane(Protocol):
    """Storage of lanes. Every method is one round trip; those that write are one commit.

    Raises (all methods):
        StoreUnavailable: The store does not answer. A write may or may not have
            happened; every write is safe to repeat.
    """

    async def accept(self, event: Event, *, debounce: Debounce, first_owner: str) -> Accepted:
        """Store an event once, with what must not wait for a bot: opt-out, takeover, do-not-disturb.

        A message that was delivered and read from the CRM is one, also when its webhook did not name it. What was
        read and is late, or older than what is answered already, becomes a task for people.
        """
        ...

    async def claim(self, *, limit: int, lease: timedelta, messages_most: int, attempts_most: int) -> list[Turn]:
        """Claim up to `limit` ready lanes; the waiting messages of each become one turn."""
        ...

    async def release(self, turn: Turn, *, cause: str, wait: timedelta, refused: bool = False) -> bool:
        """Give a turn back unfinished. False when the claim was no longer current.

        `refused` counts an attempt: the bot would not even open the turn, and never will.
        """
        ...

    async def open_turn(self, bot: str, tenant_id: str, contact_id: str, *, epoch: int, turn_no: int) -> OpenedTurn:
        """Begin the work on a turn; counts the attempt before anything can break."""
        ...

    async def complete_turn(  # noqa: PLR0913 - all that becomes one commit
        self,
        bot: str,
        tenant_id: str,
        contact_id: str,
        *,
        epoch: int,
        turn_no: int,
        reply: str | None,
        facts: Sequence[Fact],
        record: Mapping[str, Any],
        effects: Sequence[Effect] = (),
    ) -> CompleteStatus:
        """End a turn: facts, reply (None for silence), record and the messages' outcome, all or nothing.

        The effects go out after the reply, in their order.
        """
        ...

    async def claim_deliveries(self, *, limit: int, lease: timedelta) -> list[Delivery]:
        """Claim the first open text and the first open effect behind it of up to `limit` contacts.

        Texts are checked against opt-out, owner and epoch now; effects tell the brokerage and always may.
        """
        ...

    async def finish_delivery(
        self,
        delivery: Delivery,
        result: DeliveryResult,
        *,
        cause: str | None = None,
        crm_message_id: str | None = None,
        wait: timedelta = timedelta(0),
        needs_read_back: bool = False,
    ) -> bool:
        """Say what became of a claimed text. False when the claim was no longer current."""
        ...

    async def pause(self, tenant_id: str, contact_id: str, *, actor: str) -> bool:
        """Keep the bots silent for a contact until it is resumed. False when nobody of that id ever wrote."""
        ...

    async def resume(self, tenant_id: str, contact_id: str, *, actor: str) -> Resumed | None:
        """Let bots answer what the contact writes from now on; None when nobody of that id ever wrote."""
        ...

    async def screen(self, tenant_id: str, contact_id: str, hashes: Sequence[str]) -> str | None:
        """Say by which addresses a contact is reached, and learn why no bot may write to it; None when one may."""
        ...

    async def erase(self, tenant_id: str, contact_id: str, *, contact_hash: str, actor: str) -> Erased:
        """Delete everything about a contact; of an opt-out, keyed hashes stay. Safe to repeat."""
        ...

    async def open_erasures(self, *, limit: int) -> list[Erased]:
        """List whom the cache is to be emptied of once more: no turn of theirs can be under way any more."""
        ...

    async def close_erasure(self, erased: Erased) -> None:
        """Say that the cache was emptied of a contact; its id is forgotten then."""
        ...

    async def timeline(
        self, tenant_id: str, contact_id: str, *, limit: int, before: datetime | None
    ) -> Mapping[str, Any] | None:
        """Read owner, facts and the newest events; None for an unknown contact."""
        ...

    async def lanes(self, *, limit: int, after: tuple[datetime, str] | None) -> list[Mapping[str, Any]]:
        """List contacts that wait for something, longest waiting first."""
        ...
