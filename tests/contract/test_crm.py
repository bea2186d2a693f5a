"""What the gateway may rely on in a CRM: the twin in memory, and the adapter against the stand-in over a socket."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest

from kit.errors import ServiceUnavailable
from services.gateway import crm_fields
from services.gateway.crm import (
    Crm,
    Fields,
    MemoryCrm,
    Note,
    SendResult,
    SendStatus,
    Task,
    Text,
    execute_then_cut,
    fail_unexecuted,
    refuse_for_good,
    refuse_for_now,
)
from services.gateway.crm_calls import open_client
from services.gateway.crm_ghl import GhlCrm
from services.gateway.deliver import SEND_SECONDS
from services.gateway.rate import Bucket
from tests.support.gateway import LOC, TOKEN, running_crm
from tests.support.openapi import misfits, vendors

NOBODY = frozenset[str]()


@dataclass
class World:
    crm: Crm
    contact_id: str
    plan: Callable[[str], Awaitable[None]]
    """Makes the next send go wrong: 429, 422, 503, cut."""
    sent: Callable[[], Awaitable[list[str]]]
    leave: Callable[[], Awaitable[None]]
    """Makes the CRM unreachable."""
    entries: Callable[[], Awaitable[list[str]]]
    """What stands in notes and tasks, oldest first."""
    fields: Callable[[], Awaitable[dict[str, Any]]]

    def text(self, words: str = "hello") -> Text:
        return Text(tenant_id=LOC, contact_id=self.contact_id, channel="SMS", text=words)

    def entry(self, kind: str, reference: str = "ref_1") -> Note | Task:
        about = {"tenant_id": LOC, "contact_id": self.contact_id, "text": f"see ({reference})", "reference": reference}
        return Note(**about) if kind == "note" else Task(**about, title="Call", due_time=datetime.now(UTC))

    async def create(self, entry: Note | Task) -> SendResult:
        return await (self.crm.create_note(entry) if isinstance(entry, Note) else self.crm.create_task(entry))

    async def set(self, **values: str | int | bool) -> SendResult:
        values = {f"contact.porchlight_{name}": value for name, value in values.items()}
        return await self.crm.set_fields(Fields(tenant_id=LOC, contact_id=self.contact_id, values=values))

    async def find(self, words: str = "hello", *, known: frozenset[str] = NOBODY, since: datetime | None = None):
        return await self.crm.find(self.text(words), since=since or datetime.now(UTC), known=known)


@pytest.fixture
async def memory_world() -> World:
    profiles = {(LOC, "c_1"): {"phone": "+12065550100"}}
    crm = MemoryCrm(profiles=profiles, field_keys=frozenset({"contact.porchlight_score", "contact.porchlight_grade"}))
    faults = {"429": refuse_for_now, "422": refuse_for_good, "503": fail_unexecuted, "cut": execute_then_cut}

    async def plan(fault: str) -> None:
        crm.faults.append(faults[fault])

    async def sent() -> list[str]:
        return [text.text for _, text, _ in crm.texts]

    async def leave() -> None:
        crm.reachable = False

    async def entries() -> list[str]:
        return [entry.text for _, entry in crm.entries]

    async def fields() -> dict[str, Any]:
        return crm.fields.get((LOC, "c_1"), {})

    return World(crm=crm, contact_id="c_1", plan=plan, sent=sent, leave=leave, entries=entries, fields=fields)


@pytest.fixture
async def ghl_world(tmp_path) -> AsyncIterator[World]:
    async with running_crm(tmp_path) as stand_in, open_client(str(stand_in.client.base_url), connections=4) as client:
        crm = GhlCrm(client, token=TOKEN, monotonic=time.monotonic)

        async def plan(fault: str) -> None:
            if fault == "422":
                made.contact_id = "nobody"  # refused for good without a fault
            else:
                kinds = {"429": "429", "503": "503_not_executed", "cut": "executed_then_cut"}
                await stand_in.fault(kinds[fault], next=1)
                await stand_in.fault(f"entry_{kinds[fault]}", next=1)

        async def leave() -> None:
            client.base_url = httpx2.URL("http://127.0.0.1:9")

        async def entries() -> list[str]:
            log = await stand_in.log()
            return [entry["body"] for entry in (*log["notes"], *log["tasks"])]

        async def fields() -> dict[str, Any]:
            return (await stand_in.log())["fields"][made.contact_id]

        made = World(
            crm=crm,
            contact_id=await stand_in.contact(),
            plan=plan,
            sent=stand_in.sent,
            leave=leave,
            entries=entries,
            fields=fields,
        )
        yield made


@pytest.fixture(params=["memory", "ghl"])
def world(request) -> World:
    return request.getfixturevalue(f"{request.param}_world")


async def test_text_is_sent_and_found_under_its_id(world):
    sent = await world.crm.send(world.text())
    assert sent.status is SendStatus.SENT and sent.crm_message_id
    assert await world.find() == sent.crm_message_id
    assert await world.sent() == ["hello"]


async def test_text_that_was_never_sent_is_not_found(world):
    await world.crm.send(world.text("something else"))
    assert await world.find() is None


async def test_text_to_somebody_who_never_had_one_is_not_found(world):
    assert await world.find() is None


async def test_id_that_belongs_to_another_text_is_not_found_again(world):
    first = await world.crm.send(world.text())
    assert await world.find(known=frozenset({first.crm_message_id})) is None
    second = await world.crm.send(world.text())
    assert await world.find(known=frozenset({first.crm_message_id})) == second.crm_message_id


async def test_same_words_of_long_ago_are_not_found(world):
    await world.crm.send(world.text())
    assert await world.find(since=datetime.now(UTC) + timedelta(hours=1)) is None


async def test_white_space_that_the_crm_changes_does_not_matter(world):
    sent = await world.crm.send(world.text("hello  there"))
    assert await world.find("hello there ") == sent.crm_message_id


async def test_limit_is_known_not_to_have_been_executed(world):
    await world.plan("429")
    sent = await world.crm.send(world.text())
    assert sent.status is SendStatus.NOT_SENT and sent.cause == "CRM_429" and sent.wait_seconds > 0
    assert await world.sent() == []


async def test_wrong_request_is_refused_for_good(world):
    await world.plan("422")
    assert (await world.crm.send(world.text())).status is SendStatus.REFUSED
    assert await world.sent() == []


async def test_failure_of_the_server_is_unknown_until_it_is_looked_up(world):
    await world.plan("503")
    assert (await world.crm.send(world.text())).status is SendStatus.UNKNOWN
    assert await world.find() is None


async def test_cut_connection_is_unknown_and_then_found(world):
    await world.plan("cut")
    assert (await world.crm.send(world.text())).status is SendStatus.UNKNOWN
    assert await world.find() is not None
    assert await world.sent() == ["hello"]


async def test_crm_that_cannot_be_reached_was_not_told(world):
    await world.leave()
    assert (await world.crm.send(world.text())).status is SendStatus.NOT_SENT
    with pytest.raises(ServiceUnavailable):
        await world.find()


@pytest.fixture(params=["note", "task"])
def kind(request) -> str:
    return request.param


async def test_note_and_task_are_made_and_found_by_their_reference(world, kind):
    made = await world.create(world.entry(kind))
    assert made.status is SendStatus.SENT and made.crm_message_id
    assert await world.crm.find_entry(world.entry(kind)) == made.crm_message_id
    assert await world.crm.find_entry(world.entry(kind, "ref_2")) is None
    assert await world.entries() == ["see (ref_1)"]


async def test_cut_connection_leaves_one_note_or_task_that_is_found(world, kind):
    await world.plan("cut")
    assert (await world.create(world.entry(kind))).status is SendStatus.UNKNOWN
    assert await world.crm.find_entry(world.entry(kind)) is not None
    assert await world.entries() == ["see (ref_1)"]


@pytest.mark.parametrize(("fault", "status"), [("429", SendStatus.NOT_SENT), ("503", SendStatus.UNKNOWN)])
async def test_note_or_task_that_was_not_made_is_not_found(world, kind, fault, status):
    await world.plan(fault)
    assert (await world.create(world.entry(kind))).status is status
    assert await world.crm.find_entry(world.entry(kind)) is None


async def test_contact_the_crm_does_not_know_has_no_note_and_no_task(world, kind):
    world.contact_id = "nobody"
    assert await world.crm.find_entry(world.entry(kind)) is None


async def test_crm_that_cannot_be_reached_was_told_nothing_and_is_asked_nothing(world, kind):
    await world.leave()
    assert (await world.create(world.entry(kind))).status is SendStatus.NOT_SENT
    assert (await world.set(score=40)).status is SendStatus.NOT_SENT
    with pytest.raises(ServiceUnavailable):
        await world.crm.find_entry(world.entry(kind))


async def test_profile_says_what_the_contact_is_reached_by(world):
    assert (await world.crm.profile(LOC, world.contact_id))["phone"].startswith("+1206555")
    await world.leave()
    with pytest.raises(ServiceUnavailable):
        await world.crm.profile(LOC, world.contact_id)


async def test_fields_are_set_by_their_keys_and_others_stay(world):
    await world.set(score=40, grade="warm")
    assert (await world.set(score=60)).status is SendStatus.SENT
    assert await world.fields() == {"contact.porchlight_score": 60, "contact.porchlight_grade": "warm"}


async def test_field_that_the_location_lacks_is_left_out_with_a_cause(world):
    set_ = await world.set(score=40, shoe_size=44)
    assert (set_.status, set_.cause) == (SendStatus.SENT, "FIELDS_MISSING")
    assert await world.fields() == {"contact.porchlight_score": 40}


async def test_fields_that_the_location_all_lacks_are_skipped(world):
    set_ = await world.set(shoe_size=44)
    assert (set_.status, set_.cause, await world.fields()) == (SendStatus.SKIPPED, "FIELDS_MISSING", {})


# --- HighLevel's alone -------------------------------------------------------------------------------------------


def a_ghl(answer: Callable[[httpx2.Request], Any]) -> GhlCrm:
    client = httpx2.AsyncClient(base_url="http://crm", transport=httpx2.MockTransport(answer))
    return GhlCrm(client, token=TOKEN, monotonic=time.monotonic, call_seconds=1.0)


def a_text(**changes: str) -> Text:
    return Text(**{"tenant_id": LOC, "contact_id": "c_1", "channel": "SMS", "text": "hello"} | changes)


async def send_to(*arguments: Any, **keywords: Any) -> SendResult:
    return await a_ghl(lambda _: httpx2.Response(*arguments, **keywords)).send(a_text())


@pytest.mark.parametrize(
    ("code", "status"),
    [
        (400, SendStatus.REFUSED),
        (401, SendStatus.NOT_SENT),
        (403, SendStatus.NOT_SENT),
        (404, SendStatus.REFUSED),
        (408, SendStatus.UNKNOWN),
        (422, SendStatus.REFUSED),
        (429, SendStatus.NOT_SENT),
        (500, SendStatus.UNKNOWN),
        (502, SendStatus.UNKNOWN),
        (302, SendStatus.UNKNOWN),
    ],
)
async def test_status_of_the_answer_says_what_is_known(code, status):
    assert (await send_to(code, json={"message": "x"})).status is status


@pytest.mark.parametrize("body", [b"<html>fine</html>", b"", b"[]", b"{}", b'{"messageId": 7}', b'{"messageId": ""}'])
async def test_success_without_an_id_is_unknown(body):
    assert (await send_to(200, content=body)).status is SendStatus.UNKNOWN


@pytest.mark.parametrize(
    ("headers", "low", "high"),
    [({"retry-after": "7"}, 7, 7), ({"x-ratelimit-interval-milliseconds": "4000"}, 4, 6), ({}, 10, 15)],
)
async def test_limit_says_how_long_to_wait(headers, low, high):
    assert low <= (await send_to(429, headers=headers)).wait_seconds <= high


async def test_hanging_crm_is_left_after_its_time():
    async def hang(_: httpx2.Request) -> httpx2.Response:
        await asyncio.Event().wait()
        raise AssertionError

    client = httpx2.AsyncClient(base_url="http://crm", transport=httpx2.MockTransport(hang))
    crm = GhlCrm(client, token=TOKEN, monotonic=time.monotonic, call_seconds=0.05)
    assert (await crm.send(a_text())).cause == "CRM_TIMEOUT"


@pytest.mark.parametrize("nested", [False, True])
async def test_history_is_read_in_both_of_its_shapes(nested):
    page = {"messages": [a_row(id="m_1")], "nextPage": False, "lastMessageId": "m_1"}
    crm = a_ghl(lambda _: httpx2.Response(200, json={"messages": page} if nested else page))
    assert await crm.find(a_text(conversation_id="conv"), since=datetime.now(UTC), known=NOBODY) == "m_1"


def a_row(**changes: object) -> dict[str, object]:
    row = {"direction": "outbound", "body": "hello", "source": "api", "dateAdded": datetime.now(UTC).isoformat()}
    return row | changes


async def test_history_is_read_further_back_until_the_text_is_found():
    def answer(request: httpx2.Request) -> httpx2.Response:
        second = request.url.params.get("lastMessageId") == "m_9"
        rows = [a_row(id="m_1")] if second else [a_row(id="m_9", body="newer")]
        return httpx2.Response(200, json={"messages": rows, "nextPage": not second, "lastMessageId": "m_9"})

    crm = a_ghl(answer)
    assert await crm.find(a_text(conversation_id="conv"), since=datetime.now(UTC), known=NOBODY) == "m_1"


async def test_history_without_an_end_is_not_taken_for_an_answer():
    rows = {"messages": [a_row(id="m_9", body="other")], "nextPage": True, "lastMessageId": "m_9"}
    crm = a_ghl(lambda _: httpx2.Response(200, json=rows))
    with pytest.raises(ServiceUnavailable):
        await crm.find(a_text(conversation_id="conv"), since=datetime.now(UTC), known=NOBODY)


@pytest.mark.parametrize("theirs", [{"direction": "inbound"}, {"userId": "u_1", "source": "app"}, {"body": None}])
async def test_same_words_of_somebody_else_are_not_ours(theirs):
    rows = {"messages": [a_row(id="m_1", **theirs)], "nextPage": False}
    crm = a_ghl(lambda _: httpx2.Response(200, json=rows))
    assert await crm.find(a_text(conversation_id="conv"), since=datetime.now(UTC), known=NOBODY) is None


@pytest.mark.parametrize("answer", [b"<html>", b"[]", b"{}", b'{"messages": {}}', b'{"messages": {"messages": 1}}'])
async def test_history_that_cannot_be_read_is_no_answer(answer):
    crm = a_ghl(lambda _: httpx2.Response(200, content=answer))
    with pytest.raises(ServiceUnavailable):
        await crm.find(a_text(conversation_id="conv"), since=datetime.now(UTC), known=NOBODY)


async def test_mail_is_sent_as_html_and_found_as_text():
    seen = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        seen.append(request)
        if request.method == "POST":
            return httpx2.Response(200, json={"messageId": "thread", "emailMessageId": "mail_1"})
        return httpx2.Response(200, json={"messages": [a_row(id="mail_1", body="<p>3 &lt; 4</p>")], "nextPage": False})

    crm = a_ghl(answer)
    mail = a_text(channel="Email", text="3 < 4", conversation_id="conv")
    assert (await crm.send(mail)).crm_message_id == "mail_1"
    assert b"3 &lt; 4" in seen[0].content
    assert await crm.find(mail, since=datetime.now(UTC), known=NOBODY) == "mail_1"


async def test_call_over_our_own_limit_waits_or_is_put_off():
    crm = a_ghl(lambda _: httpx2.Response(200, json={"messageId": "m"}, headers={"x-ratelimit-remaining": "1"}))
    await crm.send(a_text())
    await crm.send(a_text())
    crm.calls.buckets[LOC].learn(-20)
    assert (await crm.send(a_text())).cause == "CRM_RATE"


def test_bucket_lets_80_pass_in_ten_seconds_and_spreads_the_rest():
    bucket = Bucket(time=100.0)
    assert [bucket.take(100.0) for _ in range(80)] == [0.0] * 80
    assert bucket.take(100.0) == pytest.approx(0.125)
    assert bucket.take(110.0) == 0.0


def test_bucket_leaves_to_others_what_it_is_told_to_keep():
    bucket = Bucket(time=100.0)
    assert [bucket.take(100.0, keep=60.0) for _ in range(20)] == [0.0] * 20
    assert bucket.take(100.0, keep=60.0) == pytest.approx(0.125)
    bucket.give_back()
    assert [bucket.take(100.0) for _ in range(60)] == [0.0] * 60


def test_bucket_takes_the_crms_word_for_what_is_left():
    bucket = Bucket(time=0.0)
    bucket.learn(0)
    assert bucket.take(0.0) > 0.0
    bucket.give_back()
    bucket.learn(50)
    assert bucket.take(0.0) > 0.0


def a_location(*fields: dict[str, str]) -> tuple[list[httpx2.Request], Callable[[httpx2.Request], httpx2.Response]]:
    """A CRM that has these custom fields, and what it was asked."""
    seen: list[httpx2.Request] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        seen.append(request)
        if request.method == "GET":
            return httpx2.Response(200, json={"customFields": list(fields)})
        return httpx2.Response(200, json={"contact": {"id": "c_1"}, "note": {"id": "n_1"}, "task": {"id": "t_1"}})

    return seen, answer


SCORE = {"id": "f_1", "fieldKey": "contact.porchlight_score", "dataType": "NUMERICAL"}
GRADE = {"id": "f_2", "fieldKey": "contact.porchlight_grade", "dataType": "TEXT"}


def the_fields(**values: str | int | bool) -> Fields:
    keyed = {f"contact.porchlight_{name}": value for name, value in values.items()}
    return Fields(tenant_id=LOC, contact_id="c_1", values=keyed)


async def test_field_ids_are_asked_for_once():
    seen, answer = a_location(SCORE, GRADE)
    crm = a_ghl(answer)
    for score in (1, 2):
        await crm.set_fields(the_fields(score=score, grade="hot"))
    assert [request.method for request in seen] == ["GET", "PUT", "PUT"]
    assert json.loads(seen[-1].content) == {
        "customFields": [{"id": "f_1", "field_value": 2}, {"id": "f_2", "field_value": "hot"}]
    }


async def test_missing_field_is_reported_once_and_asked_for_again_later(capsys):
    seen, answer = a_location(SCORE)
    now = [0.0]
    client = httpx2.AsyncClient(base_url="http://crm", transport=httpx2.MockTransport(answer))
    crm = GhlCrm(client, token=TOKEN, monotonic=lambda: now[0])
    for now[0] in (0.0, 5.0, 700.0):
        await crm.set_fields(the_fields(score=1, grade="hot"))
    assert [request.method for request in seen] == ["GET", "PUT", "PUT", "GET", "PUT"]
    assert capsys.readouterr().out.count("field.missing") == 1


async def test_listing_and_setting_fields_together_take_no_longer_than_a_delivery_has_for_sending(monkeypatch):
    assert crm_fields.PUT_SECONDS <= SEND_SECONDS
    monkeypatch.setattr(crm_fields, "PUT_SECONDS", 0.05)
    _, answer = a_location(SCORE)

    async def set_for_ever(request: httpx2.Request) -> httpx2.Response:
        if request.method == "PUT":
            await asyncio.Event().wait()
        return answer(request)

    set_ = await a_ghl(set_for_ever).set_fields(the_fields(score=1))
    assert (set_.status, set_.cause) == (SendStatus.UNKNOWN, "CRM_TIMEOUT")


@pytest.mark.parametrize("answer", [b"<html>", b"[]", b"{}", b'{"customFields": 1}'])
async def test_list_of_fields_that_cannot_be_read_is_asked_for_again(answer):
    crm = a_ghl(lambda _: httpx2.Response(200, content=answer))
    assert (await crm.set_fields(the_fields(score=1))).status is SendStatus.NOT_SENT


@pytest.mark.parametrize("answer", [b"<html>", b"[]", b"{}", b'{"notes": {}}'])
async def test_list_of_notes_that_cannot_be_read_is_no_answer(answer):
    crm = a_ghl(lambda _: httpx2.Response(200, content=answer))
    with pytest.raises(ServiceUnavailable):
        await crm.find_entry(Note(tenant_id=LOC, contact_id="c_1", text="x", reference="ref"))


@pytest.mark.outside
async def test_requests_fit_the_vendors_own_description():
    spec = vendors("contacts")
    seen, answer = a_location(SCORE, GRADE)
    crm = a_ghl(answer)
    about = {"tenant_id": LOC, "contact_id": "c_1", "text": "x", "reference": "r"}
    await crm.create_note(Note(**about))
    await crm.create_task(Task(**about, title="Call", due_time=datetime.now(UTC)))
    await crm.set_fields(the_fields(score=1, grade="hot"))
    for request, path in zip(
        [request for request in seen if request.method != "GET"],
        ("/contacts/{contactId}/notes", "/contacts/{contactId}/tasks", "/contacts/{contactId}"),
        strict=True,
    ):
        operation = spec["paths"][path][request.method.lower()]
        schema = operation["requestBody"]["content"]["application/json"]["schema"]
        assert list(misfits(json.loads(request.content), schema, spec, path)) == []
        assert request.headers["version"] == operation["parameters"][0]["schema"]["enum"][0]
