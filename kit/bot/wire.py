"""Requests of BotService as values, with their limits; values as responses."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from porchlight.bot.v1 import bot_service_pb2 as pb
from porchlight.cache.v1 import cache_service_pb2 as cache_pb
from porchlight.handoff.v1 import handoff_service_pb2 as handoff_pb

from kit import checks
from kit.bot.bind import Analysis
from kit.bot.spec import Move
from kit.errors import InvalidField
from kit.facts_wire import FACTS_MOST, fact_from_proto, fact_to_proto
from kit.lane import Fact, OpenedTurn
from kit.spans import Place

MESSAGES_MOST: Final = 20
CAPSULE_BYTES_MOST: Final = 64 * 1024

_OUTCOMES: Final = {
    "REPLIED": pb.TURN_OUTCOME_REPLIED,
    "SILENT": pb.TURN_OUTCOME_SILENT,
    "HANDED_OFF": pb.TURN_OUTCOME_HANDED_OFF,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class TurnKey:
    """Which claim on which contact."""

    tenant_id: str
    contact_id: str
    epoch: int
    turn_no: int


def turn_key(request: pb.HandleTurnRequest) -> TurnKey:
    """Read the claim of a turn. The messages are read from the store, where they cannot have changed."""
    checks.count("messages", request.messages, most=MESSAGES_MOST, least=1)
    for number, message in enumerate(request.messages):
        checks.identifier(f"messages[{number}].message_id", message.message_id)
        checks.text(f"messages[{number}].text", message.text, longest=10_000)
    return TurnKey(
        tenant_id=checks.identifier("tenant_id", request.tenant_id),
        contact_id=checks.identifier("contact_id", request.contact_id),
        epoch=checks.integer("epoch", request.epoch, low=1, high=2**62),
        turn_no=checks.integer("turn_no", request.turn_no, low=1, high=2**62),
    )


def check_capsule_size(capsule: bytes) -> None:
    """Refuse a capsule over the contract's limit before anything is computed over it."""
    if len(capsule) > CAPSULE_BYTES_MOST:
        raise InvalidField(
            f"capsule has {len(capsule)} bytes, allowed are {CAPSULE_BYTES_MOST}",
            field="capsule",
            limit=f"{CAPSULE_BYTES_MOST} bytes",
        )


def preview(request: pb.PreviewTurnRequest) -> tuple[str, tuple[Fact, ...]]:
    """Read a text to try out, and what is known before it."""
    said = checks.text("text", request.text, shortest=1, longest=2_000)
    checks.count("facts", request.facts, most=FACTS_MOST)
    return said, tuple(fact_from_proto(fact, field=f"facts[{number}]") for number, fact in enumerate(request.facts))


def preview_response(move: Move, learned: Sequence[Fact]) -> pb.PreviewTurnResponse:
    """Say what the bot would do."""
    return pb.PreviewTurnResponse(
        facts=[fact_to_proto(fact) for fact in learned],
        move=move.kind.value,
        reply=move.reply,
        target_bot=move.target,
        confidence=move.confidence,
    )


def finished(opened: OpenedTurn, *, replayed: bool) -> pb.HandleTurnResponse:
    """Say how a turn ended that is finished."""
    return pb.HandleTurnResponse(outcome=_OUTCOMES[opened.state], replayed=replayed, handoff_id=opened.handoff_id)


def handoff_request(
    bot: str,
    key: TurnKey,
    move: Move,
    *,
    request_id: str,
    facts: Sequence[Fact],
    open_question: str,
    turn_record: Mapping[str, Any],
) -> handoff_pb.RequestHandoffRequest:
    """Ask for a handoff. Of `turn_record` go along the parts that the contract has."""
    return handoff_pb.RequestHandoffRequest(
        request_id=request_id,
        proposal=handoff_pb.HandoffProposal(
            tenant_id=key.tenant_id,
            contact_id=key.contact_id,
            source_bot=bot,
            target_bot=move.target,
            confidence=move.confidence,
            summary=move.summary,
            expected_epoch=key.epoch,
            turn_no=key.turn_no,
            facts=[fact_to_proto(fact) for fact in facts],
            open_question=open_question,
            override_message_id=move.override_message_id,
            turn_record=pb.TurnRecord(
                **{field.name: turn_record[field.name] for field in pb.TurnRecord.DESCRIPTOR.fields}
            ),
        ),
    )


def analysis(response: cache_pb.AnalyzeResponse) -> Analysis:
    """Read what the cache service said of a turn's texts."""
    return Analysis(
        content=response.analysis,
        values={span.ref: Place(text=span.text, start=span.begin, end=span.end) for span in response.spans},
        quotes={each.masked: Place(text=each.text, start=each.begin, end=each.end) for each in response.quotes},
    )


def tier(response: cache_pb.AnalyzeResponse | cache_pb.CompleteResponse) -> str:
    """Name the tier that answered: L1, L2, L3, STUDENT or UPSTREAM."""
    return cache_pb.Tier.Name(response.tier).removeprefix("TIER_")
