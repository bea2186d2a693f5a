"""What a conversation costs in calls to Claude, counted the same way for every way to answer. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from services.cache.pricing import PRICES, Price, Tokens

PREFIX_SECONDS: Final = 300.0
"""How long Claude keeps a prefix that nobody asks with."""
TURNS: Final = 7.06
"""Turns of a conversation, in the worked example."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """One of the two calls of a turn."""

    price: Price
    stable: int
    """Tokens that are the same in every call: instructions, schema, examples."""
    fresh: int
    written: int
    """Thinking included."""
    keeps: bool
    """Whether the prefix is long enough for Claude's own prompt cache."""


@dataclass(frozen=True, kw_only=True)
class Basis:
    """Prices and token counts."""

    name: str
    analysis: Part
    reply: Part


@dataclass(frozen=True, slots=True)
class Asked:
    """A call to Claude that was made."""

    at: float
    """Seconds since the run began."""
    kind: str
    """"analysis", "reply" or "audit"."""


_FLAT: Final = Price(input=3_000_000, output=15_000_000, cache_write=3_750_000, cache_read=300_000)
_HAIKU, _SONNET = PRICES["claude-haiku-5-5"], PRICES["claude-sonnet-5-5"]
THINKING: Final = 60
"""Tokens that a model thinks before an answer at effort low: an assumption, as no key was used."""

BASES: Final = (
    Basis(
        name="flat",
        analysis=Part(price=_FLAT, stable=1_800, fresh=300, written=120, keeps=True),
        reply=Part(price=_FLAT, stable=2_600, fresh=900, written=160, keeps=True),
    ),
    Basis(
        name="today",
        analysis=Part(price=_HAIKU, stable=1_800, fresh=300, written=120 + THINKING, keeps=False),
        reply=Part(price=_SONNET, stable=2_600, fresh=900, written=160 + THINKING, keeps=True),
    ),
)


def usd_per_turn(basis: Basis, calls: Iterable[Asked], turns: int, *, prefix_cached: bool) -> float:
    """Return what a turn cost, on average.

    Args:
        basis: Prices and token counts.
        calls: All calls that were made, in their order.
        turns: How many turns they served.
        prefix_cached: Whether Claude's own prompt cache is used, writes at their price.
    """
    total = 0
    warm_until = {"analysis": -1.0, "reply": -1.0}
    for call in calls:
        kind = "reply" if call.kind == "reply" else "analysis"
        part = basis.reply if kind == "reply" else basis.analysis
        if not (prefix_cached and part.keeps):
            tokens = Tokens(input=part.stable + part.fresh, output=part.written)
        elif call.at < warm_until[kind]:
            tokens = Tokens(input=part.fresh, cache_read=part.stable, output=part.written)
        else:
            tokens = Tokens(input=part.fresh, cache_write=part.stable, output=part.written)
        warm_until[kind] = call.at + PREFIX_SECONDS
        price = part.price
        total += (
            tokens.input * price.input
            + tokens.output * price.output
            + tokens.cache_write * price.cache_write
            + tokens.cache_read * price.cache_read
        )
    return total / 1e12 / turns
