"""The CRM stand-in over a real socket: REST, webhooks, faults, the phone page, and what a kill leaves."""

import asyncio
import base64
import json
import os
import signal
import subprocess
import sys
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import httpx2
import pytest
from cryptography.hazmat.primitives import serialization
from fastapi import FastAPI, Request, Response
from porchlight.contact.v1 import contact_service_pb2 as contact_pb
from porchlight.contact.v1 import contact_service_pb2_grpc as contact_grpc

from kit.errors import ContactNotFound
from kit.rpc import status as rpc
from sandbox.crm import make_app
from sandbox.crm_settings import CrmSettings
from sandbox.crm_timeline import GatewayTimelines
from sandbox.serving import bind, server
from tests.support.openapi import misfits, vendors

TOKEN = "pit-test"
CONVERSATIONS = {"authorization": f"Bearer {TOKEN}", "version": "2021-04-15"}
CONTACTS = {"authorization": f"Bearer {TOKEN}", "version": "2021-07-28"}


class Gateway:
    """Receives webhooks, and answers as it is told."""

    def __init__(self):
        self.received = []
        self.answers = []
        self.came = asyncio.Condition()

    async def take(self, request):
        raw = await request.body()
        async with self.came:
            self.received.append((raw, request.headers.get("x-ghl-signature")))
            self.came.notify_all()
        return Response(status_code=self.answers.pop(0) if self.answers else 200)

    def events(self, kind=None):
        parsed = [json.loads(raw) for raw, _ in self.received]
        return [event for event in parsed if kind is None or event["type"] == kind]

    async def until(self, count, kind=None):
        async with asyncio.timeout(30), self.came:
            await self.came.wait_for(lambda: len(self.events(kind)) >= count)
        return self.events(kind)


class NoTimelines:
    """A gateway that is away."""

    async def get(self, location_id, contact_id):
        return {"available": False, "cause": "SERVICE_UNAVAILABLE"}

    async def close(self):
        pass


@asynccontextmanager
async def running(app, name):
    listener = bind("127.0.0.1:0")
    runs = server(app, name)
    task = asyncio.create_task(runs.serve(sockets=[listener]))
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        runs.should_exit = True
        await task
        listener.close()


@asynccontextmanager
async def a_gateway():
    gateway = Gateway()
    app = FastAPI(openapi_url=None)

    @app.post("/webhooks/ghl")
    async def webhook(request: Request) -> Response:
        return await gateway.take(request)

    async with running(app, "gateway") as url:
        gateway.url = url
        yield gateway


@pytest.fixture
async def gateway():
    async with a_gateway() as made:
        yield made


@asynccontextmanager
async def a_crm(state_dir, gateway, **settings):
    given = {
        "state_dir": state_dir,
        "crm_token": TOKEN,
        "webhook_url": gateway.url,
        "webhook_step_seconds": 0.01,
    } | settings
    app = make_app(CrmSettings(**given), timelines=NoTimelines())
    async with running(app, "crm") as url, httpx2.AsyncClient(base_url=url, timeout=20) as client:
        yield client


@pytest.fixture
async def crm(state_dir, gateway):
    async with a_crm(state_dir, gateway) as client:
        yield client


async def a_contact(crm, **changes):
    body = {"firstName": "Ana", "phone": "(206) 555-0100"} | changes
    answer = await crm.post("/phone/contacts", json=body)
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


async def send(crm, contact_id, text="Hello", **changes):
    body = {"type": "SMS", "contactId": contact_id, "message": text} | changes
    return await crm.post("/conversations/messages", json=body, headers=CONVERSATIONS)


async def texts(crm, direction="outbound"):
    messages = (await crm.get("/control/log")).json()["messages"]
    return [message["body"] for message in messages if message["direction"] == direction]


# --- REST --------------------------------------------------------------------------------------------------------


async def test_a_text_sent_by_the_api_is_stored_and_read_back_nested(crm):
    contact_id = await a_contact(crm)
    sent = (await send(crm, contact_id)).json()
    found = (
        await crm.get(
            "/conversations/search",
            params={"locationId": "loc_sandbox", "contactId": contact_id},
            headers=CONVERSATIONS,
        )
    ).json()
    assert [each["id"] for each in found["conversations"]] == [sent["conversationId"]]
    page = (await crm.get(f"/conversations/{sent['conversationId']}/messages", headers=CONVERSATIONS)).json()
    message = page["messages"]["messages"][0]
    assert (message["id"], message["body"], message["source"]) == (sent["messageId"], "Hello", "api")
    assert page["traceId"]


