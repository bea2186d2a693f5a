"""What the seller bot wants to know, and how its rules read it. Pure."""

import re
from dataclasses import replace
from typing import Final

from kit import text
from kit.bot import reading, words
from kit.bot.spec import Heard, Reading, SlotKind, SlotSpec
from kit.bot.wishes import wishes
from kit.homes import AREA_SQFT
from kit.lane import Fact, InboundMessage
from kit.spans import SpanKind

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
        name="address_area",
        kind=SlotKind.PLACE,
        meaning="The neighborhood, city or ZIP code of the home that the person wants to sell.",
        question="To start, which neighborhood or ZIP code is the home in?",
        again="Where is the home? A ZIP code is enough.",
        said="home in {value}",
    ),
    SlotSpec(
        name="area",
        kind=SlotKind.PLACE,
        meaning="Where the person wants to buy, should they say so here.",
        said="",
        modelled=False,
    ),
    # Numbers of rooms and square feet stand in digits beside their unit: rules read them, no model is asked.
    SlotSpec(
        name="area_sqft",
        kind=SlotKind.INTEGER,
        meaning="The finished living area of the home that the person wants to sell, square feet.",
        question="About how many square feet is the home?",
        again="Roughly how large is it inside, in square feet? A guess is fine.",
        low=AREA_SQFT[0],
        high=AREA_SQFT[1],
        said="{value:,} sq ft",
        modelled=False,
    ),
    SlotSpec(
        name="bedrooms",
        kind=SlotKind.INTEGER,
        meaning="Bedrooms of the home that the person wants to sell.",
        question="How many bedrooms and bathrooms does it have?",
        again="How many bedrooms does it have?",
        low=1,
        high=20,
        said="{value} bd",
        modelled=False,
    ),
    SlotSpec(
        name="bathrooms_quarters",
        kind=SlotKind.INTEGER,
        meaning="Bathrooms of the home that the person wants to sell, in quarters: 10 for 2.5.",
        question="And how many bathrooms does it have?",
        again="How many bathrooms are there? A half bath counts .5.",
        low=1,
        high=80,
        said="",
        modelled=False,
    ),
    SlotSpec(
        name="on_waterfront",
        kind=SlotKind.BOOLEAN,
        meaning="Whether the home that the person wants to sell is on the water.",
        said="",
        modelled=False,
    ),
    SlotSpec(
        name="timeline",
        kind=SlotKind.CHOICE,
        meaning="How soon the person wants to have sold. Null when they do not know or do not say.",
        question="How soon would you like to sell?",
        again="Roughly when: within 3 months, within a year, or later?",
        choices=reading.TIMELINES,
        refs=(SpanKind.TIME,),
    ),
    SlotSpec(
        name="condition",
        kind=SlotKind.CHOICE,
        meaning="The state of the home: excellent, good, average, fair, needs_work, or poor when it is worn out.",
        question="What condition is the home in: excellent, good, average, fair, or does it need work?",
        again="Would a buyer have to repair much, or is it ready to move in?",
        choices={
            "excellent": "in excellent condition",
            "good": "in good condition",
            "average": "in average condition",
            "fair": "in fair condition",
            "needs_work": "needs some work",
            "poor": "in poor condition",
        },
    ),
    SlotSpec(
        name="motivation",
        kind=SlotKind.TEXT,
        meaning="Why the person sells, in their own words.",
        question="May I ask what makes you think of selling?",
        again="Is there a reason for the move that we should plan around?",
        said="",
        private_to="seller",
    ),
    SlotSpec(
        name="price_expectation_usd",
        kind=SlotKind.INTEGER,
        meaning="The price the person hopes for, in whole US dollars; of a range the lower end.",
        question="Do you have a price in mind? It stays with us.",
        again="Is there a figure you hope for? It is fine if not.",
        low=10_000,
        high=100_000_000,
        said="",
        private_to="seller",
        refs=(
            SpanKind.MONEY,
            SpanKind.COUNT,
        ),
    ),
    SlotSpec(
        name="buying_plan",
        kind=SlotKind.BOOLEAN,
        meaning="Whether the person wants to buy a home beside selling one.",
        said="",
        modelled=False,
    ),
)

