"""What the buyer bot says beside its questions. Pure."""

from kit.bot import talk
from kit.bot.spec import Situation


def opening(situation: Situation) -> str:
    """Say what this bot is for when the contact has just come; note what it cannot do itself."""
    intent = situation.news("intent")
    if intent is not None and intent.value in ("sell", "both"):
        return "I have noted that you want to sell a home."
    return "I can help you buy." if situation.opening else ""


def closing(situation: Situation) -> str:
    """Say that an agent goes on; no home is named, since this bot knows none."""
    if situation.value("intent") == "sell":
        return talk.agent_reads(situation)
    return f"That is what I need, thank you. {talk.agent_reads(situation)}"
