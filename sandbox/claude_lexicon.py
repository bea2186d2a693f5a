"""What can be read out of a person's words: money, counts, places, times, yes and no. Pure.

English, and a little Spanish. Every reading carries the exact words that it was taken from.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import takewhile

Value = str | int | float | bool


@dataclass(frozen=True, kw_only=True)
class Reading:
    """A value, the substring of the text that it came from, and how sure it is in [0, 1]."""

    value: Value
    words: str
    sure: float = 0.93


NUMBER_WORDS = {
    word: number
    for number, words in enumerate(
        ("zero cero", "one un una uno", "two dos", "three tres", "four cuatro", "five cinco", "six seis",
         "seven siete", "eight ocho", "nine nueve", "ten diez", "eleven once", "twelve doce")
    )
    for word in words.split()
}  # fmt: skip
COUNT = r"(?:\d+(?:\.\d+)?|" + "|".join(sorted(NUMBER_WORDS, key=len, reverse=True)) + r"|couple(?: of)?|a)"

NO = re.compile(
    r"\b(?:not|no|never|without|nor|neither|cannot|instead of|rather than|stop|isnt|arent|dont|doesnt|didnt|havent"
    r"|hasnt|wont|cant|wasnt|sin|ni|nunca|tampoco)\b|n['’]t\b",
    re.IGNORECASE,
)
CLAUSE_END = re.compile(r"[,.;:!?\n]|\b(?:but|and then|however|though|pero|sino)\b", re.IGNORECASE)
HEDGE = re.compile(
    r"\b(?:maybe|might|perhaps|someday|some day|thinking (?:about|of)|considering|not sure|possibly|curious"
    r"|quizás?|tal vez|pensando en)\b",
    re.IGNORECASE,
)
CORRECTION = re.compile(
    r"\b(?:i meant|meant to say|actually|correction|on second thought|changed my mind|scratch that|quise decir"
    r"|en realidad)\b",
    re.IGNORECASE,
)


def denied(text: str, start: int) -> bool:
    """Say whether a no-word stands before `start` in the same clause, at most four words away.

    >>> denied("I am not pre-approved", 9), denied("no, I am pre-approved", 9)
    (True, False)
    """
    before = text[max(0, start - 48) : start]
    ends = [found.end() for found in CLAUSE_END.finditer(before)]
    clause = before[ends[-1] :] if ends else before
    nearest = list(NO.finditer(clause))
    return bool(nearest) and len(clause[nearest[-1].end() :].split()) <= 4


def after_correction(text: str) -> int:
    """Give the place where the person starts to correct themselves; 0 when they do not."""
    return max((found.end() for found in CORRECTION.finditer(text)), default=0)


def to_number(words: str) -> float:
    """Read digits or a number word.

    >>> to_number("three"), to_number("2,000"), to_number("couple of")
    (3.0, 2000.0, 2.0)
    """
    word = words.strip().lower()
    if word.startswith("couple"):
        return 2.0
    if word == "a":
        return 1.0
    return float(NUMBER_WORDS[word]) if word in NUMBER_WORDS else float(word.replace(",", ""))


# --- money -----------------------------------------------------------------------------------------------------

UNIT = r"(?:k|thousand|grand|m|mm|mil|mill|million|millions|millones|millón)\b"
MONEY = re.compile(
    r"(?P<sign>(?:us)?\$\s?)?(?P<low>\d[\d,]*(?:\.\d+)?)\s?(?P<low_unit>" + UNIT + r")?"
    r"(?:\s?(?:-|–|to|and|a|y)\s?(?P<sign2>\$\s?)?(?P<high>\d[\d,]*(?:\.\d+)?)\s?(?P<high_unit>" + UNIT + r")?)?"
    r"(?P<dollars>\s?(?:dollars|bucks|usd|dólares))?",
    re.IGNORECASE,
)
AT_MOST = re.compile(
    r"(?:under|below|up to|at most|max(?:imum)?(?: of)?|no more than|less than|not over|within|hasta|menos de"
    r"|máximo(?: de)?)\s*(?:about |around )?$",
    re.IGNORECASE,
)
AT_LEAST = re.compile(
    r"(?:over|above|at least|min(?:imum)?(?: of)?|more than|from|starting (?:at|from)|north of|no less than"
    r"|más de|mínimo(?: de)?|desde)\s*(?:about |around )?$",
    re.IGNORECASE,
)
NOT_MONEY_AFTER = re.compile(
    r"\s*-?\s*(?:\+\s*)?(?:bed|br\b|bd\b|bath|ba\b|sq|square|acre|years?|months?|weeks?|days?|hours?|minutes?|miles?"
    r"|down\b|/ ?mo|a month|per month|in rent|kids?|cars?|stor(?:y|ies)|am\b|pm\b|%|st\b|nd\b|rd\b|th\b|/|habitaci|rec[aá]mara|baños?|meses|años)",
    re.IGNORECASE,
)
NOT_MONEY_BEFORE = re.compile(
    r"(?:\brent(?:s|ing)?(?: is| of| for)?|down ?payment(?: is| of)?|\bearn|\bmake|income(?: is| of)?)\s*(?:about |around )?$",
    re.IGNORECASE,
)
SCALE = {"k": 1_000, "t": 1_000, "g": 1_000, "m": 1_000_000}


@dataclass(frozen=True, kw_only=True)
class Money:
    """An amount or a range in whole dollars; an end that was not said is None. `plain` is a single figure."""

    low: int | None
    high: int | None
    plain: int | None
    words: str


def _scale(unit: str | None) -> int:
    if not unit:
        return 1
    # "mil" is a thousand in Spanish, and "mill" and "millón" a million.
    return 1_000 if unit.lower() == "mil" else SCALE[unit[0].lower()]


def money(text: str) -> Iterator[Money]:
    """Find amounts of money.

    >>> [(m.low, m.high) for m in money("between 400 and 500k, at most $1.2 million")]
    [(400000, 500000), (None, 1200000)]
    """
    for found in MONEY.finditer(text):
        group = found.groupdict()
        marked = any(group[name] for name in ("sign", "sign2", "low_unit", "high_unit", "dollars"))
        first = to_number(group["low"])
        start, end = found.span()
        inside = start > 0 and (text[start - 1].isalnum() or text[start - 1] in "_.")
        if (
            inside
            or NOT_MONEY_BEFORE.search(text[:start])
            or not (marked or first >= 50_000)
            or _is_no_money(text, end, group, marked)
        ):
            continue
        low_scale = _scale(group["low_unit"] or (group["high_unit"] if group["high"] else None))
        low = round(first * low_scale)
        words = found.group().strip()
        if group["high"]:
            high = round(to_number(group["high"]) * _scale(group["high_unit"] or group["low_unit"]))
            yield Money(low=min(low, high), high=max(low, high), plain=None, words=words)
        elif AT_MOST.search(text[:start]):
            yield Money(low=None, high=low, plain=None, words=words)
        elif AT_LEAST.search(text[:start]):
            yield Money(low=low, high=None, plain=None, words=words)
        else:
            yield Money(low=None, high=None, plain=low, words=words)


def _is_no_money(text: str, end: int, group: dict[str, str | None], marked: bool) -> bool:
    if re.match(r"\s*(?:down\b|/ ?mo|a month|per month|in rent)", text[end:], re.IGNORECASE):
        return True
    if group["sign"] or group["sign2"] or group["dollars"]:
        return False
    digits = (group["low"] or "").replace(",", "")
    zip_like = not marked and re.fullmatch(r"\d{5}", digits) is not None and "," not in (group["low"] or "")
    year_or_phone = not marked and (len(digits) >= 9 or digits.startswith("0"))
    return zip_like or year_or_phone or NOT_MONEY_AFTER.match(text[end:]) is not None


# --- counts ----------------------------------------------------------------------------------------------------


def count_of(text: str, noun: str) -> Reading | None:
    """Find "3 bedrooms", "three-bed", "3+ br"; of a range the lower end.

    Args:
        text: The person's words.
        noun: A regular expression for what is counted.
    """
    found = None
    for match in re.finditer(
        rf"\b(?P<n>{COUNT})(?:\s?(?:-|–|to|or)\s?{COUNT})?\s?\+?\s?-?\s?(?:{noun})", text, re.IGNORECASE
    ):
        if not denied(text, match.start()):
            found = match
    if found is None:
        return None
    number = to_number(found["n"])
    return Reading(value=int(number) if number.is_integer() else number, words=found.group().strip())


def square_feet(text: str) -> Reading | None:
    """Find an area in square feet."""
    unit = r"\+?\s?-?(?:sq\.?\s?(?:ft|feet|foot)|sqft|square[ -]f(?:ee|oo)t|pies cuadrados)"
    found = re.search(rf"\b(?P<n>\d[\d,]*)\s?{unit}", text, re.IGNORECASE)
    return Reading(value=int(to_number(found["n"])), words=found.group()) if found else None


# --- places ----------------------------------------------------------------------------------------------------

ZIP = r"(?<![\d$#-])\b\d{5}(?:-\d{4})?\b(?!\s?(?:k\b|sq|dollars|\d))"
PLACE_BEFORE = (
    r"\b(?:in|near|around|by|at|close to|next to|outside(?: of)?|moving to|relocating to|move to|cerca de|en|por)"
    r"\s+(?:the\s+|el\s+|la\s+)?"
)
NAMED_PLACE = re.compile(
    r"(?i:"
    + PLACE_BEFORE
    + r")(?P<place>(?:(?:St|Mt|Ft)\. )?[A-ZÁÉÍÓÚÑ][\w'’-]*(?:\s+(?:(?:of|de|del|la)\s+)?[A-ZÁÉÍÓÚÑ][\w'’-]*){0,3})"
)
ANY_PLACE = re.compile(PLACE_BEFORE + r"(?P<place>[a-záéíóúñ'’-]+(?:\s+[a-záéíóúñ'’-]+){0,2})", re.IGNORECASE)
NO_PLACE = frozenset(
    """a about advance after afternoon all an and any april as asap august autumn because bed before best case cash
    charge contact condition december decent fall february few few friday full general good great house home
    hurry i it january july june least less like live love mail march market may me mind minute monday month months
    morning moment my need next no november october one order our person place possible price process progress
    question range saturday school search season september so someone soon spring summer sunday that the
    theory this three thursday time touch town trouble tuesday two under us wednesday week weekend weeks winter
    working year years yes you your con cuanto efectivo este esta general lo mi meses par una un venta vez with for
    where when if but or who budget around by on""".split()
)
PLACE_ENDS = frozenset(
    """with for under around by on at and or but because so if when where my our we i is that which asap please before
    after within next this preferably ideally con para por y que need needs want wants looking between up to""".split()
)


def places(text: str) -> Iterator[tuple[int, Reading]]:
    """Find the places that are spoken of, and where: names after "in" or "near", ZIP codes, then uncertain ones."""
    for found in NAMED_PLACE.finditer(text):
        if found["place"].split()[0].lower().rstrip(".") not in NO_PLACE:
            name = found["place"].rstrip(".-'")
            yield found.start("place"), Reading(value=name, words=name)
    for found in re.finditer(ZIP, text):
        yield found.start(), Reading(value=found.group(), words=found.group())
    for found in ANY_PLACE.finditer(text):
        words = list(takewhile(lambda word: word.lower() not in PLACE_ENDS | NO_PLACE, found["place"].split()))
        exact = re.match(r"\s+".join(map(re.escape, words)), text[found.start("place") :])
        if words and exact and not words[0].lower().startswith(("mid", "late", "early")):
            yield found.start("place"), Reading(value=exact.group(), words=exact.group(), sure=0.7)


def zip_code(text: str) -> Reading | None:
    """Find a US ZIP code."""
    found = re.search(ZIP, text)
    return Reading(value=found.group()[:5], words=found.group()) if found else None


# --- time ------------------------------------------------------------------------------------------------------

MONTHS = {"day": 1 / 30, "días": 1 / 30, "día": 1 / 30, "week": 0.25, "semana": 0.25, "month": 1.0, "mes": 1.0,
          "year": 12.0, "año": 12.0}  # fmt: skip
TIMES: tuple[tuple[str, float], ...] = (
    (r"\basap\b|\ba\.s\.a\.p\.?|as soon as possible|right away|immediately|urgent(?:ly)?|\bright now\b|today|tomorrow"
     r"|lo antes posible|cuanto antes|de inmediato|\bya mismo\b|urgente", 0.5),
    (r"(?:this|next|in (?:a|the next)) (?:week|couple of weeks)|esta semana|next 30 days", 0.75),
    (r"this month|in a month|within a month|este mes|end of (?:the )?month", 1.0),
    (r"next month|próximo mes|couple of months|few months", 3.0),
    (r"before school(?: starts)?|(?:by|this|in|next|early|late|the|mid) ?-?(?:the )?(?:spring|summer|fall|autumn|winter)"
     r"|(?:by|in|next) (?:january|february|march|april|may|june|july|august|september|october|november|december)\b"
     r"|primavera|verano|otoño|invierno", 5.0),
    (r"(?:by )?(?:the )?end of (?:the )?year|before the holidays|later this year|half a year|fin de año", 6.0),
    (r"next year|in a year|a year from now|próximo año|el año que viene", 12.0),
    (r"no (?:rush|hurry)|just (?:looking|browsing|curious)|someday|not (?:for a while|anytime soon)|eventually"
     r"|sin prisa|solo (?:viendo|mirando)", 18.0),
)  # fmt: skip


def time_frame(text: str) -> tuple[Reading, float] | None:
    """Find when the person wants to act: their words, and the same in months from now."""
    unit = r"(?P<unit>day|week|month|year|días?|semana|mes|año)(?:e?s)?\b"
    spans = rf"(?:in|within|under|about|en|dentro de|next)?\s*\b(?P<n>{COUNT})(?:\s?(?:-|–|to|or|a|o)\s?(?P<m>{COUNT}))?\s+{unit}"
    for found in re.finditer(spans, text, re.IGNORECASE):
        rate = found["n"].lower() == "a" and not re.match(r"in|within|under|about|next", found.group(), re.IGNORECASE)
        if rate or re.match(r"\s*(?:old|ago|lease|de edad)", text[found.end() :], re.IGNORECASE):
            continue
        months = to_number(found["m"] or found["n"]) * MONTHS[found["unit"].lower()]
        return Reading(value=found.group().strip(), words=found.group().strip()), months
    for pattern, months in TIMES:
        phrase = re.search(pattern, text, re.IGNORECASE)
        if phrase:
            return Reading(value=phrase.group().strip(), words=phrase.group().strip()), months
    return None


# --- who ---------------------------------------------------------------------------------------------------------


def pattern_reader(
    pattern: str, *, group: int = 0, sure: float = 0.93, flags: int = re.IGNORECASE
) -> Callable[[str], Reading | None]:
    """Make a reader that finds one pattern; denied words do not count."""
    compiled = re.compile(pattern, flags)

    def read(text: str) -> Reading | None:
        for found in compiled.finditer(text):
            if not denied(text, found.start()):
                words = found[group].strip()
                return Reading(value=words, words=words, sure=sure)
        return None

    return read


email = pattern_reader(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")
phone = pattern_reader(r"\+?1?[\s.-]?\(?\d{3}\)?[\s.-]?\d{3}[\s.-]?\d{4}\b")
address = pattern_reader(
    r"\b\d{1,6}\s+(?:[NSEW]\.?\s+)?(?:[A-Z0-9][\w'.-]*\s+){1,4}"
    r"(?:street|st|avenue|ave|road|rd|drive|dr|lane|ln|court|ct|place|pl|boulevard|blvd|way|terrace|circle|cir)\b\.?",
    flags=re.IGNORECASE,
)
person_name = pattern_reader(
    r"(?:(?i:my name is|this is|i am called|me llamo|mi nombre es|name['’]s)|\b(?i:i['’]m))\s+"
    r"(?P<name>[A-ZÁÉÍÓÚÑ][\w'’-]+(?:\s+[A-ZÁÉÍÓÚÑ][\w'’-]+)?)",
    group=1,
    flags=0,
)
reason = pattern_reader(
    r"\b(?:because(?: of)?|since|due to|porque|por)\s+(?P<why>[^.!?\n]{4,120})"
    r"|\b(?P<event>new job|job (?:offer|change|transfer)|relocat\w+|divorc\w+|retir\w+|downsiz\w+|upsiz\w+|(?:new |a )?bab(?:y|ies)"
    r"|growing family|inherit\w+|behind on (?:the |my )?(?:mortgage|payments)|foreclos\w+|passed away|empty nest\w*"
    r"|nuevo trabajo|mudanza|divorcio)\b"
)

YES = re.compile(
    r"^\W*(?:yes|yeah|yep|yup|sure|correct|right|i am|i do|i have|absolutely|of course|definitely|sí|si|claro)\b", re.I
)
NOPE = re.compile(
    r"^\W*(?:no|nope|nah|not yet|not really|i['’]?m not|i don['’]?t|i haven['’]?t|todavía no|aún no)\b", re.I
)

SPANISH = re.compile(
    r"\b(?:quiero|casa|vender|comprar|busco|hola|gracias|necesito|para|por favor|habitaciones|precio|cuánto|usted|está"
    r"|mi|una|con|buenos)\b",
    re.IGNORECASE,
)


def language(text: str) -> str:
    """Guess the language, `en` or `es`, by counting Spanish words."""
    words = len(re.findall(r"\w+", text)) or 1
    return "es" if len(SPANISH.findall(text)) / words > 0.2 else "en"