async def test_history_pages_from_the_newest_backwards(crm):
    contact_id = await a_contact(crm)
    for number in range(5):
        sent = (await send(crm, contact_id, f"text {number}")).json()
    path = f"/conversations/{sent['conversationId']}/messages"
    first = (await crm.get(path, params={"limit": 2}, headers=CONVERSATIONS)).json()["messages"]
    rest = (
        await crm.get(path, params={"limit": 9, "lastMessageId": first["lastMessageId"]}, headers=CONVERSATIONS)
    ).json()["messages"]
    assert [each["body"] for each in first["messages"] + rest["messages"]] == [f"text {n}" for n in (4, 3, 2, 1, 0)]
    assert (first["nextPage"], rest["nextPage"]) == (True, False)


async def test_search_finds_conversations_whose_last_word_was_the_persons(crm):
    waiting, answered = await a_contact(crm), await a_contact(crm, firstName="Bo", phone="2065550101")
    await crm.post(f"/phone/contacts/{waiting}/messages", json={"text": "hi"})
    await crm.post(f"/phone/contacts/{answered}/messages", json={"text": "hi"})
    await send(crm, answered)
    query = {
        "locationId": "loc_sandbox",
        "lastMessageDirection": "inbound",
        "sort": "desc",
        "sortBy": "last_message_date",
    }
    found = (await crm.get("/conversations/search", params=query, headers=CONVERSATIONS)).json()
    assert [each["contactId"] for each in found["conversations"]] == [waiting]


@pytest.mark.parametrize(
    ("headers", "message"),
    [
        ({"version": "2021-04-15"}, "Invalid token: access token is invalid"),
        ({"authorization": "Bearer wrong", "version": "2021-04-15"}, "Invalid token: access token is invalid"),
        ({"authorization": f"Bearer {TOKEN}"}, "version header was not found."),
        (CONTACTS, "version header is invalid."),
    ],
)
async def test_a_call_without_the_right_headers_is_a_401(crm, headers, message):
    answer = await crm.get("/conversations/search", params={"locationId": "x"}, headers=headers)
    body = answer.json()
    assert (answer.status_code, body["statusCode"], body["message"]) == (401, 401, message)
    assert body["traceId"]


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"type": "Fax"}, 422),
        ({"contactId": ""}, 422),
        ({"colour": "red"}, 422),
        ({"message": "  "}, 400),
        ({"type": "Email"}, 400),
        ({"contactId": "nobody"}, 400),
    ],
)
async def test_a_wrong_send_is_refused_and_nothing_is_texted(crm, changes, status):
    answer = await send(crm, await a_contact(crm), **changes)
    assert (answer.status_code, answer.json()["statusCode"]) == (status, status)
    assert await texts(crm) == []


async def test_a_body_that_is_not_declared_json_is_refused(crm):
    headers = {**CONVERSATIONS, "content-type": "text/plain"}
    answer = await crm.post("/conversations/messages", content=b"{}", headers=headers)
    assert answer.status_code == 400


async def test_an_unknown_contact_or_conversation_is_a_404(crm):
    assert (await crm.get("/contacts/nobody", headers=CONTACTS)).status_code == 404
    assert (await crm.get("/conversations/nothing/messages", headers=CONVERSATIONS)).status_code == 404


async def test_dnd_blocks_sends_until_it_is_lifted(crm, gateway):
    contact_id = await a_contact(crm)
    for status, expected in (("active", 400), ("inactive", 200)):
        settings = {"dndSettings": {"SMS": {"status": status, "message": "x", "code": "1"}}}
        changed = await crm.put(f"/contacts/{contact_id}", json=settings, headers=CONTACTS)
        assert changed.json()["succeded"] is True
        assert (await send(crm, contact_id)).status_code == expected
    events = await gateway.until(2, "ContactDndUpdate")
    assert sorted(event["dndSettings"]["SMS"]["status"] for event in events) == ["active", "inactive"]


