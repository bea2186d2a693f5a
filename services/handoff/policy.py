"""Decide a handoff: all rules over one snapshot, the first that fails is the reason. Pure.

Dry run, request and tests use this one function (decisions page, 8).
"""

from collections.abc import Callable
from typing import Final, TypeAlias

from services.handoff import rules
from services.handoff.routes import Policy
from services.handoff.values import Decision, Outcome, Proposal, Rule, Snapshot, Verdict

RuleFunction: TypeAlias = Callable[[Policy, Snapshot, Proposal], Verdict]

# In order of precedence: that of the enum Rule, here and in the proto.
RULES: Final[tuple[RuleFunction, ...]] = (
    rules.identity,
    rules.ownership,
    rules.route,
    rules.consent,
    rules.cycle,
    rules.quota,
    rules.evidence,
    rules.health,
)


def decide(policy: Policy, snapshot: Snapshot, proposal: Proposal) -> Decision:
    """Ask every rule, also after one has failed, and say what follows.

    Returns:
        `block_reason` begins with the first failed rule's name in lower case
        (`circular` for the cycle rule) and is empty when approved.
    """
    verdicts = tuple(rule(policy, snapshot, proposal) for rule in RULES)
    blocking = next((verdict for verdict in verdicts if verdict.outcome is Outcome.FAIL), None)
    overridden = any(verdict.outcome is Outcome.OVERRIDDEN for verdict in verdicts)
    return Decision(
        approved=blocking is None,
        verdicts=verdicts,
        blocking_rule=blocking.rule if blocking else None,
        block_reason=f"{_reason_name(blocking.rule)}: {blocking.detail}" if blocking else "",
        policy_version=policy.version,
        override_message_id=proposal.override_message_id if overridden and blocking is None else None,
    )


def _reason_name(rule: Rule) -> str:
    return "circular" if rule is Rule.CYCLE else rule.value.lower()
