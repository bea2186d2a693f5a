"""The lead bot."""

from typing import Final

from kit.bot.spec import BotSpec
from services.lead.decide import decide
from services.lead.facts import SLOTS, read

BOT: Final = BotSpec(name="lead", slots=SLOTS, read=read, decide=decide)
