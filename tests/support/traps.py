"""The whole system with a trap at any named point, and a judge of what became of one person's one text."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

import asyncpg
import orjson
from porchlight.bot.v1.bot_service_pb2_grpc import BotServiceStub
from porchlight.handoff.v1 import handoff_service_pb2 as pb
from porchlight.handoff.v1.handoff_service_pb2_grpc import HandoffServiceStub

from kit.rpc.client import call, open_channel
from kit.settings import PREFIX
from services.gateway import deliver, dispatch
from services.handoff.routing import LEASE_MARGIN_SECONDS
from services.handoff.settings import HandoffSettings
from tests.support import handoff_check
from tests.support.replicas import running_service
from tests.support.system import TENANT, System, until

NOTHING: Final = timedelta(0)
OFFER: Final = timedelta(
    seconds=HandoffSettings.model_fields["offer_call_seconds"].get_default() + LEASE_MARGIN_SECONDS
)


@dataclass(frozen=True, kw_only=True)
class Held:
    """What a process holds when it dies at a point, and whether that is tried in every run of the tests."""

    lease: timedelta = NOTHING
    always: bool = False


# Who dies where, in no order but that nobody dies twice in a row: the launcher waits longer each time. The lead bot is
# the source and the seller bot the target. What is not always tried is hit by test_kills.py, or leaves nothing undone.
POINTS: Final = {
    ("gateway", "gateway.after_inbox_commit"): Held(),
    ("lead", "bot.during_model_call"): Held(),
    ("handoff", "handoff.before_record"): Held(),
    ("gateway", "gateway.after_claim"): Held(lease=dispatch.LEASE),
    ("lead", "bot.before_request_handoff"): Held(always=True),
    ("handoff", "handoff.after_record"): Held(lease=OFFER, always=True),
    ("seller", "bot.before_offer_answer"): Held(always=True),
    ("gateway", "gateway.after_turn"): Held(),
    ("handoff", "handoff.before_offer"): Held(lease=OFFER, always=True),
    ("lead", "bot.after_hand_off"): Held(),
    ("seller", "bot.during_model_call"): Held(),
    ("handoff", "handoff.after_offer"): Held(lease=OFFER, always=True),
    ("gateway", "gateway.before_crm_post"): Held(lease=deliver.LEASE, always=True),
    ("seller", "bot.before_complete_turn"): Held(always=True),
    ("handoff", "handoff.after_redeem"): Held(always=True),
    ("gateway", "gateway.after_crm_post"): Held(lease=deliver.LEASE),
    ("seller", "bot.after_complete_turn"): Held(),
    ("gateway", "gateway.after_delivery"): Held(),
    ("gateway", "gateway.after_crm_entry"): Held(lease=deliver.LEASE),
}

OPEN: Final = (
    "select 1 from inbox where contact_id = $1 and outcome = 'WAITING'"
    " union all select 1 from outbox where contact_id = $1 and state in ('PENDING', 'CLAIMED')"
    " union all select 1 from handoff where contact_id = $1 and state in ('PENDING', 'OFFERED')"
    " union all select 1 from turn where contact_id = $1 and state = 'OPEN'"
)


@dataclass
class Traps:
    """A running system whose processes can be made to die or stop at a point."""

    system: System
    admin: Any = field(repr=False)
    directory: Path
    _shift: timedelta = timedelta(0)
    _people: int = 0

    async def person(self) -> str:
        """Make a contact that nobody has written to."""
        self._people += 1
        return await self.system.contact("Ana", f"(206) 555-{3000 + self._people}")

    def set(self, process: str, point: str, number: signal.Signals) -> Path:
        """Set a trap; it is gone when it has caught the process."""
        trap = self.directory / f"{process}@{point}"
        made = self.directory / "making"
        made.write_text(number.name)
        return made.rename(trap)

    async def sprung(self, trap: Path) -> datetime:
        """Wait until a trap has caught its process, and return when, by the database's clock."""

        async def gone() -> bool:
            return not trap.exists()

        await until(f"{trap.name} catches its process", gone)
        return await self.now()

    async def moving(self, process: str, point: str) -> tuple[str, Path]:
        """Have somebody text what moves them to the seller bot, into a deadly trap, and return both.

        A lead bot that does not reach the arbiter, which the test before may have killed
        a moment ago, answers by itself, as it should; then somebody else texts.
        """
        for _ in range(3):
            contact, trap = await self.person(), self.set(process, point, signal.SIGKILL)
            await self.system.text(contact, "I need to sell my house")

            async def caught_or_not_moved(contact: str = contact, trap: Path = trap) -> bool:
                kept = "select 1 from turn where contact_id = $1 and bot = 'lead' and state = 'REPLIED'"
                return not trap.exists() or (process != "gateway" and bool(await self.admin.fetch(kept, contact)))

            await until(f"{trap.name} catches its process, or the lead bot answers", caught_or_not_moved)
            if not trap.exists():
                break
        return contact, trap

    async def stopped(self, trap: Path) -> int:
        """Wait until a trap has stopped its process for good, and return its id."""
        await self.sprung(trap)
        pid = self.system.pid(trap.name.partition("@")[0])

        async def asleep() -> bool:
            return "\nState:\tT" in Path(f"/proc/{pid}/status").read_text(encoding="utf-8")

        await until(f"{trap.name} has stopped its process", asleep)
        return pid

    async def now(self) -> datetime:
        """Return the database's time."""
        moment: datetime = await self.admin.fetchval("select porchlight_now()")
        return moment

    async def pass_time(self, span: timedelta) -> None:
        """Move the database's clock on."""
        self._shift += span
        await self.system.shift_clock(f"{self._shift.total_seconds()} seconds")

    async def hand_over(self, contact: str, route: str) -> Any:
        """Move a contact as the operator does, whatever its bot is doing."""
        source, target = route.split(">")
        proposal = pb.HandoffProposal(
            tenant_id=TENANT, contact_id=contact, source_bot=source, target_bot=target, confidence=0.9, summary="Moved."
        )
        request = pb.RequestHandoffRequest(proposal=proposal, request_id=f"r_{contact}")
        async with self.system.channel("handoff") as channel:
            response = await call(HandoffServiceStub(channel).RequestHandoff, request, seconds=5)
        assert response.approved, response
        return response

    @asynccontextmanager
    async def second(self, name: str) -> AsyncIterator[Any]:
        """Start a second process of a bot, which nobody knows, and give its service as the gateway sees it."""
        told = Path(f"/proc/{self.system.pid(name)}/environ").read_text(encoding="utf-8").split("\0")
        settings = dict(each.split("=", 1) for each in told if each.startswith(PREFIX))
        own = {key.removeprefix(PREFIX): value for key, value in settings.items()} | {"LISTEN": "127.0.0.1:0"}
        async with (
            running_service(f"services.{name}", own) as (_, address),
            open_channel(address, token=self.system.token("gateway"), service=name) as channel,
        ):
            yield BotServiceStub(channel)

    async def refusals(self, contact: str) -> list[tuple[str, str]]:
        """Return the stale steps that are on record: which bot, which step."""
        rows = await self.admin.fetch(
            "select detail from audit where contact_id = $1 and kind = 'STALE_TURN' order by audit_id", contact
        )
        return [(row["detail"]["bot"], row["detail"]["step"]) for row in rows]

    async def refused(self, contact: str) -> tuple[str, str]:
        """Wait until a stale step is on record."""

        async def any_of_them() -> list[tuple[str, str]]:
            return await self.refusals(contact)

        return (await until("the stale step is on record", any_of_them))[-1]

    async def settled(self, contact: str) -> None:
        """Wait until nothing of a contact is open."""

        async def nothing_open() -> bool:
            return not await self.admin.fetch(OPEN, contact)

        await until("everything of the contact is settled", nothing_open, seconds=40)

    async def answered_once(self, contact: str) -> datetime:
        """Check that one text got one answer, by one owner after another, and return when it was sent."""
        await self.settled(contact)
        inbox = await self.admin.fetch("select * from inbox where contact_id = $1 and kind = 'MESSAGE_IN'", contact)
        assert [row["outcome"] for row in inbox] == ["REPLIED"]
        (sent,) = await self.admin.fetch("select * from outbox where contact_id = $1 and kind = 'REPLY'", contact)
        assert sent["state"] == "SENT", sent
        assert await self.system.replies(contact) == [sent["body"]]
        turns = await self.admin.fetch("select * from turn where contact_id = $1", contact)
        (spoken,) = [row for row in turns if row["state"] == "REPLIED"]
        assert (spoken["epoch"], spoken["turn_no"]) == (sent["epoch"], sent["turn_no"])
        handoffs = await self.admin.fetch("select * from handoff where contact_id = $1", contact)
        changes = await self.admin.fetch(
            "select *, detail->>'owner' as owner from audit where contact_id = $1 and kind = 'OWNER_CHANGED' order by audit_id", contact
        )  # fmt: skip
        policies = await self.admin.fetch("select * from policy order by version")
        assert handoff_check.check(handoffs, changes, policies).problems == []
        owner = await self.admin.fetchval("select owner from contact where contact_id = $1", contact)
        assert owner == spoken["bot"] == (changes[-1]["owner"] if changes else "lead")
        assert len([row for row in handoffs if row["state"] == "COMPLETED"]) == (owner != "lead")
        moment: datetime = sent["send_time"]
        return moment


