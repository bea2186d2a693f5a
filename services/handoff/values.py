"""The nouns of the arbiter: what is asked for, what is seen, what is decided. Pure."""

import enum
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime

from kit.lane import Fact

OPERATOR = "operator"
CONSOLE = "console"
GATEWAY = "gateway"
HUMAN = "human"

CAPSULE_VERSION = 1
"""Of the capsules that are written today."""

_PARTS = tuple(each.name for each in fields(Fact))


class Kind(enum.Enum):
    """Between whom a contact moves: two bots, a bot and a person, a person and a bot."""

    HANDOFF = "HANDOFF"
    ESCALATION = "ESCALATION"
    RETURN = "RETURN"


class State(enum.Enum):
    """Where a handoff stands.

    DENIED and DEFERRED are final. Otherwise PENDING -> OFFERED -> ACCEPTED -> COMPLETED, or out of
    the first two DECLINED or EXPIRED, which give the contact back to the source. A move
    from or to a person needs no offer and begins as ACCEPTED.
    """

    DENIED = "DENIED"
    DEFERRED = "DEFERRED"
    PENDING = "PENDING"
    OFFERED = "OFFERED"
    ACCEPTED = "ACCEPTED"
    COMPLETED = "COMPLETED"
    DECLINED = "DECLINED"
    EXPIRED = "EXPIRED"


COUNTED = frozenset({State.PENDING, State.OFFERED, State.ACCEPTED, State.COMPLETED})
"""The states in which a handoff is a visit: it counts for the cycle and quota rules."""

GIVEN_BACK = frozenset({State.DECLINED, State.EXPIRED})

NOT_APPROVED = frozenset({State.DENIED, State.DEFERRED})


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
    DEFER = "DEFER"


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """One rule's answer; `detail` is a sentence for a person.

    A verdict in `shadow` says what the rule would have done and does nothing.
    """

    rule: Rule
    outcome: Outcome
    observed: str
    limit: str
    detail: str
    shadow: bool = False


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """What a bot, or somebody acting for one, asks for.

    An escalation without `source_bot` is one from whoever has the contact. `reason` is
    why a person is asked for, as a code; `person` is who gives the contact back.
    """

    tenant_id: str
    contact_id: str
    source_bot: str
    target_bot: str
    summary: str
    caller: str
    kind: Kind = Kind.HANDOFF
    confidence: float = 1.0
    reason: str = ""
    person: str = ""
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
        content = {**vars(self), "facts": [{name: getattr(fact, name) for name in _PARTS} for fact in self.facts]}
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
class TargetSeen:
    """What this process saw of the target, over the last minute.

    `answers` is None when nobody has looked yet; `quiet_seconds` is how long ago the
    target was last asked.
    """

    known: bool = True
    answers: bool | None = None
    samples: int = 0
    errors: int = 0
    p95_ms: int = 0
    quiet_seconds: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """Everything the rules look at, read at one moment.

    `version` fences the record: it changes with whatever the rules look at.
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
    target: TargetSeen = TargetSeen()


@dataclass(frozen=True, kw_only=True)
class Decision:
    """All verdicts, and what follows from them.

    `retry_time` is when a decision that was put off is worth asking for again, else
    None. `override_message_id` is the message that overrode the cycle rule, else None.
    """

    state: State
    verdicts: tuple[Verdict, ...]
    blocking_rule: Rule | None
    block_reason: str
    policy_version: int
    override_message_id: str | None
    retry_time: datetime | None = None

    @property
    def approved(self) -> bool:
        """Whether the contact moves."""
        return self.state not in NOT_APPROVED


@dataclass(frozen=True, kw_only=True)
class Handoff:
    """The record of a decision, as it stands now.

    `due_time` is until when a person should have written to the contact, `answer_time`
    when one did; `overdue` says that time is up, by the ledger's clock.
    """

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
    kind: Kind = Kind.HANDOFF
    reason: str = ""
    person: str = ""
    retry_time: datetime | None = None
    due_time: datetime | None = None
    answer_time: datetime | None = None
    overdue: bool = False
