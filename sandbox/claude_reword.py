"""The sentences that a prompt lists by name, in other words; placeholders stay where they are. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

# A line of a list: `2. question: "How many bedrooms do you need?"`, whatever follows.
ASKED = re.compile(
    r'^\s*(?:[-*]|\d{1,2}[.)])\s*(?P<name>[a-z][a-z0-9_]{0,40})\s*:\s*"(?P<sentence>[^"\n]+)"', re.MULTILINE
)
# Ways to say what assistants often say; `\1` is kept.
VARIANTS: tuple[tuple[re.Pattern[str], tuple[str, ...]], ...] = tuple(
    (re.compile(pattern), ways)
    for pattern, ways in (
        (r"^Got it: (.+)\.$", (r"Noted: \1.", r"Thanks, I have it down: \1.", r"Understood: \1.")),
        (r"^Understood, it is about (.+)\.$", (r"Okay, this is about \1.", r"Thanks, so it is about \1.")),
        (r"^Understood\b", ("Okay", "Got it")),
        (r"^I can help you (.+)\.$", (r"Happy to help you \1.", r"Glad to help you \1.")),
        (r"^I will keep in mind that (.+)\.$", (r"I will remember that \1.", r"Noted that \1.")),
        (r"^I have noted that (.+)\.$", (r"Noted that \1.", r"I have it down that \1.")),
        (r"^That is what I need\b", ("That is all I need", "I have what I need")),
        (r"^Thank you for telling me\.$", ("Thanks for telling me.", "Thank you for sharing that.")),
        (r"^How soon would you like to (.+)\?$", (r"When would you like to \1?", r"How soon do you hope to \1?")),
        (r"^Ask me about\b", ("Feel welcome to ask about", "You can ask me about")),
    )
)
BEFORE_A_QUESTION = ("May I ask: ", "Could you tell me: ", "Just so I know: ")
BEFORE_A_SENTENCE = ("Okay. ", "Just so you know: ", "")


def reworded(schema: Mapping[str, Any], text: str, *, seed: int) -> dict[str, Any] | None:
    """Answer a request for listed sentences in other words; None when nothing of the kind is asked for.

    Args:
        schema: What shape the answer has: one list of objects with a name and words.
        text: The prompt's turn.
        seed: Chooses between ways to say the same.
    """
    shape = _shape(schema)
    asked = [(found["name"], found["sentence"]) for found in ASKED.finditer(text)]
    if shape is None or not asked:
        return None
    listed, name, words = shape
    return {
        listed: [{name: each, words: _reword(sentence, seed + place)} for place, (each, sentence) in enumerate(asked)]
    }


def _shape(schema: Mapping[str, Any]) -> tuple[str, str, str] | None:
    """Return the names of the list, of a part's name and of its words; None when the schema is another."""
    properties = schema.get("properties") or {}
    items = next((each.get("items") for each in properties.values() if isinstance(each, Mapping)), None)
    inner = list((items.get("properties") or {}).items()) if isinstance(items, Mapping) else []
    names = [key for key, _ in inner if re.search(r"name|part|key|id", key)]
    others = [key for key, kind in inner if key not in names and kind.get("type") == "string"]
    if len(properties) != 1 or len(inner) != 2 or len(names) != 1 or len(others) != 1:
        return None
    return next(iter(properties)), names[0], others[0]


def _reword(sentence: str, seed: int) -> str:
    for pattern, ways in VARIANTS:
        if pattern.search(sentence):
            return pattern.sub(ways[seed % len(ways)], sentence, count=1)
    before = (BEFORE_A_QUESTION if "?" in sentence else BEFORE_A_SENTENCE)[seed % 3]
    if "?" in sentence and (":" in sentence or re.match(r"(?:May|Could|And|To|So)\b", sentence)):
        # "May I ask: so that I can help: is it ..." is said by nobody.
        before = ""
    keeps_capital = not before or before.endswith(". ") or re.match(r"I\b|[A-Z]{2}|\{", sentence)
    return before + (sentence if keeps_capital else sentence[0].lower() + sentence[1:])
