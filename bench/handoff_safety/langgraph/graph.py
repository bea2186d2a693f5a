"""Agents that hand over to one another in LangGraph, over Postgres, as its documentation shows it."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from langgraph.graph import START, MessagesState, StateGraph
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool

# As many as the arbiter's pool has.
CONNECTIONS = 8

SYNC = {"durability": "sync"}
"""Every step is on disk before the next one begins."""


class Conversation(MessagesState):
    """What a thread keeps: the messages, and which agent the person talks to."""

    owner: str


@asynccontextmanager
async def saver(database_url: str) -> AsyncIterator[AsyncPostgresSaver]:
    """A checkpointer on a pool; `autocommit` and `dict_row` as its documentation asks for."""
    options = {"autocommit": True, "prepare_threshold": 0, "row_factory": dict_row}
    async with AsyncConnectionPool(
        database_url, min_size=CONNECTIONS, max_size=CONNECTIONS, kwargs=options, open=False
    ) as pool:
        made = AsyncPostgresSaver(pool)
        await made.setup()
        yield made


def build(checkpointer: Any, agents: Mapping[str, Callable[..., Any]]) -> Any:
    """Compile a graph in which each message goes to the agent that owns the thread, at first `lead`."""
    graph = StateGraph(Conversation)
    for name, agent in agents.items():
        graph.add_node(name, agent, destinations=tuple(agents))
    graph.add_conditional_edges(START, lambda state: state.get("owner") or "lead", list(agents))
    return graph.compile(checkpointer=checkpointer)


def thread(name: str, **more: Any) -> dict[str, Any]:
    """Return the configuration that names a thread."""
    return {"configurable": {"thread_id": name}, **more}
