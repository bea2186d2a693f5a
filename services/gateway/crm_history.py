"""What stands in the CRM's conversations: a port, its values, and a twin in memory."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Protocol

from kit.errors import ServiceUnavailable
from services.gateway.payload import moment

PAGE: Final = 100
"""The most conversations, or messages, that one look brings."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Conversation:
    """A conversation and when its last message was written, whoever wrote it."""

    conversation_id: str
    last_time: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Page:
    """Messages of a conversation, newest first, as the CRM writes them."""

    messages: tuple[Mapping[str, Any], ...]
    next_id: str | None = None
    """What the next page is asked for with; None when there is none."""


class History(Protocol):
    """Reading conversations. Each method is one call to the CRM, which leaves most of its rate limit to others.

    Raises (both methods):
        ServiceUnavailable: The CRM cannot be asked; nothing is known.
    """

    async def changed(self, tenant_id: str, *, after: datetime) -> list[Conversation]:
        """List conversations whose last message is later than `after`, the oldest first; less than `PAGE` is all."""
        ...

    async def messages(self, tenant_id: str, conversation_id: str, *, before: str | None = None) -> Page:
        """Read a page; of a conversation that is gone, an empty one."""
        ...


@dataclass(kw_only=True)
class MemoryHistory:
    """The twin."""

    conversations: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    """Messages by conversation, the oldest first. All of one location."""
    page: int = PAGE
    reachable: bool = True
    calls: int = 0

    async def changed(self, tenant_id: str, *, after: datetime) -> list[Conversation]:
        """See `History.changed`."""
        self._ask()
        found = []
        for conversation_id, messages in self.conversations.items():
            last_time = moment(messages[-1], "dateAdded", now=None)
            if last_time is not None and last_time > after and messages[-1]["locationId"] == tenant_id:
                found.append(Conversation(conversation_id=conversation_id, last_time=last_time))
        return sorted(found, key=lambda each: each.last_time)[:PAGE]

    async def messages(self, tenant_id: str, conversation_id: str, *, before: str | None = None) -> Page:
        """See `History.messages`."""
        self._ask()
        newest_first = self.conversations.get(conversation_id, [])[::-1]
        if before is not None:
            newest_first = newest_first[[each["id"] for each in newest_first].index(before) + 1 :]
        messages = tuple(newest_first[: self.page])
        return Page(messages=messages, next_id=messages[-1]["id"] if len(newest_first) > self.page else None)

    def _ask(self) -> None:
        self.calls += 1
        if not self.reachable:
            raise ServiceUnavailable("crm cannot be asked", service="crm")
