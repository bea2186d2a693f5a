"""What the buyer bot says of homes: proposals, answers from their records, a wish to see one. Pure."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

from kit import places
from kit.bot import talk
from kit.bot.spec import Move, MoveKind, Situation
from services.buyer import about, matching, phrases
from services.buyer.facts import SLOTS
from services.buyer.values import Found, HomeType, Listing, Proposal, Wishes

NEEDS: Final = ("area", "price_max_usd", "bedrooms_min")
"""What is asked for before homes are proposed."""
ORDER: Final = (*NEEDS, "timeline", "financing")
LONGEST_REPLY: Final = 480
_SEEN_MOST: Final = 60
_AND: Final = re.compile(r"\s*(?:,|/|&|\band\b|\bor\b)\s*", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True, slots=True)
class LookedUp:
    """What was fetched before the decision."""

    shown: tuple[Listing, ...] = ()
    """What the last proposal showed, in its order."""
    found: Found | None = None
    """What fits; None when nothing was searched for."""


# --- what to look up


def shown_ids(situation: Situation) -> tuple[str, ...]:
    """Return the ids of the homes that the last proposal showed."""
    return tuple(map(str, situation.memory.get("shown", ())))


def wishes_of(situation: Situation) -> Wishes:
    """Return what the facts wish of a home; nothing about a person is among it."""
    price_max, price_min = _number(situation, "price_max_usd"), _number(situation, "price_min_usd")
    quarters, home_type = _number(situation, "bathrooms_min_quarters"), situation.value("home_type")
    return Wishes(
        price_max_usd_cents=None if price_max is None else price_max * 100,
        bedrooms_min=_number(situation, "bedrooms_min"),
        zips=zips_of_area(situation),
        home_type=HomeType(home_type) if home_type in list(HomeType) else None,
        price_min_usd_cents=None if price_min is None else price_min * 100,
        bathrooms_min=None if quarters is None else quarters / 4,
        area_sqft_min=_number(situation, "area_min_sqft"),
        year_built_min=_number(situation, "year_built_min"),
        waterfront=situation.value("wants_waterfront") is True,
        view=situation.value("wants_view") is True,
    )


def zips_of_area(situation: Situation) -> tuple[str, ...]:
    """Return the ZIP codes of the area wished for; empty when one of its places is unknown."""
    area = situation.value("area")
    parts = [places.zips_of(part) for part in _AND.split(str(area)) if part] if area is not None else []
    return tuple(dict.fromkeys(each for part in parts for each in part)) if all(parts) else ()


def wishes_to_search(situation: Situation) -> Wishes | None:
    """Return what to search for in this turn; None when no homes are to be proposed in it.

    Searched for is once the needs are known or given up, again when a wish
    changes, and whenever the person asks for homes and has given a need.
    """
    if situation.value("intent") == "sell" or not any(name in situation.known for name in NEEDS):
        return None
    if _area_unknown(situation):
        return None
    asked = any(about.asks_for_homes(each.text) for each in situation.messages)
    if asked:
        return wishes_of(situation)
    if situation.value("has_agent") is True or talk.next_question(situation, NEEDS):
        return None
    wishes = wishes_of(situation)
    return wishes if _key(wishes) != situation.memory.get("wishes") else None


def _number(situation: Situation, name: str) -> int | None:
    value = situation.value(name)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _area_unknown(situation: Situation) -> bool:
    return situation.value("area") is not None and not zips_of_area(situation)


def _key(wishes: Wishes) -> str:
    return " ".join(f"{name}={value}" for name, value in sorted(asdict(wishes).items()) if value)


# --- what to say


def decide(situation: Situation) -> Move | None:
    """Return the move of a turn that is about homes; None when it is about something else."""
    looked: LookedUp = situation.found.get("homes", LookedUp())
    said = " ".join(each.text for each in situation.messages)
    signals = situation.signals
    if signals.human or signals.if_bot or situation.value("intent") == "sell":
        return None
    if about.asks_of_people(said) and signals.question:
        return _answer(situation, [phrases.OF_PEOPLE])
    agent = situation.news("has_agent")
    if agent is not None and agent.value is True:
        return Move(kind=MoveKind.ANSWER, reply=_fit(situation, [phrases.HAS_AGENT]), closing=True)
    if looked.shown and (move := _about_shown(situation, said, looked.shown)) is not None:
        return move
    if looked.found is not None:
        return _propose(situation, looked.found)
    if _area_unknown(situation) and situation.memory.get("area_asked") != situation.value("area"):
        return _ask_for_zip(situation)
    return None


def asks_by_wish(situation: Situation) -> bool:
    """Say whether a question asks for homes: "anything under 500k?" is answered by showing some, or asking on."""
    if any(about.asks_for_homes(each.text) for each in situation.messages):
        return True
    return any(situation.news(name) is not None for name in NEEDS)


def _about_shown(situation: Situation, said: str, shown: Sequence[Listing]) -> Move | None:
    memory = dict(situation.memory)
    named = about.references(said, shown)
    tour = about.asks_to_see(said)
    if memory.pop("which", None) == "tour" and named:
        tour = True
    if not named and memory.get("focus") in (ids := [each.listing_id for each in shown]):
        chosen: tuple[int, ...] = (ids.index(memory["focus"]),)
    else:
        chosen = named or tuple(range(len(shown)))
    homes = [shown[place] for place in chosen]
    if len(homes) == 1:
        memory["focus"] = homes[0].listing_id
    if tour:
        if len(homes) > 1:
            reply = _fit(situation, [phrases.which_one(len(shown))])
            which = memory | {"which": "tour"}
            return Move(kind=MoveKind.ANSWER, reply=reply, memory=which, closing=situation.closed, spoken=(shown,))
        memory["tour"] = homes[0].listing_id
        signed = situation.value("buyer_agreement_signed") is True
        parts = [phrases.tour(situation, homes[0], signed=signed)]
        return _answer(situation, parts, memory=memory, homes=homes)
    if about.asks_for_homes(said) and not named:
        return None
    if about.asks_details(said) and named and not (situation.signals.question and about.knows_topic(said)):
        return _answer(situation, [f"{about.details(each)}." for each in homes], memory=memory, homes=homes)
    asked = situation.signals.question and (named or about.points(said) or about.knows_topic(said))
    if not asked:
        return None
    answers = [f"{each.listing_id}: {about.answer(said, each)}." for each in homes]
    return _answer(situation, answers, memory=memory, homes=homes)


def _propose(situation: Situation, found: Found) -> Move | None:
    if found.empty:
        return None
    memory = dict(situation.memory) | {"wishes": _key(found.wishes)}
    more = any(about.asks_for_more(each.text) for each in situation.messages)
    seen = list(map(str, memory.get("seen", ()))) if more else []
    left = [each for each in found.proposals if each.listing.listing_id not in seen]
    if not left:
        return _nothing_left(situation, found, memory)
    shown = left[: matching.PROPOSALS_MOST]
    while True:
        parts = [phrases.source(shown[0].listing), phrases.how_many(found, len(shown)), *_lines(shown)]
        reply = _fit(situation, [*parts, phrases.ASK_ABOUT])
        if len(reply) <= LONGEST_REPLY or len(shown) == 1:
            break
        shown = shown[:-1]
    if len(reply) > LONGEST_REPLY:
        reply = _fit(situation, parts)
    ids = [each.listing.listing_id for each in shown]
    memory |= {"shown": ids, "seen": [*seen, *ids][-_SEEN_MOST:], "focus": ids[0] if len(ids) == 1 else ""}
    memory.pop("which", None)
    return Move(
        kind=MoveKind.ANSWER,
        reply=reply,
        memory=memory,
        closing=situation.closed,
        spoken=(replace(found, proposals=tuple(shown)),),
        notices=(phrases.source(shown[0].listing),),
    )


def _nothing_left(situation: Situation, found: Found, memory: Mapping[str, Any]) -> Move:
    if found.proposals:
        return _answer(situation, [phrases.no_more(found)], memory=memory)
    move = _answer(situation, [phrases.nothing_fits(found)], memory=memory)
    if not found.relaxations:
        return move
    best = found.relaxations[0]
    more = {"more_usd_cents": matching.more_usd_cents(found.wishes, best)}
    return replace(move, spoken=(found, more), notices=(phrases.source(best.nearest),))


def _lines(shown: Sequence[Proposal]) -> list[str]:
    return [f"{number}) {phrases.proposal(each)}" for number, each in enumerate(shown, start=1)]


def _ask_for_zip(situation: Situation) -> Move | None:
    if talk.next_question(situation, NEEDS):
        return None
    area = " ".join(str(situation.value("area")).split())
    memory = dict(situation.memory) | {"area_asked": situation.value("area")}
    reply = _fit(situation, [phrases.unknown_area(area)])
    return Move(kind=MoveKind.ANSWER, reply=reply, memory=memory, closing=situation.closed)


def _answer(
    situation: Situation,
    parts: Sequence[str],
    *,
    memory: Mapping[str, Any] | None = None,
    homes: Sequence[Listing] = (),
) -> Move:
    """Say something, then what is left to ask, if there is room for it."""
    told = [phrases.source(homes[0]), *parts] if homes else list(parts)
    name = talk.next_question(situation, ORDER)
    question = talk.question_of(SLOTS, name, situation) if name else ""
    reply = _fit(situation, [*told, question])
    if len(reply) > LONGEST_REPLY and question:
        name, reply = "", _fit(situation, told)
    while len(reply) > LONGEST_REPLY and len(told) > 2:
        told.pop()
        reply = _fit(situation, told)
    return Move(
        kind=MoveKind.ANSWER,
        reply=reply,
        question=name,
        closing=situation.closed or not talk.next_question(situation, ORDER),
        memory=memory,
        spoken=(tuple(homes),),
        notices=(phrases.source(homes[0]),) if homes else (),
    )


def _fit(situation: Situation, parts: Sequence[str]) -> str:
    head = [talk.disclosure(situation)] if situation.first_reply else []
    return talk.joined([*head, *parts])
