"""The renter bot: asks for a place, then says that it knows enough."""

from typing import Final

from kit.bot.reading import read_places
from kit.bot.spec import BotSpec, Heard, Move, MoveKind, Reading, Situation, SlotKind, SlotSpec

PLACE: Final = SlotSpec(
    name="area",
    kind=SlotKind.PLACE,
    meaning="The neighborhood, city or ZIP code where the person wants to rent.",
    question="Where would you like to rent?",
)


def read(heard: Heard) -> Reading:
    """Read the place."""
    return Reading(facts=read_places(heard, slot_of={"buy": "area"}, default="area"))


def decide(situation: Situation) -> Move:
    """Ask for the place until it is known."""
    if situation.value("area") is None:
        return Move(kind=MoveKind.ASK, reply=PLACE.question, question="area")
    return Move(kind=MoveKind.ANSWER, reply=f"Renting in {situation.value('area')}, understood.", closing=True)


BOT: Final = BotSpec(name="renter", slots=(PLACE,), read=read, decide=decide)
