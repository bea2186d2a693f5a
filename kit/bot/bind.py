"""Make facts of an analysis: the model says which masked value is what, the value is read from the person's words. Pure.

The model never saw an amount, a place or a date, and cannot get one wrong: "MONEY_2 is
the most they want to pay" is bound to "$650k" here, by the readings that the rules use
too, and dropped where these do not find a value of that kind there.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Final

from kit import text
from kit.bot import reading, words
from kit.bot.spec import SlotKind, SlotSpec, Value
from kit.lane import Fact, InboundMessage
from kit.spans import REF, Place, SpanKind

CONFIDENCE_MOST: Final = 0.9
"""A model's own number is no measurement; a clear statement read by the rules counts for more."""


@dataclass(frozen=True, kw_only=True)
class Analysis:
    """What the cache service said of the texts of a turn."""

    content: str
    """JSON as `kit.bot.spec.answer_schema` says."""
    values: Mapping[str, Place]
    """Reference to where its value stands."""
    quotes: Mapping[str, Place]
    """Quoted words, masked, to where they stand."""


def bind(
    analysis: Analysis, *, slots: tuple[SlotSpec, ...], messages: tuple[InboundMessage, ...], extractor: str
) -> tuple[Fact, ...]:
    """Return what an analysis says, checked against the slots' declaration.

    Args:
        analysis: Of the texts of `messages`, in their order; what is none yields nothing.
        slots: What was asked for.
        messages: What the person wrote, oldest first.
        extractor: The prompt and its version.
    """
    try:
        answer = json.loads(analysis.content)
    except ValueError:
        return ()
    if not isinstance(answer, dict):
        return ()
    facts = (_fact(slot, answer.get(slot.name), analysis, messages, extractor) for slot in slots if slot.modelled)
    return tuple(fact for fact in facts if fact is not None)


def _fact(
    slot: SlotSpec, item: object, analysis: Analysis, messages: tuple[InboundMessage, ...], extractor: str
) -> Fact | None:
    if not isinstance(item, dict):
        return None
    value, quoted, sure = item.get("value"), item.get("words"), item.get("confidence")
    if not isinstance(quoted, str) or isinstance(sure, bool) or not isinstance(sure, int | float):
        return None
    place = analysis.quotes.get(quoted) or analysis.values.get(quoted)
    if place is None or not _lies_in(place, messages):
        return None
    bound = _value(slot, value, analysis, messages)
    if bound is None:
        return None
    message = messages[place.text]
    return Fact(
        name=slot.name,
        value=bound,
        extractor=extractor,
        # Written so that NaN becomes 0.
        confidence=round(min(CONFIDENCE_MOST, float(sure)), 2) if sure > 0 else 0.0,
        words=message.text[place.start : place.end].strip()[: reading.LONGEST_WORDS],
        message_id=message.message_id,
    )


def _lies_in(place: Place, messages: tuple[InboundMessage, ...]) -> bool:
    return 0 <= place.text < len(messages) and 0 <= place.start < place.end <= len(messages[place.text].text)


def _value(slot: SlotSpec, value: object, analysis: Analysis, messages: tuple[InboundMessage, ...]) -> Value | None:
    """Return a value in the slot's type; None when the person's words give none."""
    if not isinstance(value, str):
        return value if isinstance(value, bool) and slot.kind is SlotKind.BOOLEAN else None
    if value in slot.choices:
        return value
    place = analysis.values.get(value) or analysis.quotes.get(value)
    if place is None or not _lies_in(place, messages):
        return None
    message = messages[place.text]
    said = message.text[place.start : place.end].strip()
    match slot.kind:
        case SlotKind.TEXT:
            return said[: reading.LONGEST_WORDS] or None
        case SlotKind.PLACE:
            return said if words.names_a_place(said) or value.startswith(SpanKind.ADDRESS) else None
        case SlotKind.CHOICE:
            return _time(slot, value, message, place, today=messages[-1].write_time.date())
    return _number(slot, value, message, place)


def _number(slot: SlotSpec, value: str, message: InboundMessage, place: Place) -> int | None:
    if not REF.fullmatch(value) or not value.startswith(slot.refs):
        return None
    said = message.text[place.start : place.end]
    number = _price(message, place) if slot.name.endswith("_usd") else _count(said)
    return number if number is not None and slot.low <= number <= slot.high else None


def _time(slot: SlotSpec, value: str, message: InboundMessage, place: Place, *, today: date) -> str | None:
    folded = text.fold(message.text)
    if SpanKind.TIME not in slot.refs or not value.startswith(SpanKind.TIME):
        return None
    if text.is_past(folded, place.start, place.end):
        return None
    found = text.timing(f"in {folded[place.start : place.end]}", today=today)
    return None if found is None else reading.bucket(found.months)


def _price(message: InboundMessage, place: Place) -> int | None:
    """Read the price that covers a span: of a range the end that the span is."""
    for found in text.prices(text.fold(message.text), bare_thousands=True):
        if found.start <= place.start and place.end <= found.end:
            if found.low is None or found.high is None:
                return found.high if found.low is None else found.low
            return found.low if place.start - found.start < found.end - place.end else found.high
    return None


def _count(said: str) -> int | None:
    found = text.bedrooms(text.fold(said), bare=True)
    return None if found is None else found.value
