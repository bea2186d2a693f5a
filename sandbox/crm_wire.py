"""The CRM's shapes on the wire, in its own field names, and what it refuses. Pure."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sandbox.crm_state import Contact, Conversation, Message

CHANNELS = ("SMS", "RCS", "Email", "WhatsApp", "IG", "FB", "Custom", "Live_Chat", "TIKTOK")
SEND_FIELDS = frozenset(
    """type subType contactId appointmentId attachments emailFrom emailCc emailBcc html message subject replyMessageId
    templateId threadId scheduledTimestamp conversationProviderId emailTo customSubtypeId emailReplyMode fromNumber toNumber
    forward status usesNativeSchedulingAi optimizationPeriod""".split()
)
# The CRM's field, then ours. `tags` replaces all tags, as the CRM does.
CONTACT_FIELDS = {
    "firstName": "first_name",
    "lastName": "last_name",
    "phone": "phone",
    "email": "email",
    "timezone": "timezone",
    "source": "source",
    "assignedTo": "assigned_to",
    "dnd": "dnd",
    "dndSettings": "dnd_settings",
    "tags": "tags",
    "customFields": "custom_fields",
}
IGNORED_FIELDS = frozenset(
    """name address1 city state postalCode website inboundDndSettings dateOfBirth country gender companyName locationId
    createNewIfDuplicateAllowed""".split()
)
# What a brokerage creates in its settings: key, name, type. README, "What the brokerage sees in its CRM", asks for them.
CUSTOM_FIELDS = (
    ("contact.porchlight_score", "Porchlight score", "NUMERICAL"),
    ("contact.porchlight_grade", "Porchlight grade", "TEXT"),
    ("contact.porchlight_reasons", "Porchlight reasons", "LARGE_TEXT"),
    ("contact.porchlight_intent", "Porchlight intent", "TEXT"),
    ("contact.porchlight_area", "Porchlight area", "TEXT"),
    ("contact.porchlight_home_area", "Porchlight home area", "TEXT"),
    ("contact.porchlight_timeline", "Porchlight timeline", "TEXT"),
    ("contact.porchlight_budget_usd", "Porchlight budget USD", "NUMERICAL"),
    ("contact.porchlight_bedrooms", "Porchlight bedrooms", "NUMERICAL"),
    ("contact.porchlight_financing", "Porchlight financing", "TEXT"),
)
NOTE_FIELDS = frozenset("userId body title color pinned".split())
TASK_FIELDS = frozenset("title body dueDate completed assignedTo".split())
DND_CHANNELS = frozenset(("SMS", "Call", "Email", "WhatsApp", "GMB", "FB"))
LONGEST_TEXT = 1600


class Wrong(Exception):
    """The CRM refuses a request.

    Attributes:
        status: The HTTP status.
        body: The answer, without its `traceId`.
    """

    def __init__(self, status: int, message: str | list[str]) -> None:
        super().__init__(str(message))
        self.status = status
        self.body: dict[str, Any] = {"statusCode": status, "message": message}
        if status == 401:
            self.body["error"] = "Unauthorized"
        if status == 422:
            self.body["error"] = "Unprocessable Entity"


def full_name(contact: Contact) -> str:
    """Join a contact's names."""
    return f"{contact.first_name} {contact.last_name}".strip()


def contact_json(contact: Contact) -> dict[str, Any]:
    """Write a contact as GET /contacts/{id} does."""
    shown = {theirs: getattr(contact, ours) for theirs, ours in CONTACT_FIELDS.items()}
    shown["customFields"] = [{"id": each["id"], "value": each.get("value")} for each in contact.custom_fields]
    shown |= {
        "id": contact.id,
        "locationId": contact.location_id,
        "name": full_name(contact),
        "dateAdded": contact.date_added,
        "dateUpdated": contact.date_updated or contact.date_added,
    }
    # Texts that were never set are left out, as the CRM leaves them out.
    return {name: value for name, value in shown.items() if value != ""}


def message_json(message: Message) -> dict[str, Any]:
    """Write a text as the history shows it. Type 2 is TYPE_SMS."""
    shown: dict[str, Any] = {
        "id": message.id,
        "type": 2,
        "messageType": "TYPE_SMS",
        "locationId": message.location_id,
        "contactId": message.contact_id,
        "conversationId": message.conversation_id,
        "dateAdded": message.date_added,
        "body": message.body,
        "direction": message.direction,
        "status": message.status,
        "contentType": "text/plain",
        "attachments": [],
    }
    if message.source:
        shown["source"] = message.source
    if message.user_id:
        shown["userId"] = message.user_id
    return shown