_CONDITIONS: Final = (
    ("poor", re.compile(r"\b(?:poor|terrible|awful|horrible) (?:shape|condition|state)\b|\bmal estado\b|\bfalling apart\b|\bgut job\b|\btear[- ]?down\b|\buninhabitable\b")),
    ("needs_work", re.compile(
        r"\bneeds? (?:\w+ ){0,3}(?:work|repairs?|updat\w+|fixing|tlc|renovati\w+|roof|love|paint)\b|\bfixer(?:[- ]upper)?\b|\b(?:rough|bad) (?:shape|condition|state)\b"
        r"|\brun[- ]down\b|\ba lot of work\b|\bnecesita (?:\w+ )?(?:reparaciones|arreglos|trabajo)\b")),
    ("excellent", re.compile(
        r"\b(?:excellent|perfect|pristine|immaculate|mint|amazing|great|fantastic|top|tip[- ]top) (?:shape|condition|state)\b|\blike new\b|\bmove[- ]in ready\b|\bturn ?key\b|\bexcelentes? (?:estado|condiciones)\b"
        r"|\b(?:newly|recently|fully|completely|totally|just) (?:remodel|renovat|updat|redone)\w*|\bbrand new\b")),
    ("good", re.compile(r"\b(?:good|solid|nice|pretty good) (?:shape|condition|state)\b|\bwell[- ](?:kept|maintained|cared)\b|\bbuen(?:as)? (?:estado|condiciones)\b")),
    ("average", re.compile(r"\b(?:average|okay|ok|so-so|normal|decent) (?:shape|condition|state)\b|\blived[- ]in\b")),
    ("fair", re.compile(r"\bfair (?:shape|condition|state)\b|\bdated\b|\boutdated\b")),
)  # fmt: skip
_OF_SOMETHING_ELSE: Final = (
    r"(?! (?:views?|locations?|areas?|neighbou?rhoods?|neighbou?rs?|yards?|schools?|street|question|price))"
)
_BARE_CONDITIONS: Final = (
    ("poor", re.compile(r"^\W*(?:very |pretty |really )?(?:poor|terrible|awful|horrible)\b")),
    (
        "needs_work",
        re.compile(r"\bneeds? (?:a lot|some|lots)\b|^\W*(?:rough|bad|not (?:so |too |very )?(?:good|great))\b"),
    ),
    ("excellent", re.compile(rf"\b(?:excellent|perfect|great|amazing|fantastic|immaculate)\b{_OF_SOMETHING_ELSE}")),
    ("good", re.compile(rf"\b(?:good|fine|nice|solid)\b{_OF_SOMETHING_ELSE}")),
    # "Ok" alone only says that the question was heard.
    ("average", re.compile(r"^(?!\W*(?:ok|okay)\W*$).*\b(?:ok|okay|average|decent|so-so|normal)\b")),
    ("fair", re.compile(r"\bfair\b")),
)
_NO_WORK: Final = re.compile(
    r"\bno (?:\w+ )?(?:work|repairs?|updates?) (?:needed|required|necessary)\b|\b(?:doesn'?t|does not|don'?t|won'?t) need (?:any |much )?(?:\w+ )?(?:work|repairs?|updat\w+|anything)\b"
)
_WHY: Final = re.compile(
    r"\b(?:because of|because|due to)\b (?P<why>[^.,!?\n]{3,200})|\b(?P<plain>(?:relocat|downsiz|upsiz|divorc|retir|separat)(?:e|es|ed|ing)?\b[^.,!?\n]{0,80}|inherited [^.,!?\n]{1,60}|job (?:change|transfer)[^.,!?\n]{0,60}|new job[^.,!?\n]{0,60}"
    r"|(?:behind on|can'?t afford) [^.,!?\n]{1,60}|foreclosure|passed away|too (?:big|small)\b[^.,!?\n]{0,40}|growing family|empty nest\w*|moving (?:to|for|out of|closer to) [^.,!?\n]{1,60})"
)
_HOPE: Final = re.compile(
    r"\b(?:want|get|hoping|hope|asking|list (?:it )?(?:at|for)|sell (?:it )?for|worth|at least|least|price|minimum|lowest|expect|thinking|looking for|around|value[ds]?)\b"
)
_LONGEST_WHY: Final = 200

