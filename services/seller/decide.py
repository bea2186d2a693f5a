"""What the seller bot does with a turn. Pure."""

from typing import Final

from kit.bot import talk
from kit.bot.spec import Move, MoveKind, Situation
from services.seller import phrases
from services.seller.facts import SLOTS

ORDER: Final = ("address_area", "timeline", "condition", "motivation", "price_expectation_usd")
FRONT: Final = "lead"
"""Who takes a contact back that nobody handed over."""

BUYING_NOW: Final = 0.75
"""How sure a plain wish to buy is at most while a sale is under way."""


def decide(situation: Situation) -> Move:
    """Give the contact back when selling was a mistake, on when buying comes first; else talk."""
    move = _handoff(situation)
    if move is not None and move.target not in situation.denied_targets and not situation.signals.no_texts:
        return move
    return talk.converse(
        situation,
        SLOTS,
        () if situation.value("intent") == "buy" else ORDER,
        opening=phrases.opening(situation),
        closing=phrases.closing(situation),
    )


def _handoff(situation: Situation) -> Move | None:
    intent = situation.news("intent")
    before = situation.before.get("intent")
    # What is confided goes to nobody else, and an approved handoff would lose it: it is stored first.
    confided = any(fact.private_to for fact in situation.learned)
    if intent is None or confided or (before is not None and before.value == intent.value):
        return None
    known = talk.summary(SLOTS, situation)
    if intent.value == "buy":
        return Move(
            kind=MoveKind.HAND_OFF,
            target=situation.source_bot or FRONT,
            confidence=intent.confidence,
            summary=f"The contact corrects that they want to buy, not sell. {known}",
            override_message_id=intent.message_id,
        )
    if intent.value == "both" and before is not None and before.value == "sell" and not situation.opening:
        return Move(
            kind=MoveKind.HAND_OFF,
            target="buyer",
            confidence=min(BUYING_NOW, intent.confidence),
            summary=f"The contact is selling and wants to look at homes now. {known}",
        )
    return None
