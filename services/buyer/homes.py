"""What the buyer bot says of homes: proposals, answers from their records, a wish to see one. Pure."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

from kit import places
from kit.bot import talk
from kit.bot.plan import Part, fixed, said
from kit.bot.spec import Move, MoveKind, Situation
from services.buyer import about, matching, phrases
from services.buyer.facts import SLOTS
from services.buyer.values import Found, HomeType, Listing, Wishes

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
    text = " ".join(each.text for each in situation.messages)
    signals = situation.signals
    if signals.human or signals.if_bot or signals.of_data or situation.value("intent") == "sell":
        return None
    if signals.of_people:
        return _answer(situation, [talk.OF_PEOPLE])
    agent = situation.news("has_agent")
    if agent is not None and agent.value is True:
        return _said(situation, [fixed("has_agent", phrases.HAS_AGENT)], closing=True)
    if about.speaks_of_an_offer(text):
        return _bargain(situation, text)
    if looked.shown and (move := _about_shown(situation, text, looked.shown)) is not None:
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


def _bargain(situation: Situation, text: str) -> Move:
    """Say that no bot makes offers; people of the brokerage hear of the wish once."""
    wants = about.wants_to_offer(text) and not situation.memory.get("offer")
    memory = dict(situation.memory) | ({"offer": True} if wants else {})
    move = _answer(situation, [fixed("no_offers", phrases.NO_OFFERS), talk.agent(situation)], memory=memory)
    return replace(move, effects=(phrases.WANTS_TO_OFFER,)) if wants else move


def _about_shown(situation: Situation, text: str, shown: Sequence[Listing]) -> Move | None:
    memory = dict(situation.memory)
    named = about.references(text, shown)
    tour = about.asks_to_see(text)
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
            which = fixed("which_one", phrases.which_one(len(shown)))
            return _said(situation, [which], memory=memory | {"which": "tour"}, spoken=(shown,))
        asked_before = memory.get("tour") == homes[0].listing_id
        memory["tour"] = homes[0].listing_id
        signed = situation.value("buyer_agreement_signed") is True
        parts = [fixed("tour", phrases.tour(situation, homes[0], signed=signed))]
        move = _answer(situation, parts, memory=memory, homes=homes)
        return move if asked_before else replace(move, effects=(phrases.tour_task(homes[0], signed=signed),))
    if about.asks_for_homes(text) and not named:
        return None
    in_full = about.asks_details(text) and not (situation.signals.question and about.knows_topic(text))
    # "The first one", "ooh #2 looks nice": whoever names one and says nothing else wants to hear of it.
    if named and (in_full or not (situation.signals.question or situation.learned)):
        return _answer(situation, _records(f"{about.details(each)}." for each in homes), memory=memory, homes=homes)
    asked = situation.signals.question and (named or about.points(text) or about.knows_topic(text))
    if not asked:
        return None
    answers = _records(f"{each.listing_id}: {about.answer(text, each)}." for each in homes)
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
        source = fixed("source", phrases.source(shown[0].listing))
        many = fixed("how_many", phrases.how_many(found, len(shown)))
        lines = _records(f"{number}) {phrases.proposal(each)}" for number, each in enumerate(shown, start=1))
        move = _said(situation, [source, many, *lines, phrases.ASK_ABOUT])
        if len(move.reply) <= LONGEST_REPLY or len(shown) == 1:
            break
        shown = shown[:-1]
    if len(move.reply) > LONGEST_REPLY:
        move = _said(situation, [source, many, *lines])
    ids = [each.listing.listing_id for each in shown]
    memory |= {"shown": ids, "seen": [*seen, *ids][-_SEEN_MOST:], "focus": ids[0] if len(ids) == 1 else ""}
    memory.pop("which", None)
    records = replace(found, proposals=tuple(shown))
    return replace(move, memory=memory, spoken=(records,), notices=(source.text,))


def _nothing_left(situation: Situation, found: Found, memory: Mapping[str, Any]) -> Move:
    if found.proposals:
        return _answer(situation, [phrases.no_more(found)], memory=memory)
    move = _answer(situation, [fixed("nothing_fits", phrases.nothing_fits(found))], memory=memory)
    if not found.relaxations:
        return move
    best = found.relaxations[0]
    more = {"more_usd_cents": matching.more_usd_cents(found.wishes, best)}
    return replace(move, spoken=(found, more), notices=(phrases.source(best.nearest),))


def _records(lines: Iterable[str]) -> list[Part]:
    """Make parts of lines that records were put into; no model words them."""
    return [fixed(f"record_{number}", line) for number, line in enumerate(lines, 1)]


def _ask_for_zip(situation: Situation) -> Move | None:
    if talk.next_question(situation, NEEDS):
        return None
    area = " ".join(str(situation.value("area")).split())
    memory = dict(situation.memory) | {"area_asked": situation.value("area")}
    return _said(situation, [phrases.unknown_area(area)], memory=memory)


def _answer(
    situation: Situation,
    parts: Sequence[Part],
    *,
    memory: Mapping[str, Any] | None = None,
    homes: Sequence[Listing] = (),
) -> Move:
    """Say something, then what is left to ask, if there is room for it."""
    told = [*([fixed("source", phrases.source(homes[0]))] if homes else []), *parts]
    name = talk.next_question(situation, ORDER)
    move = _said(situation, [*told, *([talk.ask(SLOTS, name, situation)] if name else [])])
    if len(move.reply) > LONGEST_REPLY and name:
        name, move = "", _said(situation, told)
    while len(move.reply) > LONGEST_REPLY and len(told) > 2:
        told.pop()
        move = _said(situation, told)
    return replace(
        move,
        question=name,
        closing=situation.closed or not talk.next_question(situation, ORDER),
        memory=memory,
        spoken=(tuple(homes),),
        notices=(phrases.source(homes[0]),) if homes else (),
    )


def _said(situation: Situation, parts: Sequence[Part], **rest: Any) -> Move:
    """Say parts, after who writes where that was not said yet."""
    whole = (*talk.head(situation), *parts)
    return Move(kind=MoveKind.ANSWER, reply=said(whole), parts=whole, **{"closing": situation.closed, **rest})
