"""The CRM as the gateway needs it: a port, its values, and a twin in memory."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, Protocol

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


class Crm(Protocol):
    """What the gateway asks of a CRM."""

    async def send(self, text: Text) -> SendResult:
        """Send a text, once, within 4 s. Never raises for what the CRM or the wire does."""
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


def same_text(ours: str, theirs: str) -> bool:
    """Say whether two texts are the same but for white space, which a CRM may change."""
    return ours.split() == theirs.split()


@dataclass(kw_only=True)
class MemoryCrm:
    """The twin: takes texts, and misbehaves as it is told, one fault for each send."""

    clock: Clock = utc_now
    texts: list[tuple[str, Text, datetime]] = field(default_factory=list)
    """What was taken: id, text, time."""
    faults: deque[Callable[["MemoryCrm", Text], SendResult]] = field(default_factory=deque)
    reachable: bool = True

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

    def take(self, text: Text) -> SendResult:
        """Execute a send."""
        crm_message_id = f"msg_{len(self.texts) + 1}"
        self.texts.append((crm_message_id, text, self.clock()))
        return SendResult(status=SendStatus.SENT, crm_message_id=crm_message_id)


def refuse_for_now(_crm: MemoryCrm, _text: Text) -> SendResult:
    """Be over the limit: not executed, and known not to be."""
    return SendResult(status=SendStatus.NOT_SENT, cause="CRM_429", wait_seconds=1.0)


def refuse_for_good(_crm: MemoryCrm, _text: Text) -> SendResult:
    """Find the request wrong."""
    return SendResult(status=SendStatus.REFUSED, cause="CRM_422")


def execute_then_cut(crm: MemoryCrm, text: Text) -> SendResult:
    """Execute, then lose the connection before the answer."""
    crm.take(text)
    return SendResult(status=SendStatus.UNKNOWN, cause="CRM_CUT")


def fail_unexecuted(_crm: MemoryCrm, _text: Text) -> SendResult:
    """Answer 503 without executing, which nobody can tell from the outside."""
    return SendResult(status=SendStatus.UNKNOWN, cause="CRM_503")
