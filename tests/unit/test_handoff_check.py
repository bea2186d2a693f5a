"""The judge of the load finds each kind of wrong, planted alone among what is right."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.support.handoff_check import check

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
RULES = {
    "routes": {"lead>buyer": 0.7, "buyer>seller": 0.8, "seller>lead": 0.7, "buyer>lead": 0.7},
    "cycle_window_minutes": 30, "hourly_limit": 3, "daily_limit": 10,
}  # fmt: skip
POLICIES = [
    {"version": 1, "body": RULES, "create_time": NOON - timedelta(days=1)},
    {"version": 2, "body": {**RULES, "hourly_limit": 2, "cycle_window_minutes": 40}, "create_time": NOON + timedelta(days=1)},
]  # fmt: skip


def a_row(epoch: int, route: str, minute: float, **other: Any) -> dict[str, Any]:
    source, target = route.split(">")
    given = {
        "handoff_id": f"h_{epoch}", "tenant_id": "loc_1", "contact_id": "c_81", "request_id": f"r_{epoch}", "kind": "HANDOFF",
        "source_bot": source, "target_bot": target, "state": "COMPLETED", "decide_time": NOON + timedelta(minutes=minute),
        "source_epoch": epoch - 1, "epoch": epoch, "confidence": 0.9, "override_message_id": None, "verdicts": [],
        "policy_version": 1,
    }  # fmt: skip
    return {**given, **other}


def a_change(epoch: int, owner: str) -> dict[str, Any]:
    return {"tenant_id": "loc_1", "contact_id": "c_81", "epoch": epoch, "owner": owner}


def a_verdict(rule: str, limit: str) -> dict[str, Any]:
    return {"rule": rule, "limit": limit, "outcome": "PASS", "detail": ""}


GOOD = [a_row(2, "lead>buyer", 0), a_row(3, "buyer>seller", 5), a_row(4, "seller>lead", 31)]
CHANGES = [a_change(2, "buyer"), a_change(3, "seller"), a_change(4, "lead")]


def problems(handoffs: list[dict[str, Any]], changes: list[dict[str, Any]]) -> list[str]:
    return check(handoffs, changes, POLICIES).problems


def with_change(index: int, **other: Any) -> list[dict[str, Any]]:
    return [{**row, **other} if place == index else row for place, row in enumerate(GOOD)]


def test_what_is_right_is_found_right() -> None:
    assert problems(GOOD, CHANGES) == []


@pytest.mark.parametrize(
    ("handoffs", "changes", "named"),
    [
        ([*GOOD, a_row(5, "lead>buyer", 59.9)], [*CHANGES, a_change(5, "buyer")], "more than 3 handoffs in 1:00:00"),
        (with_change(2, decide_time=NOON + timedelta(minutes=29)), CHANGES, "h_4 goes back to lead"),
        (GOOD, [CHANGES[0], CHANGES[2]], "do not go up by one: [2, 4]"),
        (GOOD, [*CHANGES, a_change(4, "buyer")], "do not go up by one"),
        (GOOD, [CHANGES[0], a_change(3, "lead"), CHANGES[2]], "h_3 gave epoch 3 to seller, audit to lead"),
        (with_change(1, source_bot="seller", target_bot="lead"), CHANGES, "h_3 took from seller"),
        (with_change(1, source_epoch=1), CHANGES, "h_3 goes from epoch 1 to 3"),
        ([*GOOD, {**GOOD[1], "handoff_id": "h_9", "request_id": "r_9"}], CHANGES, "epoch 3 was given away 2 times"),
        (with_change(1, confidence=0.79), CHANGES, "h_3 was approved with 0.79"),
        (with_change(1, confidence=float("nan")), CHANGES, "h_3 was approved with nan"),
        (with_change(1, confidence=1.01), CHANGES, "h_3 was approved with 1.01"),
        (with_change(1, state="EXPIRED", target_bot="seller"), [*CHANGES[:2], a_change(4, "buyer")], "h_4 gave epoch 4 to lead"),
        (with_change(1, state="DECLINED"), CHANGES, "h_3 was DECLINED and lead has the contact, not buyer"),
        (with_change(1, request_id="r_2"), CHANGES, "request r_2 was decided 2 times"),
        (with_change(2, policy_version=2), CHANGES, "more than 2 handoffs in 1:00:00"),
        (with_change(2, policy_version=2), CHANGES, "h_4 goes back to lead within 0:40:00"),
        (with_change(2, verdicts=[a_verdict("CYCLE", "not within 40 minutes after lead handed over")]), CHANGES, "names policy 1 and asked for not within 40"),
        (with_change(2, verdicts=[a_verdict("QUOTA", "fewer than 2 in an hour, fewer than 10 in 24 hours")]), CHANGES, "names policy 1 and asked for fewer than 2"),
        (with_change(2, verdicts=[a_verdict("EVIDENCE", "0.8 to 1")]), CHANGES, "names policy 1 and asked for 0.8 to 1"),
        (with_change(2, decide_time=NOON + timedelta(days=1, seconds=1.1)), CHANGES, "h_4 was decided by policy 1, which ended"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_found_and_named(
    handoffs: list[dict[str, Any]], changes: list[dict[str, Any]], named: str
) -> None:
    assert any(named in problem for problem in problems(handoffs, changes)), problems(handoffs, changes)


def test_eleven_in_a_day_are_found_though_no_hour_holds_four() -> None:
    rows = [a_row(2 + number, "lead>buyer", 140 * number) for number in range(11)]
    found = check(rows, [], POLICIES).problems
    assert [problem for problem in found if "more than" in problem] == [
        f"c_81: more than 10 handoffs in 1 day, 0:00:00 from {NOON}"
    ]


def test_way_back_that_the_persons_words_asked_for_is_right() -> None:
    assert problems(with_change(2, decide_time=NOON + timedelta(minutes=29), override_message_id="m_1"), CHANGES) == []


def test_denials_are_counted_by_the_only_rule_that_failed() -> None:
    def denied(*rules: str, detail: str = "") -> Mapping[str, Any]:
        verdicts = [a_verdict("ROUTE", "")]
        verdicts += [{**a_verdict(rule, ""), "outcome": "FAIL", "detail": detail} for rule in rules]
        return a_row(2, "lead>buyer", 0, state="DENIED", verdicts=verdicts, request_id=str((rules, detail)))

    rows = [
        denied("CYCLE"),
        denied("CYCLE", "QUOTA"),
        denied("QUOTA", detail="The contact was moved 3 times in the last hour; 3 are allowed."),
        denied("QUOTA", detail="The contact was moved 10 times in the last 24 hours; 10 are allowed."),
    ]
    assert check(rows, [], POLICIES).alone == {"CYCLE": 1, "QUOTA 1 h": 1, "QUOTA 24 h": 1}
