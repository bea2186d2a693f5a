"""What a call to Claude costs, in millionths of a US dollar. Pure."""

from dataclasses import dataclass
from typing import Final

PRICE_VERSION: Final = "2026-10-07"
"""The date of the prices below; stands beside every cost that is recorded."""


@dataclass(frozen=True, kw_only=True)
class Tokens:
    """What one call read and wrote; none below 0."""

    input: int = 0
    """Read at the full price: without what the two below count."""
    output: int = 0
    """Written, thinking included."""
    cache_write: int = 0
    """Read and kept in Claude's own prompt cache for 5 minutes."""
    cache_read: int = 0
    """Read from Claude's own prompt cache."""


@dataclass(frozen=True, kw_only=True)
class Price:
    """Micro-dollars per million tokens, so that every list price is a whole number."""

    input: int
    output: int
    cache_write: int
    cache_read: int
    long_prompt_factor: int = 1
    """What all prices are multiplied with when the prompt has more than 100,000 tokens."""


# Source: the vendor's price list of 2026-10-07. It was read without Opus's cache prices;
# 1.25 and 0.1 times its input price is what the vendor charged for every model before, and more than for any now.
PRICES: Final[dict[str, Price]] = {
    "claude-haiku-5-5": Price(
        input=100_000, output=500_000, cache_write=125_000, cache_read=10_000, long_prompt_factor=5
    ),
    "claude-sonnet-5-5": Price(input=2_000_000, output=10_000_000, cache_write=2_500_000, cache_read=100_000),
    "claude-opus-5-5": Price(input=4_000_000, output=20_000_000, cache_write=5_000_000, cache_read=400_000),
}

_LONG_PROMPT_TOKENS: Final = 100_000
_PER_MILLION: Final = 1_000_000

# English has three to four characters a token, Spanish fewer, and newer tokenizers make a third more tokens;
# nothing we send comes near two bytes a token, so half the bytes is an upper bound in practice.
_BYTES_PER_TOKEN: Final = 2
_FRAME_TOKENS: Final = 300


def cost_microusd(price: Price, tokens: Tokens) -> int:
    """Return what a call cost, rounded up to a whole micro-dollar.

    >>> cost_microusd(PRICES["claude-haiku-5-5"], Tokens(input=1_000, output=100))
    150
    """
    prompt = tokens.input + tokens.cache_write + tokens.cache_read
    factor = price.long_prompt_factor if prompt > _LONG_PROMPT_TOKENS else 1
    total = factor * (
        tokens.input * price.input
        + tokens.output * price.output
        + tokens.cache_write * price.cache_write
        + tokens.cache_read * price.cache_read
    )
    return -(-total // _PER_MILLION)


def most_microusd(price: Price, *, prompt_bytes: int, max_tokens: int) -> int:
    """Return the most a call can cost, before it is made.

    Args:
        price: Of the model.
        prompt_bytes: UTF-8 length of everything sent, the schema included.
        max_tokens: What the model may write.
    """
    return cost_microusd(price, most_tokens(prompt_bytes=prompt_bytes, max_tokens=max_tokens))


def most_tokens(*, prompt_bytes: int, max_tokens: int) -> Tokens:
    """Return the most, and the dearest, that a call can read and write."""
    return Tokens(cache_write=prompt_bytes // _BYTES_PER_TOKEN + _FRAME_TOKENS, output=max_tokens)
