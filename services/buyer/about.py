"""What people ask about a home that was shown, answered from its record alone. Pure."""

import re
from collections.abc import Callable, Sequence
from typing import Final

from kit.text import fold, negated
from services.buyer.matching import say_usd
from services.buyer.values import Listing

UNKNOWN: Final = "the record does not say"
_TOPICS_MOST: Final = 3

_THING: Final = r"(?:one|home|house|place|listing|property|option)"
_ORDINALS: Final = {
    "first": 1, "1st": 1, "second": 2, "2nd": 2, "third": 3, "3rd": 3, "last": -1,
    "primera": 1, "segunda": 2, "tercera": 3, "ultima": -1, "última": -1,
}  # fmt: skip
_ORDINAL: Final = "|".join(_ORDINALS)
_NUMBERED: Final = re.compile(
    rf"\b(?:number|option|listing)\s?#?(?P<n>[1-3])\b"
    rf"|#\s?(?P<h>[1-3])\b|\b(?P<o>{_ORDINAL}) {_THING}\b|\b(?:the|la) (?P<p>{_ORDINAL})\b(?=\W*(?:$|[?.!,]|please))"
    rf"|^\W*(?:(?:i like|let'?s do|tell me (?:more )?about|what about|how about) )?(?:the )?(?:(?P<b>[1-3])|(?P<q>{_ORDINAL}))(?: please)?\W*$"
)
_SUPERLATIVES: Final[tuple[tuple[re.Pattern[str], Callable[[Listing], float]], ...]] = (
    (re.compile(r"\b(?:cheapest|least expensive|lowest price)"), lambda each: each.price_usd_cents),
    (re.compile(r"\b(?:biggest|largest) (?:one|home|house)\b"), lambda each: -(each.area_sqft or 0)),
)
_POINTS: Final = re.compile(
    rf"\b(?:it|its|it's|they|them|these|those|(?:the|that|this) (?:\w+ )?{_THING}s?|this|that|any of|which (?:one|of)|all of)\b"
)
_DETAILS: Final = re.compile(
    r"\b(?:tell me (?:more )?about|more (?:info|information|details)|details|describe|i like|interested in|what about|how about)\b"
)


def references(said: str, shown: Sequence[Listing]) -> tuple[int, ...]:
    """Return which of the shown homes a text names, as places counted from 0; empty when it names none."""
    folded = fold(said)
    by_id = [place for place, each in enumerate(shown) if each.listing_id.lower() in folded]
    if by_id:
        return tuple(by_id)
    places = []
    for found in _NUMBERED.finditer(folded):
        digit = found["n"] or found["h"] or found["b"]
        number = int(digit) if digit else _ORDINALS[found["o"] or found["p"] or found["q"]]
        place = len(shown) - 1 if number < 0 else number - 1
        if place < len(shown):
            places.append(place)
    if not places:
        for pattern, measure in _SUPERLATIVES:
            if pattern.search(folded) and shown:
                places.append(min(range(len(shown)), key=lambda place: measure(shown[place])))
    if not places and (zips := re.findall(r"\b\d{5}\b", folded)):
        places = [place for place, each in enumerate(shown) if each.zip in zips]
    return tuple(dict.fromkeys(places))


def points(said: str) -> bool:
    """Say whether a text speaks of a home without naming which: "does it have a view?"."""
    return _POINTS.search(fold(said)) is not None


def asks_details(said: str) -> bool:
    """Say whether a text asks for all there is, or names a home and nothing else."""
    folded = fold(said)
    bare = _NUMBERED.search(folded)
    return _DETAILS.search(folded) is not None or (bare is not None and bool(bare["b"] or bare["q"]))


# --- topics

_CONDITIONS: Final = {1: "poor", 2: "fair", 3: "average", 4: "good", 5: "very good"}


def _view(home: Listing) -> str | None:
    if home.view is None:
        return None
    return f"the record lists a view, grade {home.view}" if home.view else "the record lists no view"


def _waterfront(home: Listing) -> str | None:
    if home.waterfront is None:
        return None
    return "it is on the water" if home.waterfront else "it is not on the water"


def _basement(home: Listing) -> str | None:
    if home.basement_sqft is None:
        return None
    return f"{home.basement_sqft:,} sqft below ground" if home.basement_sqft else "no finished basement on record"


def _built(home: Listing) -> str | None:
    return None if home.year_built is None else f"built in {home.year_built}"


def _renovated(home: Listing) -> str | None:
    return None if home.year_renovated is None else f"renovated in {home.year_renovated}"


def _baths(home: Listing) -> str | None:
    return None if home.bathrooms is None else f"{home.bathrooms:g} {'bath' if home.bathrooms == 1 else 'baths'}"


def _beds(home: Listing) -> str:
    return f"{home.bedrooms} {'bedroom' if home.bedrooms == 1 else 'bedrooms'}"


def _lot(home: Listing) -> str | None:
    return None if home.lot_sqft is None else f"a lot of {home.lot_sqft:,} sqft"


