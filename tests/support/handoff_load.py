"""Random requests at four arbiter processes, and a judge who reads the database afterwards.

`python -m tests.support.handoff_load --requests 100000` is `make load-handoff`; the
test of the same name runs a small one. What goes on at once: bots that own a contact
and bots that do not, retries under the same id, people who take over and give back,
targets that decline or fail, a clock that jumps on, a policy that changes, and a
replica that is killed.
"""

import argparse
import asyncio
import contextlib
import random
import sys
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import asyncpg
import grpc
import orjson
from porchlight.bot.v1 import bot_service_pb2 as bot_pb
from porchlight.handoff.v1 import handoff_service_pb2 as pb

from kit import errors
from tests.support import handoff_check
from tests.support.arbiter import TENANT, Desk, a_proposal, environment, running_bots
from tests.support.replicas import Replica, running_replica
from tests.support.stores import Database, create_database, drop_database, running_cluster

REPLICAS: Final = 4
CHANGES: Final = 12
"""How often the policy changes meanwhile; no change is like the one before."""
AT_ONCE: Final = 48
BOTS: Final = ("lead", "buyer", "seller")
BUSY: Final = (errors.Unavailable, errors.Exhausted)
"""What a process says, or what is said for it, that is overloaded or was killed."""
OWN_SHARE, HOT_SHARE = 0.9, 0.6
THRESHOLDS: Final = {
    "lead>buyer": 0.7, "lead>seller": 0.7, "buyer>seller": 0.8, "seller>buyer": 0.6, "buyer>lead": 0.7, "seller>lead": 0.7,
}  # fmt: skip
POLICY: Final = {
    "routes": THRESHOLDS,
    "cycle_window_minutes": 30,
    "hourly_limit": 3,
    "daily_limit": 10,
    "intent_bots": {},
    # The load is on the rules that count; a slow machine is no sick target.
    "target_limits": {"error_share": 1.0, "p95_ms": 60_000, "least_samples": 100, "cool_down_seconds": 1},
}


@dataclass(kw_only=True)
class Run:
    """A load in progress: who believes what, and what was answered."""

    seed: int
    contacts: int
    desks: list[Desk]
    dice: random.Random
    shift_minutes: float = 0.0
    answers: Counter[str] = field(default_factory=Counter)
    owner: dict[str, str] = field(default_factory=dict)
    asked: dict[str, tuple[str, Any]] = field(default_factory=dict)
    unknown: list[str] = field(default_factory=list)
    kept: Sequence[Any] = ()
    """Every decision as the database holds it, at the end."""
    policies: Sequence[Any] = ()
    """Every policy that was in force, likewise."""

    def contact(self) -> str:
        """Choose a contact: a tenth of them get most of what happens."""
        hot = self.dice.random() < HOT_SHARE
        return f"c_{self.dice.randrange(max(1, self.contacts // 10) if hot else self.contacts)}"

    def next_call(self) -> tuple[str, str, str, Any]:
        """Make up the next request: contact, caller, method, message."""
        contact = self.contact()
        if contact in self.asked and self.dice.random() < 0.05:
            return contact, "operator", "RequestHandoff", self.asked[contact][1]
        owner, request_id = self.owner.get(contact, "lead"), uuid.UUID(int=self.dice.getrandbits(128)).hex
        if owner == "human" and self.dice.random() < 0.8:
            back = pb.ReturnFromHumanRequest(
                tenant_id=TENANT, contact_id=contact, target_bot=self.dice.choice(BOTS), person="Ben", summary="Done.", request_id=request_id
            )  # fmt: skip
            return contact, "operator", "ReturnFromHuman", back
        if self.dice.random() < 0.01:
            person = pb.EscalateToHumanRequest(
                tenant_id=TENANT, contact_id=contact, reason=pb.ESCALATION_REASON_COMPLAINT, summary="Angry.", request_id=request_id
            )  # fmt: skip
            return contact, "operator", "EscalateToHuman", person
        source = owner if owner in BOTS and self.dice.random() < OWN_SHARE else self.dice.choice(BOTS)
        target = self.dice.choice([bot for bot in BOTS if bot != source])
        sure = self.dice.uniform(0.8, 1.0) if self.dice.random() < 0.9 else self.dice.uniform(0.0, 0.8)
        proposal = pb.HandoffProposal(
            tenant_id=TENANT, contact_id=contact, source_bot=source, target_bot=target, confidence=sure, summary="Wants to move on."
        )  # fmt: skip
        message = pb.RequestHandoffRequest(proposal=proposal, request_id=request_id)
        self.asked[contact] = (request_id, message)
        return contact, self.dice.choice([source, "operator"]), "RequestHandoff", message

    async def ask(self) -> None:
        """Make one request, and sort its end: ok, fail (nothing was done), unknown (done once or not at all)."""
        contact, caller, method, message = self.next_call()
        try:
            response = await self.dice.choice(self.desks).call(caller, method, message, seconds=10)
        except BUSY:
            self.answers["unknown"] += 1
            self.unknown.append(message.request_id)
            return
        except errors.PorchlightError as error:
            self.answers[f"fail {error.reason}"] += 1
            return
        kind = "approved" if response.approved else "denied"
        self.answers[f"ok {'replayed ' if response.replayed else ''}{kind}"] += 1
        if response.approved and not response.replayed:
            self.owner[contact] = response.handoff.target_bot
        elif response.handoff.blocking_rule == pb.RULE_OWNERSHIP and not response.replayed:
            owner = next(each.observed for each in response.handoff.verdicts if each.rule == pb.RULE_OWNERSHIP)
            self.owner[contact] = owner.split(" ", maxsplit=1)[0]

    async def change_policy(self) -> None:
        """Replace the policy, and see that the very next decision of every arbiter is made under the new one."""
        desk = self.dice.choice(self.desks)
        try:
            now = (await desk.call("operator", "GetPolicy", pb.GetPolicyRequest())).policy
            made = (await desk.call("operator", "UpdatePolicy", self.next_policy(now))).policy
        except BUSY:
            return  # Whether it is in force, the decisions say.
        asked = pb.EvaluateHandoffRequest(proposal=a_proposal("lead>buyer", contact_id=self.contact()))
        seen = set()
        for each in self.desks:
            with contextlib.suppress(*BUSY):
                seen.add((await each.call("operator", "EvaluateHandoff", asked)).policy_version)
        assert seen == {made.version}, f"{seen} after {made.version} was written"

    def next_policy(self, now: Any) -> pb.UpdatePolicyRequest:
        """Make up the policy that takes the place of `now`."""
        rules, base = now.rules, now.version % 3
        rules.cycle_window_minutes, rules.hourly_limit, rules.daily_limit = ((30, 3, 10), (31, 2, 9), (29, 4, 11))[base]
        for route in rules.routes:
            route.threshold = THRESHOLDS[f"{route.source_bot}>{route.target_bot}"] + (0, 0.04, -0.04)[base]
        return pb.UpdatePolicyRequest(rules=rules, etag=now.etag, reason="Under load.")

    async def pass_time(self, admin: Any) -> None:
        """Let some minutes pass for the database."""
        self.shift_minutes += self.dice.choice([2, 9, 14, 21])
        await admin.execute(
            "insert into clock_shift (shift) values (make_interval(mins => $1)) on conflict (only_row) do update set shift = excluded.shift",
            int(self.shift_minutes),
        )  # fmt: skip


