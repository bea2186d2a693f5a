"""Turns the body of a workflow's Webhook action into one event. Pure.

The sub-account's owner writes that body from merge fields, so it comes in several
shapes: flat as the CRM's own events, nested under `message` and `contact`, or with
names of their own, which the setting `workflow_fields` maps.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from kit.errors import InvalidField
from kit.lane import Event, EventKind
from services.gateway.keywords import Brokerage, keyword, reply
from services.gateway.payload import (
    Payload,
    at,
    dnd,
    identifier,
    moment,
    profile,
    required,
)
from services.gateway.translate import Ignored, channel_of, message_hash, text_of

SOURCE: Final = "ghl-workflow"

FIELDS: Final[Mapping[str, tuple[str, ...]]] = {
    "contact_id": ("contactId", "contact_id", "contact.contactId", "contact.id", "id"),
    "text": (
        "body",
        "message.body",
        "message",
        "customData.body",
        "customData.message",
    ),
    "channel": ("messageType", "message.type", "customData.messageType"),
    "message_id": ("messageId", "message.id", "message.messageId"),
    "write_time": ("dateAdded", "message.dateAdded", "timestamp"),
    "conversation_id": ("conversationId", "message.conversationId"),
}
"""Where our fields are looked for, in this order."""


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkflowReader:
    """What is needed to read a workflow's events."""

    tenants: frozenset[str]
    brokerage: Brokerage
    fields: Mapping[str, str] = field(default_factory=dict)
    """The account's own place of a field, looked at first: `{"text": "customData.answer"}`."""

    def read(self, tenant_id: str, payload: Payload, *, delivery_id: str, now: datetime) -> Event | Ignored:
        """Read one event.

        Args:
            tenant_id: The location whose address was called.
            payload: The parsed body.
            delivery_id: A fresh id. It stands in where the body has neither an id nor
                a time: two genuine "yes" are two messages, and a workflow calls once.
            now: The present, UTC.

        Raises:
            InvalidField: The body names no contact, or another location.
        """
        if tenant_id not in self.tenants:
            return Ignored(cause="UNKNOWN_LOCATION")
        if (location := identifier(payload, "locationId", "location.id")) not in (
            None,
            tenant_id,
        ):
            raise InvalidField(
                f"locationId is {location}, the address is that of {tenant_id}",
                field="locationId",
                limit=tenant_id,
            )
        contact_id = required(payload, *self._paths("contact_id"))
        kind = self._kind(payload)
        text = self._text(payload)
        message_id = identifier(payload, *self._paths("message_id"))
        time = moment(payload, *self._paths("write_time"), now=now)
        meaning = keyword(text) if kind is EventKind.MESSAGE_IN else None
        contact = payload.get("contact")
        is_message = kind in (EventKind.MESSAGE_IN, EventKind.MESSAGE_OUT)
        return Event(
            tenant_id=tenant_id,
            source=SOURCE,
            event_id=message_id or (message_hash(kind, contact_id, time, text) if time else delivery_id),
            kind=kind,
            contact_id=contact_id,
            crm_message_id=message_id if is_message else None,
            conversation_id=identifier(payload, *self._paths("conversation_id")),
            channel=self._channel(payload) if is_message else None,
            text=text if is_message else "",
            write_time=time,
            keyword=meaning,
            keyword_reply="" if meaning is None else reply(meaning, self.brokerage),
            profile=profile(payload) | (profile(contact) if isinstance(contact, Mapping) else {}),
            dnd=dnd(payload),
        )

    def _paths(self, name: str) -> tuple[str, ...]:
        own = self.fields.get(name)
        return FIELDS[name] if own is None else (own, *FIELDS[name])

    def _kind(self, payload: Payload) -> EventKind:
        match payload.get("type"):
            case "InboundMessage":
                return EventKind.MESSAGE_IN
            case "OutboundMessage":
                return EventKind.MESSAGE_OUT
            case "ContactTagAdded" | "ContactTagRemoved" | "ContactTagUpdate":
                return EventKind.TAGS
        # Without a type of ours the body is what somebody put together: a text in it is the person's,
        # unless it says itself that it went the other way.
        if not self._text(payload):
            return EventKind.CONTACT_UPSERT
        direction = at(payload, "message.direction") or payload.get("direction")
        return EventKind.MESSAGE_OUT if direction == "outbound" else EventKind.MESSAGE_IN

    def _text(self, payload: Payload) -> str:
        for path in self._paths("text"):
            if isinstance(value := at(payload, path), str) and value:
                return text_of(value, is_html=self._channel(payload) == "Email")
        return ""

    def _channel(self, payload: Payload) -> str:
        for path in self._paths("channel"):
            if (channel := channel_of(at(payload, path))) is not None:
                return channel
        return "SMS"
