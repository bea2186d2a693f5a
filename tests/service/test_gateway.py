"""The gateway's HTTP edge over a real socket, with a real Postgres."""

import asyncio
import collections
import json
import os
import signal
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from porchlight.contact.v1 import contact_service_pb2 as contact_pb
from porchlight.contact.v1.contact_service_pb2_grpc import ContactServiceStub
from porchlight.ops.v1 import ops_service_pb2 as ops_pb
from porchlight.ops.v1.ops_service_pb2_grpc import OpsServiceStub

from kit import tokens
from kit.errors import ContactNotFound, InvalidField, MethodNotAllowed
from kit.lane import EventKind
from kit.pg.lane import PgLane
from kit.pg.pool import open_pool
from kit.rpc.client import call, open_channel
from migrations.run import migrate
from sandbox import postgres as embedded
from services.gateway.http import BODY_MOST
from tests.support.gateway import LOC, Door, running_door
from tests.support.look import rows, until
from tests.support.payloads import documented
from tests.support.processes import let_go

INBOX = "select * from porchlight.inbox order by inbox_id"


@pytest.fixture
async def pool(database):
    opened = await open_pool(database.url("gateway"), name="test")
    yield opened
    await opened.close()


@pytest.fixture
async def door(pool):
    async with running_door(PgLane(pool)) as opened:
        yield opened


@pytest.fixture
def inbox(database):
    async def read() -> list[dict[str, Any]]:
        return await rows(database.admin_url, INBOX)

    return read


def a_message(**changes: Any) -> dict[str, Any]:
    return {
        "type": "InboundMessage",
        "locationId": LOC,
        "contactId": "c_1",
        "conversationId": "conv_1",
        "body": "I need to sell my house",
        "messageType": "SMS",
        "webhookId": "w_1",
        **changes,
    }


def a_contact(**changes: Any) -> dict[str, Any]:
    about = {"type": "ContactCreate", "locationId": LOC, "id": "c_1", "webhookId": "w_contact", "phone": "+12065550100"}
    return about | changes


# --- taken in ----------------------------------------------------------------------------------------------------


async def test_signed_message_is_on_disk_when_it_is_answered_200(door, inbox):
    answer = await door.post(a_message())
    (row,) = await inbox()
    assert (answer.status_code, answer.json()) == (200, {"outcome": "waiting", "message_id": row["message_id"]})
    assert (row["body"], row["outcome"], row["source"]) == ("I need to sell my house", "WAITING", "ghl")


async def test_repeated_webhook_is_answered_200_and_stored_once(door, inbox):
    await door.post(a_message())
    assert (await door.post(a_message())).json() == {"outcome": "duplicate"}
    assert len(await inbox()) == 1


async def test_fifty_copies_in_parallel_make_one_row(door, inbox):
    answers = await asyncio.gather(*(door.post(a_message()) for _ in range(50)))
    counts = collections.Counter((answer.status_code, answer.json().get("outcome")) for answer in answers)
    # A copy that could not be stored in time may be told to come again; none may be told anything else.
    assert set(counts) <= {(200, "waiting"), (200, "duplicate"), (429, None)}
    assert counts[200, "waiting"] == 1
    assert len(await inbox()) == 1


@pytest.mark.outside
async def test_every_documented_payload_is_stored_or_ignored_on_purpose(pool, database):
    payloads = list(documented())
    tenants = frozenset(payload.get("locationId", "") for _, _, payload, _ in payloads)
    async with running_door(PgLane(pool), tenants=tenants) as door:
        for event, number, payload, expected in payloads:
            # Delivery adds both, whatever the example says.
            added = {"webhookId": f"{event}-{number}", "timestamp": datetime.now(UTC).isoformat()}
            # The examples of a mail in and a mail out name the same mail, which a real one never does.
            if "emailMessageId" in payload:
                added["emailMessageId"] = added["webhookId"]
            answer = await door.post({**payload, **added})
            stored = await rows(
                database.admin_url,
                # Who is deleted in the CRM is erased, with this event among what is known of them.
                "select kind from porchlight.inbox where event_id = $1 union all"
                " select 'CONTACT_DELETE' from porchlight.erased_event where event_id = $1",
                f"{event}-{number}",
            )
            assert answer.status_code == 200, (event, number, answer.text)
            if isinstance(expected, EventKind):
                assert [row["kind"] for row in stored] == [expected], (event, number)
            else:
                assert (stored, answer.json()["cause"]) == ([], expected), (event, number)
    assert len(payloads) == 67


