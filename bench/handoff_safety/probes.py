"""The probes, and what a system must let itself be asked. Needs nothing but Python.

A probe does to a system what goes wrong in real life and says HOLDS or FAILS with the
numbers that it saw. NOT OFFERED means that the system has nothing of the kind that the
probe is about, so that there is nothing which could hold or fail.
"""

import asyncio
import collections
import enum
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

ANSWER_SECONDS: Final = 2.0
"""How long a caller waits for an answer; then a probe calls it hanging."""

RECOVERY_SECONDS = 20.0
"""How long a probe waits for a system to help itself."""

HOPS_MOST: Final = 10
"""How often agents may pass a silent person on before a probe calls it a loop."""


class Outcome(enum.Enum):
    """What a probe says."""

    HOLDS = "HOLDS"
    FAILS = "FAILS"
    NOT_OFFERED = "NOT OFFERED"


class NotOffered(Exception):
    """The system has nothing of the kind; the text says why."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What became of a wish to hand over."""

    moved: bool
    reason: str = ""
    """Why not, as the system says it; "" when it says nothing."""
    handoff: str = ""
    """What the system calls this handoff, if it has a name."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One probe's answer."""

    probe: str
    guarantee: str
    outcome: Outcome
    seen: str


class Adapter:
    """A system under the probes. Agents are `lead`, `buyer` and `seller`; a conversation begins with `lead`.

    A system overrides what it has; the rest is not offered. Everything happens in real
    processes over real sockets and a Postgres that syncs.
    """

    name = ""
    version = ""

    async def converse(self) -> str:
        """Begin a conversation and return its name."""
        raise NotImplementedError

    async def owner(self, conversation: str) -> str:
        """Return the agent that the person talks to now."""
        raise NotImplementedError

    async def ask(self, conversation: str, source: str, target: str, *, request: str = "", caller: str = "") -> Answer:
        """Let `source` hand over to `target`, and wait until that is settled.

        Args:
            request: Names the request, if the system tells copies from new ones.
            caller: Who asks in the name of `source`; "" is `source` itself.
        """
        raise NotImplementedError

    async def ask_the_dead(self, conversation: str) -> None:
        """Hand over to an agent whose process is killed while it is being asked, and which nobody starts again."""
        raise NotImplementedError

    async def share(self, conversations: Sequence[str]) -> Mapping[str, Sequence[str]]:
        """Hand over all conversations to an agent that runs twice; return who took each, every time it was taken."""
        raise NotImplementedError

    async def say_at_once(self, texts: Sequence[str]) -> tuple[Sequence[str], int]:
        """Let one person say everything at the same moment.

        Returns:
            What the conversation has of it in the end, and how many turns ran while another did.
        """
        raise NotImplementedError

    async def play_ping_pong(self, conversation: str) -> tuple[int, str]:
        """Let two agents hand over to one another until something stops them; return hops and what it was."""
        raise NotImplementedError

    async def copies(self, conversation: str, count: int) -> tuple[int, int]:
        """Send one request `count` times at once; return how many were carried out, and how many got an answer."""
        raise NotImplementedError

    async def reuse(self, conversation: str) -> Answer:
        """Send a request under the name of an earlier one that asked for something else."""
        raise NotOffered("requests have no names")

    async def storm(self, count: int) -> tuple[int, int, int]:
        """Ask `count` times at once over all processes; return the limit, how many moved, and processes."""
        raise NotOffered("no limit on how often a conversation moves")

    async def replay_ticket(self, count: int) -> int:
        """Present a used ticket `count` times; return how often it worked."""
        raise NotOffered("no tickets: whoever can write a thread can move it")

    async def forge_tickets(self) -> Mapping[str, str]:
        """Present tickets that are not good; return what was wrong with each, and "" or the reason of the refusal."""
        raise NotOffered("no tickets: whoever can write a thread can move it")

    async def write_late(self, conversation: str) -> tuple[bool, str]:
        """Let an agent finish a turn after the conversation has gone to another.

        Returns:
            Whether its words are in the conversation, and who owns it afterwards.
        """
        raise NotImplementedError

    async def change_capsule(self) -> str:
        """Change on the way what is told to the target; return the reason of its refusal, "" when it believes it."""
        raise NotOffered("context is shared state without a digest")

    async def explain(self) -> tuple[int, int]:
        """Return how many decisions were made, and how many give the same verdicts when decided again."""
        raise NotOffered("keeps states, not the reasons for them")

    async def take_over(self, conversation: str) -> tuple[bool, str]:
        """Let a person of the brokerage take the conversation in the middle of a turn.

        Returns:
            Whether the agent's words went out all the same, and who owns it afterwards.
        """
        raise NotImplementedError

    async def freeze_store(self, seconds: float) -> tuple[Sequence[float], int, int]:
        """Stop Postgres for a while under load, each caller waiting for `ANSWER_SECONDS`.

        Returns:
            How long callers waited, how many were told that it moved, and how many of
            those did not.
        """
        raise NotImplementedError

    async def change_policy(self) -> tuple[float, int]:
        """Change the rules under load; return seconds until all processes follow, and decisions that mixed versions."""
        raise NotOffered("rules are code of the graph")

    async def die_after_effect(self, people: int) -> Sequence[int]:
        """Kill the process right after a reply has gone out, start it again; return how many replies each person got."""
        raise NotImplementedError


