"""Runs the buyer bot."""

from kit.bot.runtime import main
from services.buyer.bot import BOT

if __name__ == "__main__":
    main(BOT)
