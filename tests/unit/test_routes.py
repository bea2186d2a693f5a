"""The policy's data is checked before it decides anything."""

from datetime import timedelta

import pytest

from services.handoff.routes import BadPolicy, Policy, TargetLimits, read_policy, write_policy
from services.handoff.values import Rule

GOOD: dict[str, object] = {
    "routes": {"lead>buyer": 0.7, "buyer>lead": 1},
    "cycle_window_minutes": 30,
    "hourly_limit": 3,
    "daily_limit": 10,
    "intent_bots": {"buy": "buyer"},
}


def test_good_policy_is_read_as_it_is_written() -> None:
    policy = read_policy(3, GOOD)
    assert policy.version == 3
    assert policy.threshold("lead", "buyer") == 0.7
    assert policy.threshold("buyer", "lead") == 1.0
    assert policy.cycle_window == timedelta(minutes=30)
    assert (policy.hourly_limit, policy.daily_limit) == (3, 10)
    assert policy.intent_bots == {"buy": "buyer"}
    assert policy.private_facts == {}


def test_route_that_is_not_listed_has_no_threshold() -> None:
    assert read_policy(1, GOOD).threshold("lead", "seller") is None


def test_targets_of_a_bot_are_those_of_its_routes() -> None:
    routes = {"lead>seller": 0.7, "lead>buyer": 0.7, "buyer>lead": 0.7}
    policy = read_policy(1, {**GOOD, "routes": routes})
    assert policy.targets("lead") == ("buyer", "seller")
    assert policy.targets("seller") == ()


def test_private_fact_names_the_only_bot_that_may_see_it() -> None:
    assert read_policy(1, {**GOOD, "private_facts": {"budget": "buyer"}}).private_facts == {"budget": "buyer"}


def test_longest_cycle_window_is_a_day() -> None:
    assert read_policy(1, {**GOOD, "cycle_window_minutes": 1440}).cycle_window == timedelta(days=1)


BOUND = "above 0 and at most 1"
VERSIONS = "a bot of a route, and 1 to 10 versions from 1 to 1000"
SHADOW = "a list of CONSENT, CYCLE, EVIDENCE, HEALTH, QUOTA, ROUTE"
SEEN: dict[str, object] = {"error_share": 1, "p95_ms": 60_000, "least_samples": 100, "cool_down_seconds": 60}


def test_everything_that_is_left_out_has_its_default() -> None:
    policy = read_policy(1, GOOD)
    assert policy.human_sla == timedelta(minutes=15)
    assert policy.target_limits == TargetLimits(
        error_share=0.1, p95_ms=800, least_samples=10, cool_down=timedelta(seconds=15)
    )
    assert (policy.capsule_versions, policy.shadow_rules) == ({}, frozenset())


def test_every_key_is_read_up_to_its_bound() -> None:
    most = {
        "cycle_window_minutes": 1440,
        "hourly_limit": 1000,
        "daily_limit": 1000,
        "human_sla_minutes": 10_080,
        "target_limits": SEEN,
        "capsule_versions": {"lead": [1, 1000], "buyer": (1,) * 10},
        "shadow_rules": ["QUOTA", "CYCLE"],
    }
    policy = read_policy(7, {**GOOD, **most})
    assert policy == Policy(
        version=7,
        routes={("lead", "buyer"): 0.7, ("buyer", "lead"): 1.0},
        cycle_window=timedelta(days=1),
        hourly_limit=1000,
        daily_limit=1000,
        intent_bots={"buy": "buyer"},
        private_facts={},
        human_sla=timedelta(days=7),
        target_limits=TargetLimits(error_share=1.0, p95_ms=60_000, least_samples=100, cool_down=timedelta(seconds=60)),
        capsule_versions={"lead": (1, 1000), "buyer": (1,) * 10},
        shadow_rules=frozenset({Rule.QUOTA, Rule.CYCLE}),
    )


def test_every_number_may_be_one() -> None:
    least = dict.fromkeys(("cycle_window_minutes", "hourly_limit", "daily_limit", "human_sla_minutes"), 1)
    limits = dict.fromkeys(("p95_ms", "least_samples", "cool_down_seconds"), 1)
    written = write_policy(read_policy(1, {**GOOD, **least, "target_limits": limits}))
    assert {key: written[key] for key in least} == least
    assert written["target_limits"] == {**limits, "error_share": 0.1}


def test_two_hundred_routes_are_allowed() -> None:
    assert len(read_policy(1, {**GOOD, "routes": {f"a{n}>b": 1e-9 for n in range(199)} | {"b>buyer": 1}}).routes) == 200


def test_limits_of_targets_may_be_given_one_by_one() -> None:
    for key, value in SEEN.items():
        limits = write_policy(read_policy(1, {**GOOD, "target_limits": {key: value}}))["target_limits"]
        default = {"error_share": 0.1, "p95_ms": 800, "least_samples": 10, "cool_down_seconds": 15}
        assert limits == {**default, key: value}


