"""What the lead bot does with a turn. Pure."""

from typing import Final

from kit.bot import talk
from kit.bot.spec import Move, MoveKind, Situation
from services.lead import phrases
from services.lead.facts import SLOTS

TARGETS: Final = {"buy": "buyer", "sell": "seller", "both": "seller"}
"""A home to sell decides what can be bought, so both goes to the seller bot first."""

ASKED_AGAIN_FROM: Final = 0.7
"""The arbiter decides; but what it refused as too unsure is only asked again once it is surer than this."""

PER_ANSWER: Final = 0.1
"""What each of area and timeline adds to the confidence of an intent: who answers means it."""
MOST: Final = 0.97


def decide(situation: Situation) -> Move:
    """Hand over as soon as it is clear what the contact wants; else ask."""
    target = TARGETS.get(str(situation.value("intent")), "")
    sure = confidence(situation)
    asked_anew = situation.news("intent") is not None or sure >= ASKED_AGAIN_FROM
    # Who was handed back just now changed their mind once: they are asked before they move again.
    wanted = target and not situation.opening and target not in situation.denied_targets and asked_anew
    if wanted and not situation.signals.no_texts:
        return Move(kind=MoveKind.HAND_OFF, target=target, confidence=sure, summary=_summary(situation))
    return talk.converse(
        situation,
        SLOTS,
        _order(situation),
        opening=phrases.opening(situation),
        closing=phrases.closing(situation),
        question=phrases.question(situation),
    )


def confidence(situation: Situation) -> float:
    """Return how sure the intent is, by points: the wording's (kit/bot/wishes.py) plus `PER_ANSWER` for each answer.

    >>> confidence(Situation(brokerage="b"))
    0.0
    """
    intent = situation.known.get("intent")
    if intent is None:
        return 0.0
    answers = len({"area", "address_area"} & set(situation.known)) > 0, "timeline" in situation.known
    return round(max(intent.confidence, min(MOST, intent.confidence + PER_ANSWER * sum(answers))), 2)


def _order(situation: Situation) -> tuple[str, ...]:
    match situation.value("intent"):
        case "buy":
            return ("area", "timeline")
        case "sell" | "both":
            return ("address_area", "timeline")
    return ("intent",)


def _summary(situation: Situation) -> str:
    wish = {"buy": "wants to buy a home", "sell": "wants to sell a home", "both": "wants to sell a home and buy one"}
    return f"The contact {wish[str(situation.value('intent'))]}. {talk.summary(SLOTS, situation)}"
