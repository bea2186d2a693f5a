"""What the lead bot says beside its questions. Pure."""

from kit.bot import talk
from kit.bot.plan import Part
from kit.bot.spec import Situation
from kit.bot.wishes import wishes

_HELP = {
    "buy": "Understood, it is about buying.",
    "sell": "Understood, it is about selling.",
    "both": "Understood, it is about selling and then buying.",
}


def opening(situation: Situation) -> tuple[Part, ...]:
    """Acknowledge what the contact wants, or does not want, in the turn in which they say it."""
    if situation.opening or situation.news("intent") is not None:
        written = _HELP.get(str(situation.value("intent")), "")
    else:
        sides = _denied(situation)
        written = "Understood, no sale." if sides == {"sell"} else "Understood." if sides else ""
        if situation.news("renting") is not None:
            written = "I can help with buying and selling, not with renting."
    return (Part(name="opening", written=written),) if written else ()


def question(situation: Situation) -> str:
    """Ask what is wanted without what was just denied; "" leaves the question as it is."""
    if situation.value("intent") is not None:
        return ""
    match sorted(_denied(situation)):
        case ["sell"]:
            return "Are you looking to buy a home, or just curious for now?"
        case ["buy"]:
            return "Are you looking to sell a home, or just curious for now?"
    return ""


def _denied(situation: Situation) -> set[str]:
    return {wish.side for message in situation.messages for wish in wishes(message.text) if wish.denied}


def closing(situation: Situation) -> tuple[Part, ...]:
    """Say that nothing is left to ask."""
    if situation.value("intent") is None:
        return (Part(name="closing", written="No rush. If you want to buy or sell a home one day, just tell me here."),)
    return (Part(name="closing", written="That is what I need for now."), talk.agent(situation))
