"""Judge handoffs from what the database kept, without a line of the arbiter's own code.

The rows are those of the tables handoff and audit. Each check is written from the
promise (docs/guarantees.md), not from the rule that should keep it. Pure.
"""

import itertools
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final, TypeAlias

Row: TypeAlias = Mapping[str, Any]
Key: TypeAlias = tuple[str, str]
Rules: TypeAlias = Mapping[int, Mapping[str, Any]]
"""What each version of the policy says."""

WINDOWS: Final = {"hourly_limit": timedelta(hours=1), "daily_limit": timedelta(hours=24)}
SOON: Final = timedelta(seconds=1)
"""How long after a new policy a decision may still come of the old one."""
VISITS: Final = ("PENDING", "OFFERED", "ACCEPTED", "COMPLETED")
APPROVED: Final = (*VISITS, "DECLINED", "EXPIRED")
GIVEN_BACK: Final = ("DECLINED", "EXPIRED")


@dataclass(frozen=True, kw_only=True)
class Findings:
    """What is wrong, and what was seen happen."""

    problems: list[str]
    states: Counter[str]
    alone: Counter[str] = field(default_factory=Counter)
    """Denials by the only rule that failed; quota apart by hour and day."""


def check(handoffs: Sequence[Row], changes: Sequence[Row], policies: Sequence[Row]) -> Findings:
    """Check every promise over all contacts.

    Args:
        handoffs: Rows of handoff, any order.
        changes: OWNER_CHANGED rows of audit, in their order, with `owner` beside.
        policies: Rows of policy, in their order.
    """
    problems: list[str] = []
    rules = {row["version"]: row["body"] for row in policies}
    by_contact: dict[Key, list[Row]] = defaultdict(list)
    for row in handoffs:
        by_contact[_key(row)].append(row)
    changed: dict[Key, list[Row]] = defaultdict(list)
    for row in changes:
        changed[_key(row)].append(row)
    for key, rows in by_contact.items():
        approved = sorted((row for row in rows if row["state"] in APPROVED), key=lambda row: row["epoch"])
        visits = [row for row in approved if row["state"] in VISITS and row["kind"] == "HANDOFF"]
        for text in itertools.chain(
            over(visits, rules), returns(visits, rules), owners(approved, changed[key]), weak(approved, rules), mixed(rows, rules)
        ):  # fmt: skip
            problems.append(f"{key[1]}: {text}")
    problems += late(handoffs, policies)
    ids = Counter((row["tenant_id"], row["request_id"]) for row in handoffs)
    problems += [f"request {name[1]} was decided {count} times" for name, count in ids.items() if count > 1]
    return Findings(problems=problems, states=Counter(row["state"] for row in handoffs), alone=alone(handoffs))


def over(visits: Sequence[Row], rules: Rules) -> Iterable[str]:
    """Find every visit that was one too many in the window before it, by the policy that allowed it."""
    times = sorted((row["decide_time"], row["policy_version"]) for row in visits)
    for (index, (last, version)), (name, window) in itertools.product(enumerate(times), WINDOWS.items()):
        limit = rules[version][name]
        if index >= limit and last - times[index - limit][0] < window:
            yield f"more than {limit} handoffs in {window} from {times[index - limit][0]}"


def returns(visits: Sequence[Row], rules: Rules) -> Iterable[str]:
    """Find every way back to a bot that gave the contact away within the window, unless the person's words asked."""
    for index, row in enumerate(visits):
        cycle = timedelta(minutes=rules[row["policy_version"]]["cycle_window_minutes"])
        for past in visits[:index]:
            recent = row["decide_time"] - past["decide_time"] < cycle
            if recent and past["source_bot"] == row["target_bot"] and not row["override_message_id"]:
                yield f"{row['handoff_id']} goes back to {row['target_bot']} within {cycle}"


