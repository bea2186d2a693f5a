"""Which words are anybody's. Pure but for reading its list once.

A word that stands in no dictionary may be a name, a street, a code: it tells who wrote
it. Texts that hold such a word are analysed and never shared (`kit/spans.py`).
"""

from functools import cache
from pathlib import Path

_LIST = Path(__file__).with_name("words.txt")


@cache
def words() -> frozenset[str]:
    """Return the list, in small letters."""
    lines = _LIST.read_text(encoding="utf-8").splitlines()
    return frozenset(word for line in lines if not line.startswith("#") for word in line.split())


def is_anybodys(word: str) -> bool:
    """Say whether a word, in small letters, is anybody's; of a compound each part must be.

    >>> is_anybodys("pre-approved"), is_anybodys("seller's"), is_anybodys("zacherl")
    (True, True, False)
    """
    known = words()
    if word in known and "-" not in word:
        return True
    return all(
        part in known or part.removesuffix("'s") in known or part.replace("'", "") in known
        for part in word.split("-")
        if part
    )
