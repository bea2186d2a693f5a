"""What the student sees of a masked text in a state of the dialogue: named features. Pure.

A word means little without the question before it: "yes" after "shall I show you
homes?" is a wish, after "is that all?" an ending. So every word and every pair of
words stands twice, alone and together with what was asked. That is worth more
than any embedding of the words (bench/RESULTS.md, "The student"). And the words after
the last comma stand once more: "not renting, buying" is not "not buying, renting".
"""

import re
from collections import Counter
from collections.abc import Mapping
from itertools import islice
from typing import Final

MOST_TOKENS: Final = 80
"""Of a longer text the rest says nothing: it would be its own text, never written again."""

_TOKEN: Final = re.compile(r"(?P<kind>[A-Z]+)_\d+|[^\W_]+(?:'[^\W_]+)*|[?!]")


def text_features(asked: str, masked: str) -> Counter[str]:
    """Count the words of a text and its pairs of words, alone and with what was asked.

    The number of a reference is left out, so that MONEY_1 and MONEY_2 are both money.

    >>> sorted(text_features("area", "no, PLACE_1"))[:4]
    ['..place', '^_no', 'area|^_no', 'area|no']
    """
    words = [(each["kind"] or each.group()).lower() for each in islice(_TOKEN.finditer(masked), MOST_TOKENS)]
    pairs = [f"{one}_{two}" for one, two in zip(["^", *words], [*words, "$"], strict=True)]
    found = Counter([*words, *pairs])
    found.update({f"{asked}|{name}": count for name, count in list(found.items())})
    last = words[-len(_TOKEN.findall(masked.rpartition(",")[2])) :]
    found.update(f"..{word}" for word in last)
    return found


def state_features(asked: str, known: Mapping[str, str], opening: bool) -> tuple[str, ...]:
    """Name the state of a dialogue, part by part.

    >>> state_features("area", {"intent": "buy", "price": ""}, False)
    ('=asked:area', '=opening:False', '=known:intent:buy', '=known:price:')
    """
    return (
        f"=asked:{asked}",
        f"=opening:{opening}",
        *(f"=known:{name}:{choice}" for name, choice in sorted(known.items())),
    )
