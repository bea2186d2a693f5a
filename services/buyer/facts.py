"""What the buyer bot wants to know, and how its rules read it. Pure."""

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from kit import text
from kit.bot import reading
from kit.bot.spec import Heard, Reading, SlotKind, SlotSpec, Value
from kit.bot.wishes import wishes
from kit.lane import Fact, InboundMessage
from kit.spans import SpanKind
from services.buyer import about

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
        refs=(
            SpanKind.MONEY,
            SpanKind.COUNT,
        ),
    ),
    SlotSpec(
        name="price_min_usd",
        kind=SlotKind.INTEGER,
        meaning="The least the person wants to pay for a home, in whole US dollars. Null unless they give a range.",
        low=LEAST_PRICE_USD,
        high=MOST_PRICE_USD,
        said="from ${value:,}",
        refs=(
            SpanKind.MONEY,
            SpanKind.COUNT,
        ),
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
        refs=(SpanKind.COUNT,),
    ),
    SlotSpec(
        name="timeline",
        kind=SlotKind.CHOICE,
        meaning="How soon the person wants to buy. Null when they do not know or do not say.",
        question="How soon would you like to buy?",
        again="Roughly when: within 3 months, within a year, or later?",
        choices=reading.TIMELINES,
        refs=(SpanKind.TIME,),
    ),
    SlotSpec(
        name="financing",
        kind=SlotKind.CHOICE,
        meaning="How the person pays: cash, pre_approved for a loan already, or not_yet approved.",
        question="How would you pay: cash, already pre-approved for a loan, or not yet?",
        again="Are you pre-approved for a loan already?",
        choices={"cash": "paying cash", "pre_approved": "pre-approved", "not_yet": "not pre-approved yet"},
    ),
    # What follows is listened for and never asked.
    SlotSpec(
        name="home_type",
        kind=SlotKind.CHOICE,
        meaning="What kind of home the person wants, when only that kind will do.",
        choices={"house": "a house", "condo": "a condo", "townhouse": "a townhouse"},
        modelled=False,
    ),
    SlotSpec(
        name="bathrooms_min_quarters",
        kind=SlotKind.INTEGER,
        meaning="The fewest bathrooms the person wants, in quarters: 10 for 2.5.",
        low=1,
        high=80,
        said="",
        modelled=False,
    ),
    SlotSpec(
        name="area_min_sqft",
        kind=SlotKind.INTEGER,
        meaning="The least finished area the person wants.",
        low=100,
        high=50_000,
        said="{value:,}+ sqft",
        modelled=False,
    ),
    SlotSpec(
        name="year_built_min",
        kind=SlotKind.INTEGER,
        meaning="The first year the home may be built in.",
        low=1800,
        high=2100,
        said="built {value} or later",
        modelled=False,
    ),
    SlotSpec(
        name="wants_view",
        kind=SlotKind.BOOLEAN,
        meaning="Whether the person wishes a view.",
        said="",
        modelled=False,
    ),
    SlotSpec(
        name="wants_waterfront",
        kind=SlotKind.BOOLEAN,
        meaning="Whether the person wishes a home on the water.",
        said="",
        modelled=False,
    ),
    SlotSpec(
        name="wants_showing",
        kind=SlotKind.BOOLEAN,
        meaning="Whether the person asked to see a home with their own eyes.",
        said="",
        modelled=False,
    ),
    SlotSpec(
        name="has_agent",
        kind=SlotKind.BOOLEAN,
        meaning="Whether another agent works for the person already.",
        said="",
        modelled=False,
    ),
    SlotSpec(
        name="buyer_agreement_signed",
        kind=SlotKind.BOOLEAN,
        meaning="Whether a written buyer agreement with this brokerage is signed.",
        said="",
        modelled=False,
    ),
)

