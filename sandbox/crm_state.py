"""What the CRM stand-in remembers: contacts, conversations, messages, webhooks; kept in a JSON-lines journal.

Every change is appended to the journal before it is answered for, and replayed at the next start, so that a SIGKILL
keeps what was accepted. Written without fsync: the operating system survives the tests, only the process does not.
"""

from __future__ import annotations

import json
import os
import secrets
import string
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

from kit.clock import Clock

ALPHABET = string.ascii_letters + string.digits


def new_id() -> str:
    """Make an id as the CRM makes them: 20 opaque letters and digits."""
    return "".join(secrets.choice(ALPHABET) for _ in range(20))


def timestamp(moment: datetime) -> str:
    """Write a moment as the CRM does: UTC with milliseconds and a Z."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"


@dataclass(kw_only=True)
class Contact:
    """A person. `dnd_settings` maps a channel to its status, message and code; `active` means blocked."""

    kind: ClassVar[str] = "contact"
    id: str
    location_id: str
    first_name: str = ""
    last_name: str = ""
    phone: str = ""
    email: str = ""
    timezone: str = ""
    source: str = ""
    assigned_to: str = ""
    dnd: bool = False
    dnd_settings: dict[str, dict[str, str]] = field(default_factory=dict)
    tags: list[str] = field(default_factory=list)
    custom_fields: list[dict[str, Any]] = field(default_factory=list)
    notes: list[dict[str, str]] = field(default_factory=list)
    tasks: list[dict[str, Any]] = field(default_factory=list)
    date_added: str = ""
    date_updated: str = ""

    @property
    def sms_blocked(self) -> bool:
        """Whether texts to the person are refused."""
        return self.dnd or self.dnd_settings.get("SMS", {}).get("status") in ("active", "permanent")


@dataclass(kw_only=True)
class Conversation:
    """The one conversation of a contact."""

    kind: ClassVar[str] = "conversation"
    id: str
    location_id: str
    contact_id: str
    date_added: str = ""
    unread: int = 0


@dataclass(kw_only=True)
class Message:
    """A text. `source` is `api` for a program, `app` for a human, empty for the person."""

    kind: ClassVar[str] = "message"
    id: str
    location_id: str
    contact_id: str
    conversation_id: str
    body: str
    direction: str
    status: str = "delivered"
    source: str = ""
    user_id: str = ""
    date_added: str = ""


@dataclass(kw_only=True)
class Webhook:
    """An event on its way out. `body` is what is signed and sent, byte for byte the same at every try.

    `state`: `pending`, `delivered`, `lost` (an answer other than 429, or none: final), `gave_up` (429 every time).
    """

    kind: ClassVar[str] = "webhook"
    id: str
    body: str
    message_id: str = ""
    state: str = "pending"
    attempts: int = 0
    answer: str = ""
    wait_seconds: float = 0.0


Record = Contact | Conversation | Message | Webhook
RECORDS: dict[str, type[Record]] = {
    "contact": Contact,
    "conversation": Conversation,
    "message": Message,
    "webhook": Webhook,
}


class Crm:
    """The stand-in's memory. Every `keep` is one line in the journal; the last line of an id wins."""

    def __init__(self, journal: Path | None, *, clock: Clock) -> None:
        self._clock = clock
        self.contacts: dict[str, Contact] = {}
        self.conversations: dict[str, Conversation] = {}
        self.messages: dict[str, Message] = {}
        self.webhooks: dict[str, Webhook] = {}
        self._of_conversation: dict[str, list[str]] = {}
        self._of_contact: dict[str, str] = {}
        self._webhook_of: dict[str, str] = {}
        self._journal: int | None = None
        if journal is not None:
            journal.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._replay(journal)
            self._journal = os.open(journal, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def now(self) -> str:
        """Give the time as the CRM writes it."""
        return timestamp(self._clock())

    def close(self) -> None:
        """Close the journal."""
        if self._journal is not None:
            os.close(self._journal)
            self._journal = None

    def keep(self, record: Record) -> None:
        """Write a record to the journal, then show it."""
        if self._journal is not None:
            line = json.dumps({"kind": record.kind, **asdict(record)}, ensure_ascii=False) + "\n"
            os.write(self._journal, line.encode())
        self._show(record)

    def _show(self, record: Record) -> None:
        if isinstance(record, Contact):
            self.contacts[record.id] = record
        elif isinstance(record, Webhook):
            self.webhooks[record.id] = record
            if record.message_id:
                self._webhook_of[record.message_id] = record.id
        elif isinstance(record, Conversation):
            self.conversations[record.id] = record
            self._of_contact[record.contact_id] = record.id
        else:
            if record.id not in self.messages:
                self._of_conversation.setdefault(record.conversation_id, []).append(record.id)
            self.messages[record.id] = record

    def _replay(self, journal: Path) -> None:
        if not journal.exists():
            return
        whole = journal.read_bytes()
        # A kill in the middle of a write leaves half a line, which nobody was answered for.
        if not whole.endswith(b"\n"):
            whole = whole[: whole.rfind(b"\n") + 1]
            journal.write_bytes(whole)
        for line in whole.splitlines():
            values = json.loads(line)
            record = RECORDS[values.pop("kind")]
            known = {each.name for each in fields(record)}
            self._show(record(**{name: value for name, value in values.items() if name in known}))

    def conversation_of(self, contact: Contact) -> Conversation:
        """Find a contact's conversation, or open it."""
        if contact.id in self._of_contact:
            return self.conversations[self._of_contact[contact.id]]
        opened = Conversation(
            id=new_id(), location_id=contact.location_id, contact_id=contact.id, date_added=self.now()
        )
        self.keep(opened)
        return opened

    def history(self, conversation_id: str) -> list[Message]:
        """Give the messages of a conversation, oldest first."""
        return [self.messages[each] for each in self._of_conversation.get(conversation_id, ())]

    def add_message(
        self, contact: Contact, body: str, *, direction: str, source: str = "", user_id: str = ""
    ) -> Message:
        """Store a text of or to a contact."""
        conversation = self.conversation_of(contact)
        message = Message(
            id=new_id(),
            location_id=contact.location_id,
            contact_id=contact.id,
            conversation_id=conversation.id,
            body=body,
            direction=direction,
            source=source,
            user_id=user_id,
            date_added=self.now(),
        )
        self.keep(message)
        conversation.unread = conversation.unread + 1 if direction == "inbound" else 0
        return message

    def webhook_of(self, message_id: str) -> Webhook | None:
        """Give the newest webhook of a text."""
        return self.webhooks.get(self._webhook_of.get(message_id, ""))

    def find_contact(self, location_id: str, *, phone: str = "", email: str = "") -> Contact | None:
        """Find a contact of a location by phone or mail."""
        for contact in self.contacts.values():
            same = (phone and contact.phone == phone) or (email and contact.email.lower() == email.lower())
            if contact.location_id == location_id and same:
                return contact
        return None
