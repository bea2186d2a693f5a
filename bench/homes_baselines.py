"""What other caches do with the same turns: nothing, the exact text, the nearest text. Both calls of a turn hit together."""

from collections.abc import Sequence
from typing import Final

import numpy as np

from bench.homes import Dialogue, Turn
from bench.homes_cost import Asked
from bench.homes_service import Tally
from services.cache.student_model import Encode

THRESHOLDS: Final = (0.60, 0.90, 0.92, 0.95)
"""Cosines: GPTCache's default, RedisVL's, EnterpriseHub's, Portkey's."""

Day = Sequence[tuple[float, Dialogue, Turn]]


def no_cache(day: Day) -> list[Tally]:
    """Ask Claude twice a turn; by halves of the day."""
    return _run(day, [None] * len(day))


def exact(day: Day) -> list[Tally]:
    """Answer a text with what the first one like it, letter for letter, was answered."""
    first: dict[str, int] = {}
    return _run(
        day, [None if first.setdefault(turn.text, n) == n else first[turn.text] for n, (_, _, turn) in enumerate(day)]
    )


def nearest(day: Day, encode: Encode, threshold: float) -> list[Tally]:
    """Answer a text with what the nearest text that Claude answered was answered, if it is near enough."""
    vectors = encode([turn.text for _, _, turn in day])
    kept = np.empty_like(vectors)
    numbers: list[int] = []
    found: list[int | None] = []
    for n, vector in enumerate(vectors):
        near = kept[: len(numbers)] @ vector
        best = int(near.argmax()) if numbers else -1
        if best >= 0 and near[best] >= threshold:
            found.append(numbers[best])
        else:
            kept[len(numbers)] = vector
            numbers.append(n)
            found.append(None)
    return _run(day, found)


def _run(day: Day, served: Sequence[int | None]) -> list[Tally]:
    halves = [Tally(), Tally()]
    for n, ((at, _, turn), source) in enumerate(zip(day, served, strict=True)):
        tally = halves[2 * n >= len(day)]
        tally.turns += 1
        tally.plans += bool(turn.plan)
        tier = "UPSTREAM" if source is None else "L1"
        tally.tiers[tier] += 1
        if source is None:
            tally.calls += [Asked(at, "analysis"), *([Asked(at, "reply")] if turn.plan else [])]
            continue
        answered = day[source][2]
        tally.wrong[tier] += answered.label != turn.label
        if turn.plan:
            tally.plan_hits += 1
            tally.plans_differ += answered.plan != turn.plan
    return halves
