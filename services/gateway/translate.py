"""Turns a HighLevel marketplace webhook into one event in our words. Pure.

What an event is about follows from its `type`, then from `messageType`; never from
`direction`, which the CRM's own examples get wrong.

Source: HighLevel's webhook documentation, 58 events.
"""

import hashlib
from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

from kit.lane import Event, EventKind
from services.gateway.html_text import html_to_text
from services.gateway.keywords import Brokerage, keyword, reply
from services.gateway.payload import (
    TEXT_MOST,
    Payload,
    dnd,
    identifier,
    moment,
    profile,
    required,
)

SOURCE: Final = "ghl"
STORED_SOURCE: Final = "ghl-reconcile"
"""Of messages that were read from the CRM's conversations."""
COMPANY: Final = "-"
"""Tenant of events that concern a whole company."""

RETRY_HORIZON: Final = timedelta(hours=2)
"""How old a delivery may be. The CRM's own retries end after about 70 minutes."""

CHANNELS: Final = {
    "SMS": "SMS",
    "Email": "Email",
    "Live Chat": "Live_Chat",
    "Live_Chat": "Live_Chat",
    "WebChat": "Live_Chat",
    "FB": "FB",
    "Facebook": "FB",
    "IG": "IG",
    "Instagram": "IG",
    "WhatsApp": "WhatsApp",
    "RCS": "RCS",
    "GMB": "GMB",
    "Custom": "Custom",
    "TIKTOK": "TIKTOK",
    # As the REST interface and workflows spell them.
    "TYPE_SMS": "SMS",
    "TYPE_EMAIL": "Email",
    "TYPE_LIVE_CHAT": "Live_Chat",
    "TYPE_WEBCHAT": "Live_Chat",
    "TYPE_FACEBOOK": "FB",
    "TYPE_INSTAGRAM": "IG",
    "TYPE_WHATSAPP": "WhatsApp",
    "TYPE_GMB": "GMB",
    "TYPE_RCS": "RCS",
    "TYPE_TIKTOK": "TIKTOK",
}
"""How a message came, as the CRM says it, and as it wants it said when we answer. Calls and voicemails are none."""

_CONTACT: Final = {
    "ContactCreate": EventKind.CONTACT_UPSERT,
    "ContactUpdate": EventKind.CONTACT_UPSERT,
    "ContactDelete": EventKind.CONTACT_DELETE,
    "ContactTagUpdate": EventKind.TAGS,
    "ContactDndUpdate": EventKind.DND,
}
_INSTALL: Final = {"INSTALL": EventKind.INSTALL, "UNINSTALL": EventKind.UNINSTALL}
_APPOINTMENTS: Final = frozenset({"AppointmentCreate", "AppointmentUpdate", "AppointmentDelete"})
_RECORDED: Final = {
    **dict.fromkeys(
        (
            "OpportunityCreate",
            "OpportunityUpdate",
            "OpportunityDelete",
            "OpportunityStageUpdate",
            "OpportunityStatusUpdate",
            "OpportunityAssignedToUpdate",
            "OpportunityMonetaryValueUpdate",
        ),
        EventKind.OPPORTUNITY,
    ),
    **dict.fromkeys(
        (
            "CampaignStatusUpdate",
            # Its page in the documentation is called ConversationUnreadWebhook.
            "ConversationUnreadUpdate",
            "NoteCreate",
            "NoteUpdate",
            "NoteDelete",
            "OrderCreate",
            "OrderStatusUpdate",
            "TaskCreate",
            "TaskComplete",
            "TaskDelete",
        ),
        EventKind.OTHER,
    ),
}
_UNUSED: Final = frozenset(
    {
        *(f"Association{change}" for change in ("Create", "Update", "Delete")),
        *(
            f"Invoice{change}"
            for change in (
                "Create",
                "Update",
                "Delete",
                "Sent",
                "Paid",
                "PartiallyPaid",
                "Void",
            )
        ),
        *(f"ObjectSchema{change}" for change in ("Create", "Update")),
        *(f"Price{change}" for change in ("Create", "Update", "Delete")),
        *(f"Product{change}" for change in ("Create", "Update", "Delete")),
        *(f"Record{change}" for change in ("Create", "Update", "Delete")),
        *(f"Relation{change}" for change in ("Create", "Delete")),
        *(f"Location{change}" for change in ("Create", "Update")),
        *(f"User{change}" for change in ("Create", "Update", "Delete")),
        "LCEmailStats",
        "PLAN_CHANGE",
        # What a custom SMS provider is told to send; it has a channel where others have a type.
        "SMS",
        "Email",
    }
)

