"""The stand-in reads masked texts from the request alone, and answers with their references."""

import json
from pathlib import Path

import pytest

from kit.prompt_file import fill, parse
from kit.spans import mask
from sandbox.claude_answer import answer
from services.cache.analysis import check
from services.cache.canonical import State

ROOT = Path(__file__).parents[2]


def said(bot: str, *texts: str, asked: str = "", **known: str) -> dict[str, str]:
    """What the stand-in says of texts as the cache service sends them, checked as the cache service checks."""
    prompt = parse((ROOT / "services" / bot / "prompts" / "extract.md").read_text(encoding="utf-8"))
    masked = mask(texts)
    variables = {**State(asked=asked, known=known).variables(), "messages": masked.text}
    body = {
        "model": prompt.model,
        "system": prompt.system,
        "messages": [{"role": "user", "content": fill(prompt.user, variables)}],
        "output_config": {"format": {"type": "json_schema", "schema": prompt.schema}},
    }
    assert prompt.schema is not None
    analysis = json.loads(check(answer(body, effort="low", thinks=False).text, prompt.schema, masked))
    return {name: item["value"] for name, item in analysis.items() if item is not None}


@pytest.mark.parametrize(
    ("bot", "texts", "asked", "values"),
    [
        ("lead", ("I need to sell my house ASAP",), "", {"intent": "sell", "timeline": "under_1_month"}),
        ("lead", ("looking to purchase property",), "", {"intent": "buy"}),
        (
            "lead",
            ("sell our condo in Tacoma and buy near Ballard in a year",),
            "",
            {"intent": "both", "address_area": "PLACE_1", "area": "PLACE_2", "timeline": "TIME_1"},
        ),
        (
            "buyer",
            ("3 bedrooms in Ballard for 400-500k", "not pre-approved, by next spring"),
            "",
            {
                "area": "PLACE_1",
                "bedrooms_min": "COUNT_1",
                "price_min_usd": "MONEY_1",
                "price_max_usd": "MONEY_2",
                "financing": "not_yet",
                "timeline": "TIME_1",
            },
        ),
        ("buyer", ("450",), "price_max_usd", {"price_max_usd": "COUNT_1"}),
        ("buyer", ("3",), "bedrooms_min", {"bedrooms_min": "COUNT_1"}),
        ("buyer", ("my rent is $2,500 a month",), "", {}),
        ("seller", ("great shape, hoping for 900k",), "", {"condition": "excellent", "price_expectation_usd": "MONEY_1"}),
        ("seller", ("hi there",), "", {}),
    ],
)  # fmt: skip
def test_masked_text_is_answered_with_its_references(bot, texts, asked, values):
    assert said(bot, *texts, asked=asked) == values
