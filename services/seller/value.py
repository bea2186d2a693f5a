"""What the seller bot says of a home's value, and when. Pure."""

import re
from dataclasses import dataclass, replace
from typing import Final

from kit import text
from kit.bot import talk
from kit.bot.plan import Part, fixed, said
from kit.bot.spec import Move, MoveKind, Situation
from kit.homes import AREA_SQFT
from kit.places import is_zip, zips_of
from services.seller import phrases, sentences
from services.seller.cma import NOT_AN_APPRAISAL, Estimate, Subject, TooFewSales
from services.seller.facts import SLOTS

NEEDED: Final = ("address_area", "area_sqft")
"""Without these there is no estimate."""
TOLD: Final = ("condition", "bedrooms", "bathrooms_quarters")
"""What an owner can tell that is worth asking for, the most telling first."""
DETAILS: Final = ("condition", "bedrooms", "bathrooms")
"""The same by the names of `kit.homes.HOME_FIELDS`."""
ORDER: Final = (*NEEDED, *TOLD, "timeline", "motivation", "price_expectation_usd")
LONGEST_REPLY: Final = 480

CONDITIONS: Final = {"excellent": 5.0, "good": 4.0, "average": 3.0, "fair": 2.0, "needs_work": 2.0, "poor": 1.0}
"""An owner's words on the assessor's scale of King County: 5 very good, 4 good, 3 average, 2 fair ("badly worn,
much repair needed"), 1 poor ("worn out")."""

_ASKS: Final = re.compile(
    r"\bworth\b|\bhow much (?:would|could|can|will|might|should|do you think|is|are|does)\b.{0,40}\b(?:sell|get|go|list|home|house|place|condo|it|ask)\b"
    r"|\bwhat (?:would|could|can|will|might|should|do you think)\b.{0,30}\b(?:sell for|get for|go for|list|bring|fetch|ask for)\b"
    r"|\b(?:home|house|property|market|current|estimated|its|the|my) value\b|\bvaluation\b|\bestimate\b|\bcma\b|\bcomps?\b|\bappraisal\b"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class LookedUp:
    """What came of valuing the home."""

    result: Estimate | TooFewSales
    title: str
    """What the sales are, such as "King County public records, sample data"."""


# --- what to look up


def home_of(situation: Situation) -> Subject | None:
    """Return the home as far as it is known; None when its place or its size is not."""
    zips, size = zips_of_home(situation), situation.value("area_sqft")
    if not zips or not isinstance(size, int) or not AREA_SQFT[0] <= size <= AREA_SQFT[1]:
        return None
    features: dict[str, float] = {}
    if (condition := CONDITIONS.get(str(situation.value("condition")))) is not None:
        features["condition"] = condition
    if isinstance(bedrooms := situation.value("bedrooms"), int):
        features["bedrooms"] = float(bedrooms)
    if isinstance(quarters := situation.value("bathrooms_quarters"), int):
        features["bathrooms"] = quarters / 4
    if isinstance(water := situation.value("on_waterfront"), bool):
        features["waterfront"] = float(water)
    return Subject(area_sqft=float(size), zips=zips, features=features)


def zips_of_home(situation: Situation) -> tuple[str, ...]:
    """Return the ZIP codes of where the home is; empty when that is not known, or not a place that we know."""
    place = situation.value("address_area")
    if not isinstance(place, str):
        return ()
    named = [each for each in re.findall(r"\b\d{5}(?:-\d{4})?\b", place) if is_zip(each)]
    return zips_of(named[-1] if named else place)


def home_to_value(situation: Situation) -> Subject | None:
    """Return the home when its value is to be said in this turn.

    That is once as soon as place and size are known, again when one of them changes,
    once more when the details have been asked for, and whenever the person asks.
    """
    home = home_of(situation)
    if home is None or situation.value("intent") == "buy":
        return None
    said = str(situation.memory.get("estimated", ""))
    if not said or asks_value(situation):
        return home
    changed = said.split("|", maxsplit=1)[0] != _key(home).split("|")[0]
    detailed = said != _key(home) and not talk.next_question(situation, TOLD)
    return home if changed or detailed else None


def asks_value(situation: Situation) -> bool:
    """Say whether the person asks what the home is worth."""
    if not situation.signals.question:
        return False
    return any(_ASKS.search(text.fold(each.text)) for each in situation.messages)


def _key(home: Subject) -> str:
    details = ",".join(f"{name}={value:g}" for name, value in sorted(home.features.items()))
    return f"{'+'.join(home.zips)} {home.area_sqft:.0f}|{details}"


# --- what to say


def decide(situation: Situation) -> Move | None:
    """Return the move of a turn that is about the value; None when it is about something else."""
    signals = situation.signals
    if situation.value("intent") == "buy" or signals.human or signals.if_bot or signals.of_data or signals.no_texts:
        return None
    asks = asks_value(situation)
    looked: LookedUp | None = situation.found.get("value")
    home = home_of(situation)
    if looked is not None and home is not None and (asks or not signals.question):
        return _estimated(situation, looked, home)
    if _place_unknown(situation) and (asks or situation.memory.get("place_unknown") != situation.value("address_area")):
        move = _converse(situation, phrases.unknown_place(), answers=asks)
        # In a first reply there may be no room for it; then it is said in the next.
        told = {"place_unknown": situation.value("address_area")} if phrases.unknown_place() in move.parts else {}
        return replace(move, memory=dict(situation.memory) | told)
    if asks and home is None:
        missing = [name for name in NEEDED if name not in situation.known]
        return _converse(situation, phrases.needed(missing), answers=True)
    return None


def _place_unknown(situation: Situation) -> bool:
    return situation.value("address_area") is not None and not zips_of_home(situation)


def _converse(situation: Situation, part: Part, *, answers: bool) -> Move:
    """Say something of value, then talk on; a question of value is answered by it."""
    asked = replace(situation, signals=replace(situation.signals, question=False)) if answers else situation
    opening = (*phrases.opening(situation), part)
    move = talk.converse(asked, SLOTS, ORDER, opening=opening, closing=phrases.closing(situation))
    # Who asks has not left a question unanswered: it is not counted.
    return replace(move, kind=MoveKind.ANSWER) if answers else move


def _estimated(situation: Situation, looked: LookedUp, home: Subject) -> Move:
    name = talk.next_question(situation, ORDER)
    question = (talk.ask(SLOTS, name, situation),) if name else ()
    ending = question or (() if situation.closed else phrases.closing(situation))
    opening, head = phrases.opening(situation), talk.head(situation)
    short, full = ((fixed("estimate", each),) for each in sentences.message(looked.result, title=looked.title))
    updated = (fixed("updated", phrases.UPDATED),) if situation.memory.get("estimated") else ()
    heard = talk.noted(SLOTS, situation.learned)
    ways = (
        (*head, *opening, *heard, *updated, *full, *ending),
        (*head, *opening, *updated, *full, *ending),
        (*head, *opening, *updated, *short, *ending),
        (*head, *updated, *short, *ending),
        (*head, *updated, *short),
    )
    parts = next((parts for parts in ways if len(said(parts)) <= LONGEST_REPLY), ways[-1])
    asking = bool(name) and parts[-1:] == question
    return Move(
        kind=MoveKind.ASK if asking and not situation.signals.question else MoveKind.ANSWER,
        reply=said(parts),
        parts=parts,
        question=name if asking else "",
        closing=situation.closed or not name,
        memory=dict(situation.memory) | {"estimated": _key(home)},
        spoken=(looked,),
        notices=(NOT_AN_APPRAISAL,) if isinstance(looked.result, Estimate) else (),
    )
