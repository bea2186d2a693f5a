"""The CRM as the gateway needs it: a port, its values, and a twin in memory."""

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final, Protocol

from kit.clock import Clock, utc_now
from kit.errors import ServiceUnavailable

SKEW: Final = timedelta(minutes=5)
"""How far the CRM's clock and ours may be apart when a text is looked for."""


class SendStatus(StrEnum):
    """What is known after an attempt to send."""

    SENT = "SENT"
    NOT_SENT = "NOT_SENT"
    """The CRM did not execute it; trying again is safe."""
    REFUSED = "REFUSED"
    """It never will."""
    UNKNOWN = "UNKNOWN"
    """It may have executed it: it must be asked before another attempt."""
    SKIPPED = "SKIPPED"
    """There was nothing that it could have been told; `cause` says why."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SendResult:
    """The outcome of one attempt to send."""

    status: SendStatus
    crm_message_id: str | None = None
    cause: str = ""
    """Why not, as a code: `CRM_503`, `CRM_TIMEOUT`."""
    wait_seconds: float = 0.0
    """How long the CRM wants us to wait; 0.0 when it does not say."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Text:
    """What is sent to whom."""

    tenant_id: str
    contact_id: str
    channel: str
    text: str
    conversation_id: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Note:
    """What people of the brokerage read beside a contact."""

    tenant_id: str
    contact_id: str
    text: str
    """Holds `reference`."""
    reference: str
    """What it is found again by; no other note or task has it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    """What a person of the brokerage has to do about a contact."""

    tenant_id: str
    contact_id: str
    title: str
    text: str
    """Holds `reference`."""
    due_time: datetime
    reference: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Fields:
    """What custom fields of a contact should say, by field key."""

    tenant_id: str
    contact_id: str
    values: Mapping[str, str | int | bool]


class Crm(Protocol):
    """What the gateway asks of a CRM.

    What changes something is done once, within 4 s, and never raises for what the CRM or the wire does.
    """

    async def send(self, text: Text) -> SendResult:
        """Send a text."""
        ...

    async def find(self, text: Text, *, since: datetime, known: frozenset[str]) -> str | None:
        """Look for a text of ours that the CRM took; return its id there, or None when it did not take it.

        Args:
            text: What is looked for.
            since: When it was first tried, by our clock.
            known: Ids that belong to other texts of the contact.

        Raises:
            ServiceUnavailable: The CRM cannot be asked; nothing is known.
        """
        ...

    async def profile(self, tenant_id: str, contact_id: str) -> Mapping[str, Any]:
        """Return what the CRM says about a contact: `phone` and `email` among it, where it knows them.

        Raises:
            ServiceUnavailable: The CRM cannot be asked; nothing is known.
        """
        ...

    async def create_note(self, note: Note) -> SendResult:
        """Write a note."""
        ...

    async def create_task(self, task: Task) -> SendResult:
        """Open a task, for nobody in particular."""
        ...

    async def find_entry(self, entry: Note | Task) -> str | None:
        """Look for a note or a task by its reference; return its id, or None when the CRM has none or not the contact.

        Raises:
            ServiceUnavailable: The CRM cannot be asked; nothing is known.
        """
        ...

    async def set_fields(self, fields: Fields) -> SendResult:
        """Set custom fields; doing it again changes nothing.

        A field that the location does not have is reported once and left out: the
        cause is then `FIELDS_MISSING`, and the status SKIPPED when none is left.
        """
        ...


def same_text(ours: str, theirs: str) -> bool:
    """Say whether two texts are the same but for white space, which a CRM may change."""
    return ours.split() == theirs.split()


@dataclass(kw_only=True)
class MemoryCrm:
    """The twin: takes texts, and misbehaves as it is told, one fault for each send."""

    clock: Clock = utc_now
    texts: list[tuple[str, Text, datetime]] = field(default_factory=list)
    """What was taken: id, text, time."""
    faults: deque[Callable[["MemoryCrm", Text | Note | Task], SendResult]] = field(default_factory=deque)
    reachable: bool = True
    field_keys: frozenset[str] | None = None
    """The custom fields that there are; None stands for all."""
    entries: list[tuple[str, Note | Task]] = field(default_factory=list)
    fields: dict[tuple[str, str], dict[str, str | int | bool]] = field(default_factory=dict)
    """By tenant and contact."""
    profiles: Mapping[tuple[str, str], Mapping[str, Any]] = field(default_factory=dict)
    """By tenant and contact."""

    async def send(self, text: Text) -> SendResult:
        """See `Crm`."""
        if not self.reachable:
            return SendResult(status=SendStatus.NOT_SENT, cause="CRM_UNREACHABLE")
        return self.faults.popleft()(self, text) if self.faults else self.take(text)

    async def find(self, text: Text, *, since: datetime, known: frozenset[str]) -> str | None:
        """See `Crm`."""
        if not self.reachable:
            raise ServiceUnavailable("crm cannot be asked", service="crm")
        for crm_message_id, taken, time in reversed(self.texts):
            if (
                (taken.tenant_id, taken.contact_id) == (text.tenant_id, text.contact_id)
                and crm_message_id not in known
                and time >= since - SKEW
                and same_text(taken.text, text.text)
            ):
                return crm_message_id
        return None

    async def profile(self, tenant_id: str, contact_id: str) -> Mapping[str, Any]:
        """See `Crm`."""
        if not self.reachable:
            raise ServiceUnavailable("crm cannot be asked", service="crm")
        return self.profiles.get((tenant_id, contact_id), {})

    async def create_note(self, note: Note) -> SendResult:
        """See `Crm`."""
        return await self._create(note)

    async def create_task(self, task: Task) -> SendResult:
        """See `Crm`."""
        return await self._create(task)

    async def _create(self, entry: Note | Task) -> SendResult:
        if not self.reachable:
            return SendResult(status=SendStatus.NOT_SENT, cause="CRM_UNREACHABLE")
        return self.faults.popleft()(self, entry) if self.faults else self.take(entry)

    async def find_entry(self, entry: Note | Task) -> str | None:
        """See `Crm`."""
        if not self.reachable:
            raise ServiceUnavailable("crm cannot be asked", service="crm")
        return next((taken for taken, each in self.entries if each.reference == entry.reference), None)

    async def set_fields(self, fields: Fields) -> SendResult:
        """See `Crm`."""
        if not self.reachable:
            return SendResult(status=SendStatus.NOT_SENT, cause="CRM_UNREACHABLE")
        there = {
            key: value for key, value in fields.values.items() if self.field_keys is None or key in self.field_keys
        }
        cause = "" if len(there) == len(fields.values) else "FIELDS_MISSING"
        if not there:
            return SendResult(status=SendStatus.SKIPPED, cause=cause)
        self.fields.setdefault((fields.tenant_id, fields.contact_id), {}).update(there)
        return SendResult(status=SendStatus.SENT, cause=cause)

    def take(self, sent: Text | Note | Task) -> SendResult:
        """Execute what was sent."""
        if not isinstance(sent, Text):
            entry_id = f"entry_{len(self.entries) + 1}"
            self.entries.append((entry_id, sent))
            return SendResult(status=SendStatus.SENT, crm_message_id=entry_id)
        text = sent
        crm_message_id = f"msg_{len(self.texts) + 1}"
        self.texts.append((crm_message_id, text, self.clock()))
        return SendResult(status=SendStatus.SENT, crm_message_id=crm_message_id)


def refuse_for_now(_crm: MemoryCrm, _sent: Text | Note | Task) -> SendResult:
    """Be over the limit: not executed, and known not to be."""
    return SendResult(status=SendStatus.NOT_SENT, cause="CRM_429", wait_seconds=1.0)


def refuse_for_good(_crm: MemoryCrm, _sent: Text | Note | Task) -> SendResult:
    """Find the request wrong."""
    return SendResult(status=SendStatus.REFUSED, cause="CRM_422")


def execute_then_cut(crm: MemoryCrm, sent: Text | Note | Task) -> SendResult:
    """Execute, then lose the connection before the answer."""
    crm.take(sent)
    return SendResult(status=SendStatus.UNKNOWN, cause="CRM_CUT")


def fail_unexecuted(_crm: MemoryCrm, _sent: Text | Note | Task) -> SendResult:
    """Answer 503 without executing, which nobody can tell from the outside."""
    return SendResult(status=SendStatus.UNKNOWN, cause="CRM_503")
