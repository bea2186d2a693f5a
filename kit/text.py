"""Find money, counts and times in what people text, and what is negated. Pure.

Everything works on folded text, which has the length of the original: a place in
one is the same place in the other, so a fact's words can be cut from the original.
"""

import re
from dataclasses import dataclass
from datetime import date
from typing import Final

REACH: Final = 240
"""How far around a place it is read, in characters; what is farther away says nothing about it, and reading
stays linear in a text's length."""

_PLAIN: Final = str.maketrans(
    {
        "\u2018": "'",
        "\u2019": "'",
        "\u201c": '"',
        "\u201d": '"',
        "\u2013": "-",
        "\u2014": "-",
        "\u2212": "-",
        "\u00a0": " ",
    }
)

# Never inside a number: "1,200,000" and "1.2" are one word.
_CLAUSE_END: Final = re.compile(r"[,.](?!\d)|[;:!?\n]|\b(?:but|however|though|except|pero)\b")
_SENTENCE_END: Final = re.compile(r"\.(?!\d)|[!?\n]")
_NO: Final = re.compile(
    r"\b(?:not|no|never|without|nor|neither|cannot|cant|dont|doesnt|didnt|isnt|arent|wasnt|havent|hasnt|wont|ain't"
    r"|instead of|rather than|no longer|stop)\b|n't\b"
)
# "I can't wait to sell" wants it, and "not only", "why not" and "not sure" deny nothing.
_NO_DENIAL: Final = re.compile(
    r"can'?t wait|cannot wait|not only|why not|not sure|not certain"
    r"|(?:don'?t|do not) (?:really )?(?:know|mind)|no idea|not decided|haven'?t decided|no (?:more|less) than|no later than"
    # Who takes something back: "no wait sell".
    r"|\bstop (?:by|in|over)\b|\bno (?:wait|sorry|actually|i mean(?:t)?)\b"
)
# Words that begin another thought without a comma: "I don't want to sell I want to buy".
_NEW_THOUGHT: Final = re.compile(r"\b(?:i|we)\b|\bjust\b|\bonly\b")
_OF_THE_MIND: Final = re.compile(r"\s*(?:really )?(?:think|believe|feel|guess)\b")
_NO_REACHES_WORDS: Final = 7

NUMBER_WORDS: Final = {
    word: number
    for number, word in enumerate("zero one two three four five six seven eight nine ten eleven twelve".split())
}
_COUNT: Final = r"(?:\d{1,2}|" + "|".join(NUMBER_WORDS) + ")"


def fold(text: str) -> str:
    """Lower the case and make quotes, dashes and spaces plain, character by character.

    >>> fold("DON\u2019T 400\u2013500K")
    "don't 400-500k"
    """
    if text.isascii():
        return text.lower()
    return "".join(low if len(low := each.lower()) == 1 else each for each in text.translate(_PLAIN))


def clause(folded: str, at: int) -> tuple[int, int]:
    """Return where the clause around `at` begins and ends."""
    return _around(_CLAUSE_END, folded, at)


def sentence(folded: str, at: int) -> tuple[int, int]:
    """Return where the sentence around `at` begins and ends."""
    return _around(_SENTENCE_END, folded, at)


def _around(end_of: re.Pattern[str], folded: str, at: int) -> tuple[int, int]:
    low, high = max(0, at - REACH), min(len(folded), at + REACH)
    start = max((found.end() for found in end_of.finditer(folded, low, at)), default=low)
    after = end_of.search(folded, at, high)
    return start, after.start() if after else high


def negated(folded: str, at: int) -> bool:
    """Say whether what stands at `at` is denied in its own clause.

    >>> negated("i do not want to sell", 17), negated("no, i want to sell", 14)
    (True, False)
    """
    start, _ = clause(folded, at)
    before = folded[start:at]
    harmless = [found.span() for found in _NO_DENIAL.finditer(before)]
    for found in reversed(list(_NO.finditer(before))):
        if any(low <= found.start() < high for low, high in harmless):
            continue
        between = before[found.end() :]
        if len(between.split()) > _NO_REACHES_WORDS:
            return False
        return not _NEW_THOUGHT.search(between) or bool(_OF_THE_MIND.match(between))
    return False


# --- money


