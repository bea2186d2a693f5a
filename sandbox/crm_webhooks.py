"""Signs and sends the CRM's webhooks, and tries again only when it is answered 429."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import httpx2
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sandbox.crm_state import Crm, Message, Webhook, new_id
from sandbox.crm_wire import message_event
from sandbox.faults import Faults

WEBHOOK_KINDS = frozenset(("webhook_duplicate", "webhook_twin", "webhook_late", "webhook_lost"))
TRIES = 7
ANSWER_SECONDS = 10.0


def signing_key(path: Path | None) -> Ed25519PrivateKey:
    """Load the test key, a PKCS 8 PEM file; without a file, make one that lives as long as the process.

    Raises:
        ValueError: The file holds another kind of key.
    """
    if path is None or not path.exists():
        return Ed25519PrivateKey.generate()
    key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    if not isinstance(key, Ed25519PrivateKey):
        raise ValueError(f"{path.name} holds no Ed25519 key")
    return key


def public_key(key: Ed25519PrivateKey) -> str:
    """Write the public half as the CRM publishes it: base64 of its SPKI form."""
    spki = key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(spki).decode()


class Webhooks:
    """Sends events, each in a task of its own, as the CRM promises no order.

    The CRM tries up to 6 more times, 10 minutes apart, when it is answered 429. Any other answer but 2xx, and no
    answer, is final: the event is lost.
    """

    def __init__(
        self,
        crm: Crm,
        faults: Faults,
        *,
        url: str,
        key: Ed25519PrivateKey,
        app_id: str,
        step_seconds: float,
        with_message_id: bool,
        changed: Callable[[Webhook], None],
    ) -> None:
        self._crm, self._faults, self._url, self._key = crm, faults, url, key
        self._app_id, self._step, self._with_message_id = app_id, step_seconds, with_message_id
        self._changed = changed
        self._client = httpx2.AsyncClient(timeout=ANSWER_SECONDS, limits=httpx2.Limits(max_connections=64))
        self._tasks: set[asyncio.Task[None]] = set()

    async def close(self) -> None:
        """Stop sending; what is pending stays in the journal."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._client.aclose()

    def resume(self) -> None:
        """Send what was pending when the process stopped, and what a kill kept from being announced at all."""
        for message in list(self._crm.messages.values()):
            if self._crm.webhook_of(message.id) is None:
                self._stored(message_event(message, with_message_id=self._with_message_id), message.id)
        for webhook in list(self._crm.webhooks.values()):
            if webhook.state == "pending":
                self._start(self._deliver(webhook))

    def message(self, message: Message) -> None:
        """Announce a text."""
        self.event(message_event(message, with_message_id=self._with_message_id), message_id=message.id)

    def event(self, event: dict[str, Any], *, message_id: str = "") -> None:
        """Announce an event; with a fault, late, twice, twice under two ids, or never."""
        fault = self._faults.draw(WEBHOOK_KINDS)
        kind = fault.kind if fault else ""
        wait = (fault.value if fault else 0.0) if kind == "webhook_late" else 0.0
        webhook = self._stored(
            event, message_id, state="lost" if kind == "webhook_lost" else "pending", wait_seconds=wait
        )
        if kind == "webhook_lost":
            return
        self._start(self._deliver(webhook))
        if kind == "webhook_duplicate":
            self._start(self._post_again(webhook))
        elif kind == "webhook_twin":
            self._start(self._deliver(self._stored(event, message_id)))

    def _stored(
        self, event: dict[str, Any], message_id: str, *, state: str = "pending", wait_seconds: float = 0.0
    ) -> Webhook:
        webhook_id = new_id()
        whole = {
            **event,
            "timestamp": self._crm.now(),
            "webhookId": webhook_id,
            "appId": self._app_id,
            "versionId": self._app_id,
        }
        body = json.dumps(whole, ensure_ascii=False, separators=(",", ":"))
        webhook = Webhook(id=webhook_id, body=body, message_id=message_id, state=state, wait_seconds=wait_seconds)
        self._keep(webhook)
        return webhook

    def _keep(self, webhook: Webhook) -> None:
        self._crm.keep(webhook)
        self._changed(webhook)

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _deliver(self, webhook: Webhook) -> None:
        if webhook.wait_seconds and not webhook.attempts:
            await asyncio.sleep(webhook.wait_seconds)
        while webhook.attempts < TRIES:
            if webhook.attempts:
                await asyncio.sleep(self._step)
            webhook.attempts += 1
            webhook.answer = await self._post(webhook)
            if webhook.answer != "429":
                webhook.state = "delivered" if webhook.answer.startswith("2") else "lost"
                break
            self._keep(webhook)
        else:
            webhook.state = "gave_up"
        self._keep(webhook)

    async def _post_again(self, webhook: Webhook) -> None:
        await self._post(webhook)

    async def _post(self, webhook: Webhook) -> str:
        """Send once; gives the status, or the name of what went wrong."""
        body = webhook.body.encode()
        headers = {
            "content-type": "application/json",
            "x-ghl-signature": base64.b64encode(self._key.sign(body)).decode(),
        }
        try:
            response = await self._client.post(self._url, content=body, headers=headers)
        except httpx2.HTTPError as broken:
            return type(broken).__name__
        return str(response.status_code)
