"""Remember how targets answered lately, for the health rule.

Each arbiter goes by what it saw itself: a look at the other replicas would be a look
at the database more for every decision. What it saw is stored with the decision.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from services.handoff.values import TargetSeen

WINDOW_SECONDS: Final = 60.0
MOST_SAMPLES: Final = 100


@dataclass(frozen=True, kw_only=True)
class _Call:
    time: float
    ok: bool
    ms: int


@dataclass(kw_only=True)
class _Target:
    calls: deque[_Call] = field(default_factory=lambda: deque(maxlen=MOST_SAMPLES))
    asked: float = 0.0
    probed: bool = False


class Observed:
    """The calls of OfferHandoff of this process, per target, over the last minute.

    Args:
        clock: Seconds that only go forward.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._targets: dict[str, _Target] = {}

    def saw(self, bot: str, *, ok: bool, seconds: float) -> None:
        """Note how a call ended. One that went well after a sickness makes all before it forgotten."""
        target = self._targets.setdefault(bot, _Target())
        if target.probed and ok:
            target.calls.clear()
        target.probed = False
        target.asked = self._clock()
        target.calls.append(_Call(time=target.asked, ok=ok, ms=round(seconds * 1000)))

    def probe(self, bot: str) -> None:
        """Note that a request is on its way to a target that was sick."""
        target = self._targets.setdefault(bot, _Target())
        target.probed = True
        target.asked = self._clock()

    def of(self, bot: str, *, answers: bool | None) -> TargetSeen:
        """Return what is known of a target."""
        target = self._targets.get(bot)
        if target is None:
            return TargetSeen(answers=answers)
        now = self._clock()
        while target.calls and now - target.calls[0].time > WINDOW_SECONDS:
            target.calls.popleft()
        times = sorted(call.ms for call in target.calls)
        return TargetSeen(
            answers=answers,
            samples=len(times),
            errors=sum(not call.ok for call in target.calls),
            p95_ms=times[(95 * len(times) + 99) // 100 - 1] if times else 0,
            quiet_seconds=round(now - target.asked, 3),
        )
