"""Who calls, under which request, until when: set by the edge for every call."""

import asyncio
import re
import secrets
from contextvars import ContextVar
from typing import Final

from structlog.contextvars import bind_contextvars

CALLER: ContextVar[str] = ContextVar("caller", default="")
REQUEST_ID: ContextVar[str] = ContextVar("request_id", default="")
DEADLINE: ContextVar[float | None] = ContextVar("deadline", default=None)
"""On the event loop's clock, in seconds."""

# What a metadata value may hold, and a person can still paste into a search.
_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9_.:-]{1,64}")


def caller() -> str:
    """Return the identity that called; "" outside a call."""
    return CALLER.get()


def request_id() -> str:
    """Return what ties the lines of one request together; "" outside a call."""
    return REQUEST_ID.get()


def remaining_seconds() -> float | None:
    """Return how much time the caller left us, 0.0 when none; None outside a call."""
    deadline = DEADLINE.get()
    return None if deadline is None else max(0.0, deadline - asyncio.get_running_loop().time())


def usable_request_id(wanted: str) -> str:
    """Return `wanted` if it can travel as metadata, else a new id."""
    return wanted if _REQUEST_ID.fullmatch(wanted) else secrets.token_hex(8)


def begin_request(wanted: str = "") -> str:
    """Tie everything the current task logs and calls from now on to one id, and return it.

    The edge does this for calls; a worker does it for each piece of work.
    """
    begun = usable_request_id(wanted)
    REQUEST_ID.set(begun)
    bind_contextvars(request_id=begun)
    return begun
