"""The one gate for what a bot says: a text goes out only when nothing is found in it. Pure.

It knows nothing of how a text came about, so it holds written phrases and a model's
words to the same. Word lists are short on purpose: each line stops what law or the
brokerage could be held to, and a list that stops honest texts is a failure too.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from kit import sms
from kit.bot.numbers import Number, held, numbers
from kit.text import fold


@dataclass(frozen=True, kw_only=True, slots=True)
class Speaks:
    """What a text may speak of, and what it must hold."""

    brokerage: str
    facts: Mapping[str, Any]
    """What is known of the contact: name to value."""
    records: Sequence[Any] = ()
    """Listings, sales, estimates that were found for this turn."""
    constants: Sequence[str] = ()
    """Written phrases whose numbers are ours: "within 3 months"."""
    begins: str = ""
    """What the text must begin with: the disclosure, in the first message to a contact."""
    holds: Sequence[str] = ()
    """Sentences that must stand in it: that data is a sample, that an estimate is no appraisal."""
    channel: str = "SMS"


@dataclass(frozen=True, slots=True)
class Finding:
    """Why a text must not go out."""

    code: str
    words: str = ""
    """What was found, for the turn's record; never for a log."""


# No address at all: no written phrase names one, and a person's or a model's would be in our mouth.
_URL: Final = re.compile(
    r"\b[a-z][a-z0-9+.-]*://\S*|\bwww\.\S+|\S+@\S+\.\S+|\b\w[\w-]*(?:\.\w[\w-]*)*\.(?:com|net|org|info|biz|io|co|us|me|ly|app|dev|ai|xyz|link|site"
    r"|online|top|shop|club|page|gl|gg|to|cc|tv|ru|cn|uk|de|eu|edu|gov|mil|example|test|local|house|homes|realtor|realty)\b(?:/\S*)?|\b\w+\.\w{2,}/\S+"
)
_PERSON: Final = r"(?:human|person|people|realtor|agent|broker|man|woman|employee|guy|lady)"
# Law lets a bot not pass for a person (California B&P 17941, Utah SB 149): a claim, or a denial of being one.
_HUMAN: Final = re.compile(
    rf"\b(?:i'?m|i am|we'?re|we are|this is|it'?s|it is|you'?re (?:talking|chatting|texting|speaking) (?:to|with)|you are (?:talking|chatting|texting|speaking) (?:to|with))"
    rf"(?: really| actually| indeed| just| all)?(?: an?| the| your| one of our)?(?: real| actual| live| licensed| human| local| genuine)* {_PERSON}\b"
    r"|\b(?:not|no|never|isn'?t|aren'?t|ain'?t)(?: an?| any| some| really)*(?: mere| simple)? (?:ai|bot|bots|robot|chat ?bot|machine|computer|automated|artificial|automatic|program|software)\b"
    rf"|\b(?:real|actual|live|flesh and blood) (?:human|person|people)\b.{{0,20}}\b(?:here|typing|writing|speaking)|\b(?:speaking|writing|talking) as an? {_PERSON}\b"
)
# Nothing is booked by a bot, and no person promised a call (NAR settlement: an agreement comes before a tour).
_BOOKING: Final = re.compile(
    r"\b(?:booked|scheduled|arranged|reserved|confirmed)\b(?! nothing\b)|\b(?:i|we)(?:'ll| will| can| shall| have|'ve)? (?:book|schedule|reserve|confirm)\b"
    r"|\b(?:see|meet) you (?:on|at|there|then|tomorrow|today|this|next)\b|\byou'?(?:re| are) (?:all )?set\b"
    r"|\b(?:agent|someone|somebody|we|i|they|representative|colleague)(?: will|'ll| is going to) (?:call|phone|ring|text|meet|contact|visit|be in touch|reach out|get back)\b"
)
# No price, sale, loan or result is ours to promise (licence law; Reg Z for loans).
_GUARANTEE: Final = re.compile(
    r"\bguarant\w+|\b(?:i|we) promise\b|\bpromised?\b(?! nothing)|\b(?:will|is going to|would) (?:definitely|certainly|surely) (?:sell|get|go|be)\b|\brisk[- ]free\b|\bcan'?t lose\b"
    r"|\byou (?:will|'ll) (?:get|receive|make|earn|sell (?:it|your \w+) for)\b|\b(?:are|'re|were|been) approved for\b|\binterest rate of\b"
)
# What anybody is paid, or what costs nothing, is between the person and the brokerage (NAR settlement; RESPA s. 8).
_COMPENSATION: Final = re.compile(
    r"\bcommission\b|\brebate|\bcash[- ]?back\b|\bkick ?back|\breferral fee|\brefund|\bcompensation\b|\bfor free\b|\bfree of charge\b|\b(?:is|are|services?|consultation|valuation) free\b"
    r"|\bfree (?:service|consultation|valuation|appraisal|estimate)s?\b|\b(?:no|zero|without) (?:cost|charge|fees?|obligation)\b(?! to speak of)"
)
# Homes are described, never people or who lives where (Fair Housing Act); saying that we do not rate is right.
_STEERING: Final = re.compile(
    r"\b(?:safe|safest|unsafe|dangerous|bad|rough|diverse|up-and-coming) (?:area|neighbou?rhood|part of town|community|street)s?\b"
    r"|\b(?:good|great|top|best|excellent|bad) schools?\b|\b(?:perfect|ideal|great|good|suited|suitable) for (?:a |young )?(?:famil|couple|single|retiree|student|kids|children|christian|professional)\w*"
    r"|\bfamily[- ]friendly\b|\badults only\b|\bno (?:kids|children)\b|\bpeople like you\b"
)
_LISTED: Final = (
    ("URL", _URL),
    ("HUMAN_CLAIM", _HUMAN),
    ("BOOKING", _BOOKING),
    ("GUARANTEE", _GUARANTEE),
    ("COMPENSATION", _COMPENSATION),
    ("STEERING", _STEERING),
)
SHOWN: Final = 40
"""How much of a person's own words is said back."""