def conversation_json(
    conversation: Conversation, contact: Contact, last: Message | None, last_ms: int
) -> dict[str, Any]:
    """Write a conversation as the search shows it."""
    return {
        "id": conversation.id,
        "contactId": contact.id,
        "locationId": conversation.location_id,
        "lastMessageBody": last.body if last else "",
        "lastMessageType": "TYPE_SMS",
        "lastMessageDate": last_ms,
        "lastMessageDirection": last.direction if last else "",
        "type": "TYPE_PHONE",
        "unreadCount": conversation.unread,
        "fullName": full_name(contact),
        "contactName": full_name(contact),
        "email": contact.email,
        "phone": contact.phone,
        "sort": [last_ms],
    }


def message_event(message: Message, *, with_message_id: bool) -> dict[str, Any]:
    """Write the webhook event of a text, flat; delivery adds `timestamp`, `webhookId`, `appId` and `versionId`."""
    inbound = message.direction == "inbound"
    event: dict[str, Any] = {
        "type": "InboundMessage" if inbound else "OutboundMessage",
        "locationId": message.location_id,
        "attachments": [],
        "body": message.body,
        "contactId": message.contact_id,
        "contentType": "text/plain",
        "conversationId": message.conversation_id,
        "dateAdded": message.date_added,
        "direction": message.direction,
        "messageType": "SMS",
        "status": message.status,
    }
    if with_message_id:
        event["messageId"] = message.id
    if message.source:
        event["source"] = message.source
    if message.user_id:
        event["userId"] = message.user_id
    return event


def contact_event(kind: str, contact: Contact) -> dict[str, Any]:
    """Write a contact's webhook event: ContactCreate, ContactDndUpdate, ContactTagUpdate."""
    shown = contact_json(contact)
    event = {
        "type": kind,
        **{name: shown[name] for name in shown if name not in ("dateUpdated", "timezone", "dndSettings")},
    }
    if kind == "ContactDndUpdate":
        event["dndSettings"] = contact.dnd_settings
    return event


def entry_event(kind: str, contact: Contact, entry: Mapping[str, Any]) -> dict[str, Any]:
    """Write the webhook event of a note or a task: NoteCreate, TaskCreate."""
    named = ("id", "assignedTo", "body", "contactId", "title", "dateAdded", "dueDate")
    return {"type": kind, "locationId": contact.location_id, **{name: entry[name] for name in named if name in entry}}


def send_request(body: object) -> tuple[str, str]:
    """Check the body of POST /conversations/messages; gives the contact and the text.

    Raises:
        Wrong: With status 400 or 422.
    """
    if not isinstance(body, dict):
        raise Wrong(400, "Bad Request")
    problems = [f"property {name} should not exist" for name in body if name not in SEND_FIELDS]
    if body.get("type") not in CHANNELS:
        problems.append(f"type must be one of the following values: {', '.join(CHANNELS)}")
    if not isinstance(body.get("contactId"), str) or not body["contactId"]:
        problems.append("contactId must be a string")
    if problems:
        raise Wrong(422, problems)
    if body["type"] != "SMS":
        raise Wrong(400, f"No {body['type']} provider is set up in this location (the stand-in sends SMS only)")
    text = body.get("message")
    if not isinstance(text, str) or not text.strip():
        raise Wrong(400, "There is no message or attachments for this message. Skip sending.")
    if len(text) > LONGEST_TEXT:
        raise Wrong(400, f"message is longer than {LONGEST_TEXT} characters")
    return body["contactId"], text


