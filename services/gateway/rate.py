"""Keeps within the CRM's rate limit. Pure: the clock is an argument."""

from dataclasses import dataclass


@dataclass(kw_only=True)
class Bucket:
    """A token bucket for one location.

    The CRM allows 100 requests in 10 s per app and location; the rest is left to
    other replicas and to its own counting.

    Source: HighLevel's API documentation, rate limits.
    """

    size: float = 80.0
    period_seconds: float = 10.0
    tokens: float = 80.0
    time: float = 0.0
    """When `tokens` was right, on a monotonic clock in seconds."""

    def take(self, now: float, *, keep: float = 0.0) -> float:
        """Take one token; return how many seconds to wait before going on, 0.0 when there was one.

        Args:
            now: The present, on the clock of `time`.
            keep: Tokens that are left to others, of `size`.
        """
        per_second = self.size / self.period_seconds
        self.tokens = min(self.size, self.tokens + max(0.0, now - self.time) * per_second)
        self.time = max(self.time, now)
        self.tokens -= 1.0
        return max(0.0, (keep - self.tokens) / per_second)

    def give_back(self) -> None:
        """Return a token that was not used."""
        self.tokens += 1.0

    def learn(self, remaining: int) -> None:
        """Take the CRM's own word for how many requests are left in this period."""
        self.tokens = min(self.tokens, float(remaining))
