"""How wrong a share may really be when some of a sample were wrong, and where to draw the line. Pure."""

from collections.abc import Sequence
from typing import Final

SURE: Final = 0.95

LEAST: Final = 200
"""Fewer scored examples say nothing: nothing is served."""
FLOOR: Final = 0.9
"""From this score on the plain share decides; below, only what the bound certifies is served."""

NEVER: Final = 2.0
"""A score that none reaches."""


def at_most(wrong: float, of: float, *, sure: float = SURE) -> float:
    """Return the one-sided upper Clopper-Pearson bound of a share.

    Counts may be fractions: of weighted samples the effective ones are counted.

    >>> round(at_most(0, 299), 4), round(at_most(3, 1000), 4), at_most(0, 0)
    (0.01, 0.0077, 1.0)
    """
    from scipy.special import betaincinv

    return 1.0 if wrong >= of else float(betaincinv(wrong + 1, of - wrong, sure))


def at_least(wrong: float, of: float, *, sure: float = SURE) -> float:
    """Return the one-sided lower Clopper-Pearson bound of a share.

    >>> round(at_least(3, 60), 4), at_least(0, 60)
    (0.0138, 0.0)
    """
    from scipy.special import betaincinv

    return 0.0 if wrong <= 0 else float(betaincinv(wrong, of - wrong + 1, 1 - sure))


def threshold(scored: Sequence[tuple[float, bool, float]], *, target: float) -> float:
    """Return the least score from which on answers are wrong at most as often as `target`.

    Above a floor the plain share decides, below it the upper bound of the share. The
    bound alone would silence a student as it gets better: what it answers is seen only
    in the audits, and the few of them that stand for so many certify nothing. What the
    share gets wrong, audits find. Scores must come from a model that had not seen the
    examples.

    Args:
        scored: Score, whether it was right, and for how many requests it stands.
        target: The most that may be wrong, above 0 and below 1.

    Returns:
        A score; `NEVER` when none will do.
    """
    if len(scored) < LEAST:
        return NEVER
    best = NEVER
    total = wrong = squares = 0.0
    ranked = sorted(scored, key=lambda each: -each[0])
    for number, (score, right, weight) in enumerate(ranked):
        total, squares = total + weight, squares + weight * weight
        wrong += 0.0 if right else weight
        if number + 1 < len(ranked) and ranked[number + 1][0] == score:
            continue  # equal scores are served together or not at all
        if wrong / total > target:
            continue
        # Kish: so many equal weights would say as much.
        effective = total * total / squares
        # In fewer than the least that could show such a share, nothing wrong is no sign of anything.
        plain = score >= FLOOR and number + 1 >= 1 / target
        if plain or at_most(wrong / total * effective, effective) <= target:
            best = score
    return best
