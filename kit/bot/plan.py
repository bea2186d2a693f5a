"""A reply as parts in order: what each says as it is written, and how it may be said otherwise. Pure.

The move is decided before anybody chooses words. A plan holds the written phrases with
placeholders where values go; a model may put those that are not fixed into other
words, as a template that this module checks, and never sees a value. So a plan is the
same for everybody who gets the same kind of reply, and so is its template.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from kit import sms
from kit.bot.numbers import numbers
from kit.text import fold
from kit.vocabulary import is_anybodys

LONGEST_PART: Final = 160
_PLACEHOLDER: Final = re.compile(r"\{([a-z][a-z0-9_]*)\}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """A sentence or two of a reply."""

    name: str
    """Once in a plan."""
    written: str
    """As we say it; `{placeholders}` stand for values."""
    values: Mapping[str, str] = field(default_factory=dict)
    """What the placeholders are filled with; never shown to a model."""
    reads: Mapping[str, str] = field(default_factory=dict)
    """What a value will read like, without it: "up to $..."."""
    fixed: bool = False
    """Whether it stays word for word, as what law asks for, and what is made of records."""

    @property
    def stays(self) -> bool:
        """Whether no model words it; a phrase with figures of its own ("within 3 months") is not guessed at either."""
        return self.fixed or bool(numbers(_PLACEHOLDER.sub("", self.written)))

    @property
    def text(self) -> str:
        """The written words with their values."""
        return self.written if self.fixed else fill(self.written, self.values)


def fixed(name: str, text: str) -> Part:
    """Make a part that stays as it is written."""
    return Part(name=name, written=text, fixed=True)


def fill(template: str, values: Mapping[str, str]) -> str:
    """Put values in the places of placeholders, in one pass: a value is never read again.

    >>> fill("Got it: {area}.", {"area": "in {area}"})
    'Got it: in {area}.'
    """
    return _PLACEHOLDER.sub(lambda found: values[found[1]], template)


def said(parts: Iterable[Part], words: Mapping[str, str] | None = None) -> str:
    """Say the parts as one text of plain signs, in the words of a checked template where there is one."""
    chosen = words or {}
    texts = (fill(chosen[each.name], each.values) if each.name in chosen else each.text for each in parts)
    return sms.plain(" ".join(text for text in texts if text))


def worded(parts: Iterable[Part]) -> tuple[Part, ...]:
    """Return the parts that may be put into other words."""
    return tuple(each for each in parts if not each.stays)


def describe(parts: Sequence[Part]) -> str:
    """Say a plan for a model, without a value in it: equal plans read alike, whoever they are for.

    >>> print(describe([fixed("disclosure", "Hi Ana!"), Part(
    ...     name="noted", written="Got it: {area}.", values={"area": "in Ballard"}, reads={"area": "in ..."})]))
    1. disclosure stays
    2. noted: "Got it: {area}." {area} reads: in ...
    """
    lines = []
    for number, each in enumerate(parts, 1):
        reads = "".join(f" {{{name}}} reads: {each.reads.get(name, '...')}" for name in each.values)
        lines.append(
            f"{number}. {each.name} stays" if each.stays else f'{number}. {each.name}: "{each.written}"{reads}'
        )
    return "\n".join(lines)


# --- templates


class BadTemplate(ValueError):
    """A model's template may not be used; the message is a code."""


def read_template(content: str, parts: Sequence[Part]) -> dict[str, str]:
    """Read a model's answer to a plan: part name to words with placeholders.

    Raises:
        BadTemplate: It is no template of this plan.
    """
    wanted = worded(parts)
    try:
        answered = [(each["name"], each["words"]) for each in json.loads(content)["parts"]]
    except (ValueError, KeyError, TypeError):
        raise BadTemplate("NOT_A_TEMPLATE") from None
    if [name for name, _ in answered] != [each.name for each in wanted]:
        raise BadTemplate("OTHER_PARTS")
    for part, (_, words) in zip(wanted, answered, strict=True):
        if defect := _defect(part, words):
            raise BadTemplate(defect)
    return dict(answered)


