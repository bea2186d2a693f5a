"""What the stand-in answers, from the request alone, and what that costs in tokens. Pure."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sandbox.claude_fill import fill
from sandbox.claude_prompt import plain, read_prompt
from sandbox.claude_reply import reply_text
from sandbox.claude_reword import reworded
from sandbox.claude_topics import intents

CHARS_PER_TOKEN = 3.6


def count_tokens(text: str) -> int:
    """Count tokens as the stand-in bills them: characters / 3.6, rounded up.

    The API's tokenizer is not public; 3.6 is near what English prose costs on the 5.x generation.

    >>> count_tokens("x" * 36), count_tokens("")
    (10, 0)
    """
    return math.ceil(len(text) / CHARS_PER_TOKEN)


@dataclass(frozen=True, kw_only=True)
class Answer:
    """An answer before faults: what is said, what was thought, and what both cost in tokens."""

    text: str
    thinking: str
    input_tokens: int
    thinking_tokens: int


# How much a model thinks for each thing that it read, by effort; 1 at the least.
EFFORT = {"low": 1, "medium": 2, "high": 4, "xhigh": 8, "max": 16}


def answer(body: Mapping[str, Any], *, effort: str, thinks: bool) -> Answer:
    """Answer a valid request. The same body gets the same answer.

    Args:
        body: The request's JSON, already checked.
        effort: How hard to think, `low` to `max`.
        thinks: Whether this model thinks first under these settings.
    """
    prompt = read_prompt(body)
    seed = int.from_bytes(hashlib.sha256(json.dumps(body, sort_keys=True).encode()).digest()[:8])
    wanted = (body.get("output_config") or {}).get("format") or {}
    schema = wanted.get("schema")
    if schema is not None:
        sentences = reworded(schema, prompt.words, seed=seed)
        value, readings = (sentences, []) if sentences else fill(schema, prompt, seed=seed)
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    else:
        readings = list(intents(prompt.words).values())
        text = reply_text(prompt.words, prompt.around, seed=seed)
    thinking = (
        " ".join(f"“{reading.words}” says {reading.value}." for reading in readings) or "Nothing certain is said."
    )
    whole = plain(body.get("system") or "") + "".join(plain(turn["content"]) for turn in body["messages"])
    return Answer(
        text=text,
        thinking=thinking if thinks else "",
        input_tokens=max(1, count_tokens(whole + (json.dumps(schema) if schema is not None else ""))),
        thinking_tokens=count_tokens(thinking) * EFFORT[effort] if thinks else 0,
    )