_AUTOMATIONS: Final = frozenset({"api", "workflow", "bulk_actions", "campaign"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Ignored:
    """An event that is not stored, since nothing would ever be done with it and asking again cannot help."""

    cause: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Reader:
    """What is needed to read events, besides the events."""

    tenants: Collection[str]
    """Locations that are ours; the platform signs for everybody's."""
    app_id: str
    """Our app; "" accepts every app's events."""
    brokerage: Brokerage

    def read(self, payload: Payload, *, body: bytes, now: datetime) -> Event | Ignored:
        """Read one event.

        Args:
            payload: The parsed body. The integration guide nests an event under
                `data`, the event pages do not: both are read, what is flat wins.
            body: The same body as it came; its hash stands in for a missing id.
            now: The present, UTC.

        Raises:
            InvalidField: An event that must be stored lacks what it is stored by.
        """
        nested = payload.get("data")
        flat: Payload = {**nested, **payload} if isinstance(nested, dict) else payload
        if self.app_id and flat.get("appId") not in (None, self.app_id):
            return Ignored(cause="OTHER_APP")
        kind = flat.get("type")
        if not isinstance(kind, str):
            return Ignored(cause="NO_TYPE")
        if kind in _UNUSED:
            return Ignored(cause="UNUSED_TYPE")
        if kind not in (
            "InboundMessage",
            "OutboundMessage",
            *_CONTACT,
            *_INSTALL,
            *_APPOINTMENTS,
            *_RECORDED,
        ):
            return Ignored(cause="UNKNOWN_TYPE")
        tenant = identifier(flat, "locationId")
        if tenant is None and kind not in _INSTALL:
            required(flat, "locationId")
        if tenant is not None and tenant not in self.tenants:
            return Ignored(cause="UNKNOWN_LOCATION")
        if kind in ("InboundMessage", "OutboundMessage"):
            return self._message(
                flat,
                tenant_id=tenant or COMPANY,
                inbound=kind == "InboundMessage",
                body=body,
                now=now,
            )
        return _other(flat, kind, tenant_id=tenant or COMPANY, body=body, now=now)

    def read_stored(
        self, tenant_id: str, message: Payload, *, now: datetime, answer_within: timedelta
    ) -> Event | Ignored:
        """Read a message as a conversation of the CRM has it, the way its webhook is read.

        Args:
            tenant_id: The location that was asked.
            message: Of the conversation.
            now: The present, UTC.
            answer_within: How old what a person wrote may be for a bot to answer it.

        Raises:
            InvalidField: As `read`.
        """
        # Here it is the only word for it, and one of two.
        kinds = {"inbound": "InboundMessage", "outbound": "OutboundMessage"}
        kind = kinds.get(str(message.get("direction")))
        if kind is None or channel_of(message.get("messageType")) in (None, "Email"):
            # A mail stands here without its words, and under the id of its thread.
            return Ignored(cause="UNUSED_TYPE")
        if identifier(message, "locationId") != tenant_id:
            return Ignored(cause="UNKNOWN_LOCATION")
        body = str(message.get("body") or "").replace("\0", "").encode("utf-8", "replace")
        payload = {**message, "type": kind, "messageId": message.get("id"), "body": body.decode()}
        event = self.read({name: value for name, value in payload.items() if name != "data"}, body=body, now=now)
        if isinstance(event, Ignored):
            return event
        if event.kind not in (EventKind.MESSAGE_IN, EventKind.HUMAN_MESSAGE):
            return Ignored(cause="UNUSED_TYPE")
        if event.crm_message_id is None or event.write_time is None:
            return Ignored(cause="NO_ID_OR_TIME")
        return replace(
            event,
            source=STORED_SOURCE,
            event_id=event.crm_message_id,
            late=now - event.write_time > answer_within,
        )

    def _message(
        self,
        payload: Payload,
        *,
        tenant_id: str,
        inbound: bool,
        body: bytes,
        now: datetime,
    ) -> Event:
        channel = channel_of(payload.get("messageType", "SMS"))
        kind = EventKind.OTHER if channel is None else EventKind.MESSAGE_IN if inbound else _author(payload)
        # A mail's thread has one messageId, each mail in it an emailMessageId.
        names = ("emailMessageId", "messageId") if channel == "Email" else ("messageId",)
        crm_message_id = None if kind is EventKind.OTHER else identifier(payload, *names)
        contact_id = required(payload, "contactId")
        text = "" if channel is None else text_of(payload.get("body"), is_html=channel == "Email")
        conversation_id = identifier(payload, "conversationId")
        meaning = keyword(text) if kind is EventKind.MESSAGE_IN else None
        hashed = message_hash(
            tenant_id,
            conversation_id or contact_id,
            payload.get("dateAdded"),
            payload.get("body"),
        )
        return Event(
            tenant_id=tenant_id,
            source=SOURCE,
            event_id=identifier(payload, "webhookId") or crm_message_id or (hashed if channel else _body_hash(body)),
            kind=kind,
            contact_id=contact_id,
            crm_message_id=crm_message_id,
            conversation_id=conversation_id,
            channel=channel,
            text=text,
            write_time=moment(payload, "dateAdded", "timestamp", now=now),
            keyword=meaning,
            keyword_reply="" if meaning is None else reply(meaning, self.brokerage),
        )


def is_stale(payload: Payload, *, now: datetime) -> bool:
    """Say whether a delivery says itself that it is older than any retry of the CRM's.

    A second line of defence only: the first is that an event id is stored once,
    for ever. A payload without a time passes, for the same reason.
    """
    time = moment(payload, "timestamp", "data.timestamp", now=now)
    return time is not None and time < now - RETRY_HORIZON


def channel_of(message_type: object) -> str | None:
    """Return the channel of a message; None for calls, voicemails and what nobody can answer in writing."""
    return CHANNELS.get(message_type) if isinstance(message_type, str) else None


def text_of(body: object, *, is_html: bool) -> str:
    """Return what was written, at most 10,000 characters."""
    if not isinstance(body, str):
        return ""
    return html_to_text(body, longest=TEXT_MOST) if is_html else body[:TEXT_MOST]


def message_hash(*parts: object) -> str:
    """Return an id for a message that came without one."""
    return "h_" + hashlib.sha256(repr(parts).encode("utf-8", "surrogatepass")).hexdigest()


def _author(payload: Payload) -> EventKind:
    # Our own sends come back with source "api"; workflows and campaigns are context. A
    # person of the brokerage is who is left: a user, from the app or from nowhere named.
    if payload.get("source") in _AUTOMATIONS or not payload.get("userId"):
        return EventKind.MESSAGE_OUT
    return EventKind.HUMAN_MESSAGE


def _other(payload: Payload, kind: str, *, tenant_id: str, body: bytes, now: datetime) -> Event:
    said: dict[str, Any] = {}
    contact_id: str | None = None
    if kind in _CONTACT:
        event_kind = _CONTACT[kind]
        contact_id = required(payload, "id", "contactId")
        if event_kind is not EventKind.CONTACT_DELETE:
            said = {"profile": profile(payload), "dnd": dnd(payload)}
    elif kind in _INSTALL:
        event_kind = _INSTALL[kind]
    elif kind in _APPOINTMENTS:
        event_kind = EventKind.APPOINTMENT
        contact_id = identifier(payload, "appointment.contactId", "contactId")
    else:
        event_kind = _RECORDED[kind]
        contact_id = identifier(payload, "contactId")
    return Event(
        tenant_id=tenant_id,
        source=SOURCE,
        event_id=identifier(payload, "webhookId") or _body_hash(body),
        kind=event_kind,
        contact_id=contact_id,
        write_time=moment(payload, "timestamp", now=now) or moment(payload, "dateAdded", now=now),
        **said,
    )


def _body_hash(body: bytes) -> str:
    return "b_" + hashlib.sha256(body).hexdigest()
