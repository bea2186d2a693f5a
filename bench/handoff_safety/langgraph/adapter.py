"""LangGraph with Postgres under the probes; runs in an environment of its own, see requirements.lock.

Agents are nodes, a conversation is a thread, a handoff is a `Command` that goes to the
next agent and writes its name into the state, as the documentation shows it. Every step
is written before the next begins (`durability="sync"`).
"""

import asyncio
import json
import os
import signal
import sys
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any

from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.runnables import RunnableConfig
from langgraph.types import Command

from bench.handoff_safety.langgraph.graph import SYNC, build, saver, thread
from bench.handoff_safety.probes import ANSWER_SECONDS, Adapter, Answer, NotOffered
from bench.measure import family

AGENTS = ("lead", "buyer", "seller")
THINK_SECONDS = 0.02

Script = Callable[[str, Mapping[str, Any]], Awaitable[Any]]
"""What the agents do in one run: agent and state in, update or command out."""


def handing_over(source: str, target: str) -> Script:
    """Let `source` hand over to `target`, which takes the person and says nothing."""

    async def act(agent: str, state: Mapping[str, Any]) -> Any:
        return Command(goto=target, update={"owner": target}) if agent == source else {}

    return act


class LangGraph(Adapter):
    """A graph of three agents."""

    name = "LangGraph + Postgres"
    version = (
        f"langgraph {version('langgraph')}, langgraph-checkpoint-postgres {version('langgraph-checkpoint-postgres')}"
    )

    def __init__(self, checkpointer: Any, *, database_url: str, postgres_pid: int) -> None:
        self._scripts: dict[str, Script] = {}
        agents = {name: self._agent(name) for name in AGENTS}
        self._graph = build(checkpointer, agents)
        self._forgetful = build(None, agents)
        self._database_url = database_url
        self._postgres_pid = postgres_pid

    def _agent(self, name: str) -> Callable[..., Awaitable[Any]]:
        async def act(state: dict[str, Any], config: RunnableConfig) -> Any:
            return await self._scripts[config["configurable"]["run"]](name, state)

        return act

    async def _run(self, conversation: str, script: Script, *, text: str = "hello", message: str = "") -> Any:
        run = uuid.uuid4().hex
        self._scripts[run] = script
        where = thread(conversation)
        where["configurable"]["run"] = run
        said = HumanMessage(text, id=message or uuid.uuid4().hex)
        return await self._graph.ainvoke({"messages": [said]}, where, **SYNC)

    async def _state(self, conversation: str) -> Mapping[str, Any]:
        values: Mapping[str, Any] = (await self._graph.aget_state(thread(conversation))).values
        return values

    async def converse(self) -> str:
        return uuid.uuid4().hex

    async def owner(self, conversation: str) -> str:
        return str((await self._state(conversation)).get("owner") or "lead")

    async def ask(self, conversation: str, source: str, target: str, *, request: str = "", caller: str = "") -> Answer:
        if caller:
            raise NotOffered("agents are functions of one graph; nobody is asked who calls")
        try:
            async with asyncio.timeout(10):
                await self._run(conversation, handing_over(source, target))
        # Whatever it says is its answer.
        except Exception as error:  # noqa: BLE001
            return Answer(moved=False, reason=type(error).__name__)
        return Answer(moved=await self.owner(conversation) == target)

    async def ask_the_dead(self, conversation: str) -> None:
        victim = await self._start("hang", [conversation])
        assert victim.stdout is not None
        await victim.stdout.readline()
        victim.kill()
        await victim.wait()

    async def share(self, conversations: Sequence[str]) -> Mapping[str, Sequence[str]]:
        halves = conversations[::2], conversations[1::2]
        workers = [await self._start("take", half) for half in halves]
        taken: dict[str, list[str]] = {}
        for number, worker in enumerate(workers):
            output, _ = await worker.communicate()
            for line in output.splitlines():
                taken.setdefault(json.loads(line), []).append(f"worker {number}")
        return taken

    async def say_at_once(self, texts: Sequence[str]) -> tuple[Sequence[str], int]:
        conversation, running, overlaps = await self.converse(), 0, 0

        async def reply(agent: str, state: Mapping[str, Any]) -> Any:
            nonlocal running, overlaps
            overlaps += running > 0
            running += 1
            await asyncio.sleep(THINK_SECONDS)
            running -= 1
            return {"messages": [AIMessage(f"re: {state['messages'][-1].content}")]}

        await asyncio.gather(*(self._run(conversation, reply, text=text) for text in texts))
        messages = (await self._state(conversation))["messages"]
        return [each.content for each in messages if isinstance(each, HumanMessage)], overlaps

    async def play_ping_pong(self, conversation: str) -> tuple[int, str]:
        hops = 0

        async def pass_on(agent: str, state: Mapping[str, Any]) -> Any:
            nonlocal hops
            hops += 1
            target = "buyer" if agent == "lead" else "lead"
            return Command(goto=target, update={"owner": target})

        self._scripts["ping-pong"] = pass_on
        try:
            # Without a store, which neither counts nor bounds the steps.
            await self._forgetful.ainvoke({"messages": [HumanMessage("hi")]}, {"configurable": {"run": "ping-pong"}})
        except Exception as error:  # noqa: BLE001 - its name is the answer
            return hops, type(error).__name__
        return hops, "an end"

    async def copies(self, conversation: str, count: int) -> tuple[int, int]:
        done = 0

        async def hand_over(agent: str, state: Mapping[str, Any]) -> Any:
            nonlocal done
            done += agent == "lead"
            return await handing_over("lead", "buyer")(agent, state)

        # The message's id is the only name that a request has here; it keeps the message from standing there twice.
        runs = (self._run(conversation, hand_over, message="m_1") for _ in range(count))
        answers = await asyncio.gather(*runs, return_exceptions=True)
        return done, sum(not isinstance(answer, BaseException) for answer in answers)

    async def write_late(self, conversation: str) -> tuple[bool, str]:
        return await self._late(conversation, lambda: self.ask(conversation, "lead", "buyer"))

    async def take_over(self, conversation: str) -> tuple[bool, str]:
        graph = self._graph
        return await self._late(
            conversation, lambda: graph.aupdate_state(thread(conversation), {"owner": "human"}, "lead")
        )

    async def _late(self, conversation: str, meanwhile: Callable[[], Awaitable[object]]) -> tuple[bool, str]:
        thinking, go = asyncio.Event(), asyncio.Event()

        async def think(agent: str, state: Mapping[str, Any]) -> Any:
            thinking.set()
            await go.wait()
            return {"messages": [AIMessage("late words")]}

        late = asyncio.create_task(self._run(conversation, think))
        await thinking.wait()
        await meanwhile()
        go.set()
        await late
        state = await self._state(conversation)
        return any(each.content == "late words" for each in state["messages"]), await self.owner(conversation)

    async def freeze_store(self, seconds: float) -> tuple[Sequence[float], int, int]:
        waits: list[float] = []
        told: list[str] = []
        until = time.perf_counter() + seconds + 2

        async def call() -> None:
            while time.perf_counter() < until:
                conversation, began = await self.converse(), time.perf_counter()
                try:
                    async with asyncio.timeout(ANSWER_SECONDS):
                        await self._run(conversation, handing_over("lead", "buyer"))
                        told.append(conversation)
                except Exception:  # noqa: BLE001 - an answer too
                    await asyncio.sleep(0.05)
                waits.append(time.perf_counter() - began)

        async def freeze() -> None:
            await asyncio.sleep(0.5)
            frozen = family(self._postgres_pid)
            for pid in frozen:
                os.kill(pid, signal.SIGSTOP)
            await asyncio.sleep(seconds)
            for pid in frozen:
                os.kill(pid, signal.SIGCONT)

        await asyncio.gather(freeze(), *(call() for _ in range(20)))
        owners = [await self.owner(each) for each in told]
        return waits, len(told), sum(owner != "buyer" for owner in owners)

    async def die_after_effect(self, people: int) -> Sequence[int]:
        conversations = [await self.converse() for _ in range(people)]
        replies: list[str] = []
        for life in ("die", "live"):
            worker = await self._start(life, conversations)
            output, _ = await worker.communicate()
            replies += [json.loads(line) for line in output.splitlines()]
        return [replies.count(each) for each in conversations]

    async def _start(self, what: str, conversations: Sequence[str]) -> asyncio.subprocess.Process:
        command = ("-m", "bench.handoff_safety.langgraph.worker", what, self._database_url, *conversations)
        return await asyncio.create_subprocess_exec(sys.executable, *command, stdout=asyncio.subprocess.PIPE)


@asynccontextmanager
async def running(database_url: str, postgres_pid: int) -> AsyncIterator[Adapter]:
    """Give LangGraph over a database of its own."""
    async with saver(database_url) as checkpointer:
        yield LangGraph(checkpointer, database_url=database_url, postgres_pid=postgres_pid)