_SQFT: Final = re.compile(
    r"(?<![\w$.,])(?P<n>\d{1,2},\d{3}|\d{3,5})(?:\.\d+)?\s?\+?(?:\s?-\s?[\d,]{3,6}\s?|\s?)-?(?:sq\.? ?f(?:ee|oo)?t\.?|sqft|square[- ]?(?:feet|foot|ft)|sq\.?|sf|pies(?: cuadrados)?)(?![\w])"
)
_BARE_SQFT: Final = re.compile(r"(?<![\w$.,-])(?P<n>\d{1,2},\d{3}|\d{3,4})(?![\w%]|[.,]\d)")
_YEAR_BEFORE: Final = re.compile(r"\b(?:built|in|since|from|year|renovated|remodeled|bought)(?: \w+)? $")
_OTHER_AREA: Final = r"(?:lot|land|yard|garden|garage|basement|acre)"
_OF_LOT_AFTER: Final = re.compile(rf"\s?(?:of )?(?:the )?{_OTHER_AREA}\b")
_OF_LOT_BEFORE: Final = re.compile(rf"\b{_OTHER_AREA}\b[^,.;\d]{{0,20}}$")
_BATHROOMS: Final = re.compile(
    rf"(?<![\w$.,])(?P<n>\d{{1,2}}(?:\.(?:25|5|50|75|0))?|{'|'.join(text.NUMBER_WORDS)})(?P<half> and a half| 1/2)?[\s-]?(?:full )?(?:bath(?:room)?s?|ba|ba[ñn]os?)\b"
)
_BARE_BATHROOMS: Final = re.compile(
    rf"(?<![\w$.,/])(?P<n>\d{{1,2}}(?:\.(?:25|5|50|75|0))?|{'|'.join(text.NUMBER_WORDS)})(?P<half> and a half| 1/2)?(?![\w%/]|[.,]\d)"
)
_BOTH_ROOMS: Final = re.compile(
    r"^\W*\d{1,2}\s?(?:and|/|,|&|x)\s?(?P<n>\d{1,2}(?:\.(?:25|5|50|75|0))?)(?P<half> and a half)?\W*$"
)
_WATERFRONT: Final = re.compile(
    r"\b(?:(?:right |directly )?on (?:the (?:water|lake|sound|bay)|a lake)|water ?front|lake ?front)\b"
)


def read(heard: Heard) -> Reading:
    """Read the messages of a turn. Nothing is guessed: what was not said stays unknown."""
    wanted = reading.wanted(heard)
    times = reading.read_timeline(heard)
    places = reading.read_places(heard, slot_of={"buy": "area", "sell": "address_area"}, default="address_area")
    # "I want to look at homes to buy now" takes the place of no time that was said of the sale.
    when = () if set(wanted.sides) == {"buy"} and "timeline" in heard.known else times.facts
    facts: dict[str, Fact] = {fact.name: fact for fact in (*when, *places)}
    for fact in _wishes(wanted, heard):
        facts[fact.name] = fact
    turned = "intent" in facts and facts["intent"].value == "buy"
    for message in heard.messages:
        folded = text.fold(message.text)
        facts |= {fact.name: fact for fact in _of_the_home(folded, message, heard.asked)}
        for slot, found in (
            ("condition", _condition(folded, asked=heard.asked == "condition")),
            ("motivation", _motivation(message.text, folded, asked=heard.asked == "motivation")),
            ("price_expectation_usd", None if turned else _price(folded, asked=heard.asked == "price_expectation_usd")),
        ):
            if found is not None:
                facts[slot] = reading.make_fact(slot, found[0], message, found[1])
    return Reading(facts=tuple(facts.values()), denied=times.denied)


def _wishes(wanted: reading.Wanted, heard: Heard) -> list[Fact]:
    """Read a wish to buy: in place of the sale, beside it as a plan, or now.

    "Sorry, I meant I want to buy" is the first, "I'm also looking for something
    bigger" the second. A plain "I want to look at homes to buy now" is both intents:
    the sale goes on, and the buyer bot can begin.
    """
    if "buy" not in wanted.sides:
        known = heard.known.get("intent")
        came_back = "sell" in wanted.sides and known is not None and known.value == "buy"
        return [wanted.fact("sell")] if came_back or ("sell" in wanted.sides and known is None) else []
    buying = wanted.fact("buy")
    if wanted.corrects:
        return [buying]
    plan = replace(buying, name="buying_plan", value=True)
    if "sell" in wanted.sides or wanted.adds:
        return [plan, wanted.fact("both")] if "sell" in wanted.sides else [plan]
    return [plan, replace(buying, value="both")]