_NUMBER: Final = r"\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?"
_UNIT: Final = r"k|thousand|grand|mm|million|mill|mil|m"
_MONEY: Final = re.compile(
    rf"(?<![\w.,/-])(?P<sign1>\$)?\s?(?P<n1>{_NUMBER})(?:\s?(?P<u1>{_UNIT})\b)?"
    rf"(?:\s?(?:-|to|and|or|y)\s?(?P<sign2>\$)?\s?(?P<n2>{_NUMBER})(?:\s?(?P<u2>{_UNIT})\b)?)?(?P<plus>\s?\+| or more| and up)?(?![\w/]|[.,]\d)"
)
_SPELLED: Final = re.compile(
    r"(?<!\bin )(?<!\bthanks )\b(?:(?P<half>half (?:a )?mil(?:lion)?)|(?P<more>(?:a|one) (?:million|mil) and a half|(?:one|1) and a half mil(?:lion)?)"
    r"|(?:a|one) mil(?:lion)?)\b"
)
_AT_MOST: Final = re.compile(
    r"(?:under|below|up to|at most|max(?:imum)?(?: of| is|:)?|no more than|not more than|less than|not over|within|cap(?:ped)? (?:of|at)|<)"
    r"\s*(?:about |around |like )?$"
)
_AT_LEAST: Final = re.compile(
    r"(?:over|above|at least|min(?:imum)?(?: of| is|:)?|more than|from|starting (?:at|from)|no less than|not less than|north of|>)"
    r"\s*(?:about |around |like )?$"
)
_NO_HOME_PRICE: Final = re.compile(
    r"\brent(?:al)?\b|\ba month\b|monthly|per month|/ ?mo\b|\bmo\b|down payment|\benganche\b|\bdown\b|deposit|income|salary|\bearn|\b(?:i|we) make\b|\bowe\b|mortgage|loan"
    r"|repair|\bhoa\b|\bfees?\b|\btax(?:es)?\b|closing costs|commission"
)
_PRICE: Final = re.compile(r"budget|price|afford|spend|\bpay\b|asking|worth|\bsell (?:it )?for|\bget\b|\boffer|range")
_NO_MONEY_AFTER: Final = re.compile(
    r"\s?-?\+?\s?(?:bed|br\b|bd\b|bath|ba\b|sq|square|acre|years?|yrs?|months?|weeks?|days?|hours?|minutes?|miles?|am\b|pm\b|%|st\b|nd\b|rd\b|th\b|kids|people)"
)
_CONTEXT_END: Final = re.compile(r"[,.](?!\d)|[;:!?\n]|\b(?:and|but|so|with)\b")
_CAPPED: Final = re.compile(
    r"(?:under|below|up to|at most|max(?:imum)?(?: of| is)?|no more than|not more than)\s*(?:about |around )?$"
)
_LEAST_PRICE: Final = 10_000
_SPANISH_FROM: Final = 50
_THOUSANDS_FROM, _THOUSANDS_TO = 50, 2_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Money:
    """A price of a home in whole US dollars; an end that was not said is None. One plain figure is `high`."""

    low: int | None
    high: int | None
    start: int
    end: int


def prices(folded: str, *, bare_thousands: bool = False) -> tuple[Money, ...]:
    """Find prices of homes: "400-500k", "$1.2 million", "under 450,000". Rents and loans are none.

    Args:
        folded: See `fold`.
        bare_thousands: Read "450" as 450,000 wherever it stands: a price was asked for.

    >>> [(each.low, each.high) for each in prices("my rent is $2,500, budget 400-500k")]
    [(400000, 500000)]
    """
    found = []
    for match in _MONEY.finditer(folded):
        first, second = _amount(match["n1"], match["u1"] or (match["u2"] if match["n2"] else None)), None
        if match["n2"]:
            second = _amount(match["n2"], match["u2"] or match["u1"])
        marked = bool(match["sign1"] or match["sign2"] or match["u1"] or match["u2"])
        start, end = match.span()
        before = _before(folded, start)
        around = before + " " + _after(folded, end)
        if _NO_HOME_PRICE.search(around) or _NO_MONEY_AFTER.match(folded, end):
            continue
        thousands = bare_thousands or bool(_PRICE.search(around) or _CAPPED.search(before))
        amounts = [_as_price(each, match.group(), marked, thousands) for each in (first, second) if each is not None]
        if not amounts or any(each is None for each in amounts):
            continue
        low, high = min(filter(None, amounts)), max(filter(None, amounts))
        if second is not None:
            found.append(Money(low=low, high=high, start=start, end=end))
        elif match["plus"] or (_AT_LEAST.search(before) and not _AT_MOST.search(before)):
            found.append(Money(low=low, high=None, start=start, end=end))
        else:
            found.append(Money(low=None, high=high, start=start, end=end))
    return tuple(sorted([*found, *_spelled_prices(folded)], key=lambda each: each.start))


def _spelled_prices(folded: str) -> list[Money]:
    """Find "half a million", "a million and a half"."""
    found = []
    for match in _SPELLED.finditer(folded):
        start, end = match.span()
        before = _before(folded, start)
        if _NO_HOME_PRICE.search(before + " " + _after(folded, end)):
            continue
        amount = 500_000 if match["half"] else 1_500_000 if match["more"] else 1_000_000
        least = _AT_LEAST.search(before) and not _AT_MOST.search(before)
        found.append(Money(low=amount if least else None, high=None if least else amount, start=start, end=end))
    return found


