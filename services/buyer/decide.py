"""What the buyer bot does with a turn. Pure."""

from dataclasses import replace
from typing import Final

from kit.bot import talk
from kit.bot.spec import Move, MoveKind, Situation
from services.buyer import homes, phrases
from services.buyer.facts import SLOTS

FRONT: Final = "lead"
"""Who takes a contact back that nobody handed over."""


def decide(situation: Situation) -> Move:
    """Give the contact back when buying was a mistake, on when there is a home to sell; else show homes and talk."""
    move = _handoff(situation)
    if move is not None and move.target not in situation.denied_targets and not situation.signals.no_texts:
        return move
    if not situation.signals.no_texts and (move := homes.decide(situation)) is not None:
        return move
    if homes.asks_by_wish(situation):
        situation = replace(situation, signals=replace(situation.signals, question=False))
    done = situation.value("intent") == "sell" or situation.value("has_agent") is True
    return talk.converse(
        situation,
        SLOTS,
        () if done else homes.ORDER,
        opening=phrases.opening(situation),
        closing=phrases.closing(situation),
    )


def _handoff(situation: Situation) -> Move | None:
    intent = situation.news("intent")
    before = situation.before.get("intent")
    if intent is None or (before is not None and before.value == intent.value):
        return None
    known = talk.summary(SLOTS, situation)
    if intent.value == "sell":
        return Move(
            kind=MoveKind.HAND_OFF,
            target=situation.source_bot or FRONT,
            confidence=intent.confidence,
            summary=f"The contact corrects that they want to sell, not buy. {known}",
            override_message_id=intent.message_id,
        )
    # Who came from the seller bot is known there already.
    if intent.value == "both" and situation.source_bot != "seller":
        return Move(
            kind=MoveKind.HAND_OFF,
            target="seller",
            confidence=intent.confidence,
            summary=f"The contact wants to buy and has a home to sell first. {known}",
        )
    return None