def mixed(rows: Sequence[Row], rules: Rules) -> Iterable[str]:
    """Find verdicts whose limit is not that of the policy version which the decision names."""
    for row in rows:
        body = rules[row["policy_version"]]
        least = body["routes"].get(f"{row['source_bot']}>{row['target_bot']}")
        limits = {
            "CYCLE": f"not within {body['cycle_window_minutes']} minutes after {row['target_bot']} handed over",
            "QUOTA": f"fewer than {body['hourly_limit']} in an hour, fewer than {body['daily_limit']} in 24 hours",
            "EVIDENCE": "a route" if least is None else f"{least:g} to 1",
        }
        for verdict in row["verdicts"]:
            if verdict["limit"] != limits.get(verdict["rule"], verdict["limit"]):
                yield f"{row['handoff_id']} names policy {row['policy_version']} and asked for {verdict['limit']}"


def late(handoffs: Iterable[Row], policies: Sequence[Row]) -> Iterable[str]:
    """Find decisions of a policy that had been replaced for a while."""
    ended = {old["version"]: new["create_time"] for old, new in itertools.pairwise(policies)}
    for row in handoffs:
        end = ended.get(row["policy_version"])
        if end is not None and row["decide_time"] > end + SOON:
            yield f"{row['handoff_id']} was decided by policy {row['policy_version']}, which ended at {end}"


def owners(approved: Sequence[Row], changes: Sequence[Row], first_epoch: int = 1) -> Iterable[str]:
    """Follow the contact through its epochs: each has one owner, none is left out, and every handoff fits in."""
    epochs = [row["epoch"] for row in changes]
    if epochs != list(range(first_epoch + 1, first_epoch + 1 + len(epochs))):
        yield f"epochs do not go up by one: {epochs}"
    owner = {row["epoch"]: row["owner"] for row in changes}
    for row in approved:
        if row["epoch"] != row["source_epoch"] + 1:
            yield f"{row['handoff_id']} goes from epoch {row['source_epoch']} to {row['epoch']}"
        if owner.get(row["epoch"]) != row["target_bot"]:
            yield f"{row['handoff_id']} gave epoch {row['epoch']} to {row['target_bot']}, audit to {owner.get(row['epoch'])}"
        if row["source_epoch"] > first_epoch and owner.get(row["source_epoch"]) != row["source_bot"]:
            yield f"{row['handoff_id']} took from {row['source_bot']}, which did not own epoch {row['source_epoch']}"
        # What was given back went to the source at the next epoch, or to a person who took over.
        after = owner.get(row["epoch"] + 1)
        if row["kind"] == "HANDOFF" and row["state"] in GIVEN_BACK and after not in (row["source_bot"], "human"):
            yield f"{row['handoff_id']} was {row['state']} and {after} has the contact, not {row['source_bot']}"
    taken = Counter(row["epoch"] for row in approved)
    yield from (f"epoch {epoch} was given away {count} times" for epoch, count in taken.items() if count > 1)


def weak(approved: Sequence[Row], rules: Rules) -> Iterable[str]:
    """Find approvals without a route, or with a confidence that is none or too little."""
    for row in approved:
        if row["kind"] != "HANDOFF":
            continue
        least = rules[row["policy_version"]]["routes"].get(f"{row['source_bot']}>{row['target_bot']}")
        sure = row["confidence"]
        if least is None or not math.isfinite(sure) or not least <= sure <= 1:
            yield f"{row['handoff_id']} was approved with {sure}, asked was {least}"


def alone(handoffs: Iterable[Row]) -> Counter[str]:
    """Count denials in which one rule alone failed, by that rule."""
    seen: Counter[str] = Counter()
    for row in handoffs:
        failed = [verdict for verdict in row["verdicts"] if verdict["outcome"] != "PASS"]
        if row["state"] == "DENIED" and len(failed) == 1:
            (verdict,) = failed
            span = (
                ""
                if verdict["rule"] != "QUOTA"
                else " 24 h"
                if "in the last 24 hours;" in verdict["detail"]
                else " 1 h"
            )
            seen[verdict["rule"] + span] += 1
    return seen


def _key(row: Row) -> Key:
    return row["tenant_id"], row["contact_id"]
