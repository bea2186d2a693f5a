"""Runs the lead bot."""

from kit.bot.runtime import main
from services.lead.bot import BOT

if __name__ == "__main__":
    main(BOT)
