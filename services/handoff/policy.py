"""Decide a handoff: all rules over one snapshot, the first that fails is the reason. Pure.

Dry run, request, explanation, simulation and tests use this one function.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final, TypeAlias

from services.handoff import rules
from services.handoff.routes import Policy
from services.handoff.values import Decision, Kind, Outcome, Proposal, Rule, Snapshot, State, Verdict

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

# A person is always there to be asked, and whom they give a contact back to is their decision.
RULES_OF: Final[Mapping[Kind, tuple[RuleFunction, ...]]] = {
    Kind.HANDOFF: RULES,
    Kind.ESCALATION: (rules.identity, rules.ownership, rules.consent),
    Kind.RETURN: (rules.identity, rules.ownership, rules.known_bot, rules.consent),
}


def decide(policy: Policy, snapshot: Snapshot, proposal: Proposal) -> Decision:
    """Ask every rule, also after one has failed, and say what follows.

    A failed rule denies; when none failed, one that says later puts off. What a rule in
    shadow says is kept and changes nothing.

    Returns:
        `block_reason` begins with the name of the first rule that denies, or puts off,
        in lower case (`circular` for the cycle rule) and is empty when approved.
    """
    verdicts = tuple(_asked(rule, policy, snapshot, proposal) for rule in RULES_OF[proposal.kind])
    blocking = _first(verdicts, Outcome.FAIL) or _first(verdicts, Outcome.DEFER)
    if blocking is None:
        state = State.PENDING if proposal.kind is Kind.HANDOFF else State.ACCEPTED
    else:
        state = State.DENIED if blocking.outcome is Outcome.FAIL else State.DEFERRED
    overridden = blocking is None and _first(verdicts, Outcome.OVERRIDDEN) is not None
    return Decision(
        state=state,
        verdicts=verdicts,
        blocking_rule=blocking.rule if blocking else None,
        block_reason=f"{_reason_name(blocking.rule)}: {blocking.detail}" if blocking else "",
        policy_version=policy.version,
        override_message_id=proposal.override_message_id if overridden else None,
        retry_time=snapshot.now + rules.retry_wait(policy, snapshot) if state is State.DEFERRED else None,
    )


def _asked(rule: RuleFunction, policy: Policy, snapshot: Snapshot, proposal: Proposal) -> Verdict:
    verdict = rule(policy, snapshot, proposal)
    return replace(verdict, shadow=True) if verdict.rule in policy.shadow_rules else verdict


def _first(verdicts: Sequence[Verdict], outcome: Outcome) -> Verdict | None:
    return next((each for each in verdicts if each.outcome is outcome and not each.shadow), None)


def _reason_name(rule: Rule) -> str:
    return "circular" if rule is Rule.CYCLE else rule.value.lower()
