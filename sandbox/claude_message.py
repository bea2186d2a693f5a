"""The message that a request gets, with usage as the API counts it. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

from sandbox import claude_answer
from sandbox.claude_prompt import read_prompt
from sandbox.claude_request import MODELS

CACHE_SECONDS = {"5m": 300.0, "1h": 3600.0}


class PromptCache:
    """Knows which prefixes were read lately, by the breakpoints that requests set.

    A prefix below the model's minimum is not kept, and nobody is told: as at the vendor.
    """

    def __init__(self) -> None:
        self._until: dict[str, float] = {}

    def use(self, body: Mapping[str, Any], now: float) -> tuple[int, int]:
        """Return how many tokens of the prompt come out of the cache, and how many go into it."""
        least = MODELS[body["model"]].least_cached_tokens
        read = written = 0
        for digest, tokens, seconds in reversed(list(_prefixes(body))):
            if tokens < least:
                continue
            if self._until.get(digest, 0.0) > now:
                read = max(read, tokens)
            written = max(written, tokens)
            self._until[digest] = now + seconds
        return read, written - read


def _prefixes(body: Mapping[str, Any]) -> Iterator[tuple[str, int, float]]:
    """Give digest, length in tokens and life of the prompt up to each breakpoint."""
    seen = hashlib.sha256(json.dumps([body["model"], body.get("tools"), body.get("output_config")]).encode())
    tokens = 0
    contents: list[Any] = [body.get("system") or "", *(turn["content"] for turn in body["messages"])]
    for content in contents:
        blocks: list[Any] = [{"type": "text", "text": content}] if isinstance(content, str) else content
        for block in blocks:
            seen.update(json.dumps({k: v for k, v in block.items() if k != "cache_control"}).encode())
            tokens += claude_answer.count_tokens(str(block.get("text", "")))
            control = block.get("cache_control")
            if control:
                yield seen.hexdigest(), tokens, CACHE_SECONDS[control.get("ttl", "5m")]


def message(body: Mapping[str, Any], *, effort: str, thinks: bool, manner: str = "") -> dict[str, Any]:
    """Answer a checked request with a whole message.

    Args:
        body: The request's JSON.
        effort: How hard to think.
        thinks: Whether the model thinks first.
        manner: "truncated" and "refusal" end badly; "echo" says everything it was told, "obey" what the person's
            words tell it to: two models that an attacker would wish for.
    """
    made = claude_answer.answer(body, effort=effort, thinks=thinks)
    text, stop_reason, stop_sequence = _in_manner(body, made.text, manner), "end_turn", None
    for sequence in body.get("stop_sequences") or ():
        if sequence in text:
            text, stop_reason, stop_sequence = text.split(sequence, 1)[0], "stop_sequence", sequence
    room = int(max(0, int(body["max_tokens"]) - made.thinking_tokens) * claude_answer.CHARS_PER_TOKEN)
    if manner == "truncated" or len(text) > room:
        text = text[: min(room, len(text) // 2)] if manner == "truncated" else text[:room]
        stop_reason, stop_sequence = "max_tokens", None
    content: list[dict[str, Any]] = [{"type": "text", "text": text}] if text else []
    if made.thinking:
        shown = (body.get("thinking") or {}).get("display") == "summarized"
        signature = hashlib.sha256(made.thinking.encode()).hexdigest()
        content.insert(0, {"type": "thinking", "thinking": made.thinking if shown else "", "signature": signature})
    most = int(body["max_tokens"])
    whole: dict[str, Any] = {
        "id": f"msg_{hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()[:24]}",
        "type": "message",
        "role": "assistant",
        "model": body["model"],
        "content": content,
        "stop_reason": stop_reason,
        "stop_sequence": stop_sequence,
        "usage": {
            "input_tokens": made.input_tokens,
            "output_tokens": min(most, max(1, claude_answer.count_tokens(text) + made.thinking_tokens)),
            "output_tokens_details": {"thinking_tokens": min(most, made.thinking_tokens)},
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 0,
            "service_tier": "standard",
        },
    }
    if manner == "refusal":
        whole |= {"content": [], "stop_reason": "refusal"}
        whole["stop_details"] = {"type": "refusal", "category": "general_harms", "explanation": None}
    return whole


def use_cache(whole: dict[str, Any], *, read: int, written: int) -> None:
    """Move tokens of a message's usage to where the prompt cache has them."""
    usage = whole["usage"]
    usage["input_tokens"] = max(0, usage["input_tokens"] - read - written)
    usage |= {"cache_read_input_tokens": read, "cache_creation_input_tokens": written}


def _in_manner(body: Mapping[str, Any], text: str, manner: str) -> str:
    if manner not in ("echo", "obey"):
        return text
    said = read_prompt(body).words
    if manner == "echo":
        said = json.dumps([body.get("system"), body["messages"]], ensure_ascii=False)
    if not (body.get("output_config") or {}).get("format"):
        return said
    if manner == "obey" and said.lstrip().startswith("{"):
        return said
    return json.dumps(_with_words(json.loads(text), body["output_config"]["format"]["schema"], said))


def _with_words(value: Any, schema: Mapping[str, Any], words: str) -> Any:
    """Put words wherever the schema takes any text."""
    if isinstance(value, dict):
        choices = [schema, *schema.get("anyOf", ())]
        parts: Mapping[str, Any] = next((choice["properties"] for choice in choices if "properties" in choice), {})
        return {name: _with_words(part, parts.get(name, {}), words) for name, part in value.items()}
    if isinstance(value, list):
        return [_with_words(part, schema.get("items", {}), words) for part in value]
    choices = [schema, *schema.get("anyOf", ())]
    free = any(
        "string" in ([kind] if isinstance(kind := choice.get("type", ""), str) else kind)
        and not {"enum", "const"} & set(choice)
        for choice in choices
    )
    return words if free else value
