"""The seller bot."""

from typing import Final

from kit.bot.spec import BotSpec
from services.seller.decide import decide
from services.seller.facts import SLOTS, read

BOT: Final = BotSpec(name="seller", slots=SLOTS, read=read, decide=decide)
