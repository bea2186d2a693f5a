"""Claims lanes that are ready and gives each turn to the bot that owns the contact."""

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from typing import Final, Protocol

from kit import log, metrics
from kit.crash import crash_point
from kit.errors import Invalid, NotTheOwner, PorchlightError, ServiceUnavailable, StaleTurn, StoreUnavailable
from kit.lane import Lane, Turn

TURN_SECONDS: Final = 20.0
LEASE: Final = timedelta(seconds=TURN_SECONDS + 5.0)
"""Longer than the bot has, so that a turn is never claimed twice while its bot may still write."""
MESSAGES_MOST: Final = 20
ATTEMPTS_MOST: Final = 3
_FAILURES_KEPT: Final = 10_000
FAILURE_SECONDS: Final = 60.0
"""How long a failure counts: longer than the longest wait and the turn after it."""
RETRIES_PER_SECOND: Final = 50

TURNS: Final = metrics.counter("turns_dispatched", "Turns given to bots, by what came back.", ("bot", "outcome"))

logger = log.get_logger()


class Bell(Protocol):
    """Wakes a loop, now and then anyway."""

    def ring(self) -> None: ...
    async def wait(self, stopping: asyncio.Event) -> None: ...


class Bot(Protocol):
    """Answers a turn.

    Raises:
        PorchlightError: As BotService.HandleTurn documents.
    """

    async def __call__(self, turn: Turn) -> str:
        """Return the outcome's name."""
        ...


def back_off_seconds(failures: int, *, contacts: int = 1) -> float:
    """Return how long a contact's turn waits after so many failures in a row: 0.5 s, doubling up to a longest wait.

    That is 1 s for a few contacts, so that a bot that is back answers soon, and longer
    the more contacts fail, up to 10 s: up to 500 of them ask 50 times a second together.

    >>> [back_off_seconds(failures) for failures in (1, 2, 5)]
    [0.5, 1.0, 1.0]
    >>> [back_off_seconds(failures, contacts=400) for failures in (1, 4, 5)]
    [0.5, 4.0, 8.0]
    """
    longest = min(max(1.0, contacts / RETRIES_PER_SECOND), 10.0)
    return min(0.5 * 2.0 ** (min(failures, 10) - 1), longest)


class Failures:
    """Whose turns failed lately, and how often in a row; who failed last stands last."""

    def __init__(self) -> None:
        self._failed: dict[tuple[str, str], tuple[int, float]] = {}

    def add(self, key: tuple[str, str], *, now: float) -> tuple[int, int]:
        """Count a failure at `now`, in seconds; return how many that makes in a row, and how many contacts failed."""
        while self._failed:
            oldest, (_, time) = next(iter(self._failed.items()))
            if time > now - FAILURE_SECONDS and len(self._failed) < _FAILURES_KEPT:
                break
            del self._failed[oldest]
        count = self._failed.pop(key, (0, now))[0] + 1
        self._failed[key] = count, now
        return count, len(self._failed)

    def forget(self, key: tuple[str, str]) -> None:
        """A turn did not fail."""
        self._failed.pop(key, None)


class Dispatcher:
    """A worker of the process.

    Everything that must survive is in the lane. The counts of failures are only for
    the back-off: after a restart it begins again at half a second.

    Args:
        bots: By name, as contacts' owners are called.
        most: Turns in progress at once.
    """

    def __init__(self, lane: Lane, bots: Mapping[str, Bot], bell: Bell, *, most: int) -> None:
        self._lane = lane
        self._bots = dict(bots)
        self._bell = bell
        self._most = most
        self._failures = Failures()
        self._turns: set[asyncio.Task[None]] = set()

    async def __call__(self, stopping: asyncio.Event) -> None:
        """Claim and dispatch until `stopping`; then finish what is in progress."""
        async with asyncio.TaskGroup() as group:
            while not stopping.is_set():
                claimed = await self._claim(self._most - len(self._turns))
                for turn in claimed:
                    task = group.create_task(self._take(turn))
                    self._turns.add(task)
                    task.add_done_callback(self._ended)
                if not claimed:
                    await self._bell.wait(stopping)

    async def _claim(self, free: int) -> list[Turn]:
        if free <= 0:
            return []
        try:
            turns = await self._lane.claim(
                limit=free, lease=LEASE, messages_most=MESSAGES_MOST, attempts_most=ATTEMPTS_MOST
            )
        except StoreUnavailable:
            return []
        # Protects the other lanes from one claim that meets a mistake of ours.
        except Exception as error:  # noqa: BLE001
            logger.error("turn.failed", cause="CLAIM", **log.describe(error))
            return []
        if turns:
            crash_point("gateway.after_claim")
        return turns

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._turns.discard(task)
        self._bell.ring()

    async def _take(self, turn: Turn) -> None:
        facts = {
            "tenant_id": turn.tenant_id,
            "contact_id": turn.contact_id,
            "bot": turn.bot,
            "epoch": turn.epoch,
            "turn_no": turn.turn_no,
        }
        logger.debug("turn.claimed", messages=len(turn.messages), **facts)
        try:
            outcome = await self._ask(turn)
            crash_point("gateway.after_turn")
            self._failures.forget((turn.tenant_id, turn.contact_id))
            TURNS.labels(turn.bot, outcome).inc()
            return
        except (NotTheOwner, StaleTurn) as moved:
            # Somebody else has the lane by now; nothing is ours to give back.
            self._failures.forget((turn.tenant_id, turn.contact_id))
            TURNS.labels(turn.bot, moved.reason).inc()
            logger.info("turn.failed", reason=moved.reason, **facts)
            return
        except PorchlightError as error:
            reason, refused = error.reason, isinstance(error, Invalid)
            logger.warning("turn.failed", reason=reason, **facts)
        # Protects the other turns in progress, which a task group would cancel.
        except Exception as error:  # noqa: BLE001
            reason, refused = "INTERNAL", False
            logger.error("turn.failed", reason=reason, **facts, **log.describe(error))
        TURNS.labels(turn.bot, reason).inc()
        await self._give_back(turn, reason, refused=refused, facts=facts)

    async def _ask(self, turn: Turn) -> str:
        bot = self._bots.get(turn.bot)
        if bot is None:
            raise ServiceUnavailable(f"no bot is called {turn.bot}", service=turn.bot)
        return await bot(turn)

    async def _give_back(self, turn: Turn, reason: str, *, refused: bool, facts: Mapping[str, object]) -> None:
        now = asyncio.get_running_loop().time()
        failures, contacts = self._failures.add((turn.tenant_id, turn.contact_id), now=now)
        wait = back_off_seconds(failures, contacts=contacts)
        try:
            released = await self._lane.release(turn, cause=reason, wait=timedelta(seconds=wait), refused=refused)
        # Protects the other turns; the lease gives this one back.
        except Exception as error:  # noqa: BLE001
            logger.warning("turn.failed", cause="RELEASE", **facts, **log.describe(error))
            return
        if released:
            logger.info("turn.released", reason=reason, retry_after_seconds=wait, attempt=failures, **facts)
