"""The policy's data is checked before it decides anything."""

from datetime import timedelta

import pytest

from services.handoff.routes import BadPolicy, read_policy

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


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"routes": None}, "routes is"),
        ({"routes": {}}, "routes is"),
        ({"routes": ["lead>buyer"]}, "routes is"),
        ({"routes": {"leadbuyer": 0.7}}, "leadbuyer is not"),
        ({"routes": {"lead>": 0.7}}, "lead> is not"),
        ({"routes": {">lead": 0.7}}, ">lead is not"),
        ({"routes": {"lead>lead": 0.7}}, "lead>lead is not"),
        ({"routes": {"lead>buyer>seller": 0.7}}, "lead>buyer>seller is not"),
        ({"routes": {"lead>buyer": 0.0}}, "threshold of lead>buyer"),
        ({"routes": {"lead>buyer": 1.01}}, "threshold of lead>buyer"),
        ({"routes": {"lead>buyer": float("nan")}}, "threshold of lead>buyer"),
        ({"routes": {"lead>buyer": True}}, "threshold of lead>buyer"),
        ({"routes": {"lead>buyer": "0.7"}}, "threshold of lead>buyer"),
        ({"cycle_window_minutes": 0}, "cycle_window_minutes is no whole number from 1 to 1440"),
        ({"cycle_window_minutes": 1441}, "cycle_window_minutes is"),
        ({"cycle_window_minutes": 1.5}, "cycle_window_minutes is"),
        ({"hourly_limit": None}, "hourly_limit is no whole number from 1 to 1000"),
        ({"hourly_limit": 0}, "hourly_limit is"),
        ({"hourly_limit": 1001}, "hourly_limit is"),
        ({"daily_limit": True}, "daily_limit is"),
        ({"intent_bots": ["buy"]}, "intent_bots is no object"),
        ({"intent_bots": {"": "buyer"}}, "intent_bots is no object"),
        ({"intent_bots": {"sell": "seller"}}, "intent_bots names bots that no route has: seller"),
        ({"private_facts": {"floor": "seller"}}, "private_facts names bots that no route has: seller"),
        ({"hourly_limits": 3}, "unknown keys: hourly_limits"),
    ],
)
def test_policy_with_a_mistake_is_refused_and_the_mistake_named(changed: dict[str, object], named: str) -> None:
    with pytest.raises(BadPolicy) as refused:
        read_policy(1, {**GOOD, **changed})
    assert named in str(refused.value)


def test_policy_that_is_no_object_is_refused() -> None:
    bodies: tuple[object, ...] = (None, [], "routes", 1)
    for body in bodies:
        with pytest.raises(BadPolicy, match="no object"):
            read_policy(1, body)
