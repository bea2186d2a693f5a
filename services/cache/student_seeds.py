"""The labels that ship with the project, so that a student knows something on its first day.

A file for each prompt and language, `seeds/lead.extract.en.txt`, and a line for each way to say something:

    prompt 1f0a...              what the prompt said when these were written: of other words of it they say nothing
    @ -/- area/buy | -/buy+     states: what was asked / the intent that is known, "-" for none; "+" after a handoff;
                                of those after "|" each line takes one, in turn
    = intent=~buy area=PLACE_1  what the lines below say in any of these states; "~" where they hedge,
                                nothing for nothing, "?" for what no label can say, such as a reason in own words
    maybe something in Ballard
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import orjson

from kit.spans import mask
from services.cache.canonical import State
from services.cache.prompts import Prompt
from services.cache.schema import conforms
from services.cache.student_label import HEDGED, SURE, label_of, render
from services.cache.student_model import Example

FOLDER: Final = Path(__file__).parent / "seeds"


class BadSeed(Exception):
    """A line says what cannot be said of it."""


def digest(prompt: Prompt) -> str:
    """Return a digest of all that decides what a label of a prompt means."""
    said = orjson.dumps([prompt.name, prompt.schema_hash, prompt.system, prompt.user])
    return hashlib.blake2b(said, digest_size=16).hexdigest()


def seeds(prompt: Prompt | None) -> list[Example]:
    """Return what ships for a prompt: nothing once it says something else than when they were written.

    A way stands in several states, and for one request: it is examined in one of them,
    each in its turn.

    Raises:
        BadSeed: A line does not hold what it says, or another one says something else of it.
    """
    if prompt is None or prompt.schema is None:
        return []
    texts = [path.read_text(encoding="utf-8") for path in sorted(FOLDER.glob(f"{prompt.name}.*.txt"))]
    written_for = f"\nprompt {digest(prompt)}\n"
    found = [each for text in texts if written_for in text for each in read(text, prompt.schema)]
    once: dict[tuple[object, ...], Example] = {}
    for each in found:
        if once.setdefault(_place(each), each).label != each.label:
            raise BadSeed(f"{each.masked!r} in {each.state} says two things")
    return list(once.values())


def read(text: str, schema: Mapping[str, Any]) -> list[Example]:
    """Read the lines of a file.

    Raises:
        BadSeed: One does not hold what it says.
    """
    found: list[Example] = []
    everywhere: list[State] = []
    in_turn: list[State] = []
    label: str | None = None
    for number, line in enumerate(text.splitlines(), 1):
        if not line or line.startswith(("#", "prompt ")):
            continue
        if line.startswith("@"):
            everywhere, in_turn = ([_state(each) for each in part.split()] for part in f"{line[1:]}|".split("|")[:2])
        elif line.startswith("="):
            label = _label(line[1:].split(), schema)
        else:
            masked = mask([line]).text
            if label is None or (label and render(label, masked) is None):
                raise BadSeed(f"line {number}: {masked!r} cannot say that")
            states = [*everywhere, *in_turn[number % len(in_turn) :][:1]] if in_turn else everywhere
            for turn, state in enumerate(states):
                weight = float(number % len(states) == turn)
                found.append(Example(state=state, masked=masked, label=label, group=masked, weight=weight))
    return found


def beside(seeds: Sequence[Example], own: Sequence[Example]) -> list[Example]:
    """Return what is still learned from seeds beside what people of a tenant said.

    They count for less with each label of its own, and are gone once there are as many
    as ways; where both speak of the same, the seed is silent at once.
    """
    left = 1 - len(own) / max(1.0, sum(each.weight for each in seeds))
    said = {_place(each) for each in own}
    return [replace(each, weight=each.weight * left) for each in seeds if left > 0 and _place(each) not in said]


def _place(example: Example) -> tuple[object, ...]:
    state = example.state
    return example.masked, state.asked, state.opening, tuple(sorted(state.known.items()))


def _state(text: str) -> State:
    """Read a state.

    >>> _state("area/buy+")
    State(asked='area', known={'intent': 'buy'}, opening=True)
    """
    asked, _, intent = text.removesuffix("+").partition("/")
    known = {} if intent == "-" else {"intent": intent}
    return State(asked=asked.strip("-"), known=known, opening=text.endswith("+"))


def _label(parts: Sequence[str], schema: Mapping[str, Any]) -> str | None:
    """Return a label, empty for "?"; None when it is not of the schema."""
    if parts == ["?"]:
        return ""
    found: dict[str, Any] = dict.fromkeys(schema["properties"])
    for part in parts:
        slot, _, value = part.partition("=")
        sure = HEDGED if value.startswith("~") else SURE
        found[slot] = {"value": value.removeprefix("~"), "words": "", "confidence": sure}
    return label_of(found, schema) if conforms(found, schema) else None
