"""Take the values out of what a person wrote, so that what is left can be shared. Pure.

"Under 650k in Ballard please!" becomes "under MONEY_1 in PLACE_1": amounts, counts,
times, places, names, addresses, numbers and links are replaced by numbered references;
case, spacing, punctuation, fillers and a few ways to say the same are made one. What
decides the meaning stays: negations, the side of the trade, the words around a number.

The values stay with whoever masked: `Masked.spans` says where each stood, and
`Masked.quote` finds the original of words that were quoted from the masked text.
"""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from kit import text as reading
from kit.bot.words import places
from kit.places import ZIPS_OF_PLACE
from kit.vocabulary import is_anybodys


class SpanKind(StrEnum):
    """What a value is."""

    MONEY = "MONEY"
    COUNT = "COUNT"
    TIME = "TIME"
    PHONE = "PHONE"
    EMAIL = "EMAIL"
    URL = "URL"
    ADDRESS = "ADDRESS"
    NAME = "NAME"
    PLACE = "PLACE"
    LISTING = "LISTING"


MOST_SHARED_TOKENS: Final = 60
"""A longer text is never written twice, so sharing it would only keep it."""

REF: Final = re.compile(rf"(?:{'|'.join(SpanKind)})_[1-9]\d{{0,2}}")


@dataclass(frozen=True, kw_only=True, slots=True)
class OwnValue:
    """Something that the CRM holds of the contact."""

    kind: SpanKind
    value: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Span:
    """A value, and where it stands."""

    ref: str
    kind: SpanKind
    text: int
    """Which of the texts, from 0."""
    start: int
    end: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """A part of one of the texts."""

    text: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class _Token:
    word: str
    text: int
    start: int
    end: int


@dataclass(frozen=True, kw_only=True)
class Masked:
    """Texts without their values."""

    text: str
    """All of them as one line, for models and keys."""
    spans: tuple[Span, ...]
    own_free: bool
    """Whether nothing of a person is left in it, so that others may share what it means."""
    tokens: tuple[_Token, ...]

    def quote(self, words: str) -> Place | None:
        """Find where quoted words of the masked text were written; None when they do not stand in it.

        >>> said = mask(["I'd like to buy, under 650k."])
        >>> said.text, said.quote("under MONEY_1")
        ('want to buy, under MONEY_1', Place(text=0, start=17, end=27))
        """
        wanted = [each for each in words.replace(",", " , ").split() if each != ","]
        tokens = [token for token in self.tokens if token.word != ","]
        for first in range(len(tokens) - len(wanted) + 1 if wanted else 0):
            found = tokens[first : first + len(wanted)]
            if all(token.word == word for token, word in zip(found, wanted, strict=True)):
                whole = [token for token in found if token.text == found[0].text]
                return Place(text=whole[0].text, start=whole[0].start, end=whole[-1].end)
        return None


def mask(texts: Sequence[str], own: Sequence[OwnValue] = ()) -> Masked:
    """Mask the texts of a turn.

    Args:
        texts: What the person wrote, oldest first.
        own: What the CRM holds of the contact.
    """
    tokens: list[_Token] = []
    spans: list[Span] = []
    numbers: dict[SpanKind, int] = {}
    for number, text in enumerate(texts):
        if tokens:
            tokens.append(_Token(",", number, 0, 0))
        said, original = _one_spaced(text)
        plain = _plain(said)
        at = 0
        for start, end, kind in [*_found(said, plain, own), (len(plain), len(plain), None)]:
            for word, word_start, word_end in _words(plain, at, start):
                tokens.append(_Token(word, number, original[word_start], original[word_end - 1] + 1))
            at = end
            if kind is not None:
                numbers[kind] = numbers.get(kind, 0) + 1
                span = Span(
                    ref=f"{kind}_{numbers[kind]}",
                    kind=kind,
                    text=number,
                    start=original[start],
                    end=original[end - 1] + 1,
                )
                spans.append(span)
                tokens.append(_Token(span.ref, number, span.start, span.end))
    kept = tuple(_trimmed(_same_meaning(tokens)))
    return Masked(
        text=" ".join(token.word for token in kept).replace(" ,", ","),
        spans=tuple(spans),
        own_free=len(kept) <= MOST_SHARED_TOKENS and _is_own_free(kept, own),
        tokens=kept,
    )


