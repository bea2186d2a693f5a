"""HighLevel's conversations, read from the oldest that changed to the newest.

Source: HighLevel's API documentation (conversations): search, and messages of a conversation.
"""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from kit.errors import ServiceUnavailable
from services.gateway.crm_calls import BROKEN, CONVERSATIONS_VERSION, LOOK_UP_SECONDS, Calls, NotThere, an_id
from services.gateway.crm_history import PAGE, Conversation, Page
from services.gateway.payload import moment

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)


class GhlHistory:
    """See `services.gateway.crm_history.History`.

    Args:
        calls: Shared with what answers people, so that both keep to one limit.
        keep: Requests of the limit that are left to them.
    """

    def __init__(self, calls: Calls, *, keep: float) -> None:
        self._calls = calls
        self._keep = keep

    async def changed(self, tenant_id: str, *, after: datetime) -> list[Conversation]:
        """See `History.changed`."""
        query = {
            "locationId": tenant_id,
            "status": "all",
            "sortBy": "last_message_date",
            "sort": "asc",
            "startAfterDate": str((after - _EPOCH) // _MILLISECOND),
            "limit": str(PAGE),
        }
        try:
            async with asyncio.timeout(LOOK_UP_SECONDS):
                answer = await self._calls.get(
                    tenant_id, "/conversations/search", query, version=CONVERSATIONS_VERSION, keep=self._keep
                )
            rows = answer.get("conversations")
            if not isinstance(rows, list):
                raise ValueError("no conversations in the answer")
            return [_conversation(row) for row in rows]
        except BROKEN as error:
            raise ServiceUnavailable("crm cannot be asked", service="crm") from error

    async def messages(self, tenant_id: str, conversation_id: str, *, before: str | None = None) -> Page:
        """See `History.messages`."""
        try:
            async with asyncio.timeout(LOOK_UP_SECONDS):
                return await read_page(self._calls, tenant_id, conversation_id, before=before, keep=self._keep)
        except NotThere:
            return Page(messages=())
        except BROKEN as error:
            raise ServiceUnavailable("crm cannot be asked", service="crm") from error


async def read_page(
    calls: Calls, tenant_id: str, conversation_id: str, *, before: str | None, keep: float = 0.0
) -> Page:
    """Read one page of a conversation.

    Raises:
        One of `BROKEN`: There is no answer, or none that can be read.
    """
    query = {"limit": str(PAGE)} | ({} if before is None else {"lastMessageId": before})
    path = f"/conversations/{conversation_id}/messages"
    page = await calls.get(tenant_id, path, query, version=CONVERSATIONS_VERSION, keep=keep)
    # The documentation has the list here, live answers one level down.
    nested = page.get("messages")
    page = nested if isinstance(nested, dict) else page
    messages = page.get("messages")
    if not isinstance(messages, list):
        raise ValueError("no messages in the answer")
    return Page(
        messages=tuple(message for message in messages if isinstance(message, dict)),
        next_id=an_id(page, "lastMessageId") if page.get("nextPage") is True else None,
    )


def _conversation(row: object) -> Conversation:
    conversation_id = an_id(row, "id") if isinstance(row, dict) else None
    if not isinstance(row, dict) or conversation_id is None:
        raise ValueError("a conversation without an id")
    return Conversation(conversation_id=conversation_id, last_time=_last_time(row))


def _last_time(row: Mapping[str, Any]) -> datetime:
    # Its description names neither; live answers have both, and what a search goes on from is the value of the sort.
    sort = row.get("sort")
    for value in (*(sort if isinstance(sort, list) else ()), row.get("lastMessageDate")):
        if isinstance(value, int | float) and not isinstance(value, bool):
            try:
                return _EPOCH + value * _MILLISECOND
            except (OverflowError, ValueError):
                break
    if (time := moment(row, "lastMessageDate", now=None)) is None:
        raise ValueError("a conversation without the time of its last message")
    return time
