"""A local stand-in for the CRM, with a phone page: `python -m sandbox.crm`."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse

from kit import tokens
from kit.clock import Clock, utc_now
from kit.rpc import tls
from sandbox import crm_wire
from sandbox.crm_api import ENTRY_KINDS, SEND_KINDS, Api
from sandbox.crm_phone import Phone
from sandbox.crm_settings import CrmSettings
from sandbox.crm_state import Crm, Message, Webhook
from sandbox.crm_timeline import GatewayTimelines, Timelines
from sandbox.crm_webhooks import WEBHOOK_KINDS, Webhooks, public_key, signing_key
from sandbox.crm_wire import Wrong
from sandbox.faults import Faults, from_json, from_setting
from sandbox.serving import serve, settings_of


class _Announcer:
    """Tells webhooks and open pages; both are there only once the process runs."""

    def __init__(self) -> None:
        self.webhooks: Webhooks | None = None
        self.pages: list[Callable[[Message], None]] = []

    def message(self, message: Message) -> None:
        for tell in self.pages:
            tell(message)
        if self.webhooks is not None:
            self.webhooks.message(message)

    def event(self, event: dict[str, Any], *, message_id: str = "") -> None:
        if self.webhooks is not None:
            self.webhooks.event(event, message_id=message_id)


def bearer(settings: CrmSettings) -> str:
    """Give the token of the REST API: the setting, else the file, which is made when it is missing."""
    if given := settings.crm_token.get_secret_value():
        return given
    path = settings.crm_token_file or settings.state_dir / "tokens" / "crm"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.touch(mode=0o600)
        path.write_text(tokens.new_token() + "\n")
    return tokens.read_token(path)


def webhook_url(settings: CrmSettings) -> str:
    """Give the address of webhooks; one without a path gets the gateway's own."""
    bare = urlsplit(settings.webhook_url).path in ("", "/")
    return settings.webhook_url.rstrip("/") + "/webhooks/ghl" if bare else settings.webhook_url


def make_app(settings: CrmSettings, *, timelines: Timelines | None = None, clock: Clock = utc_now) -> FastAPI:
    """Make the application.

    Args:
        settings: From the environment.
        timelines: Where the panel's data come from; the gateway when None.
        clock: The CRM's own time.
    """
    crm = Crm(settings.state_dir / "crm" / "journal.jsonl", clock=clock)
    faults = Faults(SEND_KINDS | ENTRY_KINDS | WEBHOOK_KINDS, seed=settings.crm_seed)
    faults.plan(from_setting(settings.crm_faults))
    key = signing_key(settings.webhook_key_file)
    announcer = _Announcer()
    console = settings.token_file or settings.state_dir / "tokens" / "console"
    stories = timelines or GatewayTimelines(
        settings.gateway_target, console, credentials=tls.channel_credentials(settings)
    )
    api = Api(crm, announcer, faults, token=bearer(settings), limit=settings.crm_limit)
    phone = Phone(
        crm,
        stories,
        location_id=settings.crm_location,
        create=api.create,
        announce=announcer.message,
        dnd_on_stop=settings.crm_dnd_on_stop,
    )

    @asynccontextmanager
    async def running(_: FastAPI) -> AsyncIterator[None]:
        sending = Webhooks(
            crm,
            faults,
            url=webhook_url(settings),
            key=key,
            app_id=settings.webhook_app_id,
            step_seconds=settings.webhook_step_seconds,
            with_message_id=settings.webhook_message_id,
            changed=phone.webhook_changed,
        )
        announcer.webhooks = sending
        announcer.pages.append(phone.message_changed)
        sending.resume()
        yield
        await sending.close()
        await stories.close()
        crm.close()

    app = FastAPI(title="CRM stand-in", docs_url=None, redoc_url=None, openapi_url=None, lifespan=running)
    # Before the API's own paths: /contacts/{id} would otherwise be asked first for nothing.
    app.include_router(phone.router())
    app.include_router(api.router())
    _add_control(app, crm, faults, settings, public_key(key))

    @app.exception_handler(Wrong)
    async def wrong(_: Request, refused: Exception) -> Response:
        assert isinstance(refused, Wrong), refused
        return JSONResponse(refused.body, status_code=refused.status)

    return app


def _add_control(app: FastAPI, crm: Crm, faults: Faults, settings: CrmSettings, published_key: str) -> None:
    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @app.post("/control")
    async def control(request: Request) -> Response:
        try:
            wanted = json.loads(await request.body() or b"{}")
            if not isinstance(wanted, dict) or set(wanted) - {"reset", "faults"}:
                raise ValueError("known: reset, faults")
            if wanted.get("reset"):
                faults.reset(seed=settings.crm_seed)
                faults.plan(from_setting(settings.crm_faults))
            faults.plan(from_json(wanted.get("faults", ())))
        except (ValueError, TypeError) as wrong:
            return JSONResponse({"error": str(wrong)}, status_code=400)
        return JSONResponse({"status": "ok"})

    @app.get("/control/key")
    async def key() -> dict[str, str]:
        return {"public_key": published_key}

    @app.get("/control/log")
    async def log() -> dict[str, Any]:
        """Everything that was accepted, oldest first, and every webhook with its tries: duplicates show here."""
        messages = [asdict(message) for message in crm.messages.values()]
        return {
            "messages": messages,
            "webhooks": [_webhook(each) for each in crm.webhooks.values()],
            "notes": [note for contact in crm.contacts.values() for note in contact.notes],
            "tasks": [task for contact in crm.contacts.values() for task in contact.tasks],
            "fields": {contact.id: crm_wire.fields_by_key(contact) for contact in crm.contacts.values()},
        }


def _webhook(webhook: Webhook) -> dict[str, Any]:
    shown = asdict(webhook)
    return {**shown, "type": json.loads(webhook.body)["type"]}


def main() -> None:
    """Serve until SIGTERM."""
    settings = settings_of(CrmSettings)
    Path(settings.state_dir).mkdir(parents=True, exist_ok=True, mode=0o700)
    serve(make_app(settings), settings.crm_listen or settings.listen, "crm")


if __name__ == "__main__":
    main()
