"""What a decision looked at, as JSON and back, so that it can be made again. Pure.

Only what some rule reads is kept: facts and summary are elsewhere, and the text of a
message only when it was named to override the cycle rule.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from kit.lane import Fact
from services.handoff.rules import INTENT
from services.handoff.values import (
    Kind,
    OverrideMessage,
    PastHandoff,
    Proposal,
    Snapshot,
    State,
    TargetSeen,
)


def to_json(seen: Snapshot, asked: Proposal) -> dict[str, Any]:
    """Return what is stored with the decision."""
    override, target = seen.override, seen.target
    return {
        "now": seen.now.isoformat(),
        "owner": seen.owner,
        "epoch": seen.epoch,
        "pending_handoff_id": seen.pending_handoff_id,
        "opted_out": seen.opted_out,
        "dnd": seen.dnd,
        "history": [
            {
                "source_bot": past.source_bot,
                "target_bot": past.target_bot,
                "state": past.state.value,
                "decide_time": past.decide_time.isoformat(),
                "message_ids": list(past.message_ids),
            }
            for past in seen.history
        ],
        "waiting_message_ids": list(seen.waiting_message_ids),
        "override": {
            "message_id": override.message_id,
            "text": override.text,
            "receive_time": override.receive_time.isoformat(),
            "used": override.used,
        }
        if override
        else None,
        "target": {
            "known": target.known,
            "answers": target.answers,
            "samples": target.samples,
            "errors": target.errors,
            "p95_ms": target.p95_ms,
            "quiet_seconds": target.quiet_seconds,
        },
        "proposal": {
            "kind": asked.kind.value,
            "caller": asked.caller,
            "source_bot": asked.source_bot,
            "target_bot": asked.target_bot,
            "confidence": asked.confidence,
            "expected_epoch": asked.expected_epoch,
            "override_message_id": asked.override_message_id,
            "intents": [
                {"value": fact.value, "words": fact.words, "message_id": fact.message_id}
                for fact in asked.facts
                if override and fact.name == INTENT
            ],
        },
    }


def from_json(row: Mapping[str, Any]) -> tuple[Snapshot, Proposal]:
    """Return what the rules are to look at again; what none of them reads is left out."""
    override, asked = row["override"], row["proposal"]
    snapshot = Snapshot(
        now=datetime.fromisoformat(row["now"]),
        owner=row["owner"],
        epoch=row["epoch"],
        version=0,
        pending_handoff_id=row["pending_handoff_id"],
        opted_out=row["opted_out"],
        dnd=row["dnd"],
        history=tuple(_past(past) for past in row["history"]),
        waiting_message_ids=tuple(row["waiting_message_ids"]),
        override=OverrideMessage(**{**override, "receive_time": datetime.fromisoformat(override["receive_time"])})
        if override
        else None,
        target=TargetSeen(**row["target"]),
    )
    proposal = Proposal(
        tenant_id="",
        contact_id="",
        summary="",
        kind=Kind(asked["kind"]),
        caller=asked["caller"],
        source_bot=asked["source_bot"],
        target_bot=asked["target_bot"],
        confidence=asked["confidence"],
        expected_epoch=asked["expected_epoch"],
        override_message_id=asked["override_message_id"],
        facts=tuple(Fact(**intent, name=INTENT, extractor="", confidence=1.0) for intent in asked["intents"]),
    )
    return snapshot, proposal


def _past(row: Mapping[str, Any]) -> PastHandoff:
    return PastHandoff(
        source_bot=row["source_bot"],
        target_bot=row["target_bot"],
        state=State(row["state"]),
        decide_time=datetime.fromisoformat(row["decide_time"]),
        message_ids=tuple(row["message_ids"]),
    )