def findings(text: str, speaks: Speaks) -> tuple[Finding, ...]:
    """Return everything that keeps a text from going out; empty when it may.

    >>> speaks = Speaks(brokerage="Elm Realty", facts={"price_max_usd": 650_000})
    >>> findings("Got it: up to $650,000.", speaks)
    ()
    >>> [each.code for each in findings("I am a real person. It sells for $700,000, guaranteed.", speaks)]
    ['NUMBER', 'HUMAN_CLAIM', 'GUARANTEE']
    """
    found = [Finding(code) for code in sms.defects(text, channel=speaks.channel)]
    if not text.startswith(speaks.begins):
        found.append(Finding("NO_DISCLOSURE", speaks.begins))
    found += [Finding("NO_NOTICE", each) for each in speaks.holds if each not in text]
    # The brokerage may call itself what it likes, and is no claim of ours.
    body = text.removeprefix(speaks.begins).replace(speaks.brokerage, "the brokerage")
    found += [Finding("NUMBER", each) for each in strange_numbers(body, speaks)]
    folded = fold(body)
    for code, pattern in _LISTED:
        found += [Finding(code, each.group()) for each in pattern.finditer(folded)]
    return tuple(found)


def strange_numbers(text: str, speaks: Speaks) -> tuple[str, ...]:
    """Return the numbers of a text that stand neither in facts nor records nor constants."""
    stated = numbers(text)
    if not stated:
        return ()
    known = held([*speaks.facts.items(), *(("", each) for each in speaks.records)])
    quoted = _quoted(text, [*known.strings, *speaks.constants])
    return tuple(
        text[each.start : each.end]
        for each in stated
        if (each.unit, each.value) not in known.values and each not in quoted
    )


def _quoted(text: str, strings: Iterable[str]) -> set[Number]:
    """Return the numbers of words that are said as they were written.

    A number of a quote is the same in the text only with the same ends and the same
    unit: "$98107" and "98107 sqft" are no quotes of 98107.
    """
    folded = fold(text)
    found: set[Number] = set()
    for words in {form for each in strings for form in _forms(each)}:
        inside = numbers(words)
        at = folded.find(words) if inside else -1
        while at >= 0:
            found |= {replace(each, start=at + each.start, end=at + each.end) for each in inside}
            at = folded.find(words, at + 1)
    return found


def _forms(string: str) -> tuple[str, ...]:
    whole = fold(sms.plain(string))
    return (whole, whole[:SHOWN].rstrip())