def _of_the_home(folded: str, message: InboundMessage, asked: str) -> list[Fact]:
    """Read what is counted or measured of the home; of a home that the person wants to buy nothing is read."""
    found: list[tuple[str, int | bool, tuple[int, int]]] = []
    for match in (*_SQFT.finditer(folded), *(_BARE_SQFT.finditer(folded) if asked == "area_sqft" else ())):
        bare = match.re is _BARE_SQFT
        size = int(match["n"].replace(",", ""))
        other = _OF_LOT_AFTER.match(folded, match.end()) or _OF_LOT_BEFORE.search(folded[: match.start()])
        if other or not AREA_SQFT[0] <= size <= AREA_SQFT[1] or (bare and _YEAR_BEFORE.search(folded[: match.start()])):
            continue
        found.append(("area_sqft", size, match.span()))
        break
    rooms = text.bedrooms(folded, bare=asked == "bedrooms")
    if rooms is not None and 1 <= rooms.value <= 20:
        found.append(("bedrooms", rooms.value, (rooms.start, rooms.end)))
    baths = (
        _BATHROOMS.search(folded)
        or (_BOTH_ROOMS.match(folded) if asked == "bedrooms" else None)
        or (_BARE_BATHROOMS.search(folded) if asked == "bathrooms_quarters" else None)
    )
    if baths is not None and 0 < (quarters := _quarters(baths)) <= 80:
        found.append(("bathrooms_quarters", quarters, baths.span()))
    if water := _WATERFRONT.search(folded):
        found.append(("on_waterfront", not text.negated(folded, water.start()), water.span()))
    return [
        reading.make_fact(name, value, message, span)
        for name, value, span in found
        if _is_of_own_home(folded, span[0]) and (name == "on_waterfront" or not text.negated(folded, span[0]))
    ]


def _quarters(baths: re.Match[str]) -> int:
    many = text.NUMBER_WORDS.get(baths["n"])
    return round(((float(baths["n"]) if many is None else many) + (0.5 if baths["half"] else 0.0)) * 4)


def _is_of_own_home(folded: str, at: int) -> bool:
    """Say whether what stands at `at` is of the home to sell: the wish before it in its sentence is none to buy."""
    start, end = text.sentence(folded, at)
    said = [wish for wish in wishes(folded[start:end]) if start + wish.start <= at]
    return not said or said[-1].side == "sell"


def _condition(folded: str, *, asked: bool) -> tuple[str, tuple[int, int]] | None:
    fallback: tuple[str, tuple[int, int]] | None = None
    if none_needed := _NO_WORK.search(folded):
        fallback = "good", none_needed.span()
    for patterns in (_CONDITIONS, _BARE_CONDITIONS) if asked else (_CONDITIONS,):
        for value, pattern in patterns:
            found = pattern.search(folded)
            if found is None or (none_needed and value == "needs_work"):
                continue
            if text.negated(folded, found.start()):
                # "Not in great shape" says something too, and not that it is great.
                if value in ("excellent", "good") and "shape" in found.group() + folded[found.end() :]:
                    fallback = fallback or ("fair", (text.clause(folded, found.start())[0], found.end()))
                continue
            return value, found.span()
    return fallback


def _motivation(said: str, folded: str, *, asked: bool) -> tuple[str, tuple[int, int]] | None:
    found = _WHY.search(folded)
    if found and not text.negated(folded, found.start()):
        span = found.span("why" if found["why"] else "plain")
        return said[slice(*span)].strip(), span
    whole = said.strip()
    answers = asked and 3 <= len(whole) <= _LONGEST_WHY and "?" not in whole
    if not answers or words.is_unsure(said) or words.is_courtesy(said) or words.asks_for_human(said) or wishes(said):
        return None
    start = said.index(whole)
    return whole, (start, start + len(whole))


def _price(folded: str, *, asked: bool) -> tuple[int, tuple[int, int]] | None:
    for price in text.prices(folded, bare_thousands=asked):
        start, end = text.sentence(folded, price.start)
        sides = {wish.side for wish in wishes(folded[start:end])}
        amount = price.low if price.low is not None else price.high
        if amount is not None and (asked or _HOPE.search(folded[start:end])) and "buy" not in sides:
            return amount, (price.start, price.end)
    return None
