"""HighLevel's REST interface, as far as the gateway uses it.

Source: docs/domain.md 1.6 and 1.8.
"""

import asyncio
import html
import random
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final

import httpx2

from kit.errors import ServiceUnavailable
from services.gateway.crm import SKEW, SendResult, SendStatus, Text, same_text
from services.gateway.html_text import html_to_text
from services.gateway.payload import moment
from services.gateway.rate import Bucket

CALL_SECONDS: Final = 4.0
LOOK_UP_SECONDS: Final = 4.0
"""For the whole look-up, however many pages it has."""
TOKEN_WAIT_SECONDS: Final = 1.0
"""How long a call waits for its turn under the rate limit before it gives up."""

# The interface is versioned by date, each family of calls on its own.
CONVERSATIONS_VERSION: Final = "2021-04-15"
_PAGE: Final = 100
_PAGES_MOST: Final = 5

# What the CRM answers before it does anything, and would answer otherwise another time.
_NOT_NOW: Final = frozenset({401, 403, 429})
_TEXT_MOST: Final = 10_000
_ID_MOST: Final = 200


class GhlCrm:
    """See `services.gateway.crm.Crm`.

    Args:
        client: With the base URL; without a timeout of its own, see `open_client`.
        token: Bearer token, a Private Integration Token today.
        monotonic: Clock in seconds for the rate limit.
        call_seconds: How long one attempt to send may take.
    """

    def __init__(
        self,
        client: httpx2.AsyncClient,
        *,
        token: str,
        monotonic: Callable[[], float],
        call_seconds: float = CALL_SECONDS,
    ) -> None:
        self._client = client
        self._call_seconds = call_seconds
        self._headers = {
            "Authorization": f"Bearer {token}",
            "Version": CONVERSATIONS_VERSION,
            "Accept": "application/json",
        }
        self._monotonic = monotonic
        self._buckets: dict[str, Bucket] = {}

    async def send(self, text: Text) -> SendResult:
        """See `Crm.send`. The interface has no idempotency key, so what is unclear stays unclear."""
        try:
            async with asyncio.timeout(TOKEN_WAIT_SECONDS + self._call_seconds):
                if (wait := await self._wait_for_token(text.tenant_id)) > 0.0:
                    return SendResult(status=SendStatus.NOT_SENT, cause="CRM_RATE", wait_seconds=wait)
                async with asyncio.timeout(self._call_seconds):
                    answer = await self._client.post("/conversations/messages", json=_body(text), headers=self._headers)
        except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout):
            return SendResult(status=SendStatus.NOT_SENT, cause="CRM_UNREACHABLE")
        except (TimeoutError, httpx2.TimeoutException):
            return SendResult(status=SendStatus.UNKNOWN, cause="CRM_TIMEOUT")
        except (httpx2.HTTPError, httpx2.StreamError, httpx2.InvalidURL):
            return SendResult(status=SendStatus.UNKNOWN, cause="CRM_CUT")
        self._learn(text.tenant_id, answer.headers)
        return _sent(answer)

    async def find(self, text: Text, *, since: datetime, known: frozenset[str]) -> str | None:
        """See `Crm.find`."""
        try:
            async with asyncio.timeout(LOOK_UP_SECONDS):
                conversation_id = text.conversation_id or await self._conversation(text)
                return None if conversation_id is None else await self._search(text, conversation_id, since, known)
        except (TimeoutError, httpx2.HTTPError, httpx2.StreamError, httpx2.InvalidURL, ValueError) as error:
            raise ServiceUnavailable("crm cannot be asked", service="crm") from error

    async def _conversation(self, text: Text) -> str | None:
        found = await self._get(
            text.tenant_id,
            "/conversations/search",
            {"locationId": text.tenant_id, "contactId": text.contact_id, "limit": "20"},
        )
        conversations = found.get("conversations")
        if not isinstance(conversations, list):
            raise ValueError("no conversations in the answer")
        for conversation in conversations:
            if isinstance(conversation, dict) and conversation.get("contactId", text.contact_id) == text.contact_id:
                return _id(conversation, "id")
        return None

    async def _search(self, text: Text, conversation_id: str, since: datetime, known: frozenset[str]) -> str | None:
        last_id: str | None = None
        for _ in range(_PAGES_MOST):
            query = {"limit": str(_PAGE)} | ({} if last_id is None else {"lastMessageId": last_id})
            page = await self._get(text.tenant_id, f"/conversations/{conversation_id}/messages", query)
            # The documentation has the list here, live answers one level down.
            nested = page.get("messages")
            page = nested if isinstance(nested, dict) else page
            messages = page.get("messages")
            if not isinstance(messages, list):
                raise ValueError("no messages in the answer")
            too_old = False
            for message in messages:
                if not isinstance(message, dict):
                    continue
                time = moment(message, "dateAdded", now=None)
                too_old = time is not None and time < since - SKEW
                if not too_old and (crm_message_id := _ours(message, text)) is not None and crm_message_id not in known:
                    return crm_message_id
            last_id = _id(page, "lastMessageId")
            if too_old or page.get("nextPage") is not True or last_id is None:
                return None
        raise ValueError("the text may be further back than was looked")

    async def _get(self, tenant_id: str, path: str, query: Mapping[str, str]) -> Mapping[str, Any]:
        if await self._wait_for_token(tenant_id) > 0.0:
            raise TimeoutError
        answer = await self._client.get(path, params=query, headers=self._headers)
        self._learn(tenant_id, answer.headers)
        if answer.status_code != 200:
            raise ValueError(f"status {answer.status_code}")
        body = answer.json()
        if not isinstance(body, dict):
            raise ValueError("the answer is no object")
        return body

    async def _wait_for_token(self, tenant_id: str) -> float:
        bucket = self._buckets.setdefault(tenant_id, Bucket(time=self._monotonic()))
        wait = bucket.take(self._monotonic())
        if wait > TOKEN_WAIT_SECONDS:
            bucket.give_back()
            return wait
        if wait > 0.0:
            await asyncio.sleep(wait)
        return 0.0

    def _learn(self, tenant_id: str, headers: Mapping[str, str]) -> None:
        remaining = headers.get("x-ratelimit-remaining", "")
        if remaining.isdecimal():
            self._buckets[tenant_id].learn(int(remaining))


