"""The CRM's REST paths that the gateway uses, with its headers, limits and faults."""

from __future__ import annotations

import asyncio
import json
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from datetime import datetime
from typing import Any, Protocol

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from sandbox import crm_wire as wire
from sandbox.crm_state import Contact, Crm, Message, new_id
from sandbox.crm_wire import Wrong
from sandbox.faults import Faults

SEND_KINDS = frozenset(("503_not_executed", "executed_then_cut", "late", "429"))
ENTRY_KINDS = frozenset(("entry_503_not_executed", "entry_executed_then_cut", "entry_429"))
"""The same for notes, tasks and changes of a contact, so that a fault planned for texts hits no other."""
INTERVAL_SECONDS = 10.0
DAILY = 200_000
CONVERSATIONS, CONTACTS = "2021-04-15", "2021-07-28"
Handler = Callable[[Request], Awaitable[Response]]


class Announcer(Protocol):
    """What tells the world of a change: webhooks, and the phone page."""

    def message(self, message: Message) -> None: ...
    def event(self, event: dict[str, Any], *, message_id: str = "") -> None: ...


class Limiter:
    """100 requests in 10 seconds per location: a sliding window, as the CRM does not say which kind its own is."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._taken: deque[float] = deque()
        self._today = 0

    def take(self, now: float) -> tuple[bool, dict[str, str]]:
        """Count one request; gives whether it may pass, and the headers that say so."""
        while self._taken and self._taken[0] <= now - INTERVAL_SECONDS:
            self._taken.popleft()
        allowed = len(self._taken) < self._most
        if allowed:
            self._taken.append(now)
            self._today += 1
        headers = {
            "X-RateLimit-Limit-Daily": str(DAILY),
            "X-RateLimit-Daily-Remaining": str(max(0, DAILY - self._today)),
            "X-RateLimit-Interval-Milliseconds": str(int(INTERVAL_SECONDS * 1000)),
            "X-RateLimit-Max": str(self._most),
            "X-RateLimit-Remaining": str(self._most - len(self._taken)),
        }
        return allowed, headers


class Api:
    """Answers the REST calls."""

    def __init__(self, crm: Crm, announcer: Announcer, faults: Faults, *, token: str, limit: int) -> None:
        self._crm, self._announcer, self._faults = crm, announcer, faults
        self._token, self._limiter = token, Limiter(limit)
        self._late: set[asyncio.Task[None]] = set()

    def router(self) -> APIRouter:
        """Make the routes."""
        router = APIRouter()
        routes: tuple[tuple[str, str, str, Handler], ...] = (
            ("POST", "/conversations/messages", CONVERSATIONS, self.send),
            ("GET", "/conversations/search", CONVERSATIONS, self.search),
            ("GET", "/conversations/{conversation_id}/messages", CONVERSATIONS, self.history),
            ("POST", "/conversations/", CONVERSATIONS, self.open),
            ("POST", "/contacts/upsert", CONTACTS, self.upsert),
            ("GET", "/contacts/{contact_id}", CONTACTS, self.contact),
            ("PUT", "/contacts/{contact_id}", CONTACTS, self._faulty(self.change)),
            ("POST", "/contacts/{contact_id}/tags", CONTACTS, self.tag),
            ("DELETE", "/contacts/{contact_id}/tags", CONTACTS, self.tag),
            ("POST", "/contacts/{contact_id}/notes", CONTACTS, self._faulty(self.note)),
            ("GET", "/contacts/{contact_id}/notes", CONTACTS, self.notes),
            ("POST", "/contacts/{contact_id}/tasks", CONTACTS, self._faulty(self.task)),
            ("GET", "/contacts/{contact_id}/tasks", CONTACTS, self.tasks),
            ("GET", "/locations/{location_id}/customFields", CONTACTS, self.custom_fields),
        )
        for method, path, version, handler in routes:
            router.add_api_route(path, self._guarded(handler, version), methods=[method], name=f"{method} {path}")
        return router

    def _guarded(self, handler: Handler, version: str) -> Handler:
        async def guarded(request: Request) -> Response:
            allowed, headers = self._limiter.take(time.monotonic())
            try:
                self._check_headers(request, version)
                if not allowed:
                    raise Wrong(429, "Too Many Requests")
                response = await handler(request)
            except Wrong as wrong:
                response = JSONResponse({**wrong.body, "traceId": new_id()}, status_code=wrong.status)
            response.headers.update(headers)
            return response

        return guarded

    def _faulty(self, handler: Handler) -> Handler:
        async def faulty(request: Request) -> Response:
            fault = self._faults.draw(ENTRY_KINDS)
            kind = fault.kind.removeprefix("entry_") if fault else ""
            if kind == "503_not_executed":
                return Response("upstream connect error", status_code=503, media_type="text/plain")
            if kind == "429":
                raise Wrong(429, "Too Many Requests")
            response = await handler(request)
            return _cut(request) if kind == "executed_then_cut" else response

        return faulty

    def _check_headers(self, request: Request, version: str) -> None:
        if request.headers.get("authorization") != f"Bearer {self._token}":
            raise Wrong(401, "Invalid token: access token is invalid")
        if "version" not in request.headers:
            raise Wrong(401, "version header was not found.")
        if request.headers["version"] != version:
            raise Wrong(401, "version header is invalid.")

    # --- conversations ----------------------------------------------------------------------------------------

    async def send(self, request: Request) -> Response:
        """POST /conversations/messages. It has no idempotency key: sent twice, texted twice."""
        contact_id, text = wire.send_request(await _json(request))
        fault = self._faults.draw(SEND_KINDS)
        kind = fault.kind if fault else ""
        if kind == "503_not_executed":
            return Response("upstream connect error", status_code=503, media_type="text/plain")
        if kind == "429":
            raise Wrong(429, "Too Many Requests")
        if kind == "late":
            # In a task of its own: it is executed though the caller has long gone.
            task = asyncio.create_task(self._send_late(contact_id, text, fault.value if fault else 0.0))
            self._late.add(task)
            task.add_done_callback(self._late.discard)
            await asyncio.shield(task)
            return _cut(request)
        message = self._send(contact_id, text)
        if kind == "executed_then_cut":
            return _cut(request)
        return _ok(
            {"conversationId": message.conversation_id, "messageId": message.id, "msg": "Message queued successfully."}
        )

    def _send(self, contact_id: str, text: str) -> Message:
        contact = self._known(contact_id, status=400)
        if contact.sms_blocked:
            raise Wrong(400, "Cannot send message as DND is active for SMS.")
        if not contact.phone:
            raise Wrong(400, "Missing phone number")
        message = self._crm.add_message(contact, text, direction="outbound", source="api")
        self._announcer.message(message)
        return message

    async def _send_late(self, contact_id: str, text: str, seconds: float) -> None:
        await asyncio.sleep(seconds)
        self._send(contact_id, text)

    async def search(self, request: Request) -> Response:
        """GET /conversations/search."""
        query = request.query_params
        if not query.get("locationId"):
            raise Wrong(400, "locationId is required")
        rows = []
        for conversation in self._crm.conversations.values():
            contact = self._crm.contacts[conversation.contact_id]
            past = self._crm.history(conversation.id)
            last = past[-1] if past else None
            moment = int(datetime.fromisoformat((last or conversation).date_added).timestamp() * 1000)
            if conversation.location_id != query["locationId"] or query.get("contactId") not in (None, contact.id):
                continue
            if query.get("id") not in (None, conversation.id):
                continue
            if query.get("lastMessageDirection") and (last is None or last.direction != query["lastMessageDirection"]):
                continue
            if query.get("status") == "unread" and not conversation.unread:
                continue
            rows.append(wire.conversation_json(conversation, contact, last, moment))
        newest_first = query.get("sort", "desc") != "asc"
        rows.sort(key=lambda row: row["lastMessageDate"], reverse=newest_first)
        total = len(rows)
        if query.get("startAfterDate"):
            start = _number(query["startAfterDate"], "startAfterDate")
            rows = [
                row
                for row in rows
                if (row["lastMessageDate"] < start) == newest_first and row["lastMessageDate"] != start
            ]
        return _ok({"conversations": rows[: _limit(query.get("limit"))], "total": total})

    async def history(self, request: Request) -> Response:
        """GET /conversations/{id}/messages, newest first; nested one level, as the live API answers."""
        conversation_id = request.path_params["conversation_id"]
        if conversation_id not in self._crm.conversations:
            raise Wrong(404, "Conversation not found")
        messages = self._crm.history(conversation_id)[::-1]
        kinds = request.query_params.get("type")
        if kinds and "TYPE_SMS" not in kinds.split(","):
            messages = []
        after = request.query_params.get("lastMessageId")
        if after:
            places = [place for place, message in enumerate(messages) if message.id == after]
            if not places:
                raise Wrong(400, "lastMessageId is not of this conversation")
            messages = messages[places[0] + 1 :]
        limit = _limit(request.query_params.get("limit"))
        page = messages[:limit]
        shown = [wire.message_json(message) for message in page]
        last = page[-1].id if page else ""
        return _ok({"messages": {"lastMessageId": last, "nextPage": len(messages) > limit, "messages": shown}})

    async def open(self, request: Request) -> Response:
        """POST /conversations/."""
        body = await _json(request)
        if not isinstance(body, dict) or not body.get("locationId") or not body.get("contactId"):
            raise Wrong(400, "locationId and contactId are required")
        opened = self._crm.conversation_of(self._known(str(body["contactId"]), status=400))
        shown = {
            "id": opened.id,
            "dateAdded": opened.date_added,
            "dateUpdated": opened.date_added,
            "lastMessageDate": opened.date_added,
            "deleted": False,
            "contactId": opened.contact_id,
            "locationId": opened.location_id,
        }
        return _ok({"success": True, "conversation": shown}, status=201)

    # --- contacts ----------------------------------------------------------------------------------------------

    def _known(self, contact_id: str, *, status: int = 404) -> Contact:
        contact = self._crm.contacts.get(contact_id)
        if contact is None:
            raise Wrong(status, "Contact not found")
        return contact

    async def contact(self, request: Request) -> Response:
        """GET /contacts/{id}."""
        return _ok({"contact": wire.contact_json(self._known(request.path_params["contact_id"]))})

    async def change(self, request: Request) -> Response:
        """PUT /contacts/{id}; answers `succeded`, spelled as the CRM spells it."""
        contact = self._known(request.path_params["contact_id"])
        self._changed(contact, wire.contact_changes(await _json(request)))
        return _ok({"succeded": True, "contact": wire.contact_json(contact)})

    async def upsert(self, request: Request) -> Response:
        """POST /contacts/upsert."""
        body = await _json(request)
        changes = wire.contact_changes(body)
        location = str(body.get("locationId") or "") if isinstance(body, dict) else ""
        if not location:
            raise Wrong(422, ["locationId should not be empty"])
        contact = self._crm.find_contact(location, phone=changes.get("phone", ""), email=changes.get("email", ""))
        if contact is not None:
            self._changed(contact, changes)
            return _ok({"new": False, "contact": wire.contact_json(contact)})
        return _ok({"new": True, "contact": wire.contact_json(self.create(location, changes))})

    def create(self, location_id: str, values: dict[str, Any]) -> Contact:
        """Store a new contact and announce it."""
        contact = Contact(id=new_id(), location_id=location_id, date_added=self._crm.now(), **values)
        self._crm.keep(contact)
        self._announcer.event(wire.contact_event("ContactCreate", contact))
        return contact

    def _changed(self, contact: Contact, changes: dict[str, Any]) -> None:
        before = asdict(contact)
        if "dnd_settings" in changes:
            changes = {**changes, "dnd_settings": {**contact.dnd_settings, **changes["dnd_settings"]}}
        if "custom_fields" in changes:
            kept = {each["id"]: each for each in (*contact.custom_fields, *changes["custom_fields"])}
            changes = {**changes, "custom_fields": list(kept.values())}
        for name, value in changes.items():
            setattr(contact, name, value)
        contact.date_updated = self._crm.now()
        self._crm.keep(contact)
        if (before["dnd"], before["dnd_settings"]) != (contact.dnd, contact.dnd_settings):
            self._announcer.event(wire.contact_event("ContactDndUpdate", contact))
        if before["tags"] != contact.tags:
            self._announcer.event(wire.contact_event("ContactTagUpdate", contact))

    async def tag(self, request: Request) -> Response:
        """POST and DELETE /contacts/{id}/tags; the event carries the whole new list."""
        contact = self._known(request.path_params["contact_id"])
        body = await _json(request)
        tags = body.get("tags") if isinstance(body, dict) else None
        if not isinstance(tags, list) or not all(isinstance(each, str) for each in tags):
            raise Wrong(422, ["tags must be an array"])
        adding = request.method == "POST"
        kept = (
            [*contact.tags, *(each for each in tags if each not in contact.tags)]
            if adding
            else [e for e in contact.tags if e not in tags]
        )
        self._changed(contact, {"tags": kept})
        return _ok({"tags": kept}, status=201 if adding else 200)

    async def note(self, request: Request) -> Response:
        """POST /contacts/{id}/notes."""
        contact = self._known(request.path_params["contact_id"])
        body = wire.note_request(await _json(request))
        note = {
            "id": new_id(),
            "body": body["body"],
            "userId": str(body.get("userId", "")),
            "contactId": contact.id,
            "dateAdded": self._crm.now(),
        }
        contact.notes.append(note)
        self._crm.keep(contact)
        self._announcer.event(wire.entry_event("NoteCreate", contact, note))
        return _ok({"note": note}, status=201)

    async def notes(self, request: Request) -> Response:
        """GET /contacts/{id}/notes, newest first."""
        return _ok({"notes": self._known(request.path_params["contact_id"]).notes[::-1]})

    async def task(self, request: Request) -> Response:
        """POST /contacts/{id}/tasks."""
        contact = self._known(request.path_params["contact_id"])
        body = wire.task_request(await _json(request))
        task = {
            "id": new_id(),
            "contactId": contact.id,
            **{name: body[name] for name in wire.TASK_FIELDS & body.keys()},
        }
        contact.tasks.append(task)
        self._crm.keep(contact)
        self._announcer.event(wire.entry_event("TaskCreate", contact, {**task, "dateAdded": self._crm.now()}))
        return _ok({"task": task}, status=201)

    async def tasks(self, request: Request) -> Response:
        """GET /contacts/{id}/tasks."""
        return _ok({"tasks": self._known(request.path_params["contact_id"]).tasks})

    async def custom_fields(self, request: Request) -> Response:
        """GET /locations/{id}/customFields."""
        return _ok({"customFields": wire.custom_fields_json(request.path_params["location_id"])})


async def _json(request: Request) -> object:
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise Wrong(400, "content-type must be application/json")
    try:
        return json.loads(await request.body())
    except ValueError as broken:
        raise Wrong(400, "Request body is not valid JSON") from broken


def _ok(body: dict[str, Any], *, status: int = 200) -> Response:
    return JSONResponse({**body, "traceId": new_id()}, status_code=status)


def _cut(request: Request) -> Response:
    request.state.transport.abort()
    return Response(status_code=500)


def _limit(text: str | None) -> int:
    return max(1, min(100, int(_number(text, "limit")))) if text else 20


def _number(text: str, name: str) -> float:
    try:
        return float(text)
    except ValueError as wrong:
        raise Wrong(400, f"{name} must be a number conforming to the specified constraints") from wrong