def contact_changes(body: object) -> dict[str, Any]:
    """Check the body of PUT /contacts/{id} or POST /contacts/upsert; gives our field names and their values.

    Raises:
        Wrong: With status 400 or 422.
    """
    if not isinstance(body, dict):
        raise Wrong(400, "Bad Request")
    problems = [
        f"property {name} should not exist"
        for name in body
        if name not in CONTACT_FIELDS and name not in IGNORED_FIELDS
    ]
    for name in ("firstName", "lastName", "email", "timezone", "source", "assignedTo"):
        if name in body and not isinstance(body[name], str):
            problems.append(f"{name} must be a string")
    if "phone" in body and (not isinstance(body["phone"], str) or normal_phone(body["phone"]) is None):
        problems.append("phone must be a valid phone number")
    if "dnd" in body and not isinstance(body["dnd"], bool):
        problems.append("dnd must be a boolean value")
    if "tags" in body and not (isinstance(body["tags"], list) and all(isinstance(tag, str) for tag in body["tags"])):
        problems.append("each value in tags must be a string")
    if "dndSettings" in body:
        problems += _dnd_problems(body["dndSettings"])
    if "customFields" in body and not (
        isinstance(body["customFields"], list) and all(isinstance(e, dict) and "id" in e for e in body["customFields"])
    ):
        problems.append("customFields must be an array of objects with an id")
    if problems:
        raise Wrong(422, problems)
    changes = {CONTACT_FIELDS[name]: value for name, value in body.items() if name in CONTACT_FIELDS}
    if "phone" in changes:
        changes["phone"] = normal_phone(changes["phone"])
    if "custom_fields" in changes:
        changes["custom_fields"] = [
            {"id": each["id"], "value": each.get("field_value", each.get("value"))} for each in changes["custom_fields"]
        ]
    return changes


def custom_fields_json(location_id: str) -> list[dict[str, Any]]:
    """Write a location's custom fields as GET /locations/{id}/customFields does; ids differ in every location."""
    return [
        {
            "id": hashlib.sha256(f"{location_id}:{key}".encode()).hexdigest()[:20],
            "name": name,
            "fieldKey": key,
            "placeholder": "",
            "dataType": kind,
            "position": position * 50,
            "picklistOptions": [],
            "locationId": location_id,
            "model": "contact",
        }
        for position, (key, name, kind) in enumerate(CUSTOM_FIELDS)
    ]


def fields_by_key(contact: Contact) -> dict[str, Any]:
    """Give a contact's custom fields by their keys."""
    keys = {each["id"]: each["fieldKey"] for each in custom_fields_json(contact.location_id)}
    return {keys.get(each["id"], each["id"]): each["value"] for each in contact.custom_fields}


def note_request(body: object) -> dict[str, Any]:
    """Check the body of POST /contacts/{id}/notes.

    Raises:
        Wrong: With status 400 or 422.
    """
    return _entry(body, NOTE_FIELDS, texts=("body",))


def task_request(body: object) -> dict[str, Any]:
    """Check the body of POST /contacts/{id}/tasks.

    Raises:
        Wrong: With status 400 or 422.
    """
    found = _entry(body, TASK_FIELDS, texts=("title", "dueDate"))
    problems = []
    if not isinstance(found.get("completed"), bool):
        problems.append("completed must be a boolean value")
    try:
        datetime.fromisoformat(found["dueDate"])
    except ValueError:
        problems.append("dueDate must be a valid ISO 8601 date string")
    if problems:
        raise Wrong(422, problems)
    return found


def _entry(body: object, known: frozenset[str], *, texts: tuple[str, ...]) -> dict[str, Any]:
    if not isinstance(body, dict):
        raise Wrong(400, "Bad Request")
    problems = [f"property {name} should not exist" for name in body if name not in known]
    problems += [f"{name} must be a string" for name in texts if not isinstance(body.get(name), str) or not body[name]]
    if problems:
        raise Wrong(422, problems)
    return body


def _dnd_problems(settings: object) -> list[str]:
    if not isinstance(settings, Mapping):
        return ["dndSettings must be an object"]
    problems = [
        f"dndSettings.property {channel} should not exist" for channel in settings if channel not in DND_CHANNELS
    ]
    for channel, setting in settings.items():
        if not isinstance(setting, Mapping) or setting.get("status") not in ("active", "inactive", "permanent"):
            problems.append(
                f"dndSettings.{channel}.status must be one of the following values: active, inactive, permanent"
            )
    return problems


def normal_phone(text: str) -> str | None:
    """Write a phone number as E.164; ten digits are taken for the US. None when it is no phone number.

    >>> normal_phone("(206) 555-0100"), normal_phone("12")
    ('+12065550100', None)
    """
    digits = re.sub(r"[\s().-]", "", text)
    if re.fullmatch(r"\d{10}", digits):
        return f"+1{digits}"
    if re.fullmatch(r"1\d{10}", digits):
        return f"+{digits}"
    return digits if re.fullmatch(r"\+[1-9]\d{7,14}", digits) else None