def _amount(number: str, unit: str | None) -> float:
    amount = float(number.replace(",", ""))
    # "2 mil" is two million; "650 mil" is Spanish, and a thousand each.
    thousands = unit in {"k", "thousand", "grand"} or (unit == "mil" and amount >= _SPANISH_FROM)
    return amount * (1 if unit is None else 1_000 if thousands else 1_000_000)


def _as_price(amount: float, said: str, marked: bool, thousands: bool) -> int | None:
    if amount >= _LEAST_PRICE:
        # Five digits and nothing else are a ZIP code, nine and more a telephone number.
        plain = not marked and "," not in said
        return None if plain and (len(str(int(amount))) == 5 or amount >= 100_000_000) else round(amount)
    return round(amount * 1_000) if thousands and _THOUSANDS_FROM <= amount <= _THOUSANDS_TO else None


def _before(folded: str, start: int) -> str:
    low = max(0, start - REACH)
    return folded[max((found.end() for found in _CONTEXT_END.finditer(folded, low, start)), default=low) : start]


def _after(folded: str, end: int) -> str:
    high = min(len(folded), end + REACH)
    found = _CONTEXT_END.search(folded, end, high)
    return folded[end : found.start() if found else high]


# --- counts


@dataclass(frozen=True, kw_only=True, slots=True)
class Count:
    """A whole number of something; of a range the lower end."""

    value: int
    start: int
    end: int


_BEDROOMS: Final = re.compile(
    rf"(?<![\w$.,])(?P<n>{_COUNT})(?:\s?\+|\s?plus| or more)?(?:\s?(?:-|to|or)\s?{_COUNT})?[\s-]?(?:bed(?:room)?s?|br|bd|bdrms?|rec[aá]maras?|habitaci(?:ón|on|ones)|dormitorios?|cuartos?)\b"
)
_BARE_COUNT: Final = re.compile(
    rf"(?<![\w$.,])(?P<n>{_COUNT})(?![\w%]|[.,]\d|\s?-?(?:full |half )?(?:baths?|bathrooms?|ba|ba[ñn]os?|car|story|stories|floors?|levels?|acres?)\b)"
)


def bedrooms(folded: str, *, bare: bool = False) -> Count | None:
    """Find how many bedrooms are asked for at least.

    Args:
        folded: See `fold`.
        bare: Read "3" or "three or four" too: bedrooms were asked for.

    >>> bedrooms("at least three-bedroom").value, bedrooms("3-4 beds").value
    (3, 3)
    """
    found = _BEDROOMS.search(folded) or (_BARE_COUNT.search(folded) if bare else None)
    if found is None or negated(folded, found.start()):
        return None
    return Count(value=_count(found["n"]), start=found.start(), end=found.end())


def _count(word: str) -> int:
    return NUMBER_WORDS[word] if word in NUMBER_WORDS else int(word)


# --- times


@dataclass(frozen=True, kw_only=True, slots=True)
class Timing:
    """How far away something is, in months; of a range the far end."""

    months: float
    start: int
    end: int


_UNITS: Final = {"day": 1 / 30, "week": 7 / 30, "month": 1.0, "year": 12.0}
_HOW_MANY: Final = rf"(?:{_COUNT}|a couple(?: of)?|couple(?: of)?|a few|few|an?)"
_SPAN: Final = re.compile(
    rf"(?P<lead>\b(?:in|within|under|over|after|next|less than|up to|about|around|maybe|probably|roughly|like|~)\s+(?:the next |about |around |like |maybe |another )?)?"
    rf"(?<![\w$.,-])(?P<n>{_HOW_MANY})(?:\s?(?:-|to|or)\s?(?P<m>{_COUNT}))?[\s-](?P<unit>day|week|month|year)s?\b"
    r"(?P<trail>\s(?:from now|out|or so|max|or less|tops|at most|time))?"
)
_PAST: Final = re.compile(r"\s*(?:old|ago|lease|fixed|loan|mortgage|of )")
_PAST_BEFORE: Final = re.compile(
    r"\b(?:for|since|past|last|been|lived|owned|had it|every|after)\s+(?:the |about |over |almost )?$"
)
_SOON: Final = re.compile(
    r"\ba\.?s\.?a\.?p\b\.?|\bas soon as (?:possible|i can|we can)|\bright away|\bimmediately|\burgent(?:ly)?\b|\bright now\b|\bas fast as possible|\bquickly\b|\bthis (?:week|month)\b"
    r"|\b(?:buy|sell|move|looking|ready|start|list|homes?)(?: \w+){0,2} now\b(?! that)|\b(?:cuanto antes|lo antes posible|lo m[aá]s pronto posible)\b"
)
_BARE_NOW: Final = re.compile(r"^\W*now\W*$")
_NEXT: Final = re.compile(r"\bnext (?P<unit>week|month)\b")
_MONTHS: Final = {
    name: number
    for number, names in enumerate(
        ("january jan", "february feb", "march mar", "april apr", "may", "june jun", "july jul", "august aug",
         "september sept sep", "october oct", "november nov", "december dec"), start=1)
    for name in names.split()
}  # fmt: skip
_SEASONS: Final = {"spring": 4, "summer": 7, "fall": 10, "autumn": 10, "winter": 1}
_BY_MONTH: Final = re.compile(
    r"\b(?:by|in|before|until|around|this|next|early|late|mid|end of|beginning of)[\s-](?:the )?(?:end of |early |late |mid[\s-]?)?"
    rf"(?P<name>{'|'.join(_MONTHS)}|{'|'.join(_SEASONS)})\b"
)
_YEAR: Final = re.compile(
    r"\b(?:(?P<next>(?:early |late |mid )?next year)|(?:by |before )?(?:the )?(?:end of (?:the |this )?year|this year|holidays))\b"
)
_BARE_WORDS: Final = 5