def speaks_of(own: Sequence[OwnValue], texts: Sequence[str], masked: Masked) -> bool:
    """Say whether a contact's values could make a difference to how texts are masked; True when in doubt.

    >>> said = mask(["Maria here"])
    >>> [speaks_of([OwnValue(kind=SpanKind.NAME, value=name)], ["Maria here"], said) for name in ("Maria G", "Ben G")]
    [True, False]
    """
    if not own:
        return False
    said = "\n".join((*map(_plain, texts), masked.text))
    values = [_plain(each.value) for each in own]
    # What `_own` finds begins with the first, and what `_is_own_free` minds is one of the others.
    return any(word in said for value in values for word in (*value.split()[:1], *_private(value)))


_ODD_SPACE: Final = re.compile(r"[^\S ]|  ")
_SPACES: Final = re.compile(r"[^\S\n]*\n\s*|\s+")


def _one_spaced(said: str) -> tuple[str, Sequence[int]]:
    """Return a text with single spaces, and where each of its characters stood."""
    if not _ODD_SPACE.search(said):
        return said, range(len(said))
    parts: list[str] = []
    places: list[int] = []
    at = 0
    for found in _SPACES.finditer(said):
        parts += [said[at : found.start()], "\n" if "\n" in found.group() else " "]
        places += [*range(at, found.start()), found.start()]
        at = found.end()
    return "".join((*parts, said[at:])), [*places, *range(at, len(said))]


def _plain(said: str) -> str:
    """Fold case and width of each character on its own, so that places stay the same."""
    if said.isascii():
        return said.lower()
    return reading.fold(
        "".join(each if each.isascii() or len(n := unicodedata.normalize("NFKC", each)) != 1 else n for each in said)
    )


# --- values

_DIGIT: Final = re.compile(r"\d")
_EMAIL: Final = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")
_URL: Final = re.compile(r"\b(?:https?://|www\.)\S+|\b[\w-]+\.(?:com|net|org|io|co|us|info|homes|realtor)\b(?:/\S*)?")
_LISTING: Final = re.compile(r"\bkc-\d{5}-\d+\b|\bmls\s?#?\s?[a-z]?\d{4,}|#\s?\d{5,}")
_PHONE: Final = re.compile(
    r"(?<![\w$])(?:\+?\d{1,3}[\s.-]?)?\(?\d{3}\)?[\s.-]?\d{3}[\s.-]?\d{4}(?!\w)"
    r"|(?<![\w$,.-])\d{3}[.-]\d{4}(?![\w,]|[.-]\d|\s?(?:k\b|sq|sf|square|ft|feet|dollars|usd))|(?<![\w$,.])\+?\d{9,}(?!\w)"
)
_STREET_END: Final = r"(?:st|street|ave|avenue|rd|road|dr|drive|ln|lane|way|blvd|boulevard|ct|court|pl|place|ter|terrace|cir|circle|pkwy|parkway|hwy|highway)"
_ADDRESS: Final = re.compile(
    rf"(?<![\w$.,])\d{{1,6}}[a-z]? (?P<street>(?:[nsew]{{1,2}}\.? )?(?:[\w'.-]+ ){{1,4}}?{_STREET_END})\b\.?(?: [nsew]{{1,2}}\b)?"
    r"(?:,? (?:apt|unit|suite|ste|#)\.? ?#?[\w-]+)?"
)
_NO_STREET: Final = frozenset(
    """a an and or the to in of for with my our is it that this at bed beds bedroom bedrooms br bd bath baths bathroom bathrooms ba month months
    week weeks day days year years hour hours minute minutes min mins k thousand million dollars usd sq sqft square feet foot more less car people kids
    good nice big bigger great new more percent story times mile miles blocks""".split()
)
_CLOCK: Final = re.compile(
    r"\b\d{1,2}(?::\d{2})? ?[ap]\.?m\b\.?|\b\d{1,2}:\d{2}\b|\b(?:mon|tues|wednes|thurs|fri|satur|sun)days?\b"
    r"|(?<![\w/.])\d{1,2}/\d{1,2}(?:/\d{2,4})?(?![\w/])|\b(?:19|20)\d\d-\d\d?-\d\d?\b"
)
_MONTH: Final = r"(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)"
_DATE: Final = re.compile(
    rf"\b{_MONTH}\.? \d{{1,2}}(?:st|nd|rd|th)?\b(?:,? (?:19|20)\d\d)?|\b\d{{1,2}}(?:st|nd|rd|th)? (?:of )?{_MONTH}\b"
    r"|\b(?:january|february|april|june|july|august|september|october|november|december)\b"
)
_NUMBER: Final = r"\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?"
_UNIT: Final = r"k|thousand|grand|mm|million|mill|mil|m"
_AMOUNT: Final = re.compile(
    rf"(?P<sign>\$ ?)?(?P<n>{_NUMBER})(?P<unit> ?(?:{_UNIT})\b)?(?P<money> ?(?:dollars|usd|bucks)\b)?(?:st|nd|rd|th)?"
)
_SPELLED_MONEY: Final = re.compile(
    r"\bhalf (?:a )?mil(?:lion)?\b|\b(?:a|one) (?:million|mil)(?: and a half)?\b|\bone and a half mil(?:lion)?\b"
)
_SPELLED_COUNT: Final = re.compile(
    rf"\b(?:{'|'.join(word for word in reading.NUMBER_WORDS if word not in ('zero', 'one'))})\b"
    r"|\bone(?=[ -](?:bed|bath|br\b|bd\b|stor|car\b|full|half|level|or two))"
)
_ZIP: Final = re.compile(r"(?<![\w$#.,-])\d{5}(?:-\d{4})?(?![\w-]|[.,]\d|\s?(?:k\b|sq|sf\b|dollars|usd|miles))")
_LEAD: Final = re.compile(
    r"(?:\b(?:in|near|around|at|to|from|by|of|like|love|about|or|and|not)|[,/])\s*(?:the )?$|^\W*$"
)
_TOWNS: Final = "seattle|tacoma|everett|olympia|spokane|bainbridge island|mukilteo|edmonds|lynnwood|puyallup|king county|the eastside"
_NAMES: Final = frozenset(ZIPS_OF_PLACE) | frozenset(_TOWNS.split("|"))
_NAME_WORDS_MOST: Final = 3
_NAME_BEGINS: Final = frozenset(name.split()[0] for name in _NAMES)
_LETTERS: Final = re.compile(r"[a-z']+")
# Two of these far apart are one range all the same: "between 400 and 500k".
_RANGE: Final = re.compile(r"\s?(?:-|to|and|or|/)\s?\$?\s?")
_LEAST_BARE_MONEY: Final = 50_000