_APPROVED: Final = re.compile(
    r"\bpre[- ]?(?:approv(?:ed|al)|qualified)\b|\bapproved\b|\bapproval letter\b|\bpre-?aprob\w+|\bpre ?aproved\b"
)
_NOT_YET: Final = re.compile(
    r"\b(?:need|have|want|try|trying|going|waiting|hoping|about|yet|how do i|still)(?: \w+){0,3} to (?:get|be|become) (?:a )?(?:pre[- ]?)?(?:approv|qualif)"
    r"|\b(?:get|getting|working on|start(?:ing)?|apply(?:ing)? for|in the process of)(?: \w+){0,3} (?:pre[- ]?approv|pre[- ]?qualif)|\bdenied\b|\bturned down\b|\bno (?:loan|lender|mortgage|financing) yet\b"
    r"|\bneed (?:a |to find a )?(?:lender|loan|mortgage|financing)\b|\bno lender\b"
)
_CASH: Final = re.compile(
    r"\b(?:all[- ]|pay(?:ing)? (?:in |with |all )?|in |with |have |got )cash\b|\b(?:en efectivo|al contado)\b|\bcash (?:buyer|offer|deal|purchase)\b"
)
_BARE_CASH: Final = re.compile(r"\bcash\b")
_ONLY_CASH: Final = re.compile(r"^\W*(?:all |in |with |paying )?cash(?: only| buyer)?\W*$")
_BARE_NO: Final = re.compile(r"^\W*(?:no|nope|not yet|nah|not really)\b")
_BARE_YES: Final = re.compile(r"^\W*(?:yes|yep|yeah|yup|i am|we are)\W*$")


_COUNT: Final = "|".join(text.NUMBER_WORDS)
_BATHROOMS: Final = re.compile(
    rf"(?<![\w$.,])(?P<n>\d{{1,2}}(?:\.(?:25|5|50|75|0))?|{_COUNT})(?:\s?\+| or more)?[\s-]?(?:full )?(?:bath(?:room)?s?|ba|ba[ñn]os?)\b"
)
_SQFT: Final = re.compile(
    r"(?<![\w$.,])(?P<n>\d{1,2},\d{3}|\d{3,5})\s?\+?(?: or more)?\s?(?:sq\.? ?f(?:ee)?t\.?|sqft|square (?:feet|foot)|sf|pies(?: cuadrados)?)\b"
)
_LOT: Final = re.compile(r"\b(?:lot|yard|land|garden)\b")
_UNDER: Final = re.compile(
    r"\b(?:under|below|up to|at most|less than|no more than|max(?:imum)?)\s*(?:about |around )?$"
)
_BUILT: Final = re.compile(
    r"\b(?:built|newer than|from)(?: (?:in|after|since|from))? (?P<n>(?:18|19|20)\d\d)(?: or (?:later|newer)|\+)|"
    r"\b(?:newer than|built (?:after|since)) (?P<m>(?:18|19|20)\d\d)\b"
)
_TYPES: Final = (
    ("condo", re.compile(r"\bcondos?\b|\bcondominiums?\b")),
    ("townhouse", re.compile(r"\btown ?(?:house|home)s?\b")),
    ("house", re.compile(r"\bsingle[- ]family\b|\bdetached (?:house|home)s?\b")),
)
_FLAGS: Final = (
    (
        "wants_view",
        re.compile(
            r"\b(?:with|want|need|like|love|has|having|and|a|no|nice|great|good) (?:\w+ )?views?\b(?! (?:a|the|it|some|homes|houses|this|that))"
        ),
    ),
    ("wants_waterfront", re.compile(r"\bwater ?front\b|\bon the (?:water|lake)\b|\blake ?front\b")),
    (
        "has_agent",
        re.compile(
            r"\b(?:have|got|has|hired|working with|signed with|represented by) (?:already )?(?:an?|my|our|another) (?:own )?(?:buyer'?s? )?(?:agent|realtor|broker)\b"
            r"(?! (?:call|text|e-?mail|contact|reach|show|help|who|that|to|get|there|available|reach))"
        ),
    ),
    (
        "buyer_agreement_signed",
        re.compile(r"\bsigned (?:your|the|a|that|our) (?:buyer'?s?(?: agency| representation)? |written )?agreement\b"),
    ),
)
# "Do I need to have an agent?" and "I'd like to have an agent" say that there is none yet.
_OF_THE_PERSON: Final = frozenset({"has_agent", "buyer_agreement_signed"})
_NOT_YET_SO: Final = re.compile(
    r"\b(?:to|should|can|could|you|will|must|once|if|when|after|until|before)\b(?: \w+){0,3} $"
)
# "Does it have 3 bedrooms?" asks about a home and wishes for nothing.
_ONE: Final = (
    r"(?:it(?! (?:possible|realistic|ok|okay|true|hard|easy|too|be|a good|worth|smart)\b)|its|they|them|these|those|any of (?:them|these|those)"
    r"|(?:the|that|this) (?:\w+ )?(?:one|home|house|place|listing|property)|the (?:first|second|third|last)|(?:number|option) \d|#\s?\d|kc-\d{5}-\d+)\b"
)
_ABOUT_A_HOME: Final = re.compile(
    r"^\W*(?:(?:ok|okay|and|so|but|hi|hey|also|great|thanks)\W+)*"
    rf"(?:(?:does|do|is|are|has|have|was|were|did) {_ONE}|(?:how|what|what's|which|when|where|where's|who|can|could)\b(?: [\w'-]+){{0,6}}? {_ONE})"
)
_NO: Final = re.compile(r"no\b")
_DENIED_BY_QUESTION: Final = frozenset({"area", "price_max_usd", "price_min_usd", "bedrooms_min"})