def _size(home: Listing) -> str | None:
    return None if home.area_sqft is None else f"{home.area_sqft:,} sqft"


def _floors(home: Listing) -> str | None:
    return None if home.floors is None else f"{home.floors:g} {'floor' if home.floors == 1 else 'floors'}"


def _condition(home: Listing) -> str | None:
    return None if home.condition is None else f"condition {_CONDITIONS[home.condition]}"


def _type(home: Listing) -> str | None:
    return None if home.home_type is None else f"a {home.home_type.value}"


def _where(home: Listing) -> str:
    place = f"{home.neighborhood}, ZIP {home.zip}" if home.neighborhood else f"in ZIP {home.zip}"
    return f"{place}; the record names no street address"


def _price(home: Listing) -> str:
    return f"listed at {say_usd(home.price_usd_cents)}"


def _available(home: Listing) -> str:
    if home.sample:
        return "sample data, not for sale"
    return f"listed as of {home.as_of}; an agent can say what holds today"


_LOAN: Final = "I cannot quote loan terms, a licensed lender can"

_OF_LOANS: Final = re.compile(
    r"\bmonthly\b|\bpayments?\b|\bmortgage\b|\binterest\b|\bloan\b|\bfinanc|\bafford\b|\bqualify\b"
)
# What no record here has, and people ask for all the same.
_NEVER_SAID: Final = re.compile(
    r"\b(?:tax(?:es)?|hoa|dues|fees?|garage|parking|carport|pool|fireplace|air condition\w*|a/?c|heat(?:ing)?|laundry|washer|dryer|dishwasher"
    r"|kitchen|deck|patio|balcony|porch|yard|garden|fenced?|pets?|dogs?|cats?|elevator|ramp|wheelchair|accessible|attic|office|closets?|roof|photos?|pictures?"
    r"|near|close to|how far|walk(?:ing|able)?|distance|commute|bus|train|noisy|quiet|owners?|sellers?|offers?)\b"
)

_TOPICS: Final[tuple[tuple[re.Pattern[str], Callable[[Listing], str | None]], ...]] = (
    (_NEVER_SAID, lambda home: None),
    (re.compile(r"\bviews?\b"), _view),
    (re.compile(r"\bwater ?front\b|\b(?:on|by) the (?:water|lake|beach)\b|\blake ?front\b"), _waterfront),
    (re.compile(r"\bbasement\b"), _basement),
    (re.compile(r"\bbath(?:room)?s?\b"), _baths),
    (re.compile(r"\bbed(?:room)?s?\b"), _beds),
    (re.compile(r"\b(?:lot|land|acres?|acreage)\b"), _lot),
    (re.compile(r"\brenovat|\bremodel|\bupdated\b"), _renovated),
    (re.compile(r"\bbuilt\b|\bhow old\b|\bwhat year\b|\bage\b"), _built),
    (re.compile(r"\bsq\.? ?f|\bsquare f|\bhow (?:big|large|small)\b|\bsize\b|\bbiggest\b|\blargest\b"), _size),
    (re.compile(r"\bfloors?\b|\bstor(?:y|ies|eys?)\b|\blevels?\b"), _floors),
    (re.compile(r"\bcondition\b|\bshape\b|\bfixer"), _condition),
    (re.compile(r"\bavailable\b|\bfor sale\b|\bon the market\b|\bsold\b|\breal\b"), _available),
    (re.compile(r"\bprice\b|\bcosts?\b|\bhow much\b|\basking\b|\bcheapest\b|\bleast expensive\b"), _price),
    (re.compile(r"\bcondo\b|\btown ?(?:house|home)\b|\bsingle[- ]family\b|\bwhat (?:type|kind)\b"), _type),
    (re.compile(r"\bwhere\b|\baddress\b|\bstreet\b|\blocated\b|\bneighbou?rhood\b|\bzip\b"), _where),
)


def knows_topic(said: str) -> bool:
    """Say whether a text asks for something that records tell."""
    folded = fold(said)
    return _OF_LOANS.search(folded) is not None or any(pattern.search(folded) for pattern, _ in _TOPICS)


def answer(said: str, home: Listing) -> str:
    """Answer a question about one home from its record; what it does not hold, it "does not say"."""
    folded = fold(said)
    if _OF_LOANS.search(folded):
        return _LOAN
    asked = [(found.group(), tell) for pattern, tell in _TOPICS if (found := pattern.search(folded))][:_TOPICS_MOST]
    if len(asked) < 2:
        return next((tell(home) for _, tell in asked), None) or UNKNOWN
    # Of several, what is not known is named, so that no answer passes for another's.
    return ", ".join(tell(home) or f"{UNKNOWN} ({word})" for word, tell in asked)


