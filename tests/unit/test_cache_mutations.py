"""Every way in which Claude goes wrong, mutated a thousand times: what is let through is whole and of the schema."""

import json
import math
import random
from types import SimpleNamespace
from typing import Any

import pytest

from sandbox.claude_faults import ERRORS, as_sent, events_of, planned_error
from sandbox.claude_message import message
from sandbox.faults import Fault
from services.cache.answer import BadAnswer, check_content, read_reply

MUTATIONS = 1_000
SCHEMA = {
    "type": "object",
    "additionalProperties": False,
    "required": ["intent", "words", "budget_usd"],
    "properties": {
        "intent": {"type": "string", "enum": ["buy", "sell", "both", "unclear"]},
        "words": {"type": "string"},
        "budget_usd": {"type": ["integer", "null"]},
    },
}
ASKED = {
    "model": "claude-haiku-5-5",
    "max_tokens": 400,
    "system": "You read what a person wrote.",
    "messages": [{"role": "user", "content": "<messages>I need to sell my house, 650k</messages>"}],
    "output_config": {"format": {"type": "json_schema", "schema": SCHEMA}},
}


def a_message(manner: str = "") -> dict[str, Any]:
    return message(ASKED, effort="low", thinks=True, manner=manner)


def sent(kind: str) -> bytes:
    request: Any = SimpleNamespace(state=SimpleNamespace(transport=None))
    return bytes(as_sent(a_message(), Fault(kind=kind), request, stream=False).body)


def streamed(end: bytes) -> bytes:
    """Return the bytes of a stream that ends in the middle, for a client that takes them for a body."""
    events = [f"event: {name}\ndata: {json.dumps(data)}\n\n".encode() for name, data in events_of(a_message())]
    return b"".join(events[: len(events) // 2]) + end


WHOLE = json.dumps(a_message()).encode()
# The 19 modes of the reliability page, section 6.3, as the bytes that arrive; what never ends is what came until then.
MODES: dict[str, bytes] = {
    **{kind: bytes(planned_error(Fault(kind=kind), "req_1").body) for kind in ERRORS},
    **{
        kind: sent(kind)
        for kind in "html cut_json empty_json content_string content_empty wrong_types not_utf8".split()
    },
    **{manner: json.dumps(a_message(manner)).encode() for manner in ("truncated", "refusal")},
    "hang": b"",
    "drip, hard cut": WHOLE[: len(WHOLE) * 3 // 4],
    "stream clean cut": streamed(b""),
    "stream garbage": streamed(b"<p>502 bad gateway</p>\n\n"),
    "stream error": streamed(b'event: error\ndata: {"type": "error"}\n\n'),
    "stream pings": streamed(b'event: ping\ndata: {"type": "ping"}\n\n' * 3),
    "whole": WHOLE,
}
STRANGE = [
    None,
    True,
    0,
    -1,
    1e308,
    "",
    "end_turn",
    "message",
    "\u202e",
    "\x00",
    [],
    {},
    [[]],
    {"type": "text"},
    "🏠" * 9,
]


def mutated(data: bytes, luck: random.Random) -> bytes:
    for _ in range(luck.choice((1, 1, 2, 5))):
        change = luck.choice((_flip, _cut, _double, _splice, _strange))
        data = change(data, luck)
    return data


def _flip(data: bytes, luck: random.Random) -> bytes:
    at = luck.randrange(len(data) + 1)
    return data[:at] + bytes([luck.randrange(256)]) + data[at + 1 :]


def _cut(data: bytes, luck: random.Random) -> bytes:
    start, end = sorted(luck.randrange(len(data) + 1) for _ in range(2))
    return data[:start] + data[end:]


def _double(data: bytes, luck: random.Random) -> bytes:
    start, end = sorted(luck.randrange(len(data) + 1) for _ in range(2))
    return data[:end] + data[start:]


def _splice(data: bytes, luck: random.Random) -> bytes:
    return data[: luck.randrange(len(data) + 1)] + WHOLE[luck.randrange(len(WHOLE)) :]


def _strange(data: bytes, luck: random.Random) -> bytes:
    """Put a value that should not be there somewhere into the JSON."""
    try:
        value = json.loads(data)
    except ValueError:
        return data
    place, key = [], None
    stack = [value]
    while stack:
        at = stack.pop()
        for name in list(at) if isinstance(at, dict) else range(len(at)) if isinstance(at, list) else ():
            place.append((at, name))
            stack.append(at[name])
    if place:
        at, key = luck.choice(place)
        at[key] = luck.choice(STRANGE)
    return json.dumps(value).encode()


def is_good(content: str, stop_reason: str) -> bool:
    """Say whether an answer may be served, without a line of the code under test."""
    value = json.loads(content)
    return (
        stop_reason == "end_turn"
        and set(value) == {"intent", "words", "budget_usd"}
        and value["intent"] in SCHEMA["properties"]["intent"]["enum"]  # type: ignore[index]
        and isinstance(value["words"], str)
        and not any(ord(each) < 32 and each not in "\n\t" for each in value["words"])
        and not set(value["words"]) & {"\u202e", "\ufffd", "\x7f"}
        and (value["budget_usd"] is None or (type(value["budget_usd"]) is int and math.isfinite(value["budget_usd"])))
    )


@pytest.mark.parametrize("mode", MODES)
def test_nothing_bad_passes_in_a_thousand_mutations(mode: str):
    luck = random.Random(mode)
    passed = 0
    for _ in range(MUTATIONS):
        body = mutated(MODES[mode], luck)
        try:
            reply = read_reply(body)
            content = check_content(reply.content, SCHEMA)
        except BadAnswer as bad:
            assert bad.defect
            continue
        passed += 1
        assert is_good(content, reply.stop_reason), body
        assert min(reply.tokens.input, reply.tokens.output, reply.tokens.cache_read, reply.tokens.cache_write) >= 0
    # Many mutations of a good answer leave it good, or nothing would have been looked at; a bad one is seldom mended.
    assert passed > MUTATIONS // 20 if mode == "whole" else passed < MUTATIONS // 20


@pytest.mark.parametrize("mode", [mode for mode in MODES if mode != "whole"])
def test_no_mode_passes_as_it_is(mode: str):
    with pytest.raises(BadAnswer):
        check_content(read_reply(MODES[mode]).content, SCHEMA)