_Found = tuple[int, int, SpanKind]


def _found(said: str, plain: str, own: Sequence[OwnValue]) -> list[_Found]:
    """Find values; where two overlap, what is named first here wins."""
    taken: list[_Found] = []
    # Most texts have none, and half of the patterns begin with one.
    has_digits = _DIGIT.search(plain) is not None
    for kind, ranges in (
        (SpanKind.EMAIL, _all(_EMAIL, plain) if "@" in plain else ()),
        (SpanKind.URL, _all(_URL, plain)),
        (SpanKind.LISTING, _all(_LISTING, plain) if has_digits else ()),
        *((each.kind, _own(said, plain, each)) for each in own),
        (SpanKind.ADDRESS, _addresses(plain) if has_digits else ()),
        (SpanKind.PHONE, _all(_PHONE, plain) if has_digits else ()),
        (SpanKind.TIME, [*_all(_CLOCK, plain), *_all(_DATE, plain), *reading.times(plain)]),
        (SpanKind.PLACE, [*(_all(_ZIP, plain) if has_digits else ()), *_places(said, plain)]),
        (SpanKind.MONEY, _all(_SPELLED_MONEY, plain)),
        (SpanKind.COUNT, _all(_SPELLED_COUNT, plain)),
    ):
        for start, end in ranges:
            _take(taken, start, end, kind)
    if has_digits:
        for start, end, kind in _amounts(plain):
            _take(taken, start, end, kind)
    return sorted(taken)


def _take(taken: list[_Found], start: int, end: int, kind: SpanKind) -> None:
    if start < end and not any(start < other_end and other_start < end for other_start, other_end, _ in taken):
        taken.append((start, end, kind))


def _all(pattern: re.Pattern[str], plain: str) -> list[tuple[int, int]]:
    return [found.span() for found in pattern.finditer(plain)]


def _own(said: str, plain: str, own: OwnValue) -> list[tuple[int, int]]:
    """Find a value of the contact's; a name that is a word too ("Will") only where it is written as a name."""
    value = " ".join(_plain(own.value).split())
    if len(value) < 2:
        return []
    inner = r"\s+".join(map(re.escape, value.split()))
    pattern = re.compile(rf"(?<!\w){inner}(?!\w)")
    found = _all(pattern, plain)
    if own.kind is not SpanKind.NAME or not is_anybodys(value):
        return found
    return [(start, end) for start, end in found if said[start : start + 1].isupper() and plain[:start].strip()]


