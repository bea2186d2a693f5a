"""Bring a bot's move to words that may go out."""

from dataclasses import dataclass
from typing import Any, Final

from kit import metrics
from kit.bot import outbound
from kit.bot.gate import Finding
from kit.bot.spec import BotSpec, Move, Situation
from kit.log import get_logger

log = get_logger()

BLOCKED: Final = metrics.counter("bot_replies_blocked", "Written replies that the gate kept back.", ("bot", "finding"))


@dataclass(frozen=True, kw_only=True, slots=True)
class Spoken:
    """What goes out, and how it came to its words."""

    move: Move
    blocked: tuple[Finding, ...] = ()
    """What the gate found in the written words, which then gave way to a safe sentence."""

    def record(self) -> dict[str, Any]:
        """Return what a turn's row says of the words."""
        return {"gate": [{"finding": each.code, "words": each.words} for each in self.blocked]} if self.blocked else {}


class Speaker:
    """Words one bot's moves."""

    def __init__(self, spec: BotSpec) -> None:
        self._spec = spec

    async def speak(self, tenant_id: str, contact_id: str, situation: Situation, move: Move) -> Spoken:
        """Return the move as it may go out. Never fails: what the gate stops is replaced."""
        admitted = outbound.admit(self._spec, situation, move)
        codes = sorted({each.code for each in admitted.blocked})
        if codes:
            # A mistake of ours: written words that the gate does not let through.
            for code in codes:
                BLOCKED.labels(self._spec.name, code).inc()
            log.error(
                "reply.blocked",
                bot=self._spec.name,
                tenant_id=tenant_id,
                contact_id=contact_id,
                findings=",".join(codes),
                move=admitted.move.kind.value,
            )
        return Spoken(move=admitted.move, blocked=admitted.blocked)
