"""What may be relied on when the CRM's conversations are read: the twin, and the adapter against the stand-in."""

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest

from kit.errors import ServiceUnavailable
from services.gateway.crm_calls import Calls, open_client
from services.gateway.crm_history import PAGE, History, MemoryHistory
from services.gateway.crm_history_ghl import GhlHistory
from services.gateway.payload import moment
from tests.support.gateway import LOC, TOKEN, running_crm
from tests.support.openapi import misfits, vendors

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
KEEP = 60.0


@dataclass
class World:
    history: History
    writes: Callable[[str, str], Awaitable[str]]
    """Lets a person, by their number, text; returns the conversation."""
    leave: Callable[[], Awaitable[None]]

    async def changed(self, after: datetime = LONG_AGO) -> list[str]:
        return [each.conversation_id for each in await self.history.changed(LOC, after=after)]


@pytest.fixture
async def memory_world() -> World:
    history = MemoryHistory()
    now = [datetime.now(UTC)]

    async def writes(person: str, text: str) -> str:
        now[0] += timedelta(milliseconds=1)
        message = {"id": f"m_{now[0].timestamp()}", "locationId": LOC, "direction": "inbound", "body": text}
        history.conversations.setdefault(person, []).append(message | {"dateAdded": now[0].isoformat()})
        return person

    async def leave() -> None:
        history.reachable = False

    return World(history=history, writes=writes, leave=leave)


@pytest.fixture
async def ghl_world(tmp_path) -> AsyncIterator[World]:
    async with running_crm(tmp_path) as stand_in, open_client(str(stand_in.client.base_url), connections=4) as client:
        calls = Calls(client, token=TOKEN, monotonic=time.monotonic, call_seconds=4.0)
        contacts: dict[str, str] = {}
        last = [""]

        async def writes(person: str, text: str) -> str:
            contact_id = contacts.get(person) or await stand_in.contact()
            contacts[person] = contact_id
            # No two in one millisecond, so that their order is the order of the dates.
            while datetime.now(UTC).isoformat(timespec="milliseconds") <= last[0]:
                pass
            await stand_in.client.post(f"/phone/contacts/{contact_id}/messages", json={"text": text})
            message = (await stand_in.log())["messages"][-1]
            last[0] = message["date_added"].replace("Z", "+00:00")
            return message["conversation_id"]

        async def leave() -> None:
            client.base_url = httpx2.URL("http://127.0.0.1:9")

        yield World(history=GhlHistory(calls, keep=KEEP), writes=writes, leave=leave)


@pytest.fixture(params=["memory", "ghl"])
def world(request) -> World:
    return request.getfixturevalue(f"{request.param}_world")


async def test_conversations_come_in_the_order_of_their_last_words(world):
    first, second = await world.writes("ann", "hi"), await world.writes("bo", "hi")
    assert await world.changed() == [first, second]
    await world.writes("ann", "still there?")
    assert await world.changed() == [second, first]


async def test_only_what_changed_later_is_listed(world):
    await world.writes("ann", "hi")
    second = await world.writes("bo", "hi")
    first_of_all, last_of_all = await world.history.changed(LOC, after=LONG_AGO)
    assert await world.changed(first_of_all.last_time) == [second]
    assert await world.changed(last_of_all.last_time) == []


async def test_messages_are_read_as_the_crm_has_them(world):
    conversation_id = await world.writes("ann", "hi")
    await world.writes("ann", "are you there?")
    (conversation,) = await world.history.changed(LOC, after=LONG_AGO)
    page = await world.history.messages(LOC, conversation_id)
    assert [message["body"] for message in page.messages] == ["are you there?", "hi"]
    assert {(message["direction"], message["locationId"]) for message in page.messages} == {("inbound", LOC)}
    assert (page.next_id, moment(page.messages[0], "dateAdded", now=None)) == (None, conversation.last_time)


async def test_conversation_that_is_gone_is_empty(world):
    assert (await world.history.messages(LOC, "nothing")).messages == ()


async def test_crm_that_cannot_be_reached_says_nothing(world):
    await world.leave()
    with pytest.raises(ServiceUnavailable):
        await world.history.changed(LOC, after=LONG_AGO)
    with pytest.raises(ServiceUnavailable):
        await world.history.messages(LOC, "conv")


