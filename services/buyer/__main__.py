"""Runs the buyer bot."""

from kit.bot.runtime import main
from services.buyer.bot import BOT
from services.buyer.server import speciality
from services.buyer.settings import BuyerSettings

if __name__ == "__main__":
    main(BOT, speciality, BuyerSettings)
