"""The policy's data: routes with thresholds, windows, limits. Pure.

It is stored as JSON with a version and read once per version.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from types import MappingProxyType
from typing import TypeAlias

Route: TypeAlias = tuple[str, str]
"""Source and target."""

_LONGEST_WINDOW_MINUTES = 24 * 60
_MOST_PER_WINDOW = 1000
_KEYS = frozenset(
    {
        "routes",
        "cycle_window_minutes",
        "hourly_limit",
        "daily_limit",
        "intent_bots",
        "private_facts",
    }
)


class BadPolicy(ValueError):
    """A policy's body is not what it must be; the text names the key."""


@dataclass(frozen=True, kw_only=True)
class Policy:
    """One version of the policy.

    `routes` maps (source, target) to the least confidence, in (0.0, 1.0].
    `intent_bots` maps what a person wants to the bot that serves it.
    `private_facts` maps a fact's name to the only bot that may see it.
    """

    version: int
    routes: Mapping[Route, float]
    cycle_window: timedelta
    hourly_limit: int
    daily_limit: int
    intent_bots: Mapping[str, str]
    private_facts: Mapping[str, str]

    def threshold(self, source_bot: str, target_bot: str) -> float | None:
        """Return the least confidence of a route, or None when there is no such route."""
        return self.routes.get((source_bot, target_bot))

    def targets(self, source_bot: str) -> tuple[str, ...]:
        """Return where a bot may hand over to, in order of the alphabet."""
        return tuple(sorted(target for source, target in self.routes if source == source_bot))


def read_policy(version: int, body: object) -> Policy:
    """Check a policy's body and return the policy.

    Raises:
        BadPolicy: A key is missing, unknown, or holds what it may not hold.

    >>> body = {"routes": {"lead>buyer": 0.7}, "cycle_window_minutes": 30, "hourly_limit": 3,
    ...         "daily_limit": 10, "intent_bots": {"buy": "buyer"}}
    >>> read_policy(1, body).threshold("lead", "buyer")
    0.7
    """
    if not isinstance(body, Mapping):
        raise BadPolicy("the policy is no object")
    unknown = sorted(set(body) - _KEYS)
    if unknown:
        raise BadPolicy(f"unknown keys: {', '.join(map(str, unknown))}")
    routes = _read_routes(body.get("routes"))
    bots = {bot for route in routes for bot in route}
    return Policy(
        version=version,
        routes=MappingProxyType(routes),
        cycle_window=timedelta(minutes=_whole(body, "cycle_window_minutes", most=_LONGEST_WINDOW_MINUTES)),
        hourly_limit=_whole(body, "hourly_limit", most=_MOST_PER_WINDOW),
        daily_limit=_whole(body, "daily_limit", most=_MOST_PER_WINDOW),
        intent_bots=MappingProxyType(_read_bots(body, "intent_bots", bots)),
        private_facts=MappingProxyType(_read_bots(body, "private_facts", bots)),
    )


def _read_routes(value: object) -> dict[Route, float]:
    if not isinstance(value, Mapping) or not value:
        raise BadPolicy("routes is no object with at least one route")
    routes: dict[Route, float] = {}
    for name, threshold in value.items():
        source, found, target = str(name).partition(">")
        if not (found and source and target) or source == target or ">" in target:
            raise BadPolicy(f"routes: {name} is not of the form source>target")
        if not _is_number(threshold) or not (math.isfinite(threshold) and 0.0 < threshold <= 1.0):
            raise BadPolicy(f"routes: the threshold of {name} is not above 0 and at most 1")
        routes[(source, target)] = float(threshold)
    return routes


def _whole(body: Mapping[object, object], key: str, *, most: int) -> int:
    value = body.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most:
        raise BadPolicy(f"{key} is no whole number from 1 to {most}")
    return value


def _read_bots(body: Mapping[object, object], key: str, bots: set[str]) -> dict[str, str]:
    value = body.get(key, {})
    if not isinstance(value, Mapping) or not all(isinstance(name, str) and name for name in value):
        raise BadPolicy(f"{key} is no object of name to bot")
    strangers = sorted({str(bot) for bot in value.values()} - bots)
    if strangers:
        raise BadPolicy(f"{key} names bots that no route has: {', '.join(strangers)}")
    return {str(name): str(bot) for name, bot in value.items()}


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
