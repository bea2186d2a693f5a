"""The policy's data: routes with thresholds, windows, limits. Pure.

It is stored as JSON with a version and read once per version. A key that is missing
has the default that stands beside it here, so that older versions stay readable.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from types import MappingProxyType
from typing import Final, TypeAlias, TypeGuard

from services.handoff.values import CONSOLE, GATEWAY, HUMAN, OPERATOR, Rule

Route: TypeAlias = tuple[str, str]
"""Source and target."""

NEVER_SHADOW: Final = frozenset({Rule.IDENTITY, Rule.OWNERSHIP})
"""Without these two a contact would have two owners, or a stranger for one."""

_LONGEST_WINDOW_MINUTES = 24 * 60
_LONGEST_SLA_MINUTES = 7 * 24 * 60
_MOST_PER_WINDOW = 1000
_MOST_ROUTES = 200
_NO_BOTS = frozenset({HUMAN, OPERATOR, CONSOLE, GATEWAY})
_KEYS = frozenset(
    {
        "routes",
        "cycle_window_minutes",
        "hourly_limit",
        "daily_limit",
        "intent_bots",
        "private_facts",
        "human_sla_minutes",
        "target_limits",
        "capsule_versions",
        "shadow_rules",
    }
)


class BadPolicy(ValueError):
    """A policy's body is not what it must be.

    Args:
        text: One sentence that names the key.
        field: The key, and its entry where that is to blame.
        limit: What is allowed there.
    """

    def __init__(self, text: str, *, field: str, limit: str) -> None:
        super().__init__(text)
        self.field = field
        self.limit = limit


@dataclass(frozen=True, kw_only=True)
class TargetLimits:
    """From when on a target is too sick to be given more, and for how long.

    Fewer observations than `least_samples` say nothing. After `cool_down` without any,
    one request is let through to see.
    """

    error_share: float = 0.1
    p95_ms: int = 800
    least_samples: int = 10
    cool_down: timedelta = timedelta(seconds=15)


@dataclass(frozen=True, kw_only=True)
class Policy:
    """One version of the policy.

    `routes` maps (source, target) to the least confidence, in (0.0, 1.0].
    `intent_bots` maps what a person wants to the bot that serves it.
    `private_facts` maps a fact's name to the only bot that may see it.
    `human_sla` is how soon a person of the brokerage should write after an escalation.
    `capsule_versions` maps a bot to the versions it reads; who is not named reads 1.
    `shadow_rules` are evaluated and stored, and block nothing.
    """

    version: int
    routes: Mapping[Route, float]
    cycle_window: timedelta
    hourly_limit: int
    daily_limit: int
    intent_bots: Mapping[str, str]
    private_facts: Mapping[str, str]
    human_sla: timedelta = timedelta(minutes=15)
    target_limits: TargetLimits = TargetLimits()
    capsule_versions: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    shadow_rules: frozenset[Rule] = frozenset()

    def threshold(self, source_bot: str, target_bot: str) -> float | None:
        """Return the least confidence of a route, or None when there is no such route."""
        return self.routes.get((source_bot, target_bot))

    def targets(self, source_bot: str) -> tuple[str, ...]:
        """Return where a bot may hand over to, in order of the alphabet."""
        return tuple(sorted(target for source, target in self.routes if source == source_bot))

    @property
    def bots(self) -> tuple[str, ...]:
        """All bots that a route names, in order of the alphabet."""
        return tuple(sorted({bot for route in self.routes for bot in route}))


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
        raise BadPolicy("the policy is no object", field="rules", limit="an object")
    unknown = sorted(set(body) - _KEYS)
    if unknown:
        names = ", ".join(map(str, unknown))
        raise BadPolicy(f"unknown keys: {names}", field=names, limit="the keys of the contract")
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
        human_sla=timedelta(minutes=_whole(body, "human_sla_minutes", most=_LONGEST_SLA_MINUTES, default=15)),
        target_limits=_read_limits(body.get("target_limits", {})),
        capsule_versions=MappingProxyType(_read_versions(body.get("capsule_versions", {}), bots)),
        shadow_rules=_read_rules(body.get("shadow_rules", [])),
    )


def write_policy(policy: Policy) -> dict[str, object]:
    """Return the body that `read_policy` reads, with every default written out."""
    limits = policy.target_limits
    return {
        "routes": {f"{source}>{target}": threshold for (source, target), threshold in policy.routes.items()},
        "cycle_window_minutes": policy.cycle_window // timedelta(minutes=1),
        "hourly_limit": policy.hourly_limit,
        "daily_limit": policy.daily_limit,
        "intent_bots": dict(policy.intent_bots),
        "private_facts": dict(policy.private_facts),
        "human_sla_minutes": policy.human_sla // timedelta(minutes=1),
        "target_limits": {
            "error_share": limits.error_share,
            "p95_ms": limits.p95_ms,
            "least_samples": limits.least_samples,
            "cool_down_seconds": limits.cool_down // timedelta(seconds=1),
        },
        "capsule_versions": {bot: list(versions) for bot, versions in policy.capsule_versions.items()},
        "shadow_rules": sorted(rule.value for rule in policy.shadow_rules),
    }


def _read_routes(value: object) -> dict[Route, float]:
    if not isinstance(value, Mapping) or not 1 <= len(value) <= _MOST_ROUTES:
        limit = f"1 to {_MOST_ROUTES} routes"
        raise BadPolicy(f"routes is no object with at least one route: {limit}", field="routes", limit=limit)
    routes: dict[Route, float] = {}
    for name, threshold in value.items():
        source, found, target = str(name).partition(">")
        if not (found and source and target) or source == target or ">" in target:
            raise BadPolicy(
                f"routes: {name} is not of the form source>target", field=f"routes.{name}", limit="source>target"
            )
        if {source, target} & _NO_BOTS:
            raise BadPolicy(f"routes: {name} names no bot", field=f"routes.{name}", limit="bots only")
        routes[(source, target)] = _share(f"routes.{name}", threshold, f"routes: the threshold of {name}")
    return routes


def _read_limits(value: object) -> TargetLimits:
    if not isinstance(value, Mapping):
        raise BadPolicy("target_limits is no object", field="target_limits", limit="an object")
    default = TargetLimits()
    known = {"error_share", "p95_ms", "least_samples", "cool_down_seconds"}
    if unknown := sorted(set(value) - known):
        names = ", ".join(f"target_limits.{name}" for name in unknown)
        raise BadPolicy(f"unknown keys: {names}", field=names, limit="the keys of the contract")

    def whole(key: str, *, most: int, default: int) -> int:
        return _whole(value, key, most=most, default=default, within="target_limits.")

    share = value.get("error_share", default.error_share)
    cool_down = default.cool_down // timedelta(seconds=1)
    return TargetLimits(
        error_share=_share("target_limits.error_share", share, "target_limits.error_share"),
        p95_ms=whole("p95_ms", most=60_000, default=default.p95_ms),
        least_samples=whole("least_samples", most=100, default=default.least_samples),
        cool_down=timedelta(seconds=whole("cool_down_seconds", most=60, default=cool_down)),
    )


def _read_versions(value: object, bots: set[str]) -> dict[str, tuple[int, ...]]:
    if not isinstance(value, Mapping):
        raise BadPolicy("capsule_versions is no object", field="capsule_versions", limit="an object")
    for bot, versions in value.items():
        good = isinstance(versions, list | tuple) and 1 <= len(versions) <= 10
        if bot not in bots or not good or not all(_is_whole(each) and 1 <= each <= 1000 for each in versions):
            limit = "a bot of a route, and 1 to 10 versions from 1 to 1000"
            raise BadPolicy(f"capsule_versions: {bot} is not {limit}", field=f"capsule_versions.{bot}", limit=limit)
    return {str(bot): tuple(versions) for bot, versions in value.items()}


def _read_rules(value: object) -> frozenset[Rule]:
    names = {rule.value for rule in Rule if rule not in NEVER_SHADOW}
    if not isinstance(value, list | tuple) or not all(isinstance(name, str) and name in names for name in value):
        limit = f"a list of {', '.join(sorted(names))}"
        raise BadPolicy(f"shadow_rules is not {limit}", field="shadow_rules", limit=limit)
    return frozenset(Rule(name) for name in value)


def _whole(body: Mapping[object, object], key: str, *, most: int, default: int | None = None, within: str = "") -> int:
    value = body.get(key, default)
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most:
        limit = f"1 to {most}"
        raise BadPolicy(f"{within}{key} is no whole number from {limit}", field=within + key, limit=limit)
    return value


def _share(field: str, value: object, name: str) -> float:
    if not _is_number(value) or not (math.isfinite(value) and 0.0 < value <= 1.0):
        limit = "above 0 and at most 1"
        raise BadPolicy(f"{name} is not {limit}", field=field, limit=limit)
    return float(value)


def _read_bots(body: Mapping[object, object], key: str, bots: set[str]) -> dict[str, str]:
    value = body.get(key, {})
    if not isinstance(value, Mapping) or not all(isinstance(name, str) and name for name in value):
        raise BadPolicy(f"{key} is no object of name to bot", field=key, limit="name to bot")
    strangers = sorted({str(bot) for bot in value.values()} - bots)
    if strangers:
        names = ", ".join(strangers)
        raise BadPolicy(f"{key} names bots that no route has: {names}", field=key, limit="bots of the routes")
    return {str(name): str(bot) for name, bot in value.items()}


def _is_number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