async def test_stop_is_answered_by_the_gateway_itself(door, database):
    assert (await door.post(a_message(body="STOP"))).json()["outcome"] == "suppressed"
    (text,) = await rows(database.admin_url, "select kind, body from porchlight.outbox")
    assert text["kind"] == "OPT_OUT_CONFIRMATION" and text["body"].startswith("Acme Homes")


async def test_workflow_with_the_secret_is_taken_in(door, inbox):
    answer = await door.post_workflow({"contact_id": "c_1", "message": {"body": "hello", "type": "SMS"}})
    assert (answer.status_code, answer.json()["outcome"]) == (200, "waiting")
    (row,) = await inbox()
    assert (row["source"], row["body"]) == ("ghl-workflow", "hello")


async def test_event_of_another_location_is_answered_200_and_not_stored(door, inbox):
    answer = await door.post(a_message(locationId="loc_other"))
    assert (answer.status_code, answer.json()) == (200, {"outcome": "ignored", "cause": "UNKNOWN_LOCATION"})
    assert await inbox() == []


# --- refused -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("signature", ["", "N/A", "AAAA", "bm90IGEgc2lnbmF0dXJl"])
async def test_unsigned_webhook_is_answered_401_and_not_stored(door, inbox, signature):
    answer = await door.post(a_message(), x_ghl_signature=signature)
    assert (answer.status_code, answer.json()) == (401, {"error": "BAD_SIGNATURE"})
    assert await inbox() == []


async def test_body_that_was_changed_after_signing_is_answered_401(door, inbox):
    body = json.dumps(a_message()).encode()
    headers = {"content-type": "application/json"}
    signed = await door.post(body)
    assert signed.status_code == 200
    headers["x-ghl-signature"] = signed.request.headers["x-ghl-signature"]
    other = await door.client.post("/webhooks/ghl", content=body.replace(b": ", b":"), headers=headers)
    assert other.status_code == 401
    assert len(await inbox()) == 1


@pytest.mark.parametrize("secret", [None, "", "wrong"])
async def test_workflow_without_the_secret_is_answered_401(door, inbox, secret):
    assert (await door.post_workflow({"contact_id": "c_1", "body": "hi"}, secret=secret)).status_code == 401
    assert await inbox() == []


async def test_stale_delivery_is_answered_401(door, inbox):
    old = (datetime.now(UTC) - timedelta(hours=3)).isoformat()
    assert (await door.post(a_message(timestamp=old))).json() == {"error": "STALE"}
    assert await inbox() == []


async def test_body_over_64_kib_is_answered_413(door, inbox):
    assert (await door.post(b'{"a": "' + b"x" * BODY_MOST + b'"}')).status_code == 413
    assert await inbox() == []


async def test_endless_body_is_cut_while_it_is_read(door):
    sent = 0

    async def endless():
        nonlocal sent
        while sent < 100 * BODY_MOST:
            sent += 4096
            yield b"x" * 4096
            await asyncio.sleep(0)

    try:
        answer = await door.client.post("/webhooks/ghl", content=endless())
        assert answer.status_code == 413
    except (httpx2.WriteError, httpx2.ReadError, httpx2.RemoteProtocolError):
        pass  # The answer came, and the connection closed, while the client was still writing.
    assert sent < 100 * BODY_MOST


async def test_body_that_does_not_call_itself_json_is_answered_415(door):
    assert (await door.post(a_message(), content_type="text/plain")).status_code == 415


async def test_charset_beside_the_content_type_is_fine(door):
    assert (await door.post(a_message(), content_type="application/json; charset=utf-8")).status_code == 200