Judged = tuple[bool, str]
Probe = Callable[[Adapter], Awaitable[Judged]]

PROBES: list[tuple[str, str, Probe]] = []
"""Promise, guarantees of docs/guarantees.md that it belongs to, and how it is tried."""


def probe(promise: str, guarantee: str) -> Callable[[Probe], Probe]:
    """Add a probe to the list."""

    def add(how: Probe) -> Probe:
        PROBES.append((promise, guarantee, how))
        return how

    return add


async def run_all(system: Adapter, *, only: str = "") -> list[Finding]:
    """Put every probe to a system, one after the other."""
    findings = []
    for promise, guarantee, how in PROBES:
        if only not in how.__name__:
            continue
        try:
            kept, seen = await how(system)
            outcome = Outcome.HOLDS if kept else Outcome.FAILS
        except NotOffered as lacking:
            outcome, seen = Outcome.NOT_OFFERED, str(lacking)
        findings.append(Finding(probe=promise, guarantee=guarantee, outcome=outcome, seen=seen))
    return findings


@probe("an unknown target is refused in time, with a reason, and the source keeps the person", "G12")
async def unknown_target(system: Adapter) -> Judged:
    """Ask for an agent that nobody knows."""
    conversation = await system.converse()
    began = time.perf_counter()
    answer = await system.ask(conversation, "lead", "nobody")
    took = time.perf_counter() - began
    owner = await system.owner(conversation)
    kept = not answer.moved and answer.reason != "" and owner == "lead" and took <= ANSWER_SECONDS
    return kept, f"{_said(answer)} after {took:.2f} s; the person is with {owner}"


@probe("a target that dies while it is asked loses the person to somebody alive, without an operator", "G12, G6")
async def dead_target(system: Adapter) -> Judged:
    """Kill the target's process with the offer in flight, and wait without doing anything."""
    conversation = await system.converse()
    await system.ask_the_dead(conversation)
    began = time.perf_counter()
    owner, took = "", 0.0
    while owner != "lead" and took <= RECOVERY_SECONDS:
        await asyncio.sleep(0.05)
        owner, took = await system.owner(conversation), time.perf_counter() - began
    return owner == "lead", f"after {took:.1f} s the person is with {owner}"


@probe("two workers of one agent share its handoffs, and each handoff is taken once", "G2")
async def second_worker(system: Adapter) -> Judged:
    """Start an agent twice under one name."""
    conversations = [await system.converse() for _ in range(20)]
    taken = await system.share(conversations)
    workers = collections.Counter(worker for each in taken.values() for worker in each)
    kept = len(workers) == 2 and all(len(taken.get(each, ())) == 1 for each in conversations)
    return kept, f"{len(conversations)} handoffs, taken {sum(workers.values())} times by {len(workers)} workers"


@probe("nobody hands over in another agent's name", "G4")
async def made_up_identity(system: Adapter) -> Judged:
    """Ask as an agent that does not have the person, and as nobody known."""
    conversation = await system.converse()
    answers = {
        caller: await system.ask(conversation, "lead", "buyer", caller=caller) for caller in ("seller", "mallory")
    }
    owner = await system.owner(conversation)
    kept = not any(answer.moved for answer in answers.values()) and owner == "lead"
    return kept, "; ".join(f"{caller}: {_said(answer)}" for caller, answer in answers.items())


@probe("of 20 texts at once none is lost, and no two turns of a person run at once", "G2, G6")
async def concurrent_turns(system: Adapter) -> Judged:
    """Let one person text like a machine gun."""
    texts = [f"text number {number}" for number in range(20)]
    kept, overlaps = await system.say_at_once(texts)
    return sorted(kept) == sorted(texts) and overlaps == 0, f"{len(set(kept))} of 20 kept, {overlaps} turns at once"


