"""Takes a prompt apart: the person's words, what stands around them, what was asked before. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

TAGGED = re.compile(
    r"<(?P<tag>messages?|text|person|user_message|inbound|customer_message|lead_message)\b[^>]*>(?P<text>.*?)</(?P=tag)>",
    re.DOTALL,
)


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """A prompt taken apart.

    Attributes:
        words: What the person wrote.
        around: All else that stands in the prompt.
        question: What the person was asked before; empty when that is not told.
        known: What the prompt tells of the person, inside tags of its own.
    """

    words: str
    around: str
    question: str = ""
    known: str = ""


def plain(content: object) -> str:
    """Join the text of a message's content, which is a string or a list of blocks."""
    if isinstance(content, str):
        return content
    blocks = content if isinstance(content, Sequence) else ()
    return "\n".join(
        str(block.get("text", "")) for block in blocks if isinstance(block, Mapping) and block.get("type") == "text"
    )


def read_prompt(body: Mapping[str, Any]) -> Prompt:
    """Find the person's words in the last user message: inside the last kind of tag named for a message, else all of it."""
    system = plain(body.get("system") or "")
    turns = [(str(turn["role"]), plain(turn["content"])) for turn in body["messages"]]
    last = next((text for role, text in reversed(turns) if role == "user"), "")
    tagged = list(TAGGED.finditer(last))
    if tagged:
        # <messages> may hold one <message> each; the outer tag's text is then a list of inner tags.
        inner = "\n".join(match["text"] for match in tagged)
        nested = [match["text"] for match in TAGGED.finditer(inner)]
        words = "\n".join(
            re.sub(r"^\s*[-*]\s+", "", each.strip()) for each in (nested or [match["text"] for match in tagged])
        )
        around = TAGGED.sub("", last)
    else:
        words, around = last, ""
    earlier = "\n".join(text for _, text in turns[:-1])
    return Prompt(
        words=words.strip(),
        around="\n".join((system, earlier, around)),
        question=_question_before(turns, around),
        known="\n".join(
            text for tag, text in re.findall(r"<(\w+)>(.*?)</\1>", around, re.DOTALL) if "question" not in tag
        ),
    )


def _question_before(turns: Sequence[tuple[str, str]], around: str) -> str:
    said = [text for role, text in turns[:-1] if role == "assistant"]
    asked = re.findall(r"<(?:asked|question|last_question|open_question)>(.*?)</", around, re.DOTALL)
    lines = re.findall(r"(?:^|\n)\s*(?:we|bot|agent|assistant|us)\s*(?:asked)?\s*:\s*(.+?\?)", around, re.IGNORECASE)
    questions = [question for text in (*lines, *said, *asked) for question in re.findall(r"[^.!?\n]+\?|^[^?]+$", text)]
    return questions[-1].strip() if questions else ""