async def test_a_call_over_the_limit_of_ten_seconds_is_a_429(state_dir, gateway):
    async with a_crm(state_dir, gateway, crm_limit=5) as crm:
        contact_id = await a_contact(crm)
        answers = [await crm.get(f"/contacts/{contact_id}", headers=CONTACTS) for _ in range(6)]
    assert [answer.status_code for answer in answers] == [200] * 5 + [429]
    assert [answer.headers["x-ratelimit-remaining"] for answer in answers] == ["4", "3", "2", "1", "0", "0"]


async def test_the_limit_is_the_vendors_hundred(crm):
    answer = await crm.get("/contacts/nobody", headers=CONTACTS)
    assert (answer.headers["x-ratelimit-max"], answer.headers["x-ratelimit-interval-milliseconds"]) == ("100", "10000")


async def test_tags_notes_and_upsert_keep_what_they_are_given(crm, gateway):
    contact_id = await a_contact(crm)
    await crm.post(f"/contacts/{contact_id}/tags", json={"tags": ["hot", "zillow"]}, headers=CONTACTS)
    left = await crm.request("DELETE", f"/contacts/{contact_id}/tags", json={"tags": ["hot"]}, headers=CONTACTS)
    note = await crm.post(f"/contacts/{contact_id}/notes", json={"body": "called"}, headers=CONTACTS)
    body = {"locationId": "loc_sandbox", "phone": "+12065550100", "lastName": "Diaz"}
    again = (await crm.post("/contacts/upsert", json=body, headers=CONTACTS)).json()
    assert left.json()["tags"] == ["zillow"]
    assert (note.status_code, note.json()["note"]["body"]) == (201, "called")
    assert (again["new"], again["contact"]["id"], again["contact"]["name"]) == (False, contact_id, "Ana Diaz")
    assert {tuple(event["tags"]) for event in await gateway.until(2, "ContactTagUpdate")} == {
        ("hot", "zillow"),
        ("zillow",),
    }


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("notes", {"body": ""}),
        ("notes", {"body": "x", "text": "y"}),
        ("tasks", {"title": "call", "dueDate": "2026-11-27T09:00:00Z"}),
        ("tasks", {"title": "call", "dueDate": "tomorrow", "completed": False}),
        ("tasks", {"dueDate": "2026-11-27T09:00:00Z", "completed": False}),
    ],
)
async def test_a_note_or_task_that_lacks_something_is_refused(crm, path, body):
    answer = await crm.post(f"/contacts/{await a_contact(crm)}/{path}", json=body, headers=CONTACTS)
    assert answer.status_code == 422


async def test_custom_fields_are_merged_and_their_ids_differ_by_location(crm):
    contact_id = await a_contact(crm)
    ours, theirs = [
        (await crm.get(f"/locations/{each}/customFields", headers=CONTACTS)).json()["customFields"]
        for each in ("loc_sandbox", "loc_other")
    ]
    assert not {each["id"] for each in ours} & {each["id"] for each in theirs}
    for field, value in zip(ours, (40, "warm"), strict=False):
        body = {"customFields": [{"id": field["id"], "field_value": value}]}
        assert (await crm.put(f"/contacts/{contact_id}", json=body, headers=CONTACTS)).status_code == 200
    shown = (await crm.get(f"/contacts/{contact_id}", headers=CONTACTS)).json()["contact"]["customFields"]
    assert [each["value"] for each in shown] == [40, "warm"]


