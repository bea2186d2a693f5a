"""Look, decide, record: the arbiter's one use case, and what ends a handoff."""

import uuid
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Final, Protocol

from porchlight.bot.v1 import bot_service_pb2 as bot_pb

from kit import tickets
from kit.clock import Clock
from kit.crash import crash_point
from kit.errors import (
    ContactNotFound,
    Contended,
    HandoffNotFound,
    NotTheCaller,
    RequestIdReused,
    StaleTurn,
    WrongHandoffState,
)
from kit.log import get_logger
from services.handoff import inputs, rules, wire
from services.handoff.ledger import Ended, Entry, Ledger, Offer, Reading, Recorded, Settled
from services.handoff.policy import decide
from services.handoff.routes import Policy, read_policy
from services.handoff.values import (
    OPERATOR,
    Decision,
    Handoff,
    Kind,
    Proposal,
    Snapshot,
    State,
    TargetSeen,
)

ATTEMPTS: Final = 3

log = get_logger()


class Targets(Protocol):
    """What this process sees of the bots, and how it asks them."""

    def seen(self, bot: str) -> TargetSeen:
        """Return how a bot answered lately."""

    def probe(self, bot: str) -> None:
        """Note that a request goes to a bot that was sick."""

    def claim_seconds(self) -> float:
        """Return for how long this process claims an offer that it would make at once; 0 when it would not."""

    def offer(self, offer: Offer) -> None:
        """Ask a target, under a claim of that length."""


class Arbiter:
    """Decides handoffs over a ledger.

    Args:
        ledger: Holds contacts and decisions.
        targets: How the bots are; asked at once after an approval.
        approved: Called after each approval, for those who watch.
        keys: Public keys whose tickets are good.
        clock: For tickets only; every window is measured by the ledger's clock.
        offer_life: How long a target has to answer.
    """

    def __init__(
        self,
        ledger: Ledger,
        *,
        targets: Targets,
        approved: Callable[[], None],
        keys: tickets.PublicKeys,
        clock: Clock,
        offer_life: timedelta,
    ) -> None:
        self._ledger = ledger
        self._targets = targets
        self._approved = approved
        self._keys = keys
        self._clock = clock
        self._offer_life = offer_life
        self._policy: Policy | None = None

    async def evaluate(self, asked: Proposal) -> Decision:
        """Say what would be decided now. Writes nothing."""
        _check_caller(asked)
        reading = await self._read(asked, request_id="")
        snapshot = replace(_known(reading.snapshot, asked), target=self._targets.seen(asked.target_bot))
        if asked.turn_no and not (snapshot.turn_open and snapshot.turn_no == asked.turn_no):
            raise _stale(asked)
        return decide(self._policy_of(reading), snapshot, asked)

    async def request(self, asked: Proposal, *, request_id: str) -> tuple[Handoff, bool]:
        """Decide and record, and say whether the request had been decided before.

        Raises:
            NotTheCaller: A bot asks in another bot's name.
            RequestIdReused: The id stands for another proposal.
            ContactNotFound: Nobody ever heard of the contact.
            StaleTurn: The turn that the handoff would end is over.
            Contended: Others changed the contact three times meanwhile.
        """
        _check_caller(asked)
        digest = asked.digest()
        target: TargetSeen | None = None
        for _ in range(ATTEMPTS):
            reading = await self._read(asked, request_id=request_id)
            if reading.earlier is not None:
                return _replay(reading.earlier, digest, request_id), True
            snapshot = _known(reading.snapshot, asked)
            if asked.kind is Kind.HANDOFF:
                # Looked at once: a probe that has begun must not stand in its own way when it is tried again.
                target = target or self._targets.seen(asked.target_bot)
                snapshot = replace(snapshot, target=target)
            policy = self._policy_of(reading)
            # Whoever has the contact now, where the caller does not say.
            made = asked if asked.source_bot else replace(asked, source_bot=snapshot.owner)
            entry = _entry(made, snapshot, policy, request_id=request_id, digest=digest, offer_life=self._offer_life)
            if entry.handoff.state is State.PENDING:
                entry = replace(entry, claim_seconds=self._targets.claim_seconds())
                if rules.is_probe(policy, snapshot):
                    self._targets.probe(asked.target_bot)
            crash_point("handoff.before_record")
            recorded = await self._ledger.record(entry)
            if recorded is Recorded.STALE:
                raise _stale(asked)
            if recorded is Recorded.RECORDED:
                crash_point("handoff.after_record")
                self._announce(entry.handoff)
                if entry.claim_seconds:
                    self._targets.offer(Offer(handoff=entry.handoff, capsule=entry.capsule, attempt=1))
                return entry.handoff, False
        raise Contended(
            f"{asked.contact_id} was changed {ATTEMPTS} times meanwhile",
            contact_id=asked.contact_id,
        )

    async def accept(self, ticket: bot_pb.Ticket, *, caller: str) -> Handoff:
        """Redeem a ticket for the target, or for the operator who acts for it."""
        payload = self._verify(ticket, caller)
        settled = await self._ledger.redeem(payload.handoff_id, epoch=payload.epoch)
        return await self._settled(payload.handoff_id, settled, event="handoff.accepted", caller=caller)

    async def decline(self, ticket: bot_pb.Ticket, *, reason: str, caller: str) -> Handoff:
        """Give the contact back to the source."""
        payload = self._verify(ticket, caller)
        settled = await self._ledger.decline(payload.handoff_id, reason=reason)
        return await self._settled(payload.handoff_id, settled, event="handoff.declined", caller=caller)

    async def _read(self, asked: Proposal, *, request_id: str) -> Reading:
        return await self._ledger.read(
            tenant_id=asked.tenant_id,
            contact_id=asked.contact_id,
            request_id=request_id,
            target_bot=asked.target_bot,
            override_message_id=asked.override_message_id,
        )

    def _policy_of(self, reading: Reading) -> Policy:
        if self._policy is None or self._policy.version != reading.policy_version:
            self._policy = read_policy(reading.policy_version, reading.policy_body)
        return self._policy

    def _announce(self, handoff: Handoff) -> None:
        facts = {
            "handoff_id": handoff.handoff_id,
            "tenant_id": handoff.tenant_id,
            "contact_id": handoff.contact_id,
            "source_bot": handoff.source_bot,
            "target_bot": handoff.target_bot,
            "actor": handoff.actor,
            "policy_version": handoff.policy_version,
        }
        if handoff.blocking_rule is not None:
            event = "handoff.blocked" if handoff.state is State.DENIED else "handoff.postponed"
            log.info(event, **facts, block_reason=handoff.blocking_rule.value)
        elif handoff.kind is Kind.HANDOFF:
            override = handoff.override_message_id is not None
            log.info("handoff.approved", **facts, epoch=handoff.epoch, override=override)
            self._approved()
        elif handoff.kind is Kind.ESCALATION:
            log.info("contact.escalated", **facts, epoch=handoff.epoch, cause=handoff.reason)
        else:
            log.info("contact.returned", **facts, epoch=handoff.epoch)

    def _verify(self, ticket: bot_pb.Ticket, caller: str) -> bot_pb.TicketPayload:
        audience = None if caller == OPERATOR else caller
        return tickets.verify(ticket, keys=self._keys, audience=audience, now=self._clock())

    async def _settled(self, handoff_id: str, settled: Settled, *, event: str, caller: str) -> Handoff:
        if settled.ended is Ended.WRONG_STATE:
            assert settled.state is not None
            state = settled.state.value
            raise WrongHandoffState(f"handoff {handoff_id} is {state}", handoff_id=handoff_id, state=state)
        handoff = await self._ledger.get(handoff_id)
        if settled.ended is Ended.UNKNOWN or handoff is None:
            raise HandoffNotFound(f"there is no handoff {handoff_id}", handoff_id=handoff_id)
        log.info(
            event,
            handoff_id=handoff_id,
            contact_id=handoff.contact_id,
            actor=caller,
            epoch=handoff.epoch,
        )
        return handoff