@pytest.mark.parametrize(
    ("body", "named"),
    [
        (b'{"a": NaN}', "NOT_A_NUMBER"),
        (b'{"canary": 1, "canary": 2}', "DUPLICATE_KEY"),
        (b'{"canary": "\\u0000"}', "NUL"),
        (b"[" * 50_000, "TOO_DEEP"),
        (b"canary", "NOT_JSON"),
    ],
)
async def test_unreadable_body_is_answered_400_with_its_trouble_and_without_its_words(door, inbox, body, named):
    answer = await door.post(body)
    assert answer.status_code == 400 and named in answer.json()["error"]
    assert "canary" not in answer.text
    assert await inbox() == []


async def test_message_without_a_contact_is_answered_400_naming_the_field(door):
    answer = await door.post({**a_message(), "contactId": None})
    assert answer.status_code == 400 and "contactId" in answer.json()["error"]


@pytest.mark.parametrize("path", ["/", "/docs", "/openapi.json", "/webhooks", "/webhooks/workflow/"])
async def test_nothing_else_is_served(door, path):
    answer = await door.client.get(path)
    assert answer.status_code == 404 and "server" not in answer.headers


async def test_health_says_that_it_lives(door):
    assert (await door.client.get("/healthz")).json() == {"status": "ok"}


# --- come again --------------------------------------------------------------------------------------------------


def assert_come_again(answer: httpx2.Response, cause: str) -> None:
    assert (answer.status_code, answer.json()) == (429, {"error": cause})
    assert int(answer.headers["retry-after"]) > 0


async def test_draining_gateway_tells_the_crm_to_come_again(door, inbox):
    door.intake.draining = True
    assert_come_again(await door.post(a_message()), "DRAINING")
    assert await inbox() == []


async def test_overloaded_gateway_tells_the_crm_to_come_again(pool, inbox):
    async with running_door(PgLane(pool), most=0) as door:
        assert_come_again(await door.post(a_message()), "OVERLOADED")
    assert await inbox() == []


class BrokenLane:
    """A lane with a mistake of ours in it."""

    async def accept(self, *_: object, **__: object) -> None:
        raise RuntimeError("canary")


class HangingLane:
    """A lane that never answers."""

    async def accept(self, *_: object, **__: object) -> None:
        await asyncio.Event().wait()


async def test_mistake_of_ours_costs_no_message_and_shows_no_text():
    async with running_door(BrokenLane()) as door:
        answer = await door.post(a_message())
        assert_come_again(answer, "INTERNAL")
        assert "canary" not in answer.text


async def test_store_that_hangs_is_not_waited_for():
    async with running_door(HangingLane(), store_seconds=0.05) as door:
        assert_come_again(await door.post(a_message()), "STORE_UNAVAILABLE")


async def test_webhook_is_answered_429_while_postgres_is_gone_and_stored_afterwards(state_dir):
    server = await embedded.start(state_dir, durable=False)
    await migrate(server.admin_url)
    pool = await open_pool(server.admin_url, name="test")
    try:
        async with running_door(PgLane(pool)) as door:
            assert (await door.post(a_message(webhookId="before"))).status_code == 200
            await server.stop()
            assert_come_again(await door.post(a_message(webhookId="during")), "STORE_UNAVAILABLE")
            server = await embedded.start(state_dir, durable=False)
            await pool.close()
            pool = await open_pool(server.admin_url, name="test")
            door.intake.lane = PgLane(pool)
            assert (await door.post(a_message(webhookId="during"))).json()["outcome"] == "waiting"
            assert len(await rows(server.admin_url, INBOX)) == 2
    finally:
        await pool.close()
        await server.stop()


# --- the process -------------------------------------------------------------------------------------------------


class Gateway:
    """`python -m services.gateway`."""

    def __init__(self, process: asyncio.subprocess.Process, key: Ed25519PrivateKey) -> None:
        self.process = process
        self.key = key
        self.lines: list[dict[str, Any]] = []

    def address(self, key: str) -> str | None:
        return next((line[key] for line in self.lines if key in line and line["event"] == "process.ready"), None)


