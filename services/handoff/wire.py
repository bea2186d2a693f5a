"""Protobuf to values and back, with every limit of the contract."""

import re
from collections.abc import Collection
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

from porchlight.bot.v1 import bot_service_pb2 as bot_pb
from porchlight.handoff.v1 import handoff_service_pb2 as pb

from kit import checks, paging
from kit.errors import InvalidField
from kit.facts_wire import FACTS_MOST, fact_from_proto, fact_to_proto
from kit.lane import Fact
from kit.stamps import stamp
from services.handoff.ledger import Change, Cursor, Owner, Position
from services.handoff.values import (
    CAPSULE_VERSION,
    HUMAN,
    NOT_APPROVED,
    Decision,
    Handoff,
    Kind,
    Outcome,
    Proposal,
    Rule,
    State,
    Verdict,
)

_REASONS: Final = frozenset(pb.EscalationReason.values()) - {
    pb.ESCALATION_REASON_UNSPECIFIED,
    pb.ESCALATION_REASON_CRM_USER,
}
_RULES: Final = {rule: pb.Rule.Value(f"RULE_{rule.value}") for rule in Rule}
_OUTCOMES: Final = {outcome: pb.VerdictOutcome.Value(f"VERDICT_OUTCOME_{outcome.value}") for outcome in Outcome}
_STATES: Final = {state: pb.HandoffState.Value(f"HANDOFF_STATE_{state.value}") for state in State}
_KINDS: Final = {kind: pb.HandoffKind.Value(f"HANDOFF_KIND_{kind.value}") for kind in Kind}
# Below 2^63 whatever the digits are.
_PLACE: Final = re.compile(r"[0-9]{1,18}")
MOST_PENDING: Final = 20
MOST_CAPSULE_BYTES: Final = 64 * 1024
_MOST_INT64: Final = 2**63 - 1


def proposal(message: pb.HandoffProposal, *, caller: str) -> Proposal:
    """Read what is asked for.

    Raises:
        InvalidField: Something is over its limit; names the field.
    """
    checks.count("proposal.facts", message.facts, most=FACTS_MOST)
    override = message.override_message_id
    return Proposal(
        tenant_id=checks.identifier("proposal.tenant_id", message.tenant_id),
        contact_id=checks.identifier("proposal.contact_id", message.contact_id),
        source_bot=checks.identifier("proposal.source_bot", message.source_bot, longest=32),
        target_bot=checks.identifier("proposal.target_bot", message.target_bot, longest=32),
        confidence=checks.number("proposal.confidence", message.confidence, low=0.0, high=1.0),
        summary=checks.text("proposal.summary", message.summary, longest=2000, shortest=1),
        expected_epoch=checks.integer("proposal.expected_epoch", message.expected_epoch, low=0, high=_MOST_INT64),
        turn_no=checks.integer("proposal.turn_no", message.turn_no, low=0, high=_MOST_INT64),
        facts=tuple(
            fact_from_proto(fact, field=f"proposal.facts[{index}]") for index, fact in enumerate(message.facts)
        ),
        open_question=checks.text("proposal.open_question", message.open_question, longest=500),
        override_message_id=checks.identifier("proposal.override_message_id", override) if override else "",
        turn_record=_turn_record("proposal.turn_record", message.turn_record)
        if message.HasField("turn_record")
        else {},
        caller=caller,
    )


def escalation(request: pb.EscalateToHumanRequest, *, caller: str, bots: Collection[str]) -> Proposal:
    """Read who needs a person, and why.

    Args:
        request: The message.
        caller: A bot asks for itself, anybody else for whoever has the contact.
        bots: All bots.

    Raises:
        InvalidField: Something is over its limit; names the field.
    """
    checks.count("facts", request.facts, most=FACTS_MOST)
    if request.reason not in _REASONS:
        limit = ", ".join(map(pb.EscalationReason.Name, sorted(_REASONS)))
        raise InvalidField(f"reason is none of {limit}", field="reason", limit=limit)
    return Proposal(
        kind=Kind.ESCALATION,
        tenant_id=checks.identifier("tenant_id", request.tenant_id),
        contact_id=checks.identifier("contact_id", request.contact_id),
        source_bot=caller if caller in bots else "",
        target_bot=HUMAN,
        reason=pb.EscalationReason.Name(request.reason).removeprefix("ESCALATION_REASON_"),
        summary=checks.text("summary", request.summary, longest=2000, shortest=1),
        expected_epoch=checks.integer("expected_epoch", request.expected_epoch, low=0, high=_MOST_INT64),
        turn_no=checks.integer("turn_no", request.turn_no, low=0, high=_MOST_INT64),
        facts=tuple(fact_from_proto(fact, field=f"facts[{index}]") for index, fact in enumerate(request.facts)),
        turn_record=_turn_record("turn_record", request.turn_record) if request.HasField("turn_record") else {},
        caller=caller,
    )


def giving_back(request: pb.ReturnFromHumanRequest, *, caller: str) -> Proposal:
    """Read who gives a contact back to which bot.

    Raises:
        InvalidField: Something is over its limit; names the field.
    """
    return Proposal(
        kind=Kind.RETURN,
        tenant_id=checks.identifier("tenant_id", request.tenant_id),
        contact_id=checks.identifier("contact_id", request.contact_id),
        source_bot=HUMAN,
        target_bot=checks.identifier("target_bot", request.target_bot, longest=32),
        person=checks.identifier("person", request.person),
        summary=checks.text("summary", request.summary, longest=2000, shortest=1),
        expected_epoch=checks.integer("expected_epoch", request.expected_epoch, low=0, high=_MOST_INT64),
        caller=caller,
    )