def open_client(url: str, *, connections: int) -> httpx2.AsyncClient:
    """Return a client for the CRM; close it after use."""
    return httpx2.AsyncClient(
        base_url=url,
        timeout=httpx2.Timeout(CALL_SECONDS, connect=2.0, pool=1.0),
        limits=httpx2.Limits(max_connections=connections, max_keepalive_connections=connections),
        follow_redirects=False,
        trust_env=False,
    )


def _body(text: Text) -> dict[str, str]:
    if text.channel == "Email":
        words = html.escape(text.text).replace("\n", "<br>")
        return {"type": "Email", "contactId": text.contact_id, "html": words, "subject": "Your message"}
    return {"type": text.channel, "contactId": text.contact_id, "message": text.text}


def _sent(answer: httpx2.Response) -> SendResult:
    code = answer.status_code
    if 200 <= code < 300:
        try:
            body = answer.json()
            crm_message_id = _id(body, "emailMessageId", "messageId") if isinstance(body, dict) else None
        except ValueError:
            crm_message_id = None
        if crm_message_id is not None:
            return SendResult(status=SendStatus.SENT, crm_message_id=crm_message_id)
        return SendResult(status=SendStatus.UNKNOWN, cause="CRM_UNREADABLE")
    if code in _NOT_NOW:
        wait = _wait_seconds(answer.headers)
        return SendResult(status=SendStatus.NOT_SENT, cause=f"CRM_{code}", wait_seconds=wait)
    if 400 <= code < 500 and code != 408:
        return SendResult(status=SendStatus.REFUSED, cause=f"CRM_{code}")
    return SendResult(status=SendStatus.UNKNOWN, cause=f"CRM_{code}")


def _wait_seconds(headers: Mapping[str, str]) -> float:
    said = headers.get("retry-after", "")
    if said.isdecimal():
        return min(float(said), 3600.0)
    interval = headers.get("x-ratelimit-interval-milliseconds", "")
    seconds = min(float(interval) / 1000.0, 3600.0) if interval.isdecimal() else 10.0
    return seconds * random.uniform(1.0, 1.5)  # noqa: S311 - spreads retries, guards nothing


def _ours(message: Mapping[str, Any], text: Text) -> str | None:
    if message.get("direction") == "inbound" or (message.get("userId") and message.get("source") == "app"):
        return None
    body = message.get("body")
    if not isinstance(body, str):
        return None
    theirs = html_to_text(body, longest=_TEXT_MOST) if text.channel == "Email" else body
    return _id(message, "id", "messageId") if same_text(text.text, theirs) else None


def _id(body: Mapping[str, Any], *names: str) -> str | None:
    values = (body.get(name) for name in names)
    return next((value for value in values if isinstance(value, str) and 0 < len(value) <= _ID_MOST), None)