def _addresses(plain: str) -> list[tuple[int, int]]:
    found = []
    for each in _ADDRESS.finditer(plain):
        words = each["street"].replace(".", "").split()
        if not _NO_STREET & set(words[:-1]):
            found.append(each.span())
    return found


def _places(said: str, plain: str) -> list[tuple[int, int]]:
    found = []
    words = list(_LETTERS.finditer(plain))
    for first, word in enumerate(words):
        if word.group() not in _NAME_BEGINS:
            continue
        for last in reversed(words[first : first + _NAME_WORDS_MOST]):
            name = plain[word.start() : last.end()]
            # "Magnolia" and "crossroads" are words too.
            if name in _NAMES and (
                " " in name
                or said[word.start()].isupper()
                or _LEAD.search(plain[: word.start()])
                or not is_anybodys(name)
            ):
                found.append((word.start(), last.end()))
                break
    for each in places(said):
        counted = each.name[0].isdigit() and _NO_STREET & set(each.name.lower().split())
        if not counted:
            found.append((each.start, each.end))
    return found


def _amounts(plain: str) -> list[_Found]:
    """Tell money from counts by sign, unit and size; the ends of a range are of one kind."""
    found = list(_AMOUNT.finditer(plain))
    kinds = [_is_money(each) for each in found]
    for place in range(len(found) - 1):
        between = plain[found[place].end() : found[place + 1].start()]
        if kinds[place] != kinds[place + 1] and _RANGE.fullmatch(between) and _one_unit(found, kinds, place):
            kinds[place] = kinds[place + 1] = True
    return [
        (each.start(), each.end(), SpanKind.MONEY if kind else SpanKind.COUNT)
        for each, kind in zip(found, kinds, strict=True)
    ]


def _one_unit(found: Sequence[re.Match[str]], kinds: Sequence[bool], place: int) -> bool:
    """Say whether the bare end of a range can borrow the other's unit: "400-500k", not "3 or 500k"."""
    bare = found[place + 1 if kinds[place] else place]
    return float(bare["n"].replace(",", "")) >= 1 and (len(bare["n"]) >= 3 or "." in bare["n"] or kinds[place + 1])


def _is_money(found: re.Match[str]) -> bool:
    if found["sign"] or found["unit"] or found["money"]:
        return True
    return ("," in found["n"] or found["n"].isdigit()) and float(found["n"].replace(",", "")) >= _LEAST_BARE_MONEY


# --- words

_WORD: Final = re.compile(r"[^\W\d_]+(?:['-][^\W\d_]+)*|[?%&+<>#/]|[.,;:!\n\u2026-]+|[^\s\w]|\w")
_BREAK: Final = re.compile(r"[.,;:!\n\u2026-]+")
_SIGNS: Final = {"&": "and", "<": "under", ">": "over", "~": "", '"': "", "'": "", "(": ",", ")": ",", "*": "", "$": ""}
_CONTRACTED: Final = {
    **{word: f"{word[:-1]}'t" for word in "dont doesnt didnt isnt arent wasnt werent couldnt shouldnt wouldnt havent hasnt hadnt aint".split()},
    "cant": "can't", "cannot": "can't", "wont": "won't", "im": "i'm", "ive": "i've", "u": "you", "ur": "your", "r": "are",
    "preapproved": "pre-approved", "preapproval": "pre-approval", "prequalified": "pre-qualified", "pls": "please", "plz": "please",
    "wanna": "want to", "gonna": "going to", "thx": "thanks", "ty": "thanks", "yeah": "yes", "yep": "yes", "yup": "yes", "nope": "no", "nah": "no",
}  # fmt: skip
# What people say for the same thing. Never across sides, and no word that alone decides a slot.
_SYNONYMS: Final = {
    "purchase": "buy", "purchasing": "buying", "acquire": "buy",
    "house": "home", "houses": "home", "homes": "home", "property": "home", "properties": "home",
}  # fmt: skip
_PHRASES: Final = (
    ("pre approved", "pre-approved"), ("pre qualified", "pre-qualified"), ("pre approval", "pre-approval"),
    ("do not", "don't"), ("does not", "doesn't"), ("did not", "didn't"), ("is not", "isn't"), ("are not", "aren't"), ("can not", "can't"),
    ("have not", "haven't"), ("i am", "i'm"), ("we are", "we're"), ("i have", "i've"), ("i would", "i'd"), ("we would", "we'd"),
    *((f"{who}{wish}", "want to") for who in ("i ", "we ", "") for wish in ("want to", "would like to", "wish to", "hope to")),
    *((f"{who} {wish}", "want to") for who in ("i'm", "we're") for wish in ("looking to", "hoping to", "wanting to", "wishing to")),
    *((f"a {unit}", f"per {unit}") for unit in ("month", "week", "year", "day")),
    ("i'd like to", "want to"), ("we'd like to", "want to"), ("looking to", "want to"), ("hoping to", "want to"),
)  # fmt: skip
_PHRASES_BY_END: Final[dict[str, list[tuple[list[str], list[str]]]]] = {}
for _phrase, _means in _PHRASES:
    if _phrase != _means:
        _PHRASES_BY_END.setdefault(_phrase.split()[-1], []).append((_phrase.split(), _means.split()))
