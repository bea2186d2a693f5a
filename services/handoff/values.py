"""The nouns of the arbiter: what is asked for, what is seen, what is decided. Pure."""

import enum
import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime

from kit.lane import Fact

OPERATOR = "operator"
HUMAN = "human"


class State(enum.Enum):
    """Where a handoff stands.

    DENIED is final. Otherwise PENDING -> OFFERED -> ACCEPTED -> COMPLETED, or out of
    the first two DECLINED or EXPIRED, which give the contact back to the source.
    """

    DENIED = "DENIED"
    PENDING = "PENDING"
    OFFERED = "OFFERED"
    ACCEPTED = "ACCEPTED"
    COMPLETED = "COMPLETED"
    DECLINED = "DECLINED"
    EXPIRED = "EXPIRED"


COUNTED = frozenset({State.PENDING, State.OFFERED, State.ACCEPTED, State.COMPLETED})
"""The states in which a handoff is a visit: it counts for the cycle and quota rules."""

GIVEN_BACK = frozenset({State.DECLINED, State.EXPIRED})


class Rule(enum.Enum):
    """The rules, in order of precedence."""

    IDENTITY = "IDENTITY"
    OWNERSHIP = "OWNERSHIP"
    ROUTE = "ROUTE"
    CONSENT = "CONSENT"
    CYCLE = "CYCLE"
    QUOTA = "QUOTA"
    EVIDENCE = "EVIDENCE"
    HEALTH = "HEALTH"


class Outcome(enum.Enum):
    """What a rule said."""

    PASS = "PASS"  # noqa: S105 - no password
    FAIL = "FAIL"
    OVERRIDDEN = "OVERRIDDEN"


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """One rule's answer; `detail` is a sentence for a person."""

    rule: Rule
    outcome: Outcome
    observed: str
    limit: str
    detail: str


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """What a bot, or the operator acting for one, asks for."""

    tenant_id: str
    contact_id: str
    source_bot: str
    target_bot: str
    confidence: float
    summary: str
    caller: str
    expected_epoch: int = 0
    turn_no: int = 0
    facts: tuple[Fact, ...] = ()
    open_question: str = ""
    override_message_id: str = ""
    turn_record: Mapping[str, str | int] = field(default_factory=dict)

    def digest(self) -> str:
        """Return the SHA-256 of what is asked for, whoever asks, in hexadecimal.

        Over our own values, not over protobuf bytes, which have no canonical form.
        """
        content = asdict(self)
        # Who asks, and what it cost to come to ask, may differ between tries of one request.
        del content["caller"], content["turn_record"]
        return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()


@dataclass(frozen=True, kw_only=True)
class PastHandoff:
    """A handoff that was once approved."""

    source_bot: str
    target_bot: str
    state: State
    decide_time: datetime
    message_ids: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class OverrideMessage:
    """The stored inbound message that a proposal names to override the cycle rule."""

    message_id: str
    text: str = field(repr=False)
    receive_time: datetime
    used: bool


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """Everything the rules look at, read at one moment.

    `version` fences the record: it changes with whatever the rules look at.
    `target_reachable` is what this process last saw; None when it has not looked yet.
    """

    now: datetime
    owner: str
    epoch: int
    version: int
    turn_no: int = 0
    turn_open: bool = False
    pending_handoff_id: str | None = None
    opted_out: bool = False
    dnd: bool = False
    history: tuple[PastHandoff, ...] = ()
    waiting_message_ids: tuple[str, ...] = ()
    override: OverrideMessage | None = None
    facts: tuple[Fact, ...] = ()
    target_reachable: bool | None = None


@dataclass(frozen=True, kw_only=True)
class Decision:
    """All verdicts, and what follows from them.

    `override_message_id` is the message that overrode the cycle rule, else None.
    """

    approved: bool
    verdicts: tuple[Verdict, ...]
    blocking_rule: Rule | None
    block_reason: str
    policy_version: int
    override_message_id: str | None


@dataclass(frozen=True, kw_only=True)
class Handoff:
    """The record of a decision, as it stands now."""

    handoff_id: str
    tenant_id: str
    contact_id: str
    request_id: str
    request_digest: str
    actor: str
    source_bot: str
    target_bot: str
    state: State
    verdicts: tuple[Verdict, ...]
    blocking_rule: Rule | None
    block_reason: str
    confidence: float
    summary: str
    open_question: str
    message_ids: tuple[str, ...]
    override_message_id: str | None
    policy_version: int
    epoch: int
    decide_time: datetime
