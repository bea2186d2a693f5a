"""How much a model takes in a minute: requests, input tokens, output tokens. Pure.

The vendor fills a bucket; here every window of 60 seconds is held to the limit, which is stricter, so what passes here
passes there.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

WINDOW_SECONDS = 60.0
NAMES = ("requests", "input-tokens", "output-tokens")
Three = tuple[int, int, int]


def from_setting(text: str) -> dict[str, Three]:
    """Read limits from one setting: `model=requests/input/output`, with commas between; 0 for none.

    >>> from_setting("claude-haiku-5-5=50/50000/10000")
    {'claude-haiku-5-5': (50, 50000, 10000)}
    """
    found = {}
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        model, _, numbers = part.partition("=")
        requests, read, written = (int(number) for number in numbers.split("/"))
        found[model] = (requests, read, written)
    return found


@dataclass
class _Window:
    uses: deque[tuple[float, Three]] = field(default_factory=deque)
    sums: list[int] = field(default_factory=lambda: [0, 0, 0])
    most: list[int] = field(default_factory=lambda: [0, 0, 0])
    refused: int = 0


class Limits:
    """Counts what each model took in the last 60 seconds and refuses what is above its limit."""

    def __init__(self, limits: Mapping[str, Three]) -> None:
        self.of_model = dict(limits)
        self._windows: dict[str, _Window] = {}

    def take(self, model: str, *, input_tokens: int, output_tokens: int, now: float) -> str:
        """Count a request, or say which limit it would go over; "" when it may go on.

        Args:
            model: Its id.
            input_tokens: What it reads, without what comes out of the prompt cache.
            output_tokens: What it writes.
            now: Seconds on a clock that never goes back.
        """
        window = self._window(model, now)
        wanted = (1, input_tokens, output_tokens)
        for name, limit, used, more in zip(NAMES, self._limit(model), window.sums, wanted, strict=True):
            if limit and used + more > limit:
                window.refused += 1
                return name
        window.uses.append((now, wanted))
        for place, more in enumerate(wanted):
            window.sums[place] += more
            window.most[place] = max(window.most[place], window.sums[place])
        return ""

    def retry_after(self, model: str, now: float) -> int:
        """Return the whole seconds after which something of the window is free again, at least 1."""
        uses = self._window(model, now).uses
        return max(1, round(uses[0][0] + WINDOW_SECONDS - now)) if uses else 1

    def headers(self, model: str, now: float) -> dict[str, str]:
        """Return the limits and what is left of them, under the vendor's names."""
        sums, limits = self._window(model, now).sums, self._limit(model)
        made = {}
        for name, limit, used in zip(NAMES, limits, sums, strict=True):
            if limit:
                made[f"anthropic-ratelimit-{name}-limit"] = str(limit)
                made[f"anthropic-ratelimit-{name}-remaining"] = str(max(0, limit - used))
        return made

    def seen(self) -> dict[str, dict[str, object]]:
        """Return the most that any window held, and how many were refused, by model."""
        return {model: {"most": window.most, "refused": window.refused} for model, window in self._windows.items()}

    def _limit(self, model: str) -> Three:
        return self.of_model.get(model) or self.of_model.get("*") or (0, 0, 0)

    def _window(self, model: str, now: float) -> _Window:
        window = self._windows.setdefault(model, _Window())
        while window.uses and window.uses[0][0] <= now - WINDOW_SECONDS:
            _, gone = window.uses.popleft()
            for place, less in enumerate(gone):
                window.sums[place] -= less
        return window