# --- HighLevel's alone -------------------------------------------------------------------------------------------


def a_ghl(answer: Callable[[httpx2.Request], Any]) -> tuple[GhlHistory, Calls]:
    client = httpx2.AsyncClient(base_url="http://crm", transport=httpx2.MockTransport(answer))
    calls = Calls(client, token=TOKEN, monotonic=lambda: 0.0, call_seconds=1.0)
    return GhlHistory(calls, keep=KEEP), calls


async def test_next_page_is_asked_for_with_the_last_message_of_this_one():
    def answer(request: httpx2.Request) -> httpx2.Response:
        second = request.url.params.get("lastMessageId") == "m_2"
        rows = {"messages": [{"id": "m_1" if second else "m_2"}], "nextPage": not second, "lastMessageId": "m_2"}
        return httpx2.Response(200, json={"messages": rows})

    history, _ = a_ghl(answer)
    first = await history.messages(LOC, "conv")
    rest = await history.messages(LOC, "conv", before=first.next_id)
    assert ([each["id"] for each in (*first.messages, *rest.messages)], rest.next_id) == (["m_2", "m_1"], None)


@pytest.mark.parametrize(
    "said", [{"sort": [1e12]}, {"lastMessageDate": 10**12}, {"lastMessageDate": "2001-09-09T01:46:40Z"}]
)
async def test_time_of_the_last_words_is_read_in_all_of_its_shapes(said):
    history, _ = a_ghl(lambda _: httpx2.Response(200, json={"conversations": [{"id": "conv"} | said]}))
    (conversation,) = await history.changed(LOC, after=LONG_AGO)
    assert conversation.last_time == datetime(2001, 9, 9, 1, 46, 40, tzinfo=UTC)


@pytest.mark.parametrize(
    "answer",
    [b"<html>", b"[]", b"{}", b'{"conversations": [1]}', b'{"conversations": [{"id": "x"}]}',
     b'{"conversations": [{"sort": [1]}]}', b'{"conversations": [{"id": "x", "sort": [1e300]}]}'],
)  # fmt: skip
async def test_list_that_cannot_be_read_is_no_answer(answer):
    history, _ = a_ghl(lambda _: httpx2.Response(200, content=answer))
    with pytest.raises(ServiceUnavailable):
        await history.changed(LOC, after=LONG_AGO)


async def test_reading_gives_way_to_replies_when_the_limit_is_near():
    """Goal: three quarters of the limit stay for what answers people. Method: read until it is put off, then call."""
    asked = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        asked.append(request)
        return httpx2.Response(200, json={"conversations": []})

    history, calls = a_ghl(answer)
    for _ in range(20):
        await history.changed(LOC, after=LONG_AGO)
    calls.buckets[LOC].learn(40)
    with pytest.raises(ServiceUnavailable):
        await history.changed(LOC, after=LONG_AGO)
    assert len(asked) == 20
    await calls.get(LOC, "/contacts/c_1", {}, version="2021-07-28")


@pytest.mark.outside
async def test_requests_fit_the_vendors_own_description():
    spec = vendors("conversations")
    seen: list[httpx2.Request] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        seen.append(request)
        return httpx2.Response(200, json={"conversations": [], "messages": []})

    history, _ = a_ghl(answer)
    await history.changed(LOC, after=LONG_AGO)
    await history.messages(LOC, "conv", before="m_1")
    paths = ("/conversations/search", "/conversations/{conversationId}/messages")
    for request, path in zip(seen, paths, strict=True):
        parameters = {each["name"]: each for each in spec["paths"][path]["get"]["parameters"]}
        assert request.headers["version"] == parameters["Version"]["schema"]["enum"][0]
        for name, value in request.url.params.items():
            schema = parameters[name]["schema"]
            # The description has this one as an object that holds itself.
            whole = {name: int(value)} if "anyOf" in schema else int(value) if schema["type"] == "number" else value
            assert list(misfits(whole, schema, spec, name)) == []
    assert seen[0].url.params["limit"] == str(PAGE)
