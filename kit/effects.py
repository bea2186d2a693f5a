"""What a turn does beside its text: notes, tasks and custom fields in the CRM, or silence from now on. Pure.

The first three tell people of the brokerage and never the person, so opting out, do-not-disturb
and a takeover by a human keep none of them back. What goes into them is said in
neutral words: what was asked for, never who somebody is.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

TITLE_MOST: Final = 120
TEXT_MOST: Final = 2_000

FieldValue = str | int | bool
"""What a custom field of the CRM is set to."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Note:
    """Something to know about a contact."""

    text: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    """Something that a person of the brokerage has to do."""

    title: str
    text: str
    due_hours: int = 24
    """Hours from now until it is due."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Fields:
    """What the contact's custom fields should say now, by field key. Only what changed since the last time goes out."""

    values: Mapping[str, FieldValue]


@dataclass(frozen=True, kw_only=True, slots=True)
class Pause:
    """The person asked to be left alone: no bot writes to them until they text START or somebody resumes the contact."""


Effect = Note | Task | Fields | Pause


def effect_row(effect: Effect) -> dict[str, Any]:
    """Turn an effect into what `complete_turn` reads; a text over its limit is cut.

    >>> effect_row(Note(text="Asked for a tour."))
    {'kind': 'NOTE', 'text': 'Asked for a tour.'}
    """
    match effect:
        case Note():
            return {"kind": "NOTE", "text": effect.text[:TEXT_MOST]}
        case Task():
            return {
                "kind": "TASK",
                "title": effect.title[:TITLE_MOST],
                "text": effect.text[:TEXT_MOST],
                "due_hours": effect.due_hours,
            }
        case Fields():
            return {"kind": "FIELDS", "fields": dict(effect.values)}
        case Pause():
            return {"kind": "PAUSE"}