@pytest.fixture
async def gateway(database, tmp_path):
    key = Ed25519PrivateKey.generate()
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    (tmp_path / "webhook.pub").write_bytes(key.public_key().public_bytes(serialization.Encoding.PEM, form))
    tokens.write_callers(tmp_path / "callers.json", {"operator": tokens.digest("op"), "lead": tokens.digest("lead")})
    (tmp_path / "suppression.key").write_text("a key of the tests")
    environment = {
        "DATABASE_URL": database.url("gateway"),
        "LISTEN": "127.0.0.1:0",
        "HTTP_LISTEN": "127.0.0.1:0",
        "WEBHOOK_PUBLIC_KEY_FILE": str(tmp_path / "webhook.pub"),
        "CALLERS_FILE": str(tmp_path / "callers.json"),
        "SUPPRESSION_KEY_FILE": str(tmp_path / "suppression.key"),
        "CACHE_TARGET": "127.0.0.1:9",
        "BOT_TARGETS": "lead=127.0.0.1:9",
        "DEBOUNCE_SECONDS": "0",
    }
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PORCHLIGHT_")}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "services.gateway",
        env=clean | {f"PORCHLIGHT_{name}": value for name, value in environment.items()},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    found = Gateway(process, key)

    async def read() -> None:
        assert process.stdout is not None
        async for line in process.stdout:
            found.lines.append(json.loads(line))

    reading = asyncio.create_task(read())
    await until(lambda: found.address("http_address") and found.address("address"))
    yield found
    if process.returncode is None:
        process.send_signal(signal.SIGTERM)
    await let_go(process)
    await reading


@pytest.fixture
async def as_operator(gateway):
    async with open_channel(gateway.address("address"), token="op", service="gateway") as channel:
        yield channel


async def tell(gateway: Gateway, *payloads: dict[str, Any]) -> None:
    async with httpx2.AsyncClient(base_url=f"http://{gateway.address('http_address')}") as client:
        door = Door(intake=None, client=client, key=gateway.key)
        for payload in payloads:
            assert (await door.post(payload)).status_code == 200


async def test_gateway_process_shows_what_it_took_in_and_ends_clean(gateway, as_operator, database):
    await tell(gateway, a_message(), a_message(webhookId="w_2", body="HELP"))
    contacts = ContactServiceStub(as_operator)
    story = await call(contacts.GetTimeline, contact_pb.GetTimelineRequest(tenant_id=LOC, contact_id="c_1"), seconds=5)
    texts = [entry.inbound.text for entry in story.entries if entry.HasField("inbound")]
    assert (texts, story.owner, story.opted_out) == (["HELP", "I need to sell my house"], "lead", False)
    # The default delivers nothing: what would have gone out is marked.
    await until(lambda: _states(database, {"DRY_RUN"}))
    gateway.process.send_signal(signal.SIGTERM)
    assert await gateway.process.wait() == 0
    assert "sell my house" not in json.dumps(gateway.lines)


async def _states(database, wanted: set[str]) -> bool:
    return {row["state"] for row in await rows(database.admin_url, "select state from porchlight.outbox")} == wanted


async def test_timeline_is_read_to_its_end_page_by_page(gateway, as_operator):
    await tell(gateway, *(a_message(webhookId=f"w_{number}", type="NoteCreate") for number in range(5)))
    contacts = ContactServiceStub(as_operator)
    seen, token = [], ""
    while True:
        request = contact_pb.GetTimelineRequest(tenant_id=LOC, contact_id="c_1", page_size=2, page_token=token)
        page = await call(contacts.GetTimeline, request, seconds=5)
        assert len(page.entries) <= 2
        seen += [entry.inbound.event_id for entry in page.entries]
        token = page.next_page_token
        if not token:
            break
    assert seen == ["w_4", "w_3", "w_2", "w_1", "w_0"]


async def test_timeline_refuses_what_it_cannot_answer(gateway, as_operator):
    contacts = ContactServiceStub(as_operator)
    with pytest.raises(ContactNotFound):
        await call(contacts.GetTimeline, contact_pb.GetTimelineRequest(tenant_id=LOC, contact_id="c_x"), seconds=5)
    for bad in ({"contact_id": ""}, {"page_size": -1}, {"page_token": "x"}, {"page_token": "WyJ4Il0"}):
        with pytest.raises(InvalidField) as refused:
            request = contact_pb.GetTimelineRequest(**{"tenant_id": LOC, "contact_id": "c_1", **bad})
            await call(contacts.GetTimeline, request, seconds=5)
        assert refused.value.metadata["field"] == next(iter(bad))


