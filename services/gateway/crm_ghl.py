"""HighLevel as the gateway's CRM: what is sent where, and how it is found again.

Source: HighLevel's API documentation (conversations, contacts).
"""

import asyncio
import html
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

import httpx2

from kit.errors import ServiceUnavailable
from services.gateway.crm import SKEW, Fields, Note, SendResult, Task, Text, same_text
from services.gateway.crm_calls import (
    BROKEN,
    CALL_SECONDS,
    CONTACTS_VERSION,
    CONVERSATIONS_VERSION,
    LOOK_UP_SECONDS,
    Calls,
    NotThere,
    an_id,
)
from services.gateway.crm_fields import CustomFields
from services.gateway.crm_history_ghl import read_page
from services.gateway.html_text import html_to_text
from services.gateway.payload import moment, profile

_PAGES_MOST: Final = 5
_TEXT_MOST: Final = 10_000


class GhlCrm:
    """See `services.gateway.crm.Crm`; the arguments are those of `Calls`."""

    def __init__(
        self,
        client: httpx2.AsyncClient,
        *,
        token: str,
        monotonic: Callable[[], float],
        call_seconds: float = CALL_SECONDS,
    ) -> None:
        self.calls = Calls(client, token=token, monotonic=monotonic, call_seconds=call_seconds)
        self._custom_fields = CustomFields(self.calls)

    async def send(self, text: Text) -> SendResult:
        """See `Crm.send`."""
        return await self.calls.change(
            text.tenant_id,
            "POST",
            "/conversations/messages",
            _body(text),
            version=CONVERSATIONS_VERSION,
            id_at=("emailMessageId", "messageId"),
        )

    async def find(self, text: Text, *, since: datetime, known: frozenset[str]) -> str | None:
        """See `Crm.find`."""
        try:
            async with asyncio.timeout(LOOK_UP_SECONDS):
                conversation_id = text.conversation_id or await self._conversation(text)
                return None if conversation_id is None else await self._search(text, conversation_id, since, known)
        except BROKEN as error:
            raise ServiceUnavailable("crm cannot be asked", service="crm") from error

    async def profile(self, tenant_id: str, contact_id: str) -> Mapping[str, Any]:
        """See `Crm.profile`."""
        try:
            async with asyncio.timeout(LOOK_UP_SECONDS):
                page = await self.calls.get(tenant_id, f"/contacts/{contact_id}", {}, version=CONTACTS_VERSION)
                contact = page.get("contact")
                if not isinstance(contact, dict):
                    raise ValueError("no contact in the answer")
        except BROKEN as error:
            raise ServiceUnavailable("crm cannot be asked", service="crm") from error
        return profile(contact)

    async def create_note(self, note: Note) -> SendResult:
        """See `Crm.create_note`."""
        return await self._create(note, {"body": note.text}, id_at=("note.id",))

    async def create_task(self, task: Task) -> SendResult:
        """See `Crm.create_task`."""
        due = task.due_time.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        body = {"title": task.title, "body": task.text, "dueDate": due, "completed": False}
        return await self._create(task, body, id_at=("task.id",))

    async def _create(self, entry: Note | Task, body: Mapping[str, Any], *, id_at: tuple[str, ...]) -> SendResult:
        return await self.calls.change(
            entry.tenant_id, "POST", _entries_path(entry), body, version=CONTACTS_VERSION, id_at=id_at
        )

    async def find_entry(self, entry: Note | Task) -> str | None:
        """See `Crm.find_entry`."""
        try:
            async with asyncio.timeout(LOOK_UP_SECONDS):
                page = await self.calls.get(entry.tenant_id, _entries_path(entry), {}, version=CONTACTS_VERSION)
                listed = page.get("notes" if isinstance(entry, Note) else "tasks")
                if not isinstance(listed, list):
                    raise ValueError("no list in the answer")
        except NotThere:
            # The contact was deleted there: nothing of ours is left, and asking again would change nothing.
            return None
        except BROKEN as error:
            raise ServiceUnavailable("crm cannot be asked", service="crm") from error
        ours = (each for each in listed if isinstance(each, dict) and entry.reference in str(each.get("body")))
        return next((found for each in ours if (found := an_id(each, "id")) is not None), None)

    async def set_fields(self, fields: Fields) -> SendResult:
        """See `Crm.set_fields`."""
        return await self._custom_fields.put(fields)

    async def _conversation(self, text: Text) -> str | None:
        found = await self.calls.get(
            text.tenant_id,
            "/conversations/search",
            {"locationId": text.tenant_id, "contactId": text.contact_id, "limit": "20"},
            version=CONVERSATIONS_VERSION,
        )
        conversations = found.get("conversations")
        if not isinstance(conversations, list):
            raise ValueError("no conversations in the answer")
        for conversation in conversations:
            if isinstance(conversation, dict) and conversation.get("contactId", text.contact_id) == text.contact_id:
                return an_id(conversation, "id")
        return None

    async def _search(self, text: Text, conversation_id: str, since: datetime, known: frozenset[str]) -> str | None:
        last_id: str | None = None
        for _ in range(_PAGES_MOST):
            page = await read_page(self.calls, text.tenant_id, conversation_id, before=last_id)
            too_old = False
            for message in page.messages:
                time = moment(message, "dateAdded", now=None)
                too_old = time is not None and time < since - SKEW
                if not too_old and (crm_message_id := _ours(message, text)) is not None and crm_message_id not in known:
                    return crm_message_id
            last_id = page.next_id
            if too_old or last_id is None:
                return None
        raise ValueError("the text may be further back than was looked")


def _entries_path(entry: Note | Task) -> str:
    return f"/contacts/{entry.contact_id}/{'notes' if isinstance(entry, Note) else 'tasks'}"


def _body(text: Text) -> dict[str, str]:
    if text.channel == "Email":
        words = html.escape(text.text).replace("\n", "<br>")
        return {"type": "Email", "contactId": text.contact_id, "html": words, "subject": "Your message"}
    return {"type": text.channel, "contactId": text.contact_id, "message": text.text}


def _ours(message: Mapping[str, Any], text: Text) -> str | None:
    if message.get("direction") == "inbound" or (message.get("userId") and message.get("source") == "app"):
        return None
    body = message.get("body")
    if not isinstance(body, str):
        return None
    theirs = html_to_text(body, longest=_TEXT_MOST) if text.channel == "Email" else body
    return an_id(message, "id", "messageId") if same_text(text.text, theirs) else None