@pytest.mark.outside
async def test_answers_fit_the_vendors_own_description(crm):
    conversations, contacts, locations = map(vendors, ("conversations", "contacts", "locations"))
    contact_id = await a_contact(crm)
    sent = (await send(crm, contact_id)).json()
    opened = await crm.post(
        "/conversations/", json={"locationId": "loc_sandbox", "contactId": contact_id}, headers=CONVERSATIONS
    )
    found = await crm.get("/conversations/search", params={"locationId": "loc_sandbox"}, headers=CONVERSATIONS)
    history = await crm.get(f"/conversations/{sent['conversationId']}/messages", headers=CONVERSATIONS)
    shown = await crm.get(f"/contacts/{contact_id}", headers=CONTACTS)
    dnd = {"dndSettings": {"SMS": {"status": "active"}}, "tags": ["x"]}
    changed = await crm.put(f"/contacts/{contact_id}", json=dnd, headers=CONTACTS)
    entries = {}
    for name, given in (
        ("notes", {"body": "called"}),
        ("tasks", {"title": "call", "dueDate": "2026-11-27T09:00:00.000Z", "completed": False}),
    ):
        entries[name] = await crm.post(f"/contacts/{contact_id}/{name}", json=given, headers=CONTACTS)
        entries[f"{name} listed"] = await crm.get(f"/contacts/{contact_id}/{name}", headers=CONTACTS)
    fields = await crm.get("/locations/loc_sandbox/customFields", headers=CONTACTS)
    for spec, name, body in (
        (conversations, "SendMessageResponseDto", sent),
        (conversations, "CreateConversationSuccessResponse", opened.json()),
        (conversations, "SendConversationResponseDto", found.json()),
        (conversations, "GetMessagesByConversationResponseDto", history.json()["messages"]),
        (contacts, "ContactsByIdSuccessfulResponseDto", shown.json()),
        (contacts, "UpdateContactsSuccessfulResponseDto", changed.json()),
        (contacts, "GetCreateUpdateNoteSuccessfulResponseDto", entries["notes"].json()),
        (contacts, "GetNotesListSuccessfulResponseDto", entries["notes listed"].json()),
        (contacts, "TaskByIsSuccessfulResponseDto", entries["tasks"].json()),
        (contacts, "TasksListSuccessfulResponseDto", entries["tasks listed"].json()),
        (locations, "CustomFieldsListSuccessfulResponseDto", fields.json()),
    ):
        assert list(misfits(body, {"$ref": f"#/components/schemas/{name}"}, spec, name)) == []


# --- webhooks ----------------------------------------------------------------------------------------------------


async def test_a_webhook_is_signed_over_its_very_bytes(crm, gateway):
    contact_id = await a_contact(crm)
    await crm.post(f"/phone/contacts/{contact_id}/messages", json={"text": "¿Cuánto vale mi casa?"})
    await gateway.until(1, "InboundMessage")
    published = (await crm.get("/control/key")).json()["public_key"]
    key = serialization.load_der_public_key(base64.b64decode(published))
    for raw, signature in gateway.received:
        key.verify(base64.b64decode(signature), raw)


async def test_the_key_of_the_launcher_is_used(state_dir, gateway):
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = Ed25519PrivateKey.generate()
    path = state_dir / "webhook.key"
    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    path.write_bytes(key.private_bytes(encoding, form, serialization.NoEncryption()))
    async with a_crm(state_dir, gateway, webhook_key_file=path) as crm:
        await a_contact(crm)
        await gateway.until(1)
    raw, signature = gateway.received[0]
    key.public_key().verify(base64.b64decode(signature), raw)


async def test_inbound_events_are_flat_with_a_webhook_id_and_milliseconds(crm, gateway):
    contact_id = await a_contact(crm)
    await crm.post(f"/phone/contacts/{contact_id}/messages", json={"text": "hi"})
    (event,) = await gateway.until(1, "InboundMessage")
    assert event["contactId"] == contact_id
    assert (event["body"], event["messageType"], event["direction"]) == ("hi", "SMS", "inbound")
    assert {"webhookId", "timestamp", "appId", "messageId", "conversationId", "locationId"} <= set(event)
    assert "data" not in event
    assert len(event["dateAdded"]) == len("2021-04-21T11:31:45.750Z")


async def test_message_ids_can_be_left_out_as_in_the_vendors_examples(state_dir, gateway):
    async with a_crm(state_dir, gateway, webhook_message_id=False) as crm:
        contact_id = await a_contact(crm)
        await crm.post(f"/phone/contacts/{contact_id}/messages", json={"text": "hi"})
        (event,) = await gateway.until(1, "InboundMessage")
    assert "messageId" not in event


async def test_every_send_comes_back_as_an_echo(crm, gateway):
    sent = (await send(crm, await a_contact(crm))).json()
    (echo,) = await gateway.until(1, "OutboundMessage")
    assert (echo["messageId"], echo["source"], "userId" in echo) == (sent["messageId"], "api", False)


