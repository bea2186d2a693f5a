"""Look, decide, record: the arbiter's one use case, and what ends a handoff."""

import uuid
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Final

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
from services.handoff import wire
from services.handoff.ledger import Ended, Entry, Ledger, Reading, Recorded, Settled
from services.handoff.policy import decide
from services.handoff.routes import Policy, read_policy
from services.handoff.values import (
    OPERATOR,
    Decision,
    Handoff,
    Proposal,
    Snapshot,
    State,
)

ATTEMPTS: Final = 3

log = get_logger()


class Arbiter:
    """Decides handoffs over a ledger.

    Args:
        ledger: Holds contacts and decisions.
        reachable: Says whether a bot answers, as far as this process knows.
        approved: Called after each approval, so that the target is asked at once.
        keys: Public keys whose tickets are good.
        clock: For tickets only; every window is measured by the ledger's clock.
        offer_life: How long a target has to answer.
    """

    def __init__(
        self,
        ledger: Ledger,
        *,
        reachable: Callable[[str], bool | None],
        approved: Callable[[], None],
        keys: tickets.PublicKeys,
        clock: Clock,
        offer_life: timedelta,
    ) -> None:
        self._ledger = ledger
        self._reachable = reachable
        self._approved = approved
        self._keys = keys
        self._clock = clock
        self._offer_life = offer_life
        self._policy: Policy | None = None

    async def evaluate(self, asked: Proposal) -> Decision:
        """Say what would be decided now. Writes nothing."""
        _check_caller(asked)
        reading = await self._read(asked, request_id="")
        snapshot = _known(reading.snapshot, asked)
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
        for _ in range(ATTEMPTS):
            reading = await self._read(asked, request_id=request_id)
            if reading.earlier is not None:
                return _replay(reading.earlier, digest, request_id), True
            snapshot = _known(reading.snapshot, asked)
            entry = self._entry(
                asked,
                snapshot,
                self._policy_of(reading),
                request_id=request_id,
                digest=digest,
            )
            recorded = await self._ledger.record(entry)
            if recorded is Recorded.STALE:
                raise _stale(asked)
            if recorded is Recorded.RECORDED:
                crash_point("handoff.after_record")
                self._announce(entry.handoff)
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
        reading = await self._ledger.read(
            tenant_id=asked.tenant_id,
            contact_id=asked.contact_id,
            request_id=request_id,
            target_bot=asked.target_bot,
            override_message_id=asked.override_message_id,
        )
        if reading.snapshot is None:
            return reading
        seen = replace(reading.snapshot, target_reachable=self._reachable(asked.target_bot))
        return replace(reading, snapshot=seen)

    def _policy_of(self, reading: Reading) -> Policy:
        if self._policy is None or self._policy.version != reading.policy_version:
            self._policy = read_policy(reading.policy_version, reading.policy_body)
        return self._policy

    def _entry(
        self,
        asked: Proposal,
        seen: Snapshot,
        policy: Policy,
        *,
        request_id: str,
        digest: str,
    ) -> Entry:
        decision = decide(policy, seen, asked)
        facts = tuple(
            replace(fact, private_to=policy.private_facts.get(fact.name, fact.private_to)) for fact in asked.facts
        )
        told = replace(
            asked,
            facts=tuple(fact for fact in facts if fact.private_to in (None, asked.target_bot)),
        )
        return Entry(
            handoff=Handoff(
                handoff_id=f"h_{uuid.uuid4().hex}",
                tenant_id=asked.tenant_id,
                contact_id=asked.contact_id,
                request_id=request_id,
                request_digest=digest,
                actor=asked.caller,
                source_bot=asked.source_bot,
                target_bot=asked.target_bot,
                state=State.PENDING if decision.approved else State.DENIED,
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
            ),
            expected_version=seen.version,
            turn_no=asked.turn_no,
            turn_record=asked.turn_record,
            facts=facts,
            capsule=wire.capsule(told, known=seen.facts, now=seen.now, waiting=seen.waiting_message_ids)
            if decision.approved
            else b"",
            offer_seconds=self._offer_life.total_seconds(),
        )

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
        if handoff.state is State.PENDING:
            override = handoff.override_message_id is not None
            log.info("handoff.approved", **facts, epoch=handoff.epoch, override=override)
            self._approved()
        else:
            assert handoff.blocking_rule is not None
            log.info("handoff.blocked", **facts, block_reason=handoff.blocking_rule.value)

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


def _check_caller(asked: Proposal) -> None:
    if asked.caller not in (asked.source_bot, OPERATOR):
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