def _defect(part: Part, words: object) -> str:
    """Say by code what is wrong with the words for a part; "" when nothing is."""
    if not isinstance(words, str) or not words.strip():
        return "EMPTY"
    if len(words) > max(LONGEST_PART, len(part.written)):
        return "TOO_LONG"
    bare = _PLACEHOLDER.sub("", words)
    if sms.plain(bare) != " ".join(bare.split()) or "\n" in words:
        return "SIGNS"
    if sorted(_PLACEHOLDER.findall(words)) != sorted(part.values):
        return "PLACEHOLDERS"
    if numbers(bare) or re.search(r"[$%#@<>\[\]\"]", bare):
        return "NUMBER"
    if words.count("?") != part.written.count("?"):
        return "QUESTION"
    if not all(is_anybodys(word) for word in re.findall(r"[a-z][a-z'-]*", bare.lower())):
        # A word of no dictionary is a name or a place, and the model knows none of this person's.
        return "NAME"
    return "" if _says_the_same(part.written, words) else "MEANING"


# What a sentence is about. A template about something else is none, whatever it says.
_TOPICS: Final = {
    name: re.compile(rf"\b(?:{words})\b")
    for name, words in {
        "buying": r"buy\w*|purchas\w*",
        "selling": r"sell\w*|sale|sold",
        "denial": r"no|not|never|nothing|none|nobody|cannot|unable|without|\w+n't",
        "agent": r"agents?|humans?|persons?|people|realtors?|brokers?|colleagues?|team|someone|somebody",
        "price": r"prices?|budget|spend\w*|costs?|afford\w*|pay\w*|figure|amount|ceiling|maximum",
        "place": r"neighbou?rhoods?|areas?|zip|where|part of town|parts of town|locat\w*|city",
        "bedrooms": r"bed(?:room)?s?",
        "bathrooms": r"bath(?:room)?s?",
        "time": r"soon|when|timeline|time ?frame|timing|months?|years?|quickly|deadline",
        "financing": r"cash|loans?|pre-?approv\w*|approv\w*|mortgages?|lenders?|financ\w*",
        "condition": r"condition|repairs?|shape|need work|needs work|renovat\w*|move in|state",
        "size": r"square|sq|size|large|big|footage",
        "reason": r"reason|why|motivat\w*|makes you|made you|brings you|prompt\w*",
        "tour": r"tours?|visit\w*|showings?|appointments?|book\w*|schedul\w*|viewings?|calls?|calling|meet\w*",
        "value": r"worth|estimat\w*|valu\w*|apprais\w*|market",
        # Never ours to ask or tell by text.
        "private": r"phone|e-?mail|income|salary|job|work for|married|single|child\w*|kids?|family|famil\w*|race|religio\w*|nationalit\w*|church|age|birth\w*"
        r"|social security|passport|account|card|password|credit|debt|health|disab\w*|crime|safe|safety|schools?",
        "law": r"legal\w*|law\w*|tax\w*|contract\w*|agreements?|guarant\w*|promis\w*|free|discount\w*|commission\w*|fees?|rebate\w*|best|cheap\w*",
    }.items()
}
_HELD: Final = frozenset({"buying", "selling", "denial", "agent"})
"""Of these a statement speaks in any words if it did, and in no words if it did not."""


def topics(text: str) -> frozenset[str]:
    """Return what a sentence is about.

    >>> sorted(topics("How many bedrooms do you need at least?"))
    ['bedrooms']
    """
    folded = fold(text)
    return frozenset(name for name, pattern in _TOPICS.items() if pattern.search(folded))


def _says_the_same(written: str, words: str) -> bool:
    before, after = topics(_PLACEHOLDER.sub("", written)), topics(_PLACEHOLDER.sub("", words))
    if not written.count("?"):
        return after <= before and after & _HELD == before & _HELD
    # A question stays about what it was about; one that lets choose between buying and selling, about both.
    before, after = before - {"denial"}, after - {"denial"}
    choice = {"buying", "selling"} <= before and not {"buying", "selling"} <= after
    return after <= before and bool(after) and not choice