@probe("agents that always hand over are stopped by rule while the person is silent", "G5")
async def ping_pong(system: Adapter) -> Judged:
    """Let two agents play."""
    hops, end = await system.play_ping_pong(await system.converse())
    return hops <= HOPS_MOST, f"{hops:,} hops, then {end}"


@probe("the same, when every hop is a run of its own", "G5")
async def slow_ping_pong(system: Adapter) -> Judged:
    """Let the agents that have the person hand over once a run, 20 runs long."""
    conversation = await system.converse()
    hops, answer = 0, Answer(moved=False)
    for _ in range(20):
        source = await system.owner(conversation)
        answer = await system.ask(conversation, source, "lead" if source == "buyer" else "buyer")
        hops += answer.moved
    return hops <= HOPS_MOST, f"{hops} hops in 20 runs; at last: {_said(answer)}"


@probe("50 copies of a request at once are one handoff, and all get its answer", "G3")
async def request_copies(system: Adapter) -> Judged:
    """Send one request 50 times."""
    done, answered = await system.copies(await system.converse(), 50)
    return done == 1 and answered == 50, f"carried out {done} times, {answered} of 50 answered"


@probe("a request's name is not taken for another request", "G3")
async def request_reused(system: Adapter) -> Judged:
    """Send another request under a used name."""
    answer = await system.reuse(await system.converse())
    return not answer.moved and answer.reason != "", _said(answer)


@probe("400 requests at once over all processes never exceed the limit", "G1")
async def limit(system: Adapter) -> Judged:
    """Let everybody ask for one person at once."""
    most, moved, processes = await system.storm(400)
    return moved == most, f"{moved} approved of 400 over {processes} processes, limit {most}"


@probe("a used ticket works no second time", "G4")
async def used_ticket(system: Adapter) -> Judged:
    """Present it 20 times."""
    worked = await system.replay_ticket(20)
    return worked == 0, f"{worked} of 20 accepted"


@probe("a ticket that is altered, expired, for another or signed by another is refused", "G4")
async def altered_ticket(system: Adapter) -> Judged:
    """Present one of each kind."""
    refusals = await system.forge_tickets()
    return all(refusals.values()), ", ".join(f"{kind}: {why or 'accepted'}" for kind, why in refusals.items())


@probe("an agent that lost the person can no longer write", "G2")
async def stale_write(system: Adapter) -> Judged:
    """Let it finish its turn after the handoff."""
    written, owner = await system.write_late(await system.converse())
    return not written, f"its words were {'kept' if written else 'refused'}; the person is with {owner}"


@probe("a target believes only the context that was decided on", "G7")
async def changed_capsule(system: Adapter) -> Judged:
    """Change one byte on the way."""
    reason = await system.change_capsule()
    return reason != "", reason or "believed"


@probe("every decision gives the same verdicts when it is decided again under its policy", "G8")
async def replay(system: Adapter) -> Judged:
    """Decide everything again that the probes before this one left behind."""
    made, same = await system.explain()
    return made > 0 and made == same, f"{same} of {made} the same"


@probe("a person who takes over silences the agent in the middle of its turn", "G11")
async def takeover(system: Adapter) -> Judged:
    """Take over while the agent thinks."""
    spoke, owner = await system.take_over(await system.converse())
    return (
        not spoke and owner == "human",
        f"the agent {'spoke all the same' if spoke else 'was silenced'}; the person is with {owner}",
    )


@probe("with the store frozen callers get an answer in time, and no answer is wrong", "G9, G12")
async def frozen_store(system: Adapter) -> Judged:
    """Stop Postgres for 4 s under 20 callers."""
    waits, told, wrong = await system.freeze_store(4)
    kept = wrong == 0 and max(waits) <= ANSWER_SECONDS + 0.5
    return (
        kept,
        f"longest wait {max(waits):.1f} s of {ANSWER_SECONDS:g} s allowed, {told} told moved, {wrong} of them wrongly",
    )


@probe("changed rules hold in all processes within a second, and no decision mixes two versions", "G10")
async def changed_policy(system: Adapter) -> Judged:
    """Change the policy under load."""
    seconds, mixed = await system.change_policy()
    return seconds < 1 and mixed == 0, f"{seconds:.2f} s, {mixed} mixed"


@probe("a process killed right after a reply went out does not send it twice", "G6")
async def killed_after_effect(system: Adapter) -> Judged:
    """Kill it at that very point, and start it again."""
    replies = await system.die_after_effect(5)
    return all(
        count == 1 for count in replies
    ), f"replies that {len(replies)} people got: {', '.join(map(str, replies))}"


def _said(answer: Answer) -> str:
    return "moved" if answer.moved else f"refused ({answer.reason})" if answer.reason else "neither moved nor refused"
