"""Runs the renter bot."""

from kit.bot.runtime import main
from tests.support.renter.bot import BOT

if __name__ == "__main__":
    main(BOT)
