"""Whole dollars that add up exactly. Pure."""

import math
from collections.abc import Sequence
from typing import Final

MILLION: Final = 1_000_000


def whole(parts: Sequence[float], total: int) -> tuple[int, ...]:
    """Round parts to whole numbers that add up to `total` exactly.

    Each part is rounded down and what is missing goes one by one to the largest
    remainders, so no part is off by more than 1 when the parts add up to about `total`.

    >>> whole([33.3, 33.3, 33.4], 100)
    (33, 33, 34)
    """
    if not parts:
        return ()
    floors = [math.floor(part) for part in parts]
    order = sorted(range(len(parts)), key=lambda each: (floors[each] - parts[each], each))
    each_more, some_more = divmod(total - sum(floors), len(parts))
    lucky = set(order[:some_more])
    return tuple(floor + each_more + (place in lucky) for place, floor in enumerate(floors))


def per_million(weights: Sequence[float]) -> tuple[int, ...]:
    """Turn weights into millionths that add up to exactly one million."""
    total = math.fsum(weights)
    return whole([weight / total * MILLION for weight in weights], MILLION)


def weighted(prices: Sequence[int], weights_ppm: Sequence[int]) -> tuple[int, tuple[int, ...]]:
    """Return the weighted mean in whole dollars, and each price's share of it; the shares add up to it.

    Integer arithmetic: the mean is exact and rounded once, halves up.
    """
    products = [price * weight for price, weight in zip(prices, weights_ppm, strict=True)]
    value = (sum(products) + MILLION // 2) // MILLION
    return value, whole([product / MILLION for product in products], value)


def split(price: int, log_effects: Sequence[float]) -> tuple[int, tuple[int, ...]]:
    """Apply log effects to a price; return the new price and each effect in dollars, which add up to the change.

    Effects multiply, so none has a dollar amount of its own; each gets the logarithmic
    mean of both prices times its log, the one split that leaves nothing over and does
    not depend on the order.

    Source: logarithmic mean Divisia index, B. W. Ang, Energy Policy 32 (2004).
    """
    change = math.fsum(log_effects)
    after = max(1, round(price * math.exp(change)))
    mean = price * (math.expm1(change) / change if abs(change) > 1e-9 else 1.0)
    return after, whole([effect * mean for effect in log_effects], after - price)
