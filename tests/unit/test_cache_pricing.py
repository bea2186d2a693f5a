import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.cache.pricing import PRICES, Tokens, cost_microusd, most_microusd

HAIKU, SONNET, OPUS = (PRICES[f"claude-{name}-5-5"] for name in ("haiku", "sonnet", "opus"))
MILLION = 1_000_000


@pytest.mark.parametrize(
    ("price", "tokens", "usd"),
    [
        (SONNET, Tokens(input=MILLION), 2.00),
        (SONNET, Tokens(output=MILLION), 10.00),
        (SONNET, Tokens(cache_write=MILLION), 2.50),
        (SONNET, Tokens(cache_read=MILLION), 0.10),
        (OPUS, Tokens(input=MILLION, output=MILLION), 24.00),
        (HAIKU, Tokens(output=MILLION), 0.50),
        (HAIKU, Tokens(input=100_000), 0.01),
        (HAIKU, Tokens(cache_write=100_000), 0.0125),
        (HAIKU, Tokens(cache_read=100_000), 0.001),
    ],
)
def test_cost_is_that_of_the_price_list(price, tokens, usd):
    assert cost_microusd(price, tokens) == round(usd * MILLION)


def test_prompt_of_more_than_100_000_tokens_costs_five_times_as_much_on_haiku():
    assert cost_microusd(HAIKU, Tokens(input=100_000, output=1_000)) == 10_500
    assert cost_microusd(HAIKU, Tokens(input=99_999, cache_read=2, output=1_000)) == 52_500
    assert cost_microusd(SONNET, Tokens(input=200_000)) == 400_000


def test_cost_is_rounded_up_so_that_no_call_is_free():
    assert cost_microusd(HAIKU, Tokens(input=1)) == 1
    assert cost_microusd(HAIKU, Tokens(input=11)) == 2
    assert cost_microusd(HAIKU, Tokens()) == 0


@given(st.sampled_from(sorted(PRICES)), st.integers(0, 50_000), st.integers(1, 8_192), st.integers(0, 8_192))
def test_no_call_costs_more_than_what_is_put_aside_for_it(model, prompt_bytes, max_tokens, written):
    read = prompt_bytes // 2
    cost = cost_microusd(PRICES[model], Tokens(input=read, output=min(written, max_tokens)))
    assert cost <= most_microusd(PRICES[model], prompt_bytes=prompt_bytes, max_tokens=max_tokens)