@asynccontextmanager
async def running_traps(state_dir: Path, directory: Path) -> AsyncIterator[Traps]:
    """Start the system."""
    async with System(state_dir, {"PORCHLIGHT_CRASH_AT": str(directory)}) as system:
        url = (state_dir / "database.url").read_text(encoding="utf-8").strip()
        admin = await asyncpg.connect(url, server_settings={"search_path": "porchlight"})
        await admin.set_type_codec(
            "jsonb", schema="pg_catalog", encoder=lambda value: orjson.dumps(value).decode(), decoder=orjson.loads
        )
        try:
            yield Traps(system=system, admin=admin, directory=directory)
        finally:
            await admin.close()


async def again_healthy(system: System, name: str, since: int) -> None:
    """Wait until the launcher has brought a process back; `since` is how many lines it had said before."""

    async def back() -> bool:
        return any(f"{name} is healthy again" in line for line in system.lines[since:])

    await until(f"{name} is back", back, seconds=60)


def wake(pid: int) -> None:
    """Let a stopped process go on."""
    os.kill(pid, signal.SIGCONT)


async def killed_meanwhile(traps: Traps, trap: Path, since: int, *, lease: timedelta) -> datetime:
    """Wait until a process has died and is back and what it held has run out; return the latest of these moments."""
    died = await traps.sprung(trap)
    back = asyncio.create_task(again_healthy(traps.system, trap.name.partition("@")[0], since))
    await traps.pass_time(lease)
    await back
    return max(died + lease, await traps.now())