async def test_a_humans_text_carries_their_user_id_and_source_app(crm, gateway):
    contact_id = await a_contact(crm)
    await crm.post(f"/phone/contacts/{contact_id}/agent", json={"text": "I'll call you"})
    (event,) = await gateway.until(1, "OutboundMessage")
    assert event["source"] == "app"
    assert event["userId"]


async def test_a_429_is_tried_again_with_the_same_bytes(crm, gateway):
    gateway.answers = [429, 429]
    await a_contact(crm)
    await gateway.until(3)
    assert len({raw for raw, _ in gateway.received}) == 1


async def test_six_more_tries_are_all_there_are(crm, gateway):
    gateway.answers = [429] * 7
    await a_contact(crm)
    await gateway.until(7)
    await until_no_webhook_is_pending(crm)
    assert [webhook["state"] for webhook in await webhooks(crm)] == ["gave_up"]


@pytest.mark.parametrize("status", [500, 503, 400])
async def test_any_other_answer_is_final_and_the_event_is_lost(crm, gateway, status):
    gateway.answers = [status]
    await a_contact(crm)
    await until_no_webhook_is_pending(crm)
    (webhook,) = await webhooks(crm)
    assert (webhook["state"], webhook["attempts"], webhook["answer"]) == ("lost", 1, str(status))


async def webhooks(crm):
    return (await crm.get("/control/log")).json()["webhooks"]


async def until_no_webhook_is_pending(crm):
    async with asyncio.timeout(30):
        while any(webhook["state"] == "pending" for webhook in await webhooks(crm)):
            await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    ("kind", "ids", "message_ids"), [("webhook_duplicate", 1, 1), ("webhook_twin", 2, 1)], ids=["same id", "other id"]
)
async def test_an_event_can_come_twice(crm, gateway, kind, ids, message_ids):
    contact_id = await a_contact(crm)
    await plan(crm, kind=kind, next=1)
    await crm.post(f"/phone/contacts/{contact_id}/messages", json={"text": "hi"})
    events = await gateway.until(2, "InboundMessage")
    assert len({event["webhookId"] for event in events}) == ids
    assert len({event["messageId"] for event in events}) == message_ids


async def test_a_late_event_is_overtaken(crm, gateway):
    contact_id = await a_contact(crm)
    await plan(crm, kind="webhook_late", next=1, value=1.0)
    for text in ("first", "second"):
        await crm.post(f"/phone/contacts/{contact_id}/messages", json={"text": text})
    assert [event["body"] for event in await gateway.until(2, "InboundMessage")] == ["second", "first"]


async def test_a_lost_event_never_comes_and_its_text_is_still_in_the_crm(crm, gateway):
    contact_id = await a_contact(crm)
    await plan(crm, kind="webhook_lost", next=1)
    await crm.post(f"/phone/contacts/{contact_id}/messages", json={"text": "lost"})
    await crm.post(f"/phone/contacts/{contact_id}/messages", json={"text": "found"})
    await until_no_webhook_is_pending(crm)
    assert [event["body"] for event in gateway.events("InboundMessage")] == ["found"]
    assert await texts(crm, "inbound") == ["lost", "found"]


# --- faults of sending ---------------------------------------------------------------------------------------------


async def plan(crm, **fault):
    answer = await crm.post("/control", json={"faults": [fault]})
    assert answer.status_code == 200, answer.text


async def test_a_503_before_execution_texts_nobody(crm):
    contact_id = await a_contact(crm)
    await plan(crm, kind="503_not_executed", next=1)
    assert (await send(crm, contact_id)).status_code == 503
    assert await texts(crm) == []


async def test_executed_then_cut_texts_once_and_answers_nothing(crm):
    contact_id = await a_contact(crm)
    await plan(crm, kind="executed_then_cut", next=1)
    with pytest.raises(httpx2.TransportError):
        await send(crm, contact_id)
    assert await texts(crm) == ["Hello"]


async def test_a_late_send_is_executed_after_its_caller_gave_up(crm):
    contact_id = await a_contact(crm)
    await plan(crm, kind="late", next=1, value=2.0)
    with pytest.raises(httpx2.TimeoutException):
        await crm.post(
            "/conversations/messages",
            json={"type": "SMS", "contactId": contact_id, "message": "Hello"},
            headers=CONVERSATIONS,
            timeout=1.0,
        )
    assert await texts(crm) == []
    async with asyncio.timeout(30):
        while await texts(crm) != ["Hello"]:
            await asyncio.sleep(0.01)