def _turn_record(field: str, record: bot_pb.TurnRecord) -> dict[str, str | int]:
    words = ("move", "extractor", "cache_tier", "fallback_cause")
    read: dict[str, str | int] = {
        name: checks.text(f"{field}.{name}", getattr(record, name), longest=64) for name in words
    }
    cost = checks.integer(f"{field}.cost_microusd", record.cost_microusd, low=0, high=_MOST_INT64)
    return read | {"cost_microusd": cost}


def capsule(asked: Proposal, *, known: tuple[Fact, ...], now: datetime, waiting: tuple[str, ...]) -> bytes:
    """Serialise what the target must know; the ticket holds its digest.

    What the proposal says replaces what was known under the same name. When all of
    it is too much, the oldest facts stay behind; the target reads those from the store.

    Args:
        asked: Its facts must be without those that the target may not see.
        known: Stored facts that the target may see, oldest first.
    """
    new = {fact.name: fact for fact in asked.facts}
    facts = [fact for fact in known if fact.name not in new]
    facts += [replace(fact, bot=asked.source_bot, learn_time=now) for fact in new.values()]
    message = bot_pb.Capsule(
        schema_version=CAPSULE_VERSION,
        facts=[fact_to_proto(fact) for fact in facts[-FACTS_MOST:]],
        summary=asked.summary,
        open_question=asked.open_question,
        pending_message_ids=waiting[:MOST_PENDING],
    )
    while message.ByteSize() > MOST_CAPSULE_BYTES:
        del message.facts[0]
    return message.SerializeToString(deterministic=True)


def handoff(record: Handoff) -> pb.Handoff:
    """Write a record."""
    message = pb.Handoff(
        handoff_id=record.handoff_id,
        tenant_id=record.tenant_id,
        contact_id=record.contact_id,
        source_bot=record.source_bot,
        target_bot=record.target_bot,
        state=_STATES[record.state],
        verdicts=verdicts(record.verdicts),
        block_reason=record.block_reason,
        blocking_rule=_RULES[record.blocking_rule] if record.blocking_rule else pb.RULE_UNSPECIFIED,
        confidence=record.confidence,
        summary=record.summary,
        policy_version=record.policy_version,
        epoch=record.epoch,
        decide_time=stamp(record.decide_time),
        override_message_id=record.override_message_id or "",
        actor=record.actor,
        kind=_KINDS[record.kind],
        reason=_reason(record),
        person=record.person,
        overdue=record.overdue,
    )
    for name in ("retry_time", "due_time", "answer_time"):
        if (moment := getattr(record, name)) is not None:
            getattr(message, name).FromDatetime(moment)
    return message


def _reason(record: Handoff) -> pb.EscalationReason.ValueType:
    if record.kind is not Kind.ESCALATION:
        return pb.ESCALATION_REASON_UNSPECIFIED
    # Other services may take a contact over too, for reasons of their own.
    return dict(pb.EscalationReason.items()).get(f"ESCALATION_REASON_{record.reason}", pb.ESCALATION_REASON_OTHER)


def verdicts(values: tuple[Verdict, ...]) -> list[pb.Verdict]:
    """Write the verdicts, in their order."""
    return [
        pb.Verdict(
            rule=_RULES[verdict.rule],
            outcome=_OUTCOMES[verdict.outcome],
            observed=verdict.observed,
            limit=verdict.limit,
            detail=verdict.detail,
            shadow=verdict.shadow,
        )
        for verdict in values
    ]


def evaluate_response(decision: Decision) -> pb.EvaluateHandoffResponse:
    """Write a dry run's answer."""
    response = pb.EvaluateHandoffResponse(
        approved=decision.approved,
        verdicts=verdicts(decision.verdicts),
        block_reason=decision.block_reason,
        policy_version=decision.policy_version,
    )
    if decision.retry_time is not None:
        response.retry_time.FromDatetime(decision.retry_time)
    return response


def approved(record: Handoff) -> bool:
    """Say whether a request was approved, by the record as it stands now."""
    return record.state not in NOT_APPROVED


def owner_response(owner: Owner) -> pb.GetOwnerResponse:
    """Write who has a contact."""
    return pb.GetOwnerResponse(
        owner=owner.name,
        epoch=owner.epoch,
        pending_handoff_id=owner.pending_handoff_id or "",
    )


def page_token(record: Handoff) -> str:
    """Return what names the place after `record` in a list."""
    return paging.encode(record.decide_time.astimezone(UTC).isoformat(), record.handoff_id)


def position(token: str) -> Position | None:
    """Read a page token; None for the first page.

    Raises:
        InvalidField: The token is none that `page_token` made.
    """
    if not token:
        return None
    time, handoff_id = paging.decode(token, parts=2)
    return paging.moment(time), checks.identifier("page_token", handoff_id)


def watch_response(what: Cursor | Change) -> pb.WatchHandoffsResponse:
    """Write where a stream begins, or what happened."""
    if not isinstance(what, Change):
        return pb.WatchHandoffsResponse(cursor=paging.encode(*map(str, what)))
    return pb.WatchHandoffsResponse(
        cursor=paging.encode(*map(str, what.cursor)),
        handoff=handoff(what.handoff),
        state=_STATES[what.state],
        event_time=stamp(what.event_time),
    )


def cursor(token: str) -> Cursor | None:
    """Read a stream's cursor; None to begin with what happens next.

    Raises:
        InvalidField: It is none that a response gave.
    """
    if not token:
        return None
    parts = paging.decode(token, parts=2, field="cursor")
    if not all(_PLACE.fullmatch(part) for part in parts):
        raise InvalidField("cursor is none that a response gave", field="cursor", limit="a cursor of a response")
    return int(parts[0]), int(parts[1])
