"""The buyer bot."""

from typing import Final

from kit.bot.spec import BotSpec
from services.buyer.decide import decide
from services.buyer.facts import SLOTS, read

BOT: Final = BotSpec(name="buyer", slots=SLOTS, read=read, decide=decide)
