"""Which request of a stand-in goes wrong, and how. Pure: randomness comes from a seed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from random import Random


@dataclass(kw_only=True)
class Fault:
    """One way to go wrong.

    `left` counts requests that are certain to fail; `probability` in [0, 1] is for all others. `value` is in
    seconds and means what the kind says: a wait, or the `retry-after` of an answer.
    """

    kind: str
    probability: float = 0.0
    left: int = 0
    value: float = 0.0


class Faults:
    """Draws faults in the order in which they were planned; the same seed draws the same ones.

    >>> faults = Faults(frozenset({"overloaded"}), seed=1)
    >>> faults.plan([Fault(kind="overloaded", left=1)])
    >>> [fault and fault.kind for fault in (faults.draw(), faults.draw())]
    ['overloaded', None]
    """

    def __init__(self, kinds: frozenset[str], *, seed: int) -> None:
        self.kinds = kinds
        self.reset(seed=seed)

    def reset(self, *, seed: int) -> None:
        """Forget every plan and start the random numbers anew."""
        self._random = Random(seed)  # noqa: S311 - faults are to be repeatable, not secret
        self._plans: list[Fault] = []

    def plan(self, faults: Iterable[Fault]) -> None:
        """Add faults.

        Raises:
            ValueError: A kind is unknown, or a number is out of range.
        """
        checked = list(faults)
        for fault in checked:
            if fault.kind not in self.kinds:
                raise ValueError(f"unknown fault {fault.kind!r}; known: {', '.join(sorted(self.kinds))}")
            if not 0.0 <= fault.probability <= 1.0 or fault.left < 0 or not 0.0 <= fault.value <= 3600.0:
                raise ValueError(f"fault {fault.kind!r} has a number out of range")
        self._plans.extend(checked)

    def draw(self, among: frozenset[str] | None = None) -> Fault | None:
        """Say what goes wrong with this request; None when nothing does.

        Args:
            among: Only these kinds, where one stand-in has faults at several places.
        """
        plans = [plan for plan in self._plans if among is None or plan.kind in among]
        for plan in plans:
            if plan.left > 0:
                plan.left -= 1
                return plan
        for plan in plans:
            if plan.probability > 0.0 and self._random.random() < plan.probability:
                return plan
        return None

    def gauss(self, sigma: float) -> float:
        """Draw a normal number with mean 0, for latencies."""
        return self._random.gauss(0.0, sigma)


def from_setting(text: str) -> list[Fault]:
    """Read faults from one setting: `kind:probability[:value]` or `kind*count[:value]`, with commas between.

    >>> from_setting("overloaded:0.1, rate_limited*3:1.5")[1]
    Fault(kind='rate_limited', probability=0.0, left=3, value=1.5)
    """
    found = []
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        head, *rest = part.split(":")
        kind, star, count = head.partition("*")
        probability = 0.0 if star else float(rest.pop(0))
        value = float(rest[0]) if rest else 0.0
        found.append(Fault(kind=kind, probability=probability, left=int(count) if star else 0, value=value))
    return found


def from_json(items: Iterable[Mapping[str, object]]) -> list[Fault]:
    """Read faults from the body of a control request: objects with kind, probability, next, value.

    Raises:
        ValueError: A field is unknown or not a number.
    """
    found = []
    for item in items:
        unknown = set(item) - {"kind", "probability", "next", "value"}
        if unknown:
            raise ValueError(f"unknown field {sorted(unknown)[0]!r} in a fault")
        numbers = {name: item.get(name, 0) for name in ("probability", "next", "value")}
        if any(isinstance(number, bool) or not isinstance(number, int | float) for number in numbers.values()):
            raise ValueError("probability, next and value are numbers")
        found.append(
            Fault(
                kind=str(item.get("kind", "")),
                probability=float(str(numbers["probability"])),
                left=int(str(numbers["next"])),
                value=float(str(numbers["value"])),
            )
        )
    return found
