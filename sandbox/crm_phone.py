"""The phone page: create a contact, text as the person or as the human agent, look inside Porchlight."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Callable
from importlib import resources
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse, StreamingResponse

from sandbox import crm_wire as wire
from sandbox.crm_state import Contact, Crm, Message, Webhook
from sandbox.crm_timeline import Timelines
from sandbox.crm_wire import Wrong

AGENT_USER = "usr_sandbox_agent"
LISTENERS = 64
STOP_WORDS = frozenset("stop stopall unsubscribe cancel end quit".split())


class Phone:
    """Serves the page and its data, and tells open pages what happened."""

    def __init__(
        self,
        crm: Crm,
        timelines: Timelines,
        *,
        location_id: str,
        create: Callable[[str, dict[str, Any]], Contact],
        announce: Callable[[Message], None],
        dnd_on_stop: bool,
    ) -> None:
        self._crm, self._timelines, self._location = crm, timelines, location_id
        self._create, self._announce, self._dnd_on_stop = create, announce, dnd_on_stop
        self._listeners: set[asyncio.Queue[str]] = set()

    def router(self) -> APIRouter:
        """Make the routes."""
        router = APIRouter()
        router.add_api_route("/", self.page, methods=["GET"])
        router.add_api_route("/phone/events", self.events, methods=["GET"])
        router.add_api_route("/phone/contacts", self.contacts, methods=["GET"])
        router.add_api_route("/phone/contacts", self.new_contact, methods=["POST"])
        router.add_api_route("/phone/contacts/{contact_id}/messages", self.messages, methods=["GET"])
        router.add_api_route("/phone/contacts/{contact_id}/messages", self.text, methods=["POST"])
        router.add_api_route("/phone/contacts/{contact_id}/agent", self.agent, methods=["POST"])
        router.add_api_route("/phone/contacts/{contact_id}/timeline", self.timeline, methods=["GET"])
        return router

    # --- what pages are told -----------------------------------------------------------------------------------

    def message_changed(self, message: Message) -> None:
        """Tell pages of a text."""
        self._tell("message", self._message(message))

    def webhook_changed(self, webhook: Webhook) -> None:
        """Tell pages how far the webhook of a text got."""
        if webhook.message_id in self._crm.messages:
            self._tell("message", self._message(self._crm.messages[webhook.message_id]))

    def _tell(self, kind: str, data: dict[str, Any]) -> None:
        line = f"event: {kind}\ndata: {json.dumps(data)}\n\n"
        for queue in list(self._listeners):
            if queue.full():
                # A page that does not read is dropped; its EventSource connects again and loads anew.
                self._listeners.discard(queue)
            else:
                queue.put_nowait(line)

    def _message(self, message: Message) -> dict[str, Any]:
        sent = self._crm.webhook_of(message.id)
        return {
            "id": message.id,
            "contact_id": message.contact_id,
            "body": message.body,
            "direction": message.direction,
            "author": "person" if message.direction == "inbound" else "agent" if message.source == "app" else "bot",
            "time": message.date_added,
            "webhook": sent.state if sent else "",
            "answer": sent.answer if sent else "",
        }

    # --- routes ------------------------------------------------------------------------------------------------

    async def page(self) -> Response:
        """GET /."""
        nonce = secrets.token_urlsafe(16)
        html = resources.files("sandbox").joinpath("phone.html").read_text(encoding="utf-8").replace("{{nonce}}", nonce)
        policy = (
            f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; connect-src 'self'; "
            "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        )
        return HTMLResponse(html, headers={"content-security-policy": policy, "cache-control": "no-store"})

    async def events(self) -> Response:
        """GET /phone/events, server-sent."""
        if len(self._listeners) >= LISTENERS:
            return JSONResponse({"error": "too many pages are open"}, status_code=429)
        queue: asyncio.Queue[str] = asyncio.Queue(maxsize=1_000)
        self._listeners.add(queue)

        async def stream() -> AsyncIterator[str]:
            try:
                yield "retry: 500\n\n"
                while queue in self._listeners:
                    try:
                        async with asyncio.timeout(10.0):
                            yield await queue.get()
                    except TimeoutError:
                        yield ": still here\n\n"
            finally:
                self._listeners.discard(queue)

        return StreamingResponse(stream(), media_type="text/event-stream", headers={"cache-control": "no-store"})

    async def contacts(self) -> Response:
        """GET /phone/contacts, newest first."""
        shown = [
            self._contact(contact) for contact in self._crm.contacts.values() if contact.location_id == self._location
        ]
        return JSONResponse({"contacts": shown[::-1]})

    def _contact(self, contact: Contact) -> dict[str, Any]:
        return {
            "id": contact.id,
            "name": wire.full_name(contact) or contact.phone,
            "phone": contact.phone,
            "blocked": contact.sms_blocked,
        }

    async def new_contact(self, request: Request) -> Response:
        """POST /phone/contacts {firstName, phone}; a phone that is known gives the contact that has it."""
        body = await _body(request)
        name, phone = str(body.get("firstName", "")).strip(), wire.normal_phone(str(body.get("phone", "")))
        if not 1 <= len(name) <= 64:
            return JSONResponse(
                {"error": "The first name has 1 to 64 characters.", "field": "firstName"}, status_code=422
            )
        if phone is None:
            return JSONResponse(
                {"error": "This is no phone number. Try (206) 555-0123.", "field": "phone"}, status_code=422
            )
        contact = self._crm.find_contact(self._location, phone=phone)
        if contact is None:
            contact = self._create(self._location, {"first_name": name, "phone": phone, "source": "phone page"})
            self._tell("contact", self._contact(contact))
        return JSONResponse(self._contact(contact), status_code=201)

    async def messages(self, contact_id: str) -> Response:
        """GET /phone/contacts/{id}/messages, oldest first."""
        contact = self._crm.contacts.get(contact_id)
        if contact is None:
            return JSONResponse({"error": "There is no such contact."}, status_code=404)
        past = self._crm.history(self._crm.conversation_of(contact).id)
        return JSONResponse({"messages": [self._message(message) for message in past]})

    async def text(self, contact_id: str, request: Request) -> Response:
        """POST /phone/contacts/{id}/messages {text}: the person texts."""
        return await self._say(contact_id, request, direction="inbound", source="", user_id="")

    async def agent(self, contact_id: str, request: Request) -> Response:
        """POST /phone/contacts/{id}/agent {text}: a human of the brokerage texts, from the CRM's own app."""
        return await self._say(contact_id, request, direction="outbound", source="app", user_id=AGENT_USER)

    async def _say(self, contact_id: str, request: Request, *, direction: str, source: str, user_id: str) -> Response:
        contact = self._crm.contacts.get(contact_id)
        if contact is None:
            return JSONResponse({"error": "There is no such contact."}, status_code=404)
        text = str((await _body(request)).get("text", "")).strip()
        if not 1 <= len(text) <= wire.LONGEST_TEXT:
            return JSONResponse({"error": f"A text has 1 to {wire.LONGEST_TEXT} characters."}, status_code=422)
        message = self._crm.add_message(contact, text, direction=direction, source=source, user_id=user_id)
        if self._dnd_on_stop and direction == "inbound" and text.strip(" .!").lower() in STOP_WORDS:
            contact.dnd_settings = {
                **contact.dnd_settings,
                "SMS": {"status": "active", "message": "STOP", "code": "21610"},
            }
            self._crm.keep(contact)
        self._announce(message)
        return JSONResponse(self._message(message), status_code=201)

    async def timeline(self, contact_id: str) -> Response:
        """GET /phone/contacts/{id}/timeline: the gateway's GetTimeline as JSON."""
        contact = self._crm.contacts.get(contact_id)
        if contact is None:
            return JSONResponse({"error": "There is no such contact."}, status_code=404)
        return JSONResponse(await self._timelines.get(contact.location_id, contact_id))


async def _body(request: Request) -> dict[str, Any]:
    # A page of another origin can post forms here without asking, but not JSON.
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise Wrong(415, "content-type must be application/json")
    try:
        body = json.loads(await request.body())
    except ValueError as broken:
        raise Wrong(400, "the body is not valid JSON") from broken
    if not isinstance(body, dict):
        raise Wrong(400, "the body is not a JSON object")
    return body
