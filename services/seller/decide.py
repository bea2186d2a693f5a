"""What the seller bot does with a turn. Pure."""

from typing import Final

from kit.bot import reading, talk
from kit.bot.spec import Heard, Move, MoveKind, Situation
from services.seller import phrases, value
from services.seller.facts import SLOTS

FRONT: Final = "lead"
"""Who takes a contact back that nobody handed over."""

BUYING_NOW: Final = 0.75
"""How sure a plain wish to buy is at most while a sale is under way."""


def decide(situation: Situation) -> Move:
    """Give the contact back when selling was a mistake, on when buying comes first; else estimate and talk."""
    move = _handoff(situation)
    if move is not None and move.target not in situation.denied_targets and not situation.signals.no_texts:
        return move
    if (move := value.decide(situation)) is not None:
        return move
    return talk.converse(
        situation,
        SLOTS,
        () if situation.value("intent") == "buy" else value.ORDER,
        opening=phrases.opening(situation),
        closing=phrases.closing(situation),
    )


def _handoff(situation: Situation) -> Move | None:
    intent = situation.news("intent")
    known = talk.summary(SLOTS, situation)
    if intent is not None and intent.value == "buy" and _changes(situation, "buy"):
        return Move(
            kind=MoveKind.HAND_OFF,
            target=situation.source_bot or FRONT,
            confidence=intent.confidence,
            summary=f"The contact corrects that they want to buy, not sell. {known}",
            override_message_id=intent.message_id,
        )
    sure = _buying_now(situation)
    if sure and not situation.opening:
        return Move(
            kind=MoveKind.HAND_OFF,
            target="buyer",
            confidence=min(BUYING_NOW, sure),
            summary=f"The contact is selling and wants to look at homes now. {known}",
        )
    return None


def _changes(situation: Situation, value: str) -> bool:
    before = situation.before.get("intent")
    return before is None or before.value != value


def _buying_now(situation: Situation) -> float:
    """Return how sure a plain wish to buy is; 0 for a plan beside the sale, and for none at all."""
    if not situation.messages:
        return 0.0
    wanted = reading.wanted(Heard(messages=situation.messages, asked=situation.asked))
    plain = set(wanted.sides) == {"buy"} and not wanted.adds and not wanted.corrects
    return wanted.sides["buy"][0].confidence if plain else 0.0