def test_policy_is_written_with_every_default_and_read_again_as_it_was() -> None:
    given = {
        **GOOD,
        "private_facts": {"budget": "buyer"},
        "capsule_versions": {"lead": [2]},
        "shadow_rules": ["QUOTA", "CYCLE"],
    }
    written = write_policy(read_policy(1, given))
    assert written == {
        "routes": {"lead>buyer": 0.7, "buyer>lead": 1.0},
        "cycle_window_minutes": 30,
        "hourly_limit": 3,
        "daily_limit": 10,
        "intent_bots": {"buy": "buyer"},
        "private_facts": {"budget": "buyer"},
        "human_sla_minutes": 15,
        "target_limits": {"error_share": 0.1, "p95_ms": 800, "least_samples": 10, "cool_down_seconds": 15},
        "capsule_versions": {"lead": [2]},
        "shadow_rules": ["CYCLE", "QUOTA"],
    }
    assert read_policy(1, written) == read_policy(1, given)


@pytest.mark.parametrize(
    ("changed", "text", "field", "limit"),
    [
        (
            {"routes": value},
            "routes is no object with at least one route: 1 to 200 routes",
            "routes",
            "1 to 200 routes",
        )
        for value in (None, {}, ["lead>buyer"], {f"a{n}>b": 0.5 for n in range(201)})
    ]
    + [
        ({"routes": {name: 0.7}}, f"routes: {name} is not of the form source>target", f"routes.{name}", "source>target")
        for name in ("leadbuyer", "lead>", ">lead", ">", "lead>lead", "lead>buyer>seller")
    ]
    + [
        ({"routes": {name: 0.7}}, f"routes: {name} names no bot", f"routes.{name}", "bots only")
        for name in ("human>lead", "lead>human", "operator>lead", "lead>console", "gateway>lead")
    ]
    + [
        (
            {"routes": {"lead>buyer": value}},
            "routes: the threshold of lead>buyer is not above 0 and at most 1",
            "routes.lead>buyer",
            BOUND,
        )
        for value in (0.0, 1.01, float("nan"), float("inf"), True, "0.7", None)
    ]
    + [
        (
            {key: value},
            f"{key} is no whole number from 1 to {most}",
            key,
            f"1 to {most}",
        )
        for key, most in (
            ("cycle_window_minutes", 1440),
            ("hourly_limit", 1000),
            ("daily_limit", 1000),
            ("human_sla_minutes", 10_080),
        )
        for value in (0, most + 1, 1.5, True, None, "3")
    ]
    + [
        (
            {"target_limits": {key: value}},
            f"target_limits.{key} is no whole number from 1 to {most}",
            f"target_limits.{key}",
            f"1 to {most}",
        )
        for key, most in (("p95_ms", 60_000), ("least_samples", 100), ("cool_down_seconds", 60))
        for value in (0, most + 1, True)
    ]
    + [
        (
            {"target_limits": {"error_share": value}},
            "target_limits.error_share is not above 0 and at most 1",
            "target_limits.error_share",
            BOUND,
        )
        for value in (0, 1.1, "1")
    ]
    + [
        ({"target_limits": []}, "target_limits is no object", "target_limits", "an object"),
        (
            {"target_limits": {"b": 1, "a": 1}},
            "unknown keys: target_limits.a, target_limits.b",
            "target_limits.a, target_limits.b",
            "the keys of the contract",
        ),
        ({"capsule_versions": 1}, "capsule_versions is no object", "capsule_versions", "an object"),
    ]
    + [
        (
            {"capsule_versions": {bot: versions}},
            f"capsule_versions: {bot} is not {VERSIONS}",
            f"capsule_versions.{bot}",
            VERSIONS,
        )
        for bot, versions in (
            ("seller", [1]),
            ("lead", []),
            ("lead", [1] * 11),
            ("lead", [0]),
            ("lead", [1001]),
            ("lead", [1, True]),
            ("lead", [1.0]),
            ("lead", 1),
        )
    ]
    + [
        ({"shadow_rules": value}, f"shadow_rules is not {SHADOW}", "shadow_rules", SHADOW)
        for value in ("CYCLE", ["cycle"], ["IDENTITY"], ["CYCLE", "OWNERSHIP"], [1], None)
    ]
    + [
        ({key: value}, f"{key} is no object of name to bot", key, "name to bot")
        for key in ("intent_bots", "private_facts")
        for value in (["buy"], {"": "buyer"}, {1: "buyer"}, None)
    ]
    + [
        (
            {key: {"a": "seller", "b": "renter", "c": "lead"}},
            f"{key} names bots that no route has: renter, seller",
            key,
            "bots of the routes",
        )
        for key in ("intent_bots", "private_facts")
    ]
    + [
        ({"x": 1, "hourly_limits": 3}, "unknown keys: hourly_limits, x", "hourly_limits, x", "the keys of the contract")
    ],
)
def test_policy_with_a_mistake_is_refused_and_the_mistake_named(
    changed: dict[str, object], text: str, field: str, limit: str
) -> None:
    with pytest.raises(BadPolicy) as refused:
        read_policy(1, {**GOOD, **changed})
    assert (str(refused.value), refused.value.field, refused.value.limit) == (text, field, limit)


def test_policy_that_is_no_object_is_refused() -> None:
    bodies: tuple[object, ...] = (None, [], "routes", 1)
    for body in bodies:
        with pytest.raises(BadPolicy) as refused:
            read_policy(1, body)
        assert (str(refused.value), refused.value.field, refused.value.limit) == (
            "the policy is no object",
            "rules",
            "an object",
        )


@pytest.mark.parametrize("key", ["cycle_window_minutes", "hourly_limit", "daily_limit"])
def test_key_without_a_default_must_be_there(key: str) -> None:
    with pytest.raises(BadPolicy, match=f"^{key} is no whole number"):
        read_policy(1, {name: value for name, value in GOOD.items() if name != key})