def describe(home: Listing) -> str:
    """Say a home in one line, by id since no street address is known."""
    parts = [say_usd(home.price_usd_cents), f"{home.bedrooms} bd"]
    if home.bathrooms is not None:
        parts.append(f"{home.bathrooms:g} ba")
    if home.area_sqft is not None:
        parts.append(f"{home.area_sqft:,} sqft")
    if home.year_built is not None:
        parts.append(f"built {home.year_built}")
    place = f"{home.neighborhood}, {home.zip}" if home.neighborhood else f"ZIP {home.zip}"
    return f"{home.listing_id}, {place}: {', '.join(parts)}"


def details(home: Listing) -> str:
    """Say everything a record holds that `describe` leaves out."""
    tell = (_lot, _floors, _basement, _renovated, _condition, _view, _waterfront, _type)
    more = [said for each in tell if (said := each(home))]
    return f"{describe(home)}; {', '.join(more)}" if more else describe(home)


# --- what people ask for

_SEEN_ELSE: Final = (
    r"(?! (?:more|other|others|another|some|any|photos?|pictures?|pics?|images?|homes|houses|listings|what|a list|if))"
)
_TOUR: Final = re.compile(
    rf"\b(?:can|could|may|when can|how can) (?:i|we) (?:please |also )?(?:go |come )?(?:and )?(?:see|view|visit|tour|look at|check out|walk through){_SEEN_ELSE}\b"
    rf"|\b(?:i'?d|we'?d|i would|we would) (?:like|love) to (?:go )?(?:see|view|visit|tour){_SEEN_ELSE}\b"
    rf"|\b(?:want|like) to (?:go )?(?:see|view|visit|tour) (?:it|this|that|the|number|#|kc-)"
    r"|\b(?:puedo|podemos|podr[ií]a(?:mos)?|quisiera|me gustar[ií]a) (?:ir a )?(?:ver|visitar)(?:la)?\b(?! (?:m[aá]s|otras?|casas|fotos))"
    r"|\b(?:schedule|book|arrange|set up|request) (?:an? |the )?(?:showing|tour|visit|viewing|appointment)\b|\bshow me (?:it|number|#|the (?:first|second|third|last))"
)
_HOMES: Final = r"(?:homes?|houses?|listings?|options?|places?|condos?|properties|something|matches|ones)"
_MORE: Final = re.compile(
    rf"\b(?:more|other|another|different|additional) {_HOMES}\b|\bany(?:thing)? (?:else|more|others?)\b"
    r"|^\W*(?:more|next|others?)(?: please)?\W*$|\bshow me (?:more|others)\b|\bsee (?:more|others)\b"
)
_SHOW: Final = re.compile(
    rf"\b(?:show|send|find|give|see) (?:me |us )?(?:[\w-]+ ){{0,3}}{_HOMES}\b|\bwhat (?:do you have|have you got|'?s available|is available|are my options)\b"
    rf"|\b(?:do you have|are there|got) any(?: \w+){{0,2}} {_HOMES}\b|\bany {_HOMES}\b"
)


_OFFER: Final = re.compile(
    r"\b(?:make|submit|put in|put|send|write|place|give)(?: \w+){0,3}? (?:an? )?(?:\w+ )?offer\b|\b(?:can|could|will|would|may) (?:i|we|you|u) (?:please )?(?:just )?offer\b"
    r"|\boffer(?:ing)? (?:them|him|her|the (?:seller|owner)s?|\$?\d)|\bnegotia\w+|\bcounter ?offer\b|\bhaggle\b"
)
_TAKES: Final = re.compile(
    r"\b(?:would|will|could|might|may|do you think|think|if) (?:that )?(?:they|the (?:seller|owner)s?|he|she)(?: would|'?d| will|'?ll)? (?:even |ever )?(?:take|accept|agree|go (?:lower|down|for)|come down|consider|budge|sell (?:it )?for)\b"
    r"|\b(?:lowest|least|minimum|bottom)\b.{0,30}\b(?:they|sellers?|owners?|he|she)\b"
)


def speaks_of_an_offer(said: str) -> bool:
    """Say whether the person bargains: what they name is no budget of theirs.

    >>> speaks_of_an_offer("would they take 550?"), speaks_of_an_offer("what do you offer under 500k")
    (True, False)
    """
    folded = fold(said)
    return any(pattern.search(folded) for pattern in (_OFFER, _TAKES))


def wants_to_offer(said: str) -> bool:
    """Say whether the person wants an offer to be made."""
    folded = fold(said)
    found = _OFFER.search(folded)
    return found is not None and not negated(folded, found.start())


def asks_to_see(said: str) -> bool:
    """Say whether the person wants to see a home with their own eyes."""
    folded = fold(said)
    found = _TOUR.search(folded)
    return found is not None and not negated(folded, found.start())


def asks_for_more(said: str) -> bool:
    """Say whether the person asks for other homes than those shown."""
    return _MORE.search(fold(said)) is not None


def asks_for_homes(said: str) -> bool:
    """Say whether the person asks to be shown homes."""
    return asks_for_more(said) or _SHOW.search(fold(said)) is not None
