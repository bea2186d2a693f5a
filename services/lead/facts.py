"""What the lead bot wants to know, and how its rules read it. Pure."""

import re
from dataclasses import replace
from typing import Final

from kit import text
from kit.bot import reading
from kit.bot.spec import Heard, Reading, SlotKind, SlotSpec
from kit.lane import Fact
from kit.spans import SpanKind

SLOTS: Final = (
    SlotSpec(
        name="intent",
        kind=SlotKind.CHOICE,
        meaning="Whether the person wants to buy a home, sell a home, or both. Null unless they say so.",
        question="Are you looking to buy a home, sell one, or both?",
        again="So that I can help: is it about buying a home or about selling one?",
        choices={"buy": "buying", "sell": "selling", "both": "selling and buying"},
        said="",
        firm=True,
    ),
    SlotSpec(
        name="area",
        kind=SlotKind.PLACE,
        meaning="The neighborhood, city or ZIP code where the person wants to buy a home.",
        question="Which neighborhood or ZIP code do you have in mind?",
        again="Which part of town would it be? A ZIP code is enough.",
        said="looking in {value}",
    ),
    SlotSpec(
        name="address_area",
        kind=SlotKind.PLACE,
        meaning="The neighborhood, city or ZIP code of the home that the person wants to sell.",
        question="Which neighborhood or ZIP code is the home in?",
        again="Where is the home? A ZIP code is enough.",
        said="home in {value}",
    ),
    SlotSpec(
        name="timeline",
        kind=SlotKind.CHOICE,
        meaning="How soon the person wants to buy or sell. Null when they do not know or do not say.",
        question="How soon would you like to make a move?",
        again="Roughly when: within 3 months, within a year, or later?",
        choices=reading.TIMELINES,
        refs=(SpanKind.TIME,),
    ),
    SlotSpec(
        name="buying_plan",
        kind=SlotKind.BOOLEAN,
        meaning="Whether the person wants to buy a home beside selling one.",
        said="",
        modelled=False,
    ),
    SlotSpec(
        name="renting",
        kind=SlotKind.BOOLEAN,
        meaning="Whether the person looks for a home to rent, which no bot can find.",
        said="",
        modelled=False,
    ),
)

_TO_RENT: Final = re.compile(
    r"\b(?:look(?:ing)?|want|need|have|find|any|got|interested)\b[^.?!\n]{0,60}?"
    r"\b(?:apartments?|places?|homes?|houses?|condos?|rooms?|studios?|something|anything) (?:to|for) rent\b"
    r"|\b(?:want|looking|need) to rent (?:an?|some)\b"
)


def read(heard: Heard) -> Reading:
    """Read the messages of a turn."""
    wanted = reading.wanted(heard)
    intent = _intent(wanted, heard)
    effective = intent or heard.known.get("intent")
    side = effective.value if effective else ""
    times = reading.read_timeline(heard)
    places = reading.read_places(
        heard,
        slot_of={"buy": "area", "sell": "address_area"},
        default="address_area" if side in ("sell", "both") else "area",
    )
    facts = [*([intent] if intent else []), *places, *times.facts]
    if intent and intent.value == "both":
        facts.append(replace(intent, name="buying_plan", value=True))
    moved = _place_of_the_home(heard, facts, side)
    if not wanted.sides:
        facts += _renting(heard)
    denied = set(times.denied) | ({"intent"} if wanted.denied and not wanted.sides else set())
    return Reading(facts=(*facts, *moved), denied=frozenset(denied))


def _intent(wanted: reading.Wanted, heard: Heard) -> Fact | None:
    """Say what is wanted; beside what was wanted before when the person adds to it, else in its place."""
    if not wanted.sides:
        return None
    value = "both" if len(wanted.sides) > 1 else next(iter(wanted.sides))
    known = heard.known.get("intent")
    if known is not None and known.value != value and not wanted.corrects and (wanted.adds or known.value == "both"):
        value = "both"
    return wanted.fact(value)


def _place_of_the_home(heard: Heard, facts: list[Fact], side: object) -> list[Fact]:
    """A place that was named before we knew that it is about selling is where the home is."""
    place = heard.known.get("area")
    if side != "sell" or place is None or "address_area" in heard.known or any(f.name == "address_area" for f in facts):
        return []
    return [replace(place, name="address_area")]


def _renting(heard: Heard) -> list[Fact]:
    for message in heard.messages:
        found = _TO_RENT.search(folded := text.fold(message.text))
        if found and not text.negated(folded, found.start()):
            return [reading.make_fact("renting", True, message, found.span())]
    return []