@asynccontextmanager
async def standing(
    database: Database, directory: Path, dice: random.Random, contacts: int
) -> AsyncIterator[tuple[list[Replica], Any, Any]]:
    """Start bots that mostly accept, and the replicas; gives them, the owner's connection, and how to start one more."""
    async with AsyncExitStack() as stack:
        bots = await stack.enter_async_context(running_bots(BOTS))
        for bot in bots.values():
            odd = [bot_pb.OFFER_ANSWER_DECLINE, bot_pb.OFFER_ANSWER_DEFER, grpc.StatusCode.UNAVAILABLE]
            bot.answers = [
                dice.choice(odd) if dice.random() < 0.1 else bot_pb.OFFER_ANSWER_ACCEPT for _ in range(20_000)
            ]
        admin = await asyncpg.connect(database.admin_url, server_settings={"search_path": "porchlight"})
        stack.push_async_callback(admin.close)
        await admin.set_type_codec(
            "jsonb", schema="pg_catalog", encoder=lambda value: orjson.dumps(value).decode(), decoder=orjson.loads
        )
        await admin.execute("insert into policy (body) values ($1)", POLICY)
        await admin.execute(
            "insert into contact (tenant_id, contact_id, owner) select $1, 'c_' || n, 'lead' from generate_series(0, $2 - 1) n", TENANT, contacts
        )  # fmt: skip
        settings = environment(database, directory, bots)

        async def start() -> Replica:
            return await stack.enter_async_context(running_replica(settings, bots, admin))

        yield list(await asyncio.gather(*(start() for _ in range(REPLICAS)))), admin, start


