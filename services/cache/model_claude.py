"""Claude through the `anthropic` SDK: one request, no retries of its own, the body left unread."""

import asyncio
import importlib
import math
from collections.abc import Mapping
from types import ModuleType
from typing import Any, Final

from services.cache.limits import Use
from services.cache.model import ModelFailed, Question, Sent

API_URL: Final = "https://api.anthropic.com"

_MOST_RETRY_AFTER_SECONDS: Final = 3_600.0

# Whatever else has a status will have it again: a bad key, a bad request, a model that is gone.
_RETRYABLE: Final = {429: "RATE_LIMITED", 500: "SERVER_ERROR", 529: "OVERLOADED"}

# Causes that prove the request never left, so it cost nothing. By name: the SDK's HTTP library is its own affair.
_NEVER_SENT: Final = frozenset({"ConnectError", "ConnectTimeout", "PoolTimeout", "UnsupportedProtocol"})


class ClaudeModel:
    """Asks Claude's Messages API.

    Structured output goes through `output_config`: today's models refuse a forced
    tool, sampling parameters and prefill.
    """

    def __init__(self, *, api_key: str, base_url: str) -> None:
        """Begin to import the SDK, which takes seconds; the first question waits for it.

        Args:
            api_key: The vendor's key; a stand-in takes anything.
            base_url: "" means the vendor's own.
        """
        self._opening = asyncio.create_task(_open(api_key, base_url), name="open-claude")

    async def ask(self, question: Question, *, seconds: float) -> Sent:
        """Return the body of a 200 answer, unread; the SDK would make something of anything.

        Raises:
            ModelFailed: There is none within `seconds`. The SDK's own timeout is per
                read, so a body that drips would outlast it; ours is for all of it.
        """
        try:
            async with asyncio.timeout(seconds) as time:
                sdk, http, client = await asyncio.shield(self._opening)
        except TimeoutError as error:
            raise ModelFailed("TIMEOUT", retryable=True, may_cost=False) from error
        left = max(0.0, (time.when() or 0.0) - asyncio.get_running_loop().time())
        try:
            async with asyncio.timeout(left):
                raw = await client.messages.with_raw_response.create(**_arguments(question), timeout=left)
                return Sent(body=raw.http_response.content, limit=_limit(raw.headers))
        except (TimeoutError, sdk.APITimeoutError) as error:
            raise ModelFailed("TIMEOUT", retryable=True, may_cost=_was_sent(error)) from error
        except sdk.APIStatusError as error:
            status = int(error.status_code)
            raise ModelFailed(
                _RETRYABLE.get(status, f"HTTP_{status}"),
                retryable=status in _RETRYABLE,
                may_cost=False,
                retry_after_seconds=_retry_after(error.response.headers.get("retry-after")),
                limit=_limit(error.response.headers),
            ) from error
        except sdk.APIConnectionError as error:
            raise ModelFailed("CONNECTION_LOST", retryable=True, may_cost=_was_sent(error)) from error
        # What is no error of the SDK's: its HTTP library's own, when a body is not what its headers say. By then
        # the answer was written, so it was paid for.
        except (sdk.AnthropicError, http.HTTPError, http.StreamError, ValueError, OSError) as error:
            raise ModelFailed("CLIENT_ERROR", retryable=False, may_cost=True) from error

    async def close(self) -> None:
        """Close all connections."""
        *_, client = await self._opening
        await client.close()


async def _open(api_key: str, base_url: str) -> tuple[ModuleType, ModuleType, Any]:
    sdk = await asyncio.to_thread(importlib.import_module, "anthropic")
    http = importlib.import_module("httpx2")  # the SDK's own; here by now
    client = sdk.AsyncAnthropic(
        # Both explicit, so that no other variable or file of the SDK's decides where words go.
        api_key=api_key or "none",
        base_url=base_url or API_URL,
        max_retries=0,
        # A redirect would carry a person's words to whoever it names.
        http_client=sdk.DefaultAsyncHttpxClient(follow_redirects=False),
    )
    await asyncio.to_thread(lambda: client.messages)  # imported at the first use, which would stop the loop
    return sdk, http, client


def _arguments(question: Question) -> dict[str, Any]:
    output: dict[str, Any] = {}
    if question.effort:
        output["effort"] = question.effort
    if question.schema is not None:
        output["format"] = {"type": "json_schema", "schema": question.schema}
    return {
        "model": question.model,
        "max_tokens": question.max_tokens,
        "system": [_system(question)],
        "messages": [{"role": "user", "content": question.user}],
        **({"output_config": output} if output else {}),
    }


def _system(question: Question) -> dict[str, Any]:
    """Return the system text, marked as the end of what is the same in every call of a prompt.

    Only where Claude would keep it: below the model's minimum the mark is ignored, and a
    request reads better without.
    """
    block: dict[str, Any] = {"type": "text", "text": question.system}
    if len(question.system) >= _LEAST_CHARS.get(question.model, _LONGEST_LEAST_CHARS):
        block["cache_control"] = {"type": "ephemeral"}
    return block


# Four characters a token is what English prose has at the most, so a text this long is above the minimum of 1,024
# tokens of Sonnet; 4,096 of others. Source: the vendor's documentation of prompt caching, for the 4.5
# generation; nothing newer is in print.
_LEAST_CHARS: Final = {"claude-sonnet-5-5": 4_096}
_LONGEST_LEAST_CHARS: Final = 16_384

_LIMITS: Final = {
    "requests": "anthropic-ratelimit-requests-limit",
    "input_tokens": "anthropic-ratelimit-input-tokens-limit",
    "output_tokens": "anthropic-ratelimit-output-tokens-limit",
}


def _limit(headers: Mapping[str, str]) -> Use | None:
    """Read what a model takes in a minute; None when the answer does not say, or says nonsense."""
    said = {name: headers.get(header, "") for name, header in _LIMITS.items()}
    numbers = {name: int(value) for name, value in said.items() if value.isascii() and value.isdigit()}
    return Use(**numbers) if numbers else None


def _was_sent(error: BaseException) -> bool:
    return type(error.__cause__).__name__ not in _NEVER_SENT


def _retry_after(value: str | None) -> float | None:
    """Read the header's seconds; a date or nonsense counts as not said."""
    try:
        seconds = float(value or "")
    except ValueError:
        return None
    return min(seconds, _MOST_RETRY_AFTER_SECONDS) if math.isfinite(seconds) and seconds >= 0 else None
