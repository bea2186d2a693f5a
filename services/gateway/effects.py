"""Puts what the outbox holds into the CRM's hands: a text, or an effect read from its JSON. Pure."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

import orjson

from kit.lane import EFFECTS, Delivery
from services.gateway.crm import Fields, Note, Task, Text

Parcel = Text | Note | Task | Fields
"""What is delivered."""

_DUE_HOURS: Final = 24
_UNITS: Final = ("_usd", "_sqft", "_quarters")


def parcel_of(delivery: Delivery) -> Parcel:
    """Return what a delivery brings.

    Raises:
        ValueError: Its JSON is none of an effect; it never will be.
    """
    ids = {"tenant_id": delivery.tenant_id, "contact_id": delivery.contact_id}
    if delivery.kind not in EFFECTS:
        return Text(**ids, channel=delivery.channel, text=delivery.text, conversation_id=delivery.conversation_id)
    body = orjson.loads(delivery.text)
    try:
        match delivery.kind:
            case "NOTE":
                return Note(**ids, text=_signed(note_text(body), delivery.reference), reference=delivery.reference)
            case "TASK":
                return Task(
                    **ids,
                    title=body["title"],
                    text=_signed(body["text"], delivery.reference),
                    # The database's clock; a person reads it, and hours are what counts.
                    due_time=delivery.create_time + timedelta(hours=body.get("due_hours", _DUE_HOURS)),
                    reference=delivery.reference,
                )
        return Fields(**ids, values=dict(body["fields"]))
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"no {delivery.kind}") from error


def words_of(kind: str, body: str) -> str:
    """Say for people what an outbox row brings; of a text the text itself.

    >>> words_of("FIELDS", '{"fields": {"contact.porchlight_score": 40}}')
    'contact.porchlight_score: 40'
    """
    if kind not in EFFECTS or not body:
        return body
    content = orjson.loads(body)
    match kind:
        case "NOTE":
            return note_text(content)
        case "TASK":
            return f"{content['title']}: {content['text']}"
    return "; ".join(f"{key}: {value}" for key, value in content["fields"].items())


def note_text(body: Mapping[str, Any]) -> str:
    """Return the words of a note: those that it has, or those that a handoff's record is put into.

    >>> note_text({"handoff": {"source_bot": "lead", "target_bot": "buyer", "summary": "The contact wants to buy a home.",
    ...                        "facts": {"price_max_usd": 500000, "timeline": "1_to_3_months"}}})
    'Moved from the lead bot to the buyer bot. The contact wants to buy a home. Known: price max: $500,000; timeline: 1 to 3 months.'
    """
    handoff = body.get("handoff")
    if handoff is None:
        return str(body["text"])
    source, target = handoff["source_bot"], handoff["target_bot"]
    moved = (
        "needs a person of the brokerage" if target == "human" else f"moved from the {source} bot to the {target} bot"
    )
    # What a bot tells the next one ends in what is known, which stands below in better words.
    why = str(handoff.get("summary", "")).partition(" Known: ")[0].strip()
    known = "; ".join(_fact(name, value) for name, value in handoff.get("facts", {}).items())
    question = handoff.get("open_question")
    said = [
        f"{moved[0].upper()}{moved[1:]}{_reason(handoff.get('reason'))}.",
        why,
        f"Known: {known}." if known else "Nothing is known yet.",
        f"Not answered yet: {question}" if question else "",
    ]
    return " ".join(part for part in said if part)


def _reason(reason: object) -> str:
    return f" ({str(reason).replace('_', ' ').lower()})" if reason else ""


def _fact(name: str, value: object) -> str:
    """Say a fact: its name without its unit, its value with it."""
    if isinstance(value, bool):
        said = "yes" if value else "no"
    elif isinstance(value, int) and name.endswith("_usd"):
        said = f"${value:,}"
    elif isinstance(value, int) and name.endswith("_sqft"):
        said = f"{value:,} sq ft"
    elif isinstance(value, int) and name.endswith("_quarters"):
        said = f"{value / 4:g}"
    else:
        said = str(value).replace("_", " ")
    for unit in _UNITS:
        name = name.removesuffix(unit)
    return f"{name.replace('_', ' ')}: {said}"


def _signed(text: str, reference: str) -> str:
    return f"{text}\n\nPorchlight reference {reference}"
