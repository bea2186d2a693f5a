"""What a contact must be after whatever happens to it, written from the promises. Pure.

A model of one contact for `handoff_sequences`: no line of the arbiter's or of its SQL is
used here. What happens is a method; it changes the model and returns what must be
answered. Times are the database's.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

BOTS: Final = ("lead", "buyer", "seller")
HUMAN: Final = "human"
WANTS: Final = {"buy": "buyer", "sell": "seller"}
THRESHOLDS: Final = {
    ("lead", "buyer"): 0.7,
    ("lead", "seller"): 0.7,
    ("buyer", "seller"): 0.8,
    ("seller", "buyer"): 0.6,
    ("buyer", "lead"): 0.7,
}
"""Seller to lead is no route here, so that one is missing."""
CYCLE: Final = timedelta(minutes=30)
LIMITS: Final = ((timedelta(hours=1), 2), (timedelta(hours=24), 4))
OFFER: Final = timedelta(seconds=10)
CALL: Final = timedelta(seconds=4)
LEASE: Final = timedelta(seconds=25)


@dataclass(kw_only=True)
class Message:
    """What the person wrote."""

    message_id: str
    intent: str
    time: datetime
    outcome: str
    after_human: int
    """How many texts of people of the brokerage came before it."""


@dataclass(kw_only=True)
class Past:
    """An approved handoff, or a move from or to a person."""

    kind: str
    source: str
    target: str
    state: str
    epoch: int
    time: datetime
    messages: frozenset[str] = frozenset()
    override: str = ""
    taken_over: bool = False
    offered_until: datetime | None = None

    @property
    def counts(self) -> bool:
        """Whether the contact came to be where it went."""
        return self.state in ("OPEN", "ACCEPTED", "COMPLETED")


@dataclass(kw_only=True)
class Turn:
    """A claim of the lane."""

    number: int
    epoch: int
    bot: str
    messages: tuple[str, ...]
    state: str = "OPEN"
    text: list[object] | None = None
    """Its reply, as it stands among the contact's texts."""


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What is asked of the arbiter."""

    source: str
    target: str
    confidence: float
    epoch: int = 0
    turn: int = 0
    message: str = ""
    """The message that is named to override the cycle rule."""
    intent: str = ""
    """What the proposal says that this message wants; empty for nothing."""


@dataclass(kw_only=True)
class Contact:
    """One contact."""

    now: datetime
    owner: str = "lead"
    epoch: int = 1
    pending: str = ""
    opted_out: bool = False
    human_texts: int = 0
    messages: list[Message] = field(default_factory=list)
    past: dict[str, Past] = field(default_factory=dict)
    turns: list[Turn] = field(default_factory=list)
    texts: list[list[object]] = field(default_factory=list)
    """What goes out: kind, epoch, state."""
    ready: datetime | None = None
    leased_until: datetime | None = None

    # --- what is asked ------------------------------------------------------------------------------------------

    def blocking(self, wish: Wish) -> str:
        """Say which rule must refuse a handoff; empty for none."""
        if self.pending or HUMAN in (self.owner, wish.source) or self.owner != wish.source:
            return "OWNERSHIP"
        if wish.epoch not in (0, self.epoch):
            return "OWNERSHIP"
        route = (wish.source, wish.target)
        refused = (each for each in self.past.values() if each.state in ("DECLINED", "EXPIRED"))
        if route not in THRESHOLDS or any(
            (each.source, each.target) == route and each.messages & self.waiting and not each.taken_over
            for each in refused
        ):
            return "ROUTE"
        if self.opted_out:
            return "CONSENT"
        if self._returns(wish) and not self._overrides(wish):
            return "CYCLE"
        if any(len(list(self._visits(window))) >= limit for window, limit in LIMITS):
            return "QUOTA"
        return "" if THRESHOLDS[route] <= wish.confidence <= 1 else "EVIDENCE"

    def hand_over(self, wish: Wish, handoff_id: str) -> tuple[str, str, bool]:
        """Decide, and move the contact when nothing is against it; returns state, blocking rule, and if overridden."""
        turn = next((each for each in self.turns if each.number == wish.turn), None)
        if wish.turn and (turn is None or turn is not self.turns[-1] or self._stale(turn)):
            return "STALE", "", False
        if rule := self.blocking(wish):
            return "DENIED", rule, False
        override = wish.message if self._returns(wish) else ""
        if turn is not None and wish.turn:
            turn.state = "HANDED_OFF"
        waiting = self.waiting
        self._give(wish.target, pending=handoff_id)
        self.past[handoff_id] = Past(
            kind="HANDOFF", source=wish.source, target=wish.target, state="OPEN", epoch=self.epoch, time=self.now,
            messages=waiting, override=override,
        )  # fmt: skip
        return "PENDING", "", bool(override)

    def escalate(self, source: str, handoff_id: str) -> tuple[str, str, bool]:
        """Give the contact to a person, who has what waits."""
        if self.owner == HUMAN or source not in ("", self.owner):
            return "DENIED", "OWNERSHIP", False
        if self.opted_out:
            return "DENIED", "CONSENT", False
        self._to_human(handoff_id)
        return "ACCEPTED", "", False

    def give_back(self, target: str, handoff_id: str) -> tuple[str, str, bool]:
        """Give the contact from a person to a bot; what nobody answered waits again."""
        if self.owner != HUMAN:
            return "DENIED", "OWNERSHIP", False
        if self.opted_out:
            return "DENIED", "CONSENT", False
        for each in self.past.values():
            if each.kind == "ESCALATION" and each.state == "ACCEPTED":
                each.state = "COMPLETED"
        self._moved("RETURN", HUMAN, target, handoff_id)
        for message in self.messages:
            if message.outcome == "ESCALATED_HUMAN" and message.after_human == self.human_texts:
                message.outcome = "WAITING"
        self._wake()
        return "ACCEPTED", "", False

    def offers(self) -> list[str]:
        """Take the offers that are to be made now; nobody else gets them for a while."""
        past = self.past.get(self.pending)
        if past is None or self.now >= past.time + OFFER or (past.offered_until and past.offered_until > self.now):
            return []
        past.offered_until = self.now + CALL
        return [self.pending]

    def redeem(self, handoff_id: str, epoch: int) -> str:
        """Take a contact with a ticket."""
        past = self.past[handoff_id]
        if self.pending != handoff_id or epoch != self.epoch or self.now >= past.time + OFFER:
            return past.state
        past.state, self.pending = "ACCEPTED", ""
        self._wake()
        return "DONE"

    def compensate(self, handoff_id: str, state: str) -> str:
        """Give a contact back to its source, which was refused."""
        past = self.past[handoff_id]
        if self.pending != handoff_id:
            return past.state
        past.state = state
        self._give(past.source)
        self._wake()
        return "DONE"

    def expire(self) -> list[str]:
        """Give back what nobody took in time."""
        late = [self.pending] if self.pending and self.now >= self.past[self.pending].time + OFFER else []
        for handoff_id in late:
            self.compensate(handoff_id, "EXPIRED")
        return late

    # --- what comes in, and the lane ----------------------------------------------------------------------------

    def says(self, intent: str, message_id: str) -> str:
        """Take in a text of the person; STOP and START are intents too."""
        outcome = self._outcome(intent)
        self.messages.append(
            Message(message_id=message_id, intent=intent, time=self.now, outcome=outcome, after_human=self.human_texts)
        )
        leased = self.leased_until is not None and self.leased_until >= self.now
        if outcome == "WAITING" and not self.pending and not leased:
            self._wake()
        return outcome

    def human_writes(self, handoff_id: str) -> None:
        """Take in a text of a person of the brokerage, who has the contact from then on."""
        self.human_texts += 1
        if self.owner != HUMAN:
            self._to_human(handoff_id)

    def claim(self) -> Turn | None:
        """Open the next turn, if one is due."""
        if self.ready is None or self.ready > self.now or self.pending or self.owner == HUMAN:
            return None
        if self.unsent():
            self.ready = None
            return None
        self._expire_turn()
        self.ready = self.leased_until = None
        if not self.waiting:
            return None
        self.ready = self.leased_until = self.now + LEASE
        waiting = tuple(each.message_id for each in self.messages if each.outcome == "WAITING")
        turn = Turn(number=len(self.turns) + 1, epoch=self.epoch, bot=self.owner, messages=waiting)
        self.turns.append(turn)
        return turn

    def complete(self, number: int, reply: bool) -> str:
        """End a turn, with a reply or without."""
        turn = self.turns[number - 1]
        if turn.state in ("REPLIED", "SILENT", "HANDED_OFF"):
            return "FINISHED"
        if turn is not self.turns[-1] or self._stale(turn) or self.owner != turn.bot:
            return "STALE"
        turn.state = "REPLIED" if reply else "SILENT"
        if reply:
            turn.text = ["REPLY", self.epoch, "PENDING"]
            self.texts.append(turn.text)
        for message in self.messages:
            if message.message_id in turn.messages and message.outcome == "WAITING":
                message.outcome = "REPLIED" if reply else "SUPPRESSED"
        for past in self.past.values():
            if past.state == "ACCEPTED" and past.target == turn.bot:
                past.state = "COMPLETED"
        self.ready = self.leased_until = None
        self._wake()
        return "COMPLETED"

    def deliver(self) -> str:
        """Send the first text that waits, if it may still go out."""
        text = next((each for each in self.texts if each[2] == "PENDING"), None)
        if text is None:
            return "NOT SENT"
        stale = self.opted_out or self.owner == HUMAN or text[1] != self.epoch
        text[2] = "SUPPRESSED" if text[0] == "REPLY" and stale else "SENT"
        if text[2] == "SUPPRESSED" and not self.opted_out:
            self._reopen(text)
        if self.ready is None and not self.pending:
            self._wake()
        return "SENT" if text[2] == "SENT" else "NOT SENT"

    # --- what must be so at every moment ------------------------------------------------------------------------

    @property
    def waiting(self) -> frozenset[str]:
        """Messages that nobody has answered."""
        return frozenset(each.message_id for each in self.messages if each.outcome == "WAITING")

    def answered_by(self, text: list[object]) -> list[Message]:
        """Return the messages that a reply answers."""
        ids = {each for turn in self.turns if turn.text is text for each in turn.messages}
        return [each for each in self.messages if each.message_id in ids and each.outcome == "REPLIED"]

    def idle_with_work(self) -> bool:
        """Say whether a message waits, nothing is in its way, and yet no turn will ever be claimed."""
        return bool(self.waiting) and not (self.pending or self.owner == HUMAN or self.unsent()) and self.ready is None

    def edges(self) -> Iterable[timedelta]:
        """Give the waits from now to the moments at which something ends."""
        windows = (CYCLE, *(window for window, _ in LIMITS), OFFER, CALL)
        ends = [past.time + window for past in self.past.values() for window in windows]
        ends += [self.leased_until] if self.leased_until else []
        return sorted(end - self.now for end in ends if end > self.now)

    # --- parts --------------------------------------------------------------------------------------------------

    def _returns(self, wish: Wish) -> bool:
        return any(each.source == wish.target for each in self._visits(CYCLE))

    def _overrides(self, wish: Wish) -> bool:
        named = next((each for each in self.messages if each.message_id == wish.message), None)
        if named is None or not wish.intent or wish.intent != named.intent or WANTS.get(wish.intent) == wish.source:
            return False
        if any(each.override == wish.message for each in self.past.values()):
            return False
        return all(named.time > each.time for each in self.past.values() if each.counts)

    def _visits(self, window: timedelta) -> Iterable[Past]:
        return (
            each
            for each in self.past.values()
            if each.kind == "HANDOFF" and each.counts and self.now - each.time < window
        )

    def _outcome(self, intent: str) -> str:
        if intent == "STOP":
            self._suppress(reopen=False)
            self._settle("SUPPRESSED")
            if not self.opted_out:
                self.opted_out = True
                self.texts.append(["OPT_OUT_CONFIRMATION", self.epoch, "PENDING"])
            return "SUPPRESSED"
        if self.opted_out and intent == "START":
            self.opted_out = False
            self.texts.append(["OPT_IN_CONFIRMATION", self.epoch, "PENDING"])
            return "REPLIED"
        if self.opted_out:
            return "SUPPRESSED"
        return "ESCALATED_HUMAN" if self.owner == HUMAN else "WAITING"

    def _to_human(self, handoff_id: str) -> None:
        if self.pending:
            self.past[self.pending].state, self.past[self.pending].taken_over = "EXPIRED", True
        self._moved("ESCALATION", self.owner, HUMAN, handoff_id)
        self._suppress(reopen=True)
        self._settle("ESCALATED_HUMAN")

    def _give(self, owner: str, pending: str = "") -> None:
        self.owner, self.pending, self.epoch = owner, pending, self.epoch + 1
        self.ready = self.leased_until = None
        self._expire_turn()

    def _moved(self, kind: str, source: str, target: str, handoff_id: str) -> None:
        waiting = self.waiting
        self._give(target)
        self.past[handoff_id] = Past(
            kind=kind, source=source, target=target, state="ACCEPTED", epoch=self.epoch, time=self.now, messages=waiting
        )

    def _expire_turn(self) -> None:
        if self.turns and self.turns[-1].state == "OPEN":
            self.turns[-1].state = "EXPIRED"

    def _stale(self, turn: Turn) -> bool:
        return turn.state != "OPEN" or turn.epoch != self.epoch

    def _suppress(self, *, reopen: bool) -> None:
        for text in self.texts:
            if text[0] == "REPLY" and text[2] == "PENDING":
                text[2] = "SUPPRESSED"
                if reopen:
                    self._reopen(text)

    def _reopen(self, text: list[object]) -> None:
        """Let whoever has the contact now answer what a reply that never went out was about."""
        for message in self.answered_by(text):
            if self.owner == HUMAN:
                message.outcome = "ESCALATED_HUMAN"
            elif message.after_human == self.human_texts:
                message.outcome = "WAITING"

    def _settle(self, outcome: str) -> None:
        for message in self.messages:
            if message.outcome == "WAITING":
                message.outcome = outcome
        if self.leased_until is None:
            self.ready = None

    def unsent(self) -> bool:
        """Say whether a text waits to go out."""
        return any(text[2] == "PENDING" for text in self.texts)

    def _wake(self) -> None:
        if self.waiting:
            self.ready = self.now
