"""Thousands of random requests at four arbiter processes; `make load-handoff` runs a hundred thousand."""

import random
import time
from pathlib import Path

import pytest

from services.handoff import inputs
from services.handoff.policy import decide
from services.handoff.routes import read_policy
from tests.support.handoff_load import Run, load, missing, show
from tests.support.stores import Database


@pytest.mark.timeout(300)
async def test_5000_random_requests_over_four_processes_break_no_promise(database: Database, tmp_path: Path) -> None:
    """The judge reads the database alone; every rule that counts must have bitten alone, and every decision explains itself."""
    began = time.monotonic()
    seed = random.SystemRandom().randrange(1 << 32)
    run, findings = await load(database, tmp_path, requests=5000, contacts=250, steps=40, seed=seed)
    said = show(run, findings, time.monotonic() - began)
    assert not findings.problems, said
    assert not missing(run, findings, rules=("QUOTA 1 h", "QUOTA 24 h", "CYCLE", "EVIDENCE")), said
    assert not differing(run), said


def differing(run: Run) -> list[str]:
    """Make every decision again from what is stored with it, and return those that come out otherwise."""
    policies = {row["version"]: read_policy(row["version"], row["body"]) for row in run.policies}
    ids = []
    for row in run.kept:
        policy = policies[row["policy_version"]]
        if not row["request_digest"]:
            continue  # a takeover: nobody asked for it, nothing was decided
        assert row["policy_version"] > 1, "the first policy was replaced before the first request"
        again = decide(policy, *inputs.from_json(row["inputs"]))
        told = [
            (each["rule"], each["outcome"], each["observed"], each["limit"], each["detail"]) for each in row["verdicts"]
        ]
        made = [
            (each.rule.value, each.outcome.value, each.observed, each.limit, each.detail) for each in again.verdicts
        ]
        if made != told or again.block_reason != row["block_reason"]:
            ids.append(row["handoff_id"])
    return ids
