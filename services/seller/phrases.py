"""What the seller bot says beside its questions. Pure."""

from collections.abc import Sequence
from typing import Final

from kit.bot import talk
from kit.bot.plan import Part
from kit.bot.spec import Situation

UPDATED: Final = "With what I know now:"
"""Opens an estimate that takes the place of the one before."""


def opening(situation: Situation) -> tuple[Part, ...]:
    """Say what this bot is for when the contact has just come; acknowledge a plan to buy and a confidence."""
    intent = situation.news("intent")
    if intent is not None and intent.value == "buy":
        return (Part(name="corrected", written="Understood, you want to buy, not sell. I have noted it."),)
    said = [Part(name="opening", written="I can help you sell.")] if situation.opening else []
    if situation.news("buying_plan") is not None or (situation.opening and situation.value("buying_plan")):
        said.append(Part(name="plan", written="I will keep in mind that you want to buy as well."))
    elif situation.news("motivation") is not None or situation.news("price_expectation_usd") is not None:
        said.append(Part(name="thanks", written="Thank you for telling me."))
    return tuple(said)


def closing(situation: Situation) -> tuple[Part, ...]:
    """Say that nothing is left to ask; no value and no sale is promised."""
    if situation.value("intent") == "buy":
        return (talk.agent(situation),)
    return (Part(name="closing", written="That is what I need for now."), talk.agent(situation))


def unknown_place() -> Part:
    """Say that a place's sales are not at hand."""
    return Part(
        name="unknown_place",
        written="I have no sales that I can place there, so I cannot say what it may sell for. A ZIP code would help.",
    )


def needed(missing: Sequence[str]) -> Part:
    """Say why place or size comes before a value."""
    what = {"address_area": "where the home is", "area_sqft": "its size"}
    named = " and ".join(what[name] for name in missing)
    return Part(
        name="needed",
        written=f"I compare with nearby sales of homes about as large, so I need to know {named} first.",
    )
