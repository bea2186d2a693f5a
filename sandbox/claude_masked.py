"""Lets a masked text be read like any other: values stand in for references, and are taken out of the answer. Pure.

"under MONEY_1 in PLACE_1" is read as "under $601,001 in Valea"; what was read there is
answered with MONEY_1 and PLACE_1 again.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

REF = re.compile(r"\b(?P<kind>MONEY|COUNT|TIME|PLACE|ADDRESS|NAME|PHONE|EMAIL|URL|LISTING)_(?P<number>[1-9]\d{0,2})\b")


@dataclass(frozen=True, kw_only=True)
class Unmasked:
    """A text with values in the place of references.

    Attributes:
        text: The text.
        refs: Each value and the reference that it stands for; empty for a text that was not masked.
    """

    text: str
    refs: dict[str, str]

    def quoted(self, words: str) -> str:
        """Give words of the text as they stand in the masked one, whole words only."""
        if not self.refs or not words:
            return words
        start = self.text.find(words)
        if start >= 0:
            end = start + len(words)
            while start > 0 and not self.text[start - 1].isspace():
                start -= 1
            while end < len(self.text) and not re.match(r"[\s,]", self.text[end]):
                end += 1
            words = self.text[start:end]
        for value, ref in self.refs.items():
            words = words.replace(value, ref)
        return words

    def ref_of(self, value: object, words: str, allowed: list[str]) -> str | None:
        """Find which reference a reading is about: the only one in its words, or the one of its number."""
        there = [(stood, ref) for stood, ref in self.refs.items() if stood in words and ref in allowed]
        if len(there) == 1:
            return there[0][1]
        for stood, ref in there:
            number = re.sub(r"\D", "", stood)
            if number and str(value) in (number, f"{number}000"):
                return ref
        return None


def unmask(words: str) -> Unmasked:
    """Put values in the place of a masked text's references.

    >>> unmask("from MONEY_1 to MONEY_2").text
    'from $601,001 to $602,002'
    """
    refs: dict[str, str] = {}

    def stand_in(found: re.Match[str]) -> str:
        value = _value(found["kind"], int(found["number"]))
        refs[value] = found.group()
        return value

    text = REF.sub(stand_in, words)
    # Longest first: "21" must not be taken out of "$621,021".
    return Unmasked(text=text, refs=dict(sorted(refs.items(), key=lambda pair: -len(pair[0]))))


def _value(kind: str, number: int) -> str:
    letter = chr(ord("a") + (number - 1) % 26)
    return {
        "MONEY": f"${600 + number},{number:03d}",
        "COUNT": str(20 + number),
        "TIME": f"{number + 1} months",
        "PLACE": f"Vale{letter}",
        "ADDRESS": f"{100 + number} Vale Street",
        "NAME": f"Name{letter}",
        "PHONE": f"206-555-{100 + number:04d}",
        "EMAIL": f"{letter}@example.com",
        "URL": f"www.example.com/{letter}",
        "LISTING": f"KC-90000-{number}",
    }[kind]
