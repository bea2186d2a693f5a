"""The one place where Python asks what time it is."""

from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], datetime]
"""Returns the present as a timezone-aware time in UTC."""


def utc_now() -> datetime:
    """Return the present in UTC."""
    return datetime.now(UTC)