def _entry(
    asked: Proposal,
    seen: Snapshot,
    policy: Policy,
    *,
    request_id: str,
    digest: str,
    offer_life: timedelta,
) -> Entry:
    decision = decide(policy, seen, asked)
    facts = tuple(
        replace(fact, private_to=policy.private_facts.get(fact.name, fact.private_to)) for fact in asked.facts
    )
    told = replace(
        asked,
        facts=tuple(fact for fact in facts if fact.private_to in (None, asked.target_bot)),
    )
    escalated = decision.approved and asked.kind is Kind.ESCALATION
    return Entry(
        handoff=Handoff(
            handoff_id=f"h_{uuid.uuid4().hex}",
            tenant_id=asked.tenant_id,
            contact_id=asked.contact_id,
            request_id=request_id,
            request_digest=digest,
            kind=asked.kind,
            actor=asked.caller,
            source_bot=asked.source_bot,
            target_bot=asked.target_bot,
            state=decision.state,
            reason=asked.reason,
            person=asked.person,
            verdicts=decision.verdicts,
            blocking_rule=decision.blocking_rule,
            block_reason=decision.block_reason,
            confidence=asked.confidence,
            summary=asked.summary,
            open_question=asked.open_question,
            message_ids=seen.waiting_message_ids,
            override_message_id=decision.override_message_id,
            policy_version=decision.policy_version,
            epoch=seen.epoch + 1 if decision.approved else seen.epoch,
            decide_time=seen.now,
            retry_time=decision.retry_time,
            due_time=seen.now + policy.human_sla if escalated else None,
        ),
        expected_version=seen.version,
        turn_no=asked.turn_no,
        turn_record=asked.turn_record,
        facts=facts,
        inputs=inputs.to_json(seen, asked),
        capsule=wire.capsule(told, known=seen.facts, now=seen.now, waiting=seen.waiting_message_ids)
        if decision.state is State.PENDING
        else b"",
        offer_seconds=offer_life.total_seconds(),
    )


def _check_caller(asked: Proposal) -> None:
    if asked.caller not in rules.may_ask(asked):
        raise NotTheCaller(
            f"{asked.caller} asked in the name of {asked.source_bot}",
            caller=asked.caller,
            source_bot=asked.source_bot,
        )


def _known(snapshot: Snapshot | None, asked: Proposal) -> Snapshot:
    if snapshot is None:
        raise ContactNotFound(f"there is no contact {asked.contact_id}", contact_id=asked.contact_id)
    return snapshot


def _replay(earlier: Handoff, digest: str, request_id: str) -> Handoff:
    if earlier.request_digest != digest:
        raise RequestIdReused(
            f"request id {request_id} was used for something else",
            request_id=request_id,
        )
    log.info("handoff.replayed", handoff_id=earlier.handoff_id, contact_id=earlier.contact_id)
    return earlier


def _stale(asked: Proposal) -> StaleTurn:
    return StaleTurn(
        f"turn {asked.turn_no} of {asked.contact_id} at epoch {asked.expected_epoch} is over",
        contact_id=asked.contact_id,
        epoch=asked.expected_epoch,
        turn_no=asked.turn_no,
    )