def timing(folded: str, *, today: date, asked: bool = False) -> Timing | None:
    """Find when somebody wants to act. "I don't know when" is no time, and "10 years old" neither.

    Args:
        folded: See `fold`.
        today: Where "next spring" is counted from.
        asked: A time was asked for: "two weeks" or "now" alone is the answer.

    >>> timing("in 2-3 months", today=date(2026, 11, 23)).months
    3.0
    >>> timing("i don't know when", today=date(2026, 11, 23)) is None
    True
    """
    found = [each for each in _timings(folded, today, asked) if not negated(folded, each.start)]
    # What was said last is what holds: "in a year, no, this month".
    return max(found, key=lambda each: each.start, default=None)


def times(folded: str) -> tuple[tuple[int, int], ...]:
    """Return where dates and spans of time stand, whatever they say: "2-3 months", "by march", "10 years" of an age.

    The word before a span ("in", "over", "within") is no part of it, so that it stays readable; "$2,500 a month" is
    a rate and no span.

    >>> [folded[start:end] for folded in ["sell in 2-3 months, by next spring"] for start, end in times(folded)]
    ['2-3 months', 'next spring']
    """
    found = [
        (each.start("n"), each.end("unit") + (folded[each.end("unit") :][:1] == "s"))
        for each in _SPAN.finditer(folded)
        if each["lead"] or each["trail"] or each["n"] not in ("a", "an")
    ]
    found += [each.span() for pattern in (_NEXT, _BY_MONTH, _YEAR) for each in pattern.finditer(folded)]
    return tuple(sorted(found))


def is_past(folded: str, start: int, end: int) -> bool:
    """Say whether a span of time is an age or lies behind: "10 years old", "for the past 3 months".

    >>> is_past("owned it for 10 years", 13, 21), is_past("in 10 years", 3, 11)
    (True, False)
    """
    return bool(_PAST.match(folded, end) or _PAST_BEFORE.search(folded[max(0, start - REACH) : start]))


def _timings(folded: str, today: date, asked: bool) -> list[Timing]:
    found = [Timing(months=0.0, start=each.start(), end=each.end()) for each in _SOON.finditer(folded)]
    if asked:
        found += [Timing(months=0.0, start=each.start(), end=each.end()) for each in _BARE_NOW.finditer(folded)]
    for each in _SPAN.finditer(folded):
        before = folded[max(0, each.start() - REACH) : each.start()]
        alone = asked and len(folded.split()) <= _BARE_WORDS
        if not (each["lead"] or each["trail"] or alone) or is_past(folded, each.start(), each.end()):
            continue
        if re.search(r"can'?t wait|cannot wait", before):
            continue
        words = each["m"] or each["n"]
        many = 2 if "couple" in words else 3 if "few" in words else 1 if words in {"a", "an"} else _count(words)
        found.append(Timing(months=many * _UNITS[each["unit"]], start=each.start(), end=each.end()))
    for each in _NEXT.finditer(folded):
        found.append(Timing(months=0.5 if each["unit"] == "week" else 1.5, start=each.start(), end=each.end()))
    for each in _BY_MONTH.finditer(folded):
        month = _MONTHS.get(each["name"]) or _SEASONS[each["name"]]
        found.append(Timing(months=float((month - today.month) % 12), start=each.start(), end=each.end()))
    for each in _YEAR.finditer(folded):
        left = 12 - today.month
        found.append(Timing(months=float(left + 6 if each["next"] else left), start=each.start(), end=each.end()))
    return found
