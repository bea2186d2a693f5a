"""Policies, explanations and simulations as protobuf."""

from collections.abc import Mapping
from typing import Any, Final

from porchlight.handoff.v1 import handoff_service_pb2 as pb

from kit.errors import InvalidField
from services.handoff import wire
from services.handoff.ledger import PolicyVersion
from services.handoff.review import Explained, Simulated, etag_of
from services.handoff.routes import Policy, read_policy
from services.handoff.values import NOT_APPROVED, Rule

MOST_DIFFERENCES: Final = 100


def body(rules: pb.PolicyRules) -> dict[str, Any]:
    """Read rules as the body that `read_policy` checks; what is not set is left out.

    Raises:
        InvalidField: A pair of bots, or a bot, stands there twice, or a rule is unknown.
    """
    found: dict[str, Any] = {
        "routes": _once(
            "rules.routes", [(f"{each.source_bot}>{each.target_bot}", each.threshold) for each in rules.routes]
        ),
        "cycle_window_minutes": rules.cycle_window_minutes,
        "hourly_limit": rules.hourly_limit,
        "daily_limit": rules.daily_limit,
        "intent_bots": dict(rules.intent_bots),
        "private_facts": dict(rules.private_facts),
        "target_limits": {field.name: value for field, value in rules.target_limits.ListFields()},
        "capsule_versions": _once(
            "rules.capsule_versions", [(each.bot, list(each.versions)) for each in rules.capsule_versions]
        ),
        # A number of a newer contract stays a number, which no policy may hold.
        "shadow_rules": [_NAMES.get(number, str(number)) for number in rules.shadow_rules],
    }
    if rules.HasField("human_sla_minutes"):
        found["human_sla_minutes"] = rules.human_sla_minutes
    return found


def policy(version: PolicyVersion) -> pb.Policy:
    """Write a version; one that is not stored has neither version nor etag nor time."""
    message = pb.Policy(
        version=version.version,
        etag=etag_of(version) if version.version else "",
        rules=_rules(read_policy(version.version, version.body)),
        author=version.author,
        reason=version.reason,
    )
    if version.version:
        message.create_time.FromDatetime(version.create_time)
    return message


def explain_response(explained: Explained) -> pb.ExplainHandoffResponse:
    """Write a decision and the same made again."""
    decided = explained.decided
    response = pb.ExplainHandoffResponse(handoff=wire.handoff(decided.handoff), matches=explained.matches)
    if decided.policy is not None:
        response.policy.CopyFrom(policy(decided.policy))
    if decided.inputs is not None and explained.again is not None:
        response.inputs.update(dict(decided.inputs))
        response.recomputed_verdicts.extend(wire.verdicts(explained.again.verdicts))
    return response


def simulate_response(simulated: Simulated) -> pb.SimulatePolicyResponse:
    """Write what would come out differently."""
    return pb.SimulatePolicyResponse(
        decisions=simulated.decisions,
        approved_before=simulated.approved_before,
        approved_after=simulated.approved_after,
        differences=[
            pb.SimulatePolicyResponse.Difference(
                handoff_id=each.handoff.handoff_id,
                approved_before=each.handoff.state not in NOT_APPROVED,
                approved_after=each.approved_after,
                verdicts_before=wire.verdicts(each.before),
                verdicts_after=wire.verdicts(each.after),
            )
            for each in simulated.differences[:MOST_DIFFERENCES]
        ],
        differences_left_out=max(0, len(simulated.differences) - MOST_DIFFERENCES),
    )


_NAMES: Final[Mapping[int, str]] = {pb.Rule.Value(f"RULE_{rule.value}"): rule.value for rule in Rule}


def _rules(read: Policy) -> pb.PolicyRules:
    limits = read.target_limits
    return pb.PolicyRules(
        routes=[
            pb.PolicyRoute(source_bot=source, target_bot=target, threshold=threshold)
            for (source, target), threshold in sorted(read.routes.items())
        ],
        cycle_window_minutes=round(read.cycle_window.total_seconds() / 60),
        hourly_limit=read.hourly_limit,
        daily_limit=read.daily_limit,
        intent_bots=read.intent_bots,
        private_facts=read.private_facts,
        human_sla_minutes=round(read.human_sla.total_seconds() / 60),
        target_limits=pb.PolicyTargetLimits(
            error_share=limits.error_share,
            p95_ms=limits.p95_ms,
            least_samples=limits.least_samples,
            cool_down_seconds=round(limits.cool_down.total_seconds()),
        ),
        capsule_versions=[
            pb.PolicyCapsules(bot=bot, versions=versions) for bot, versions in sorted(read.capsule_versions.items())
        ],
        shadow_rules=sorted(pb.Rule.Value(f"RULE_{rule.value}") for rule in read.shadow_rules),
    )


def _once(field: str, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise InvalidField(f"{field} has {name} twice", field=field, limit="each once")
        found[name] = value
    return found