async def load(
    database: Database, directory: Path, *, requests: int, contacts: int, steps: int, seed: int
) -> tuple[Run, handoff_check.Findings]:
    """Run the load, wait until every offer is settled, and judge."""
    dice = random.Random(seed)
    async with standing(database, directory, dice, contacts) as (replicas, admin, start):
        run = Run(seed=seed, contacts=contacts, desks=[each.desk for each in replicas], dice=dice)
        left = iter(range(requests))

        async def work() -> None:
            for _ in left:
                await run.ask()

        async def meanwhile(times: int, act: Callable[[], Awaitable[None]]) -> None:
            """Do something so many times over the run. Each kind by itself: time goes on while a process starts."""
            for number in range(times):
                while sum(run.answers.values()) * times < requests * (number + 1):
                    await asyncio.sleep(0.005)
                await act()

        async def kill() -> None:
            while sum(run.answers.values()) < requests // 2:
                await asyncio.sleep(0.005)
            replicas[0].process.kill()
            run.desks[0] = (await start()).desk

        await asyncio.gather(
            meanwhile(steps, lambda: run.pass_time(admin)),
            meanwhile(CHANGES, run.change_policy),
            kill(),
            *(work() for _ in range(AT_ONCE)),
        )
        await settled(admin, run)
        return run, await judge(admin, run)


async def settled(admin: Any, run: Run) -> None:
    """Wait until no offer is open: each is taken, or its time runs out."""
    async with asyncio.timeout(60):
        while await admin.fetchval("select count(*) from handoff where state in ('PENDING', 'OFFERED')"):
            await run.pass_time(admin)
            await asyncio.sleep(0.2)


async def judge(admin: Any, run: Run) -> handoff_check.Findings:
    """Read what the database kept and check it."""
    handoffs = run.kept = await admin.fetch("select * from handoff")
    changes = await admin.fetch(
        "select tenant_id, contact_id, epoch, detail->>'owner' as owner from audit where kind = 'OWNER_CHANGED' order by audit_id"
    )
    run.policies = await admin.fetch("select * from policy order by version")
    findings = handoff_check.check(handoffs, changes, run.policies)
    decided = {row["request_id"] for row in handoffs}
    told = sum(count for answer, count in run.answers.items() if answer.startswith("ok ") and "replayed" not in answer)
    found = sum(request in decided for request in set(run.unknown))
    takeovers = sum(not row["request_digest"] for row in handoffs)
    # An unknown one that a retry found decided was told as a replay, never as a first answer.
    if not told <= len(handoffs) - takeovers <= told + found:
        findings.problems.append(
            f"{len(handoffs) - takeovers} decisions are kept, {told} were told, {found} of the unknown were made"
        )
    return findings


def missing(run: Run, findings: handoff_check.Findings, *, rules: Sequence[str]) -> list[str]:
    """List what a run should have exercised and did not."""
    wanted = {f"a denial by {rule} alone": findings.alone[rule] for rule in rules}
    wanted |= {
        f"a handoff that ended {state}": findings.states[state]
        for state in ("ACCEPTED", "DECLINED", "EXPIRED", "DENIED")
    }
    wanted["a change of policy"] = len(run.policies) - 2
    wanted["an answer to a retry"] = sum(count for answer, count in run.answers.items() if "replayed" in answer)
    wanted["an answer that never came"] = run.answers["unknown"]
    return [what for what, count in wanted.items() if not count]


def show(run: Run, findings: handoff_check.Findings, seconds: float) -> str:
    """Say in a few lines what happened."""
    lines = [
        f"seed {run.seed}: {sum(run.answers.values())} requests over {run.contacts} contacts and {REPLICAS} processes,"
        f" {len(run.policies) - 2} changes of policy, {run.shift_minutes / 60:.1f} h of policy time, {seconds:.0f} s",
        "answers: " + ", ".join(f"{name} {count}" for name, count in sorted(run.answers.items())),
        "handoffs: " + ", ".join(f"{name} {count}" for name, count in sorted(findings.states.items())),
        "denied by one rule alone: " + ", ".join(f"{name} {count}" for name, count in sorted(findings.alone.items())),
        f"{len(findings.problems)} over-approvals, ways back, two owners or lost decisions",
    ]
    return "\n".join(lines + findings.problems[:20])


def main() -> int:
    """Run the whole load; 1 when something is wrong or was not exercised."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--contacts", type=int, default=5_000)
    parser.add_argument("--steps", type=int, default=180, help="how often the clock jumps")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    asked = parser.parse_args()
    sys.stdout.write(f"seed {asked.seed}\n")
    with (
        tempfile.TemporaryDirectory(prefix="porchlight-load-") as directory,
        running_cluster(Path(directory) / "stores") as cluster,
    ):

        async def whole() -> tuple[Run, handoff_check.Findings]:
            database = await create_database(cluster)
            made = await load(
                database, Path(directory), requests=asked.requests, contacts=asked.contacts, steps=asked.steps, seed=asked.seed
            )  # fmt: skip
            await drop_database(database)
            return made

        began = time.monotonic()
        run, findings = asyncio.run(whole())
    lacking = missing(run, findings, rules=("QUOTA 1 h", "QUOTA 24 h", "CYCLE"))
    sys.stdout.write(show(run, findings, time.monotonic() - began) + "\n")
    sys.stdout.writelines(f"not exercised: {what}\n" for what in lacking)
    return int(bool(findings.problems or lacking))


if __name__ == "__main__":
    sys.exit(main())
