"""HighLevel's REST interface as calls: headers, rate limit, deadlines, and what is known after each.

Source: HighLevel's API documentation (headers, versions, rate limits).
"""

import asyncio
import random
from collections.abc import Callable, Mapping
from typing import Any, Final

import httpx2

from services.gateway.crm import SendResult, SendStatus
from services.gateway.payload import at
from services.gateway.rate import Bucket

CALL_SECONDS: Final = 4.0
LOOK_UP_SECONDS: Final = 4.0
"""For a whole look-up, however many calls it takes."""
TOKEN_WAIT_SECONDS: Final = 1.0
"""How long a call waits for its turn under the rate limit before it gives up."""

# The interface is versioned by date, each family of calls on its own.
CONVERSATIONS_VERSION: Final = "2021-04-15"
CONTACTS_VERSION: Final = "2021-07-28"
"""Of contacts and of locations."""

BROKEN: Final = (TimeoutError, httpx2.HTTPError, httpx2.StreamError, httpx2.InvalidURL, ValueError)
"""What `get` raises when it has no answer."""

# What the CRM answers before it does anything, and would answer otherwise another time.
_NOT_NOW: Final = frozenset({401, 403, 429})
_ID_MOST: Final = 200


class NotThere(ValueError):
    """The CRM has nothing under that path."""


class Calls:
    """The way to the interface.

    Args:
        client: With the base URL; without a timeout of its own, see `open_client`.
        token: Bearer token, a Private Integration Token today.
        monotonic: Clock in seconds for the rate limit.
        call_seconds: How long one attempt to change something may take.
    """

    def __init__(
        self, client: httpx2.AsyncClient, *, token: str, monotonic: Callable[[], float], call_seconds: float
    ) -> None:
        self._client = client
        self._token = token
        self._call_seconds = call_seconds
        self.monotonic = monotonic
        self.buckets: dict[str, Bucket] = {}

    async def change(
        self, tenant_id: str, method: str, path: str, body: Mapping[str, Any], *, version: str, id_at: tuple[str, ...]
    ) -> SendResult:
        """Change something, once. The interface has no idempotency key, so what is unclear stays unclear.

        Args:
            tenant_id: The location, for its rate limit.
            method: POST or PUT.
            path: Of the interface.
            body: Sent as JSON.
            version: Of the family of calls.
            id_at: Where the answer may have the id of what was made, as dotted paths, best first.
        """
        try:
            async with asyncio.timeout(TOKEN_WAIT_SECONDS + self._call_seconds):
                if (wait := await self._wait_for_token(tenant_id)) > 0.0:
                    return SendResult(status=SendStatus.NOT_SENT, cause="CRM_RATE", wait_seconds=wait)
                async with asyncio.timeout(self._call_seconds):
                    answer = await self._client.request(method, path, json=body, headers=self._headers(version))
        except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout):
            return SendResult(status=SendStatus.NOT_SENT, cause="CRM_UNREACHABLE")
        except (TimeoutError, httpx2.TimeoutException):
            return SendResult(status=SendStatus.UNKNOWN, cause="CRM_TIMEOUT")
        except (httpx2.HTTPError, httpx2.StreamError, httpx2.InvalidURL):
            return SendResult(status=SendStatus.UNKNOWN, cause="CRM_CUT")
        self._learn(tenant_id, answer.headers)
        return _judged(answer, id_at)

    async def get(
        self, tenant_id: str, path: str, query: Mapping[str, str], *, version: str, keep: float = 0.0
    ) -> Mapping[str, Any]:
        """Read an object. A call that leaves tokens to others (`keep`, see `Bucket`) finds none sooner.

        Raises:
            TimeoutError, httpx2.HTTPError, ValueError: There is no answer, or none that can be read: see `BROKEN`.
            NotThere: The CRM says that there is nothing.
        """
        if await self._wait_for_token(tenant_id, keep=keep) > 0.0:
            raise TimeoutError
        answer = await self._client.get(path, params=query, headers=self._headers(version))
        self._learn(tenant_id, answer.headers)
        if answer.status_code == 404:
            raise NotThere
        if answer.status_code != 200:
            raise ValueError(f"status {answer.status_code}")
        body = answer.json()
        if not isinstance(body, dict):
            raise ValueError("the answer is no object")
        return body

    def _headers(self, version: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._token}", "Version": version, "Accept": "application/json"}

    async def _wait_for_token(self, tenant_id: str, *, keep: float = 0.0) -> float:
        bucket = self.buckets.setdefault(tenant_id, Bucket(time=self.monotonic()))
        wait = bucket.take(self.monotonic(), keep=keep)
        if wait > TOKEN_WAIT_SECONDS:
            bucket.give_back()
            return wait
        if wait > 0.0:
            await asyncio.sleep(wait)
        return 0.0

    def _learn(self, tenant_id: str, headers: Mapping[str, str]) -> None:
        remaining = headers.get("x-ratelimit-remaining", "")
        if remaining.isdecimal():
            self.buckets[tenant_id].learn(int(remaining))


def open_client(url: str, *, connections: int) -> httpx2.AsyncClient:
    """Return a client for the CRM; close it after use."""
    return httpx2.AsyncClient(
        base_url=url,
        timeout=httpx2.Timeout(CALL_SECONDS, connect=2.0, pool=1.0),
        limits=httpx2.Limits(max_connections=connections, max_keepalive_connections=connections),
        follow_redirects=False,
        trust_env=False,
    )


def an_id(body: Mapping[str, Any], *paths: str) -> str | None:
    """Return the first of these dotted paths that leads to an id.

    >>> an_id({"note": {"id": "n_1"}}, "note.id")
    'n_1'
    """
    values = (at(body, path) for path in paths)
    return next((value for value in values if isinstance(value, str) and 0 < len(value) <= _ID_MOST), None)


def _judged(answer: httpx2.Response, id_at: tuple[str, ...]) -> SendResult:
    code = answer.status_code
    if 200 <= code < 300:
        try:
            body = answer.json()
            made = an_id(body, *id_at) if isinstance(body, dict) else None
        except ValueError:
            made = None
        if made is not None:
            return SendResult(status=SendStatus.SENT, crm_message_id=made)
        return SendResult(status=SendStatus.UNKNOWN, cause="CRM_UNREADABLE")
    if code in _NOT_NOW:
        return SendResult(status=SendStatus.NOT_SENT, cause=f"CRM_{code}", wait_seconds=_wait_seconds(answer.headers))
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
