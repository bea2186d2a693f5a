"""What the buyer bot wants to know, and how its rules read it. Pure."""

import re
from typing import Final

from kit import text
from kit.bot import reading
from kit.bot.spec import Heard, Reading, SlotKind, SlotSpec
from kit.bot.wishes import wishes
from kit.lane import Fact

LEAST_PRICE_USD: Final = 10_000
MOST_PRICE_USD: Final = 100_000_000

SLOTS: Final = (
    SlotSpec(
        name="intent",
        kind=SlotKind.CHOICE,
        meaning="Whether the person wants to buy a home, sell a home, or both. Null unless they say so.",
        choices={"buy": "buying", "sell": "selling", "both": "selling and buying"},
        said="",
        firm=True,
    ),
    SlotSpec(
        name="area",
        kind=SlotKind.PLACE,
        meaning="The neighborhood, city or ZIP code where the person wants to buy a home.",
        question="Which neighborhood or ZIP code are you looking in?",
        again="Where should the home be? A ZIP code is enough.",
        said="in {value}",
    ),
    SlotSpec(
        name="address_area",
        kind=SlotKind.PLACE,
        meaning="Where a home is that the person has to sell, should they say so here.",
        said="",
        modelled=False,
    ),
    SlotSpec(
        name="price_max_usd",
        kind=SlotKind.INTEGER,
        meaning="The most the person wants to pay for a home, in whole US dollars. No rent, no down payment.",
        question="What is the most you would like to spend?",
        again="Is there a price you want to stay under? A rough figure is fine.",
        low=LEAST_PRICE_USD,
        high=MOST_PRICE_USD,
        said="up to ${value:,}",
    ),
    SlotSpec(
        name="price_min_usd",
        kind=SlotKind.INTEGER,
        meaning="The least the person wants to pay for a home, in whole US dollars. Null unless they give a range.",
        low=LEAST_PRICE_USD,
        high=MOST_PRICE_USD,
        said="from ${value:,}",
    ),
    SlotSpec(
        name="bedrooms_min",
        kind=SlotKind.INTEGER,
        meaning="The fewest bedrooms the person wants; of a range the lower end.",
        question="How many bedrooms do you need at least?",
        again="How many bedrooms should it have: 1, 2, 3 or more?",
        low=1,
        high=12,
        said="{value}+ bedrooms",
    ),
    SlotSpec(
        name="timeline",
        kind=SlotKind.CHOICE,
        meaning="How soon the person wants to buy. Null when they do not know or do not say.",
        question="How soon would you like to buy?",
        again="Roughly when: within 3 months, within a year, or later?",
        choices=reading.TIMELINES,
    ),
    SlotSpec(
        name="financing",
        kind=SlotKind.CHOICE,
        meaning="How the person pays: cash, pre_approved for a loan already, or not_yet approved.",
        question="How would you pay: cash, already pre-approved for a loan, or not yet?",
        again="Are you pre-approved for a loan already?",
        choices={"cash": "paying cash", "pre_approved": "pre-approved", "not_yet": "not pre-approved yet"},
    ),
)

_APPROVED: Final = re.compile(r"\bpre[- ]?(?:approv(?:ed|al)|qualified)\b|\bapproved\b|\bapproval letter\b")
_NOT_YET: Final = re.compile(
    r"\b(?:need|have|want|try|trying|going|waiting|hoping|about|yet|how do i|still)(?: \w+){0,3} to (?:get|be|become) (?:a )?(?:pre[- ]?)?(?:approv|qualif)"
    r"|\b(?:get|getting|working on|start(?:ing)?|apply(?:ing)? for|in the process of)(?: \w+){0,3} (?:pre[- ]?approv|pre[- ]?qualif)|\bdenied\b|\bturned down\b|\bno (?:loan|lender|mortgage|financing) yet\b"
    r"|\bneed (?:a |to find a )?(?:lender|loan|mortgage|financing)\b|\bno lender\b"
)
_CASH: Final = re.compile(
    r"\b(?:all[- ]|pay(?:ing)? (?:in |with |all )?|in |with |have |got )cash\b|\bcash (?:buyer|offer|deal|purchase)\b"
)
_BARE_CASH: Final = re.compile(r"\bcash\b")
_BARE_NO: Final = re.compile(r"^\W*(?:no|nope|not yet|nah|not really)\b")
_BARE_YES: Final = re.compile(r"^\W*(?:yes|yep|yeah|yup|i am|we are)\W*$")


def read(heard: Heard) -> Reading:
    """Read the messages of a turn."""
    intent = _intent(reading.wanted(heard), heard)
    times = reading.read_timeline(heard)
    places = reading.read_places(heard, slot_of={"buy": "area", "sell": "address_area"}, default="area")
    facts: dict[str, Fact] = {fact.name: fact for fact in (*places, *times.facts)}
    denied = set(times.denied)
    if intent:
        facts["intent"] = intent
    for message in heard.messages:
        folded = text.fold(message.text)
        for price in text.prices(folded, bare_thousands=heard.asked == "price_max_usd"):
            if _is_of_own_home(folded, price.start):
                continue
            span = (price.start, price.end)
            if price.low is not None:
                facts["price_min_usd"] = reading.make_fact("price_min_usd", price.low, message, span)
            if price.high is not None:
                facts["price_max_usd"] = reading.make_fact("price_max_usd", price.high, message, span)
        rooms = text.bedrooms(folded, bare=heard.asked == "bedrooms_min" and "price_max_usd" not in facts)
        if rooms is not None:
            facts["bedrooms_min"] = reading.make_fact("bedrooms_min", rooms.value, message, (rooms.start, rooms.end))
        if (paying := _financing(folded, asked=heard.asked == "financing")) is not None:
            value, span = paying
            facts["financing"] = reading.make_fact("financing", value, message, span)
    return Reading(facts=tuple(facts.values()), denied=frozenset(denied))


def _intent(wanted: reading.Wanted, heard: Heard) -> Fact | None:
    """Read a change of what is wanted: a home to sell comes to the buying, or takes its place."""
    if not wanted.sides:
        return None
    known = heard.known.get("intent")
    sides = set(wanted.sides)
    if sides == {"sell"} and not wanted.corrects:
        return wanted.fact("both")
    if sides == {"buy"} and known is not None and known.value == "both" and not wanted.corrects:
        return None
    return wanted.fact("both" if len(sides) > 1 else next(iter(sides)))


def _is_of_own_home(folded: str, at: int) -> bool:
    """Say whether a price is that of the home the person has: "I want to sell mine for 600k"."""
    start, end = text.clause(folded, at)
    said = {wish.side for wish in wishes(folded[start:end])}
    return "sell" in said and "buy" not in said


def _financing(folded: str, *, asked: bool) -> tuple[str, tuple[int, int]] | None:
    if found := _NOT_YET.search(folded):
        return "not_yet", found.span()
    if found := _APPROVED.search(folded):
        if text.negated(folded, found.start()):
            return "not_yet", (text.clause(folded, found.start())[0], found.end())
        return None if "?" in folded[found.end() : found.end() + 12] and not asked else ("pre_approved", found.span())
    found = (_BARE_CASH if asked else _CASH).search(folded)
    if found and not text.negated(folded, found.start()):
        return "cash", found.span()
    if asked and (found := _BARE_NO.match(folded)):
        return "not_yet", found.span()
    return None
