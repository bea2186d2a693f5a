"""The replay bench: that it counts what it says it counts, on made-up dialogues that fit on a page."""

import random

import pytest

from bench import homes_baselines
from bench.cache_replay import cold, in_folds, row
from bench.homes import Dialogue, Turn, in_a_day
from bench.homes_cost import BASES, TURNS, Asked, usd_per_turn
from bench.homes_service import Tally
from kit.spans import mask
from services.cache.canonical import State

FINDS = ("find", "get", "look for", "search for", "show me", "need")
THINGS = ("a house", "a condo", "some land", "a townhouse", "two rooms", "a place to live")
NEAR = (
    "park",
    "school",
    "lake",
    "river",
    "station",
    "library",
    "market",
    "church",
    "beach",
    "forest",
    "bridge",
    "hill",
)
VISITS = ("visit", "see", "go and see", "take a look at", "drop by", "have a tour of")


def turn(text: str, intent: str, *, asked: str = "", act: str = "INFORM", plan: str = "OFFER") -> Turn:
    return Turn(
        text=text,
        masked=mask((text,)).text,
        state=State(asked=asked, known={"intent": "FindApartment"} if asked else {}),
        intent=intent,
        acts=(act,) if act else (),
        filled=(),
        outcome="nothing",
        plan=plan,
    )


def dialogues(count: int) -> list[Dialogue]:
    rng = random.Random(4)
    made = []
    for number in range(count):
        thing = rng.choice(THINGS)
        turns = (
            turn(f"{rng.choice(FINDS)} {thing} near the {rng.choice(NEAR)}", "FindApartment"),
            turn(
                f"i will {rng.choice(VISITS)} {thing} by the {rng.choice(NEAR)}",
                "ScheduleVisit",
                asked="OFFER",
                plan="CONFIRM",
            ),
        )
        elsewhere = (
            turn(f"{rng.choice(VISITS)} the {rng.choice(('doctor', 'bank', 'cinema'))}", "OTHER", act="", plan=""),
        )
        made.append(Dialogue(dialogue_id=f"d{number}", turns=turns, elsewhere=elsewhere))
    return made


def test_a_conversation_at_one_models_prices_costs_what_its_tokens_say():
    calls = [Asked(0.0, kind) for kind in ("analysis", "reply")]
    flat, today = (usd_per_turn(basis, calls, 1, prefix_cached=False) * TURNS for basis in BASES)
    assert flat == pytest.approx(0.148, abs=0.0005)
    assert today < flat


def test_a_prefix_is_written_once_and_read_while_somebody_asks_within_five_minutes():
    flat = BASES[0]
    once, warm, cold_again = (
        usd_per_turn(flat, [Asked(0.0, "reply"), Asked(at, "reply")], 1, prefix_cached=True)
        for at in (0.0, 299.0, 301.0)
    )
    assert once == warm < cold_again


def test_an_audit_costs_what_an_analysis_does_and_nobody_waits_for_it():
    audited = Tally(turns=1, calls=[Asked(0.0, "audit")])
    audited.tiers["STUDENT"] = 1
    assert audited.hits == 1
    assert "| 100.0% |" in row("x", audited) and "$0.0000" not in row("x", audited)


async def test_a_cache_of_exact_texts_answers_repeated_texts_and_no_others():
    day = in_a_day(dialogues(60), seed=1)
    texts = [each.text for _, _, each in day]
    halves = homes_baselines.exact(day)
    total = halves[0] + halves[1]
    assert total.hits == len(texts) - len(set(texts)) and total.turns == len(texts)
    assert sum((each.hits for each in homes_baselines.no_cache(day)), 0) == 0


async def test_from_nothing_the_student_takes_over_and_every_turn_is_counted_once():
    made = dialogues(300)
    first, second = await cold(made, None, seed=1)
    assert first.turns + second.turns == 600
    for half in (first, second):
        asked = [call.kind for call in half.calls]
        assert asked.count("analysis") == half.tiers["UPSTREAM"]
        assert asked.count("reply") == half.plans - half.plan_hits
    assert second.tiers["STUDENT"] > 0 and second.hits > first.hits
    assert first.wrong_hits + second.wrong_hits == 0


async def test_a_student_whose_world_changes_is_stopped_and_leaves_the_rest_to_claude():
    found = await in_folds(dialogues(360), None, seed=1, folds=2, settle=220)
    assert found.alone.turns == found.service.turns == 720
    assert found.alone.wrong_hits == 0 and found.alone.hits > 0.8 * 720
    assert found.renamed.stopped == 2 and found.renamed.quiet_after == found.renamed.turns_after
    assert max(found.renamed.wrong) <= 20