_ARTICLES: Final = frozenset(("a", "an", "the"))
_GREETINGS: Final = frozenset("hi hello hey hiya howdy um uh er hmm oh well please".split())
_POLITE: Final = frozenset(("please", "um", "uh", "er"))
_THANKS: Final = (("thank", "you"), ("thanks",))


def _words(plain: str, low: int, high: int) -> Iterable[tuple[str, int, int]]:
    for found in _WORD.finditer(plain, low, high):
        word = found.group()
        if _BREAK.fullmatch(word):
            word = "to" if word == "-" and _joins_numbers(plain, found) else ","
        for part in _CONTRACTED.get(word, _SIGNS.get(word, word)).split():
            yield part, found.start(), found.end()


def _joins_numbers(plain: str, dash: re.Match[str]) -> bool:
    before, after = plain[: dash.start()].rstrip(), plain[dash.end() :].lstrip()
    return bool(re.search(r"[\dkm]$", before) and re.match(r"\$?\d", after))


def _same_meaning(tokens: Sequence[_Token]) -> list[_Token]:
    """Make one of phrases that mean the same, drop politeness and repeated breaks, and articles at last."""
    kept: list[_Token] = []
    for token in tokens:
        word = _SYNONYMS.get(token.word, token.word)
        if word in _POLITE or (word == "," and (not kept or kept[-1].word == ",")):
            continue
        kept.append(_Token(word, token.text, token.start, token.end))
        _join(kept)
    return [token for token in kept if token.word not in _ARTICLES]


def _join(kept: list[_Token]) -> None:
    """Replace a phrase that the last tokens make up; again, since "i would like to" is made in steps."""
    for words, means in _PHRASES_BY_END.get(kept[-1].word, ()):
        last = kept[-len(words) :]
        if [token.word for token in last] == words and last[0].text == last[-1].text:
            start, end = last[0].start, last[-1].end
            kept[-len(words) :] = [_Token(word, last[0].text, start, end) for word in means]
            _join(kept)
            return


def _trimmed(tokens: list[_Token]) -> list[_Token]:
    """Drop breaks at the ends, greetings before anything else, and thanks after it."""
    while tokens and (tokens[0].word == "," or (tokens[0].word in _GREETINGS and len(tokens) > 1)):
        tokens = tokens[1:]
    while tokens and tokens[-1].word == ",":
        tokens = tokens[:-1]
    for thanks in _THANKS:
        rest = len(tokens) - len(thanks)
        if rest > 3 and tuple(token.word for token in tokens[rest:]) == thanks:
            return _trimmed(tokens[:rest])
    return tokens


# --- what may be shared


def _is_own_free(tokens: Sequence[_Token], own: Sequence[OwnValue]) -> bool:
    """Say whether every word is anybody's: in the dictionary, and none of the CRM's values of this contact."""
    private = {word for each in own for word in _private(_plain(each.value))}
    return all(
        REF.fullmatch(token.word) is not None
        or token.word in (",", "?", "%", "+", "#", "/")
        or (token.word[0].isalpha() and is_anybodys(token.word) and not private & set(re.split(r"['-]", token.word)))
        for token in tokens
    )


def _private(plain: str) -> list[str]:
    return [word for word in _PRIVATE.findall(plain) if len(word) > 1]


_PRIVATE: Final = re.compile(r"[^\W_]+")