async def test_a_429_on_send_texts_nobody_and_shows_the_limits(crm):
    contact_id = await a_contact(crm)
    await plan(crm, kind="429", next=1)
    answer = await send(crm, contact_id)
    assert (answer.status_code, "x-ratelimit-remaining" in answer.headers) == (429, True)
    assert await texts(crm) == []


async def test_a_duplicate_send_shows_in_the_log(crm):
    contact_id = await a_contact(crm)
    for _ in range(2):
        await send(crm, contact_id, "same words")
    assert await texts(crm) == ["same words", "same words"]


async def test_a_fault_with_a_probability_follows_its_seed(state_dir, gateway):
    rounds = []
    for name in ("a", "b"):
        async with a_crm(state_dir / name, gateway, crm_faults="503_not_executed:0.5", crm_seed=3) as crm:
            contact_id = await a_contact(crm)
            rounds.append([(await send(crm, contact_id)).status_code for _ in range(12)])
    assert rounds[0] == rounds[1]
    assert set(rounds[0]) == {200, 503}


# --- the phone page --------------------------------------------------------------------------------------------------


async def test_the_page_is_one_file_that_loads_nothing_from_elsewhere(crm):
    page = await crm.get("/")
    assert page.status_code == 200
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert "{{nonce}}" not in page.text
    assert "http://" not in page.text
    assert "https://" not in page.text
    assert "innerHTML" not in page.text


async def test_a_wrong_phone_number_names_its_field(crm):
    answer = await crm.post("/phone/contacts", json={"firstName": "Ana", "phone": "12"})
    assert (answer.status_code, answer.json()["field"]) == (422, "phone")


async def test_a_form_of_another_site_cannot_text(crm):
    contact_id = await a_contact(crm)
    answer = await crm.post(
        f"/phone/contacts/{contact_id}/messages", content=b'{"text":"x"}', headers={"content-type": "text/plain"}
    )
    assert answer.status_code == 415
    assert await texts(crm, "inbound") == []


async def test_a_gateway_that_is_away_is_said_plainly(crm):
    contact_id = await a_contact(crm)
    shown = (await crm.get(f"/phone/contacts/{contact_id}/timeline")).json()
    assert shown == {"available": False, "cause": "SERVICE_UNAVAILABLE"}


async def test_the_panel_shows_what_the_gateway_tells(state_dir):
    class Contacts(contact_grpc.ContactServiceServicer):
        async def GetTimeline(self, request, context):
            assert dict(context.invocation_metadata())["authorization"] == "Bearer console-token"
            if request.contact_id == "nobody":
                await context.abort_with_status(rpc.to_status(ContactNotFound("nobody", contact_id="nobody")))
            turn = contact_pb.TurnEvent(bot="lead", cost_microusd=86, cache_tier="L1")
            return contact_pb.GetTimelineResponse(
                owner="seller", epoch=2, entries=[contact_pb.TimelineEntry(turn=turn)]
            )

    (state_dir / "console").write_text("console-token")
    serves = grpc.aio.server()
    contact_grpc.add_ContactServiceServicer_to_server(Contacts(), serves)
    port = serves.add_insecure_port("127.0.0.1:0")
    timelines = GatewayTimelines(f"127.0.0.1:{port}", state_dir / "console")
    await serves.start()
    try:
        shown = await timelines.get("loc_sandbox", "c_1")
        unknown = await timelines.get("loc_sandbox", "nobody")
    finally:
        await serves.stop(0)
    away = await timelines.get("loc_sandbox", "c_1")
    await timelines.close()
    assert (shown["available"], shown["timeline"]["owner"], shown["timeline"]["epoch"]) == (True, "seller", "2")
    assert shown["timeline"]["entries"][0]["turn"]["cost_microusd"] == "86"
    assert unknown == {"available": True, "timeline": None}
    assert away == {"available": False, "cause": "SERVICE_UNAVAILABLE"}


