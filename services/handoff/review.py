"""Look at decisions again, and change the policy they are made under."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from kit.errors import HandoffNotFound, InvalidField, PolicyChanged, PolicyNotFound
from kit.log import get_logger
from services.handoff import inputs
from services.handoff.ledger import Decided, Ledger, PolicyVersion
from services.handoff.policy import decide
from services.handoff.routes import BadPolicy, Policy, read_policy, write_policy
from services.handoff.values import NOT_APPROVED, Decision, Handoff, Verdict

# Decisions are made again in one go; others want to be served meanwhile.
_AT_A_TIME: Final = 20

log = get_logger()


@dataclass(frozen=True, kw_only=True)
class Explained:
    """A decision, and the same made again; `again` is None when there is nothing to make it from."""

    decided: Decided
    again: Decision | None
    matches: bool


@dataclass(frozen=True, kw_only=True)
class Difference:
    """A decision that would come out differently: the verdicts that differ, before and after."""

    handoff: Handoff
    approved_after: bool
    before: tuple[Verdict, ...]
    after: tuple[Verdict, ...]


@dataclass(frozen=True, kw_only=True)
class Simulated:
    """What other rules would have made of the last decisions."""

    decisions: int
    approved_before: int
    approved_after: int
    differences: tuple[Difference, ...]


class Review:
    """What operators do with decisions and policies.

    Args:
        ledger: Holds both.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    async def explain(self, handoff_id: str) -> Explained:
        """Make a decision again under its own policy version.

        Raises:
            HandoffNotFound: There is none of that id.
        """
        decided = await self._ledger.decision(handoff_id)
        if decided is None:
            raise HandoffNotFound(f"there is no handoff {handoff_id}", handoff_id=handoff_id)
        if decided.inputs is None or decided.policy is None:
            return Explained(decided=decided, again=None, matches=False)
        again = decide(read_policy(decided.policy.version, decided.policy.body), *inputs.from_json(decided.inputs))
        given = decided.handoff
        matches = [_said(each) for each in again.verdicts] == [
            _said(each) for each in given.verdicts
        ] and again.blocking_rule is given.blocking_rule
        return Explained(decided=decided, again=again, matches=matches)

    async def policy(self, version: int | None) -> PolicyVersion:
        """Return a version of the policy, the current one for None.

        Raises:
            PolicyNotFound: There is no such version.
        """
        found = await self._ledger.policy(version)
        if found is None:
            raise PolicyNotFound(f"there is no version {version} of the policy", version=version)
        return found

    async def update(
        self, body: Mapping[str, object], *, etag: str, author: str, reason: str, validate_only: bool
    ) -> PolicyVersion:
        """Write a new version of the policy, or check only that it could be.

        Raises:
            InvalidField: Something in it is not as it must be; names the field.
            PolicyChanged: `etag` is not that of the current version.
        """
        current = await self.policy(None)
        policy = _checked(body, read_policy(current.version, current.body))
        if etag != etag_of(current):
            raise _changed(etag, current)
        if validate_only:
            return PolicyVersion(
                version=0, body=write_policy(policy), author=author, reason=reason, create_time=current.create_time
            )
        made = await self._ledger.put_policy(
            write_policy(policy), expected=current.version, author=author, reason=reason
        )
        if made is None:
            raise _changed(etag, await self.policy(None))
        log.info("policy.changed", policy_version=made.version, actor=author)
        return made

    async def simulate(self, body: Mapping[str, object], tenant_id: str, *, most: int) -> Simulated:
        """Make the last decisions again under other rules.

        Raises:
            InvalidField: Something in them is not as it must be; names the field.
        """
        policy = _read(body)
        found = await self._ledger.decisions(tenant_id, limit=most)
        differences, approved_after = [], 0
        for number, decided in enumerate(found, start=1):
            assert decided.inputs is not None
            again = decide(policy, *inputs.from_json(decided.inputs))
            approved_after += again.approved
            if difference := _difference(decided.handoff, again):
                differences.append(difference)
            if number % _AT_A_TIME == 0:
                await asyncio.sleep(0)
        return Simulated(
            decisions=len(found),
            approved_before=sum(_approved(decided.handoff) for decided in found),
            approved_after=approved_after,
            differences=tuple(differences),
        )


def etag_of(version: PolicyVersion) -> str:
    """Return what names a version for an update. Versions never change, so their number will do."""
    return str(version.version)


def _checked(body: Mapping[str, object], current: Policy) -> Policy:
    policy = _read(body)
    for name, bot in current.private_facts.items():
        if policy.private_facts.get(name) != bot:
            limit = f"{name} stays private to {bot}"
            raise InvalidField(f"rules.private_facts: {limit}", field="rules.private_facts", limit=limit)
    return policy


def _read(body: Mapping[str, object]) -> Policy:
    try:
        return read_policy(0, body)
    except BadPolicy as error:
        raise InvalidField(f"rules: {error}", field=f"rules.{error.field}", limit=error.limit) from error


def _changed(etag: str, current: PolicyVersion) -> PolicyChanged:
    now = etag_of(current)
    return PolicyChanged(f"the policy is at {now}, not at {etag}", etag=etag, current_etag=now)


def _difference(handoff: Handoff, again: Decision) -> Difference | None:
    pairs = [
        (before, after)
        for before, after in zip(handoff.verdicts, again.verdicts, strict=True)
        if (before.outcome, before.shadow) != (after.outcome, after.shadow)
    ]
    if not pairs:
        return None
    return Difference(
        handoff=handoff,
        approved_after=again.approved,
        before=tuple(before for before, _ in pairs),
        after=tuple(after for _, after in pairs),
    )


def _approved(handoff: Handoff) -> bool:
    return handoff.state not in NOT_APPROVED


def _said(verdict: Verdict) -> tuple[object, ...]:
    # All but the sentence, which may be worded better one day.
    return (verdict.rule, verdict.outcome, verdict.observed, verdict.limit, verdict.shadow)
