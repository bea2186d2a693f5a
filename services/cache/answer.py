"""Read what Claude sent back, and refuse what must be neither served nor stored. Pure.

The bytes are read here and not by the SDK, which lets too much through: HTML comes
back as a str, `{}` as a message without content, an answer that was cut off as one
that was not.
"""

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

from services.cache.pricing import Tokens
from services.cache.schema import conforms

MOST_CHARS: Final = 40_000
"""More than `max_tokens` allows to any prompt; longer than this is no answer of ours."""

# Far above any context window; a count beyond it is nonsense that would eat the day's budget.
_MOST_TOKENS: Final = 10_000_000

_KEPT_CONTROLS: Final = frozenset("\n\t")
_REPLACEMENT: Final = "\N{REPLACEMENT CHARACTER}"


class BadAnswer(Exception):
    """An answer that may not be used.

    Args:
        defect: What is wrong with it, as a code.
        stop_reason: Why the model stopped, where the answer says so.
        tokens: What it used, where the answer says so; None means that nobody knows.
    """

    def __init__(self, defect: str, *, stop_reason: str = "", tokens: Tokens | None = None) -> None:
        super().__init__(defect)
        self.defect = defect
        self.stop_reason = stop_reason
        self.tokens = tokens


@dataclass(frozen=True, kw_only=True)
class Reply:
    """A message of Claude's that is whole."""

    content: str
    """The text blocks, joined; not yet compared with the prompt's schema."""
    tokens: Tokens
    stop_reason: str


def read_reply(body: bytes) -> Reply:
    """Read the body of a 200 answer.

    Only `end_turn` counts as an end: we offer no tools and set no stop sequences, and
    an answer that ran into `max_tokens` or was refused is half an answer or none.

    Raises:
        BadAnswer: It is no message, or one that must not be used.
    """
    try:
        message = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise BadAnswer("NOT_JSON") from None
    if not isinstance(message, dict) or message.get("type") != "message" or message.get("role") != "assistant":
        raise BadAnswer("NO_MESSAGE")
    tokens = _tokens(message.get("usage"))
    if tokens is None:
        raise BadAnswer("NO_USAGE")
    reason = message.get("stop_reason")
    if reason != "end_turn":
        known = reason if isinstance(reason, str) and reason in _STOP_REASONS else ""
        raise BadAnswer(_STOP_REASONS.get(known, "NO_STOP_REASON"), stop_reason=known, tokens=tokens)
    content = _text(message.get("content"))
    if content is None:
        raise BadAnswer("WRONG_SHAPE", stop_reason=reason, tokens=tokens)
    return Reply(content=content, tokens=tokens, stop_reason=reason)


def check_content(content: str, schema: Mapping[str, Any] | None) -> str:
    """Return the answer as it may be served: JSON written anew, or text without spaces at its ends.

    Raises:
        BadAnswer: It is empty, too long, not of the schema, or holds characters that
            no person would type.
    """
    if len(content) > MOST_CHARS:
        raise BadAnswer("TOO_LONG")
    if schema is None:
        text = content.strip()
        if not text or not _clean(text):
            raise BadAnswer("BAD_CHARACTERS" if text else "EMPTY")
        return text
    try:
        value = orjson.loads(content)
    except orjson.JSONDecodeError:
        raise BadAnswer("CONTENT_NOT_JSON") from None
    if not conforms(value, schema):
        raise BadAnswer("NOT_OF_THE_SCHEMA")
    if not _clean_value(value):
        raise BadAnswer("BAD_CHARACTERS")
    return orjson.dumps(value).decode()


_STOP_REASONS: Final = {
    "max_tokens": "CUT_OFF",
    "model_context_window_exceeded": "CUT_OFF",
    "refusal": "REFUSED",
    "stop_sequence": "UNEXPECTED_STOP",
    "tool_use": "UNEXPECTED_STOP",
    "pause_turn": "UNEXPECTED_STOP",
}


def _tokens(usage: object) -> Tokens | None:
    if not isinstance(usage, dict):
        return None
    counts = [
        usage.get("input_tokens"),
        usage.get("output_tokens"),
        # Left out or null where the request had no use for Claude's own cache.
        usage.get("cache_creation_input_tokens") or 0,
        usage.get("cache_read_input_tokens") or 0,
    ]
    whole = [count for count in counts if isinstance(count, int) and not isinstance(count, bool)]
    if len(whole) != len(counts) or not all(0 <= count <= _MOST_TOKENS for count in whole):
        return None
    read, written, cache_write, cache_read = whole
    return Tokens(input=read, output=written, cache_write=cache_write, cache_read=cache_read)


def _text(blocks: object) -> str | None:
    """Join the text blocks and pass over thinking; None for any other block, or for none at all."""
    if not isinstance(blocks, list):
        return None
    texts = []
    for block in blocks:
        kind = block.get("type") if isinstance(block, dict) else None
        if kind in ("thinking", "redacted_thinking"):
            continue
        if kind != "text" or not isinstance(block.get("text"), str):
            return None
        texts.append(block["text"])
    return "".join(texts) if texts else None


def _clean_value(value: Any) -> bool:
    """Walks no deeper than the schema, which `conforms` has held it to."""
    if isinstance(value, str):
        return _clean(value)
    if isinstance(value, list):
        return all(_clean_value(each) for each in value)
    if isinstance(value, dict):
        return all(_clean_value(each) for each in value.values())
    return True


def _clean(text: str) -> bool:
    """No control characters, no broken encoding, nothing that turns the direction of reading."""
    if text.isascii() and text.isprintable():
        return True
    return not any(
        (unicodedata.category(character) in ("Cc", "Cs", "Co") and character not in _KEPT_CONTROLS)
        or character in _BIDI
        or character == _REPLACEMENT
        for character in text
    )


# Overrides and isolates; the zero-width joiner stays, emoji need it.
_BIDI: Final = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