async def test_without_the_consoles_token_the_panel_says_so(state_dir):
    shown = await GatewayTimelines("127.0.0.1:1", state_dir / "console").get("loc_sandbox", "c_1")
    assert shown == {"available": False, "cause": "the console's token is missing"}


async def test_an_open_page_is_told_of_texts_and_how_far_their_webhook_got(crm):
    contact_id = await a_contact(crm)
    async with crm.stream("GET", "/phone/events") as events:
        lines = events.aiter_lines()
        assert await anext(lines) == "retry: 500"
        await crm.post(f"/phone/contacts/{contact_id}/messages", json={"text": "hi"})
        states = []
        async with asyncio.timeout(30):
            while "delivered" not in states:
                line = await anext(lines)
                if line.startswith("data:") and '"body"' in line:
                    states.append(json.loads(line[5:])["webhook"])
    assert states[-1] == "delivered"


async def test_stop_sets_dnd_by_itself_only_when_told_to(state_dir, gateway):
    async with a_crm(state_dir, gateway, crm_dnd_on_stop=True) as crm:
        contact_id = await a_contact(crm)
        await crm.post(f"/phone/contacts/{contact_id}/messages", json={"text": "STOP"})
        assert (await send(crm, contact_id)).status_code == 400


# --- what a kill leaves ------------------------------------------------------------------------------------------------


@asynccontextmanager
async def a_crm_process(state_dir, gateway, **settings):
    given = {
        "STATE_DIR": str(state_dir),
        "CRM_LISTEN": "127.0.0.1:0",
        "CRM_TOKEN": TOKEN,
        "WEBHOOK_URL": gateway.url,
    } | settings
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PORCHLIGHT_")}
    environ = {**clean, **{f"PORCHLIGHT_{name}": value for name, value in given.items()}}
    command = [sys.executable, "-m", "sandbox.crm"]
    with subprocess.Popen(
        command, env=environ, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2], text=True
    ) as process:
        try:
            line = await asyncio.to_thread(process.stdout.readline)
            async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{json.loads(line)['http_port']}") as client:
                yield process, client
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                await asyncio.to_thread(process.wait, 10)


async def test_a_killed_crm_keeps_its_texts_and_sends_its_pending_webhooks(state_dir, gateway):
    gateway.answers = [429] * 3
    async with a_crm_process(state_dir, gateway, WEBHOOK_STEP_SECONDS="60") as (process, crm):
        contact_id = await a_contact(crm)
        await crm.post(f"/phone/contacts/{contact_id}/messages", json={"text": "still here?"})
        sent = (await send(crm, contact_id, "yes")).json()
        await gateway.until(3)
        process.kill()
        await asyncio.to_thread(process.wait, 10)
    with (state_dir / "crm" / "journal.jsonl").open("a") as journal:
        journal.write('{"kind": "message", "id": "half a li')
    async with a_crm_process(state_dir, gateway) as (_, crm):
        assert await texts(crm, "inbound") == ["still here?"]
        assert await texts(crm) == ["yes"]
        assert (await send(crm, contact_id, "again")).json()["conversationId"] == sent["conversationId"]
        await gateway.until(2, "InboundMessage")
        await gateway.until(2, "ContactCreate")
        await until_no_webhook_is_pending(crm)
    inbound = gateway.events("InboundMessage")
    assert len({event["webhookId"] for event in inbound}) == 1


async def test_sigterm_ends_the_process_with_code_0_and_without_a_word_about_people(state_dir, gateway):
    async with a_crm_process(state_dir, gateway) as (process, crm):
        contact_id = await a_contact(crm, firstName="Canary")
        await crm.post(f"/phone/contacts/{contact_id}/messages", json={"text": "canary text"})
        await gateway.until(2)
        process.send_signal(signal.SIGTERM)
        await asyncio.to_thread(process.wait, 10)
        said = process.stdout.read()
    assert process.returncode == 0
    assert said == ""


async def test_a_misspelt_setting_stops_the_process_with_its_name(state_dir):
    environ = {**os.environ, "PORCHLIGHT_CRM_FALUTS": "x"}
    command = [sys.executable, "-m", "sandbox.crm"]
    done = await asyncio.to_thread(subprocess.run, command, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "PORCHLIGHT_CRM_FALUTS" in done.stdout
