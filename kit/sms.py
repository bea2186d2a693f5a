"""How a text travels as SMS, and what no text that goes out may hold. Pure.

Source: 3GPP TS 23.038 for the alphabet, TS 23.040 for concatenation: a text of several
parts loses six bytes of each to a header, 160 septets become 153 and 70 units 67.
"""

import re
import unicodedata
from typing import Final

SEGMENTS_MOST: Final = 4
"""Three listings with their reasons take 480 characters, which is four; what is longer belongs into a mail."""

_BASIC: Final = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
_EXTENSION: Final = frozenset("\f^{}\\[~]|€")
"""Sent as an escape and a character: two septets that one part must hold together."""

_PLAIN: Final = str.maketrans(
    {
        "\u2018": "'",
        "\u2019": "'",
        "`": "'",
        "\u201c": '"',
        "\u201d": '"',
        "\u2013": "-",
        "\u2014": "-",
        "\u2026": "...",
        "\u00d8": "O",
        "\u00f8": "o",
        "\u00c6": "AE",
        "\u00e6": "ae",
        "\u00df": "ss",
        "{": None,
        "}": None,
    }
)

# Words that a program says when it has nothing to say, and places that were never filled.
_LEFT_OVER: Final = re.compile(
    r"[{}]|\[[A-Za-z][\w ]{0,30}\]|<[a-z_][\w ]{0,30}>|%[sd]\b|\b(?:None|null|undefined|NaN|TODO|TBD|lorem ipsum)\b"
)


def segments(text: str) -> int:
    """Return how many SMS a text takes; 0 for none at all.

    >>> segments("x" * 160), segments("x" * 161), segments("[" * 81), segments("\u4f60" * 71)
    (1, 2, 2, 2)
    """
    if all(each in _BASIC or each in _EXTENSION for each in text):
        return _parts([1 + (each in _EXTENSION) for each in text], alone=160, each_part=153)
    return _parts([1 + (ord(each) > 0xFFFF) for each in text], alone=70, each_part=67)


def _parts(sizes: list[int], *, alone: int, each_part: int) -> int:
    """Pack characters into parts; none is cut in two."""
    if sum(sizes) <= alone:
        return 1 if sizes else 0
    parts, room = 0, 0
    for size in sizes:
        if size > room:
            parts, room = parts + 1, each_part
        room -= size
    return parts


def plain(text: str) -> str:
    """Keep to plain signs: one sign outside the GSM alphabet halves what fits into a part.

    Accents go, letters stay; what has no plain form is left out, and so are braces,
    which we never write.

    >>> plain("Pe\u00f1asco \u2013 \u201c{caf\u00e9}\u201d\\n\U0001f3e0 1\u00bd")
    'Penasco - "cafe" 1'
    """
    flat = unicodedata.normalize("NFD", text.translate(_PLAIN)).encode("ascii", "ignore").decode()
    return " ".join("".join(each if each.isprintable() else " " for each in flat).split())


def defects(text: str, *, channel: str = "SMS") -> tuple[str, ...]:
    """Say by code what keeps a text from going out, whoever wrote it; empty when nothing does.

    Args:
        text: As it would be sent.
        channel: Only SMS is counted in segments.
    """
    found = []
    if channel == "SMS" and segments(text) > SEGMENTS_MOST:
        found.append("TOO_LONG")
    if any(unicodedata.category(each) in ("Cc", "Cf", "Cs", "Co", "Cn") and each != "\n" for each in text):
        found.append("CONTROL_CHARACTER")
    if _LEFT_OVER.search(text):
        found.append("PLACEHOLDER")
    return tuple(found)
