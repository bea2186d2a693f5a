"""Every way in which Claude goes wrong, mutated a thousand times: what is let through is whole and of the schema."""

import json
import math
import random

import pytest

from services.cache.answer import BadAnswer, check_content, read_reply
from tests.support.mutations import MODES, SCHEMA, mutated, run

MUTATIONS = 1_000
# Whole messages, so nothing is wrong with their form; what they say is judged below.
WELL_FORMED = ("whole", "echo", "obey")


def is_good(content: str, stop_reason: str) -> bool:
    """Say whether an answer may be served, without a line of the code under test."""
    value = json.loads(content)
    return (
        stop_reason == "end_turn"
        and set(value) == {"intent", "words", "budget_usd"}
        and value["intent"] in SCHEMA["properties"]["intent"]["enum"]  # type: ignore[index]
        and isinstance(value["words"], str)
        and not any(ord(each) < 32 and each not in "\n\t" for each in value["words"])
        and not set(value["words"]) & {"\u202e", "\ufffd", "\x7f"}
        and (value["budget_usd"] is None or (type(value["budget_usd"]) is int and math.isfinite(value["budget_usd"])))
    )


@pytest.mark.parametrize("mode", MODES)
def test_nothing_bad_passes_in_a_thousand_mutations(mode: str):
    luck = random.Random(mode)
    passed = 0
    for _ in range(MUTATIONS):
        body = mutated(MODES[mode], luck)
        try:
            reply = read_reply(body)
            content = check_content(reply.content, SCHEMA)
        except BadAnswer as bad:
            assert bad.defect
            continue
        passed += 1
        assert is_good(content, reply.stop_reason), body
        assert min(reply.tokens.input, reply.tokens.output, reply.tokens.cache_read, reply.tokens.cache_write) >= 0
    # Many mutations of a good answer leave it good, or nothing would have been looked at; a bad one is seldom mended.
    assert passed > MUTATIONS // 20 if mode in WELL_FORMED else passed < MUTATIONS // 20


@pytest.mark.parametrize("mode", [mode for mode in MODES if mode not in WELL_FORMED])
def test_no_mode_passes_as_it_is(mode: str):
    with pytest.raises(BadAnswer):
        check_content(read_reply(MODES[mode]).content, SCHEMA)


async def test_nothing_bad_is_served_or_stored_on_the_whole_way():
    outcome = await run(40, seed=5)
    assert outcome.bad == []
    assert outcome.served["whole"] > 0 and outcome.stored == sum(outcome.served.values())
    assert {"NO_QUOTE", "CUT_OFF", "NOT_JSON", "NOT_OF_THE_SCHEMA"} <= set(outcome.refused)