async def test_operator_pauses_a_contact_and_lets_it_go_on(gateway, as_operator, database):
    await tell(gateway, a_message())
    contacts, who = ContactServiceStub(as_operator), {"tenant_id": LOC, "contact_id": "c_1"}
    await call(contacts.PauseContact, contact_pb.PauseContactRequest(**who), seconds=5)
    story = await call(contacts.GetTimeline, contact_pb.GetTimelineRequest(**who), seconds=5)
    assert story.pause_cause == contact_pb.PAUSE_CAUSE_OPERATOR
    await tell(gateway, a_message(webhookId="w_2", body="STOP"))
    resumed = await call(contacts.ResumeContact, contact_pb.ResumeContactRequest(**who), seconds=5)
    assert resumed.silence == contact_pb.SILENCE_OPTED_OUT
    audit = await rows(database.admin_url, "select kind, detail->>'actor' as actor from porchlight.audit")
    assert audit == [{"kind": "PAUSED", "actor": "operator"}, {"kind": "RESUMED", "actor": "operator"}]


async def test_operator_erases_a_contact_and_gets_a_receipt(gateway, as_operator, database):
    await tell(gateway, a_contact(), a_message(), a_message(webhookId="w_2", body="STOP"))
    contacts, who = ContactServiceStub(as_operator), {"tenant_id": LOC, "contact_id": "c_1"}
    receipt = await call(contacts.DeleteContact, contact_pb.DeleteContactRequest(**who), seconds=5)
    # No cache service runs here.
    assert (receipt.rows["inbox"], receipt.opt_out_kept, receipt.cache_cleared) == (3, True, False)
    with pytest.raises(ContactNotFound):
        await call(contacts.GetTimeline, contact_pb.GetTimelineRequest(**who), seconds=5)
    kept = await rows(database.admin_url, "select erasure_id, actor from porchlight.erasure")
    assert kept == [{"erasure_id": receipt.erasure_id, "actor": "operator"}]
    # The phone is known by its hash, whatever the contact is called by then.
    await tell(gateway, a_contact(id="c_2", webhookId="w_3"), a_message(contactId="c_2", webhookId="w_4"))
    story = await call(contacts.GetTimeline, contact_pb.GetTimelineRequest(tenant_id=LOC, contact_id="c_2"), seconds=5)
    assert story.opted_out


async def test_nobody_pauses_or_resumes_a_contact_that_is_not_there(gateway, as_operator):
    contacts = ContactServiceStub(as_operator)
    for method, request in (
        (contacts.PauseContact, contact_pb.PauseContactRequest),
        (contacts.ResumeContact, contact_pb.ResumeContactRequest),
    ):
        with pytest.raises(ContactNotFound):
            await call(method, request(tenant_id=LOC, contact_id="c_x"), seconds=5)
        with pytest.raises(InvalidField):
            await call(method, request(tenant_id=LOC, contact_id=""), seconds=5)


async def test_lanes_that_wait_are_listed_for_the_operator_alone(gateway, as_operator):
    await tell(gateway, a_message(), a_message(webhookId="w_2", contactId="c_2"))
    page = await call(OpsServiceStub(as_operator).ListLanes, ops_pb.ListLanesRequest(page_size=1), seconds=5)
    request = ops_pb.ListLanesRequest(page_size=1, page_token=page.next_page_token)
    rest = await call(OpsServiceStub(as_operator).ListLanes, request, seconds=5)
    assert [(lane.contact_id, lane.owner, lane.waiting_messages) for lane in (*page.lanes, *rest.lanes)] == [
        ("c_1", "lead", 1),
        ("c_2", "lead", 1),
    ]
    async with open_channel(gateway.address("address"), token="lead", service="gateway") as channel:
        with pytest.raises(MethodNotAllowed):
            await call(OpsServiceStub(channel).ListLanes, ops_pb.ListLanesRequest(), seconds=5)
