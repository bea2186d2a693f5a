"""Runs the seller bot."""

from kit.bot.runtime import main
from services.seller.bot import BOT

if __name__ == "__main__":
    main(BOT)
