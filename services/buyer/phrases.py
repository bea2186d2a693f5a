"""What the buyer bot says beside its questions. Pure."""

from typing import Final

from kit.bot import talk
from kit.bot.gate import SHOWN
from kit.bot.plan import Part
from kit.bot.spec import Situation
from kit.effects import Task
from services.buyer import about, matching
from services.buyer.values import Found, HardWish, Listing, Proposal, Wishes

HAS_AGENT: Final = (
    "Thank you for telling me. Your agent is the right person for that, so I will not go on asking or proposing homes."
)
ASK_ABOUT: Final = Part(name="ask_about", written="Ask me about any of them, or say which one you would like to see.")
_REASONS_MOST: Final = 2


def opening(situation: Situation) -> tuple[Part, ...]:
    """Say what this bot is for when the contact has just come; note what it cannot do itself."""
    intent = situation.news("intent")
    if intent is not None and intent.value in ("sell", "both"):
        return (Part(name="opening", written="I have noted that you want to sell a home."),)
    return (Part(name="opening", written="I can help you buy."),) if situation.opening else ()


def closing(situation: Situation) -> tuple[Part, ...]:
    """Say that an agent goes on."""
    if situation.value("intent") == "sell":
        return (talk.agent(situation),)
    return (Part(name="closing", written="That is what I need, thank you."), talk.agent(situation))


# --- homes


def source(home: Listing) -> str:
    """Say what a record is worth; opens every text that shows one.

    >>> from datetime import date
    >>> source(Listing(listing_id="a", source="sample", as_of=date(2015, 5, 28), sample=True, zip="98107",
    ...                price_usd_cents=1, bedrooms=1, list_date=date(2015, 5, 1)))
    'Sample data as of May 2015.'
    """
    if home.sample:
        return f"Sample data as of {home.as_of:%B %Y}."
    return f"As of {home.as_of}, from {home.source}."


def how_many(found: Found, shown_count: int) -> str:
    """Say how many homes fit, and which wishes all that follow keep."""
    kept = kept_wishes(found.wishes)
    fits = "1 listing fits" if found.total_count == 1 else f"{found.total_count:,} listings fit"
    what = f"{fits} your {kept}" if kept else fits
    return f"{what}; {shown_count} of them:" if shown_count < found.total_count else f"{what}:"


def kept_wishes(wishes: Wishes) -> str:
    """Name the hard wishes: "price, bedrooms and area"."""
    named = {
        HardWish.PRICE_MAX: ("price", wishes.price_max_usd_cents is not None),
        HardWish.BEDROOMS_MIN: ("bedrooms", wishes.bedrooms_min is not None),
        HardWish.HOME_TYPE: ("type of home", wishes.home_type is not None),
        HardWish.AREA: ("area", bool(wishes.zips)),
    }
    said = [name for name, wished in named.values() if wished]
    return " and ".join(filter(None, [", ".join(said[:-1]), *said[-1:]]))


def proposal(proposed: Proposal) -> str:
    """Say a home in a line, with the soft wishes that it keeps or misses."""
    line = about.describe(proposed.listing)
    # What all homes shown keep is said once before them, what the line says already not again.
    soft = [each for each in proposed.reasons if each in ("has a view", "on the water") or each.startswith("lot of")]
    said = [*soft, *proposed.missed][:_REASONS_MOST]
    return f"{line} ({', '.join(said)})." if said else f"{line}."


def no_more(found: Found) -> Part:
    """Say that everything that fits was shown."""
    kept = kept_wishes(found.wishes)
    written = f"Those were all that fit{' your {wishes}' if kept else ''}. Tell me what to change, and I look again."
    return Part(name="no_more", written=written, values={"wishes": kept} if kept else {})


def nothing_fits(found: Found) -> str:
    """Say that nothing fits, and which single wish opens what."""
    kept = kept_wishes(found.wishes)
    if not found.relaxations:
        return f"No listing fits your {kept}, and changing one wish alone would not help."
    best = found.relaxations[0]
    would = matching.say_relaxation(found.wishes, best)
    return f"{source(best.nearest)} No listing fits your {kept}. But {would}. Tell me what to change, and I look again."


def unknown_area(area: str) -> Part:
    """Ask for a ZIP code where the name of a place says nothing to us."""
    written = "I do not know the ZIP codes of {area}. Tell me one, and I can look for homes there."
    return Part(name="unknown_area", written=written, values={"area": area[:SHOWN]})


def which_one(count: int) -> str:
    """Ask which of the homes shown is meant."""
    numbers = [str(number) for number in range(1, count + 1)]
    return f"Which one do you mean: {', '.join(numbers[:-1])} or {numbers[-1]}?"


def tour_task(home: Listing, *, signed: bool) -> Task:
    """Tell people of the brokerage who wants to see what; nothing else would reach them."""
    agreement = "is signed, as noted" if signed else "is not signed as far as is known, and comes before a tour"
    sample = " It is a sample listing and cannot be visited." if home.sample else ""
    return Task(
        title=f"Wants to see {home.listing_id}",
        text=f"The person asked to see {home.listing_id}.{sample} The buyer agreement {agreement}."
        " Nothing is booked; they were told that an agent can read the conversation.",
        due_hours=4,
    )


NO_OFFERS: Final = "I can neither make an offer nor pass one on, and I do not know what a seller would take."
WANTS_TO_OFFER: Final = Task(
    title="Wants to make an offer",
    text="The person speaks of an offer. None was made or passed on; they were told that an agent can read the conversation.",
    due_hours=4,
)


def tour(situation: Situation, home: Listing, *, signed: bool) -> str:
    """Answer a wish to see a home: what is noted, what comes first; nothing is booked.

    Source: NAR settlement, in force since 2024-08-17: a written agreement with the
    buyer comes before a tour; it is negotiable and not set by law.
    """
    noted = f"Noted: you would like to see {home.listing_id}."
    not_real = " It is a sample and cannot be visited." if home.sample else ""
    agreement = (
        " As noted, the buyer agreement is signed, so an agent can arrange a tour."
        if signed
        else " Before a tour, a written buyer agreement with us must be signed; its terms are negotiable, not set by law."
    )
    return f"{noted}{not_real}{agreement} I have booked nothing. {talk.agent_reads(situation)}"
