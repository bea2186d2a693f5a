"""Nobody gets an answer that was written for somebody who said something else; the same at 10,000 pairs: `make load-cache`."""

import pytest

from kit.spans import mask
from services.cache.canonical import State
from tests.support.near_duplicates import CHANGES, run


async def test_of_near_duplicates_none_gets_the_others_answer():
    outcome = await run(600, seed=11)
    assert outcome.wrong == []
    # Who says the same shares, or all of this would show nothing.
    assert outcome.hits > 200 and outcome.one_key["number"] > 10
    assert outcome.inexpressible < 30
    for change in ("intent", "negation", "loan", "question", "asked", "known"):
        assert outcome.one_key[change] == 0
    assert set(outcome.pairs) == set(CHANGES)


@pytest.mark.parametrize("forgotten", ["state", "negations"])
async def test_key_that_forgets_something_is_found_out(forgotten: str, monkeypatch: pytest.MonkeyPatch):
    if forgotten == "state":
        variables = State.variables
        monkeypatch.setattr(State, "variables", lambda self: variables(State()))
    else:

        def forgetful(texts, own):
            positive = [each.replace("don't ", "").replace("not ", "") for each in texts]
            return mask(positive, own)

        monkeypatch.setattr("services.cache.masks.mask", forgetful)
    assert (await run(300, seed=11)).wrong != []
