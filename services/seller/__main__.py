"""Runs the seller bot."""

from kit.bot.runtime import main
from services.seller.bot import BOT
from services.seller.server import speciality

if __name__ == "__main__":
    main(BOT, speciality)