def without_questions(heard: Heard) -> tuple[Heard, bool]:
    """Blank out what is asked about a home, character by character, and say whether there was any."""
    blanked, found = [], False
    for message in heard.messages:
        said = message.text
        folded = text.fold(said)
        for part in re.finditer(r"[^.!?\n]+(?:\.(?=\d)[^.!?\n]+)*[?]?", folded):
            if _ABOUT_A_HOME.match(part.group()):
                said, found = said[: part.start()] + " " * len(part.group()) + said[part.end() :], True
        blanked.append(replace(message, text=said))
    return replace(heard, messages=tuple(blanked)), found


def read(heard: Heard) -> Reading:
    """Read the messages of a turn."""
    showing = [
        reading.make_fact("wants_showing", True, each, (0, len(each.text)))
        for each in heard.messages
        if about.asks_to_see(each.text)
    ]
    heard, asks_about_a_home = without_questions(heard)
    intent = _intent(reading.wanted(heard), heard)
    times = reading.read_timeline(heard)
    places = reading.read_places(heard, slot_of={"buy": "area", "sell": "address_area"}, default="area")
    # "Show me homes" is a short answer to "which neighborhood?", and names none.
    named = (fact for fact in places if not about.asks_for_homes(fact.words))
    facts: dict[str, Fact] = {fact.name: fact for fact in (*named, *times.facts, *showing)}
    bargains = any(about.speaks_of_an_offer(each.text) for each in heard.messages)
    denied = set(times.denied) | (_DENIED_BY_QUESTION if asks_about_a_home or bargains else frozenset())
    if intent:
        facts["intent"] = intent
    for message in heard.messages:
        folded = text.fold(message.text)
        for price in text.prices(folded, bare_thousands=heard.asked == "price_max_usd"):
            if _is_of_own_home(folded, price.start) or about.speaks_of_an_offer(message.text):
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
        facts |= {fact.name: fact for fact in _of_the_home(folded, message)}
    return Reading(facts=tuple(facts.values()), denied=frozenset(denied))


def _of_the_home(folded: str, message: InboundMessage) -> Iterator[Fact]:
    """Read what the home should be like; of what the person has already nothing is read."""

    def fact(name: str, value: Value, found: re.Match[str]) -> Fact:
        return reading.make_fact(name, value, message, found.span())

    for name, pattern in _TYPES:
        found = pattern.search(folded)
        if found and not text.negated(folded, found.start()) and not _is_of_own_home(folded, found.start()):
            yield fact("home_type", name, found)
            break
    if (found := _BATHROOMS.search(folded)) and not text.negated(folded, found.start()):
        many = text.NUMBER_WORDS.get(found["n"]) or float(found["n"])
        if 0 < many <= 20:
            yield fact("bathrooms_min_quarters", round(many * 4), found)
    if (found := _SQFT.search(folded)) and not _UNDER.search(folded[: found.start()]):
        start, end = text.clause(folded, found.start())
        if not _LOT.search(folded[start:end]) and not text.negated(folded, found.start()):
            yield fact("area_min_sqft", int(found["n"].replace(",", "")), found)
    if found := _BUILT.search(folded):
        # "Newer than 2000" begins with 2000, near enough: nobody means to leave a year out.
        yield fact("year_built_min", int(found["n"] or found["m"]), found)
    for name, pattern in _FLAGS:
        if (found := pattern.search(folded)) and not _is_of_own_home(folded, found.start()):
            start, end = text.sentence(folded, found.start())
            if name in _OF_THE_PERSON and (
                folded[end : end + 1] == "?" or _NOT_YET_SO.search(folded[start : found.start()])
            ):
                continue
            yield fact(name, not _denied(folded, found), found)


def _denied(folded: str, found: re.Match[str]) -> bool:
    """Say whether a yes is a no: "I don't have an agent", "no view needed"."""
    return text.negated(folded, found.start()) or bool(_NO.match(found.group()))


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
    found = (_BARE_CASH if asked else _CASH).search(folded) or _ONLY_CASH.match(folded)
    if found and not text.negated(folded, found.start()):
        return "cash", found.span()
    if asked and (found := _BARE_NO.match(folded)):
        return "not_yet", found.span()
    return None
