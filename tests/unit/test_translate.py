"""What the CRM's events are in our words."""

import contextlib
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.errors import InvalidField
from kit.lane import Event, EventKind, Keyword
from services.gateway.html_text import html_to_text
from services.gateway.keywords import Brokerage
from services.gateway.payload import TEXT_MOST
from services.gateway.translate import Ignored, Reader, is_stale
from services.gateway.workflow import WorkflowReader
from tests.support.payloads import EXPECTED, documented

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
LOC = "loc_1"
ACME = Brokerage(name="Acme Homes")
READER = Reader(tenants={LOC}, app_id="", brokerage=ACME)
WORKFLOW = WorkflowReader(tenants=frozenset({LOC}), brokerage=ACME)


def a_message(**changes: Any) -> dict[str, Any]:
    payload = {
        "type": "InboundMessage",
        "locationId": LOC,
        "contactId": "c_1",
        "conversationId": "conv_1",
        "body": "I need to sell my house",
        "dateAdded": "2026-11-23T11:59:58.123Z",
        "direction": "inbound",
        "messageType": "SMS",
        "messageId": "msg_1",
        "webhookId": "w_1",
        **changes,
    }
    return {name: value for name, value in payload.items() if value is not None}


def a_contact(kind: str = "ContactUpdate", **changes: Any) -> dict[str, Any]:
    return {"type": kind, "locationId": LOC, "id": "c_1", "webhookId": "w_1", **changes}


def read(payload: dict[str, Any], reader: Reader = READER) -> Any:
    return reader.read(payload, body=json.dumps(payload).encode(), now=NOW)


def workflow(payload: dict[str, Any], *, reader: WorkflowReader = WORKFLOW, delivery_id: str = "d_1") -> Any:
    return reader.read(LOC, payload, delivery_id=delivery_id, now=NOW)


# --- the documented payloads -------------------------------------------------------------------------------------


def test_table_names_58_events_and_67_payloads():
    assert (len(EXPECTED), sum(map(len, EXPECTED.values()))) == (58, 67)


@pytest.mark.outside
def test_every_documented_payload_is_stored_or_ignored_on_purpose():
    seen = 0
    for event, number, payload, expected in documented():
        tenants = {payload.get("locationId")}
        found = read(payload, Reader(tenants=tenants, app_id="", brokerage=ACME))
        got = found.cause if isinstance(found, Ignored) else found.kind
        assert got == expected, (event, number)
        seen += 1
    assert seen == 67


@pytest.mark.outside
def test_every_documented_payload_reads_the_same_when_nested_under_data():
    for event, number, payload, _ in documented():
        reader = Reader(tenants={payload.get("locationId")}, app_id="", brokerage=ACME)
        body = b"the same"
        flat = reader.read(payload, body=body, now=NOW)
        assert reader.read({"data": payload}, body=body, now=NOW) == flat, (event, number)


# --- messages ----------------------------------------------------------------------------------------------------


def test_text_of_a_person_is_read_whole():
    assert read(a_message()) == Event(
        tenant_id=LOC,
        source="ghl",
        event_id="w_1",
        kind=EventKind.MESSAGE_IN,
        contact_id="c_1",
        crm_message_id="msg_1",
        conversation_id="conv_1",
        channel="SMS",
        text="I need to sell my house",
        write_time=datetime(2026, 11, 23, 11, 59, 58, 123_000, tzinfo=UTC),
    )


def test_flat_fields_win_over_nested_ones():
    assert read({**a_message(), "data": {"body": "other", "contactId": "c_2"}}).text == "I need to sell my house"


@pytest.mark.parametrize("direction", ["outbound", "inbound", None, 7])
def test_direction_alone_decides_nothing(direction):
    assert read(a_message(direction=direction)).kind is EventKind.MESSAGE_IN
    assert read(a_message(type="OutboundMessage", direction=direction)).kind is EventKind.MESSAGE_OUT


@pytest.mark.parametrize(
    ("message_type", "channel"),
    [("SMS", "SMS"), ("Email", "Email"), ("Live Chat", "Live_Chat"), ("FB", "FB"), ("WhatsApp", "WhatsApp")],
)
def test_channel_is_the_one_an_answer_goes_to(message_type, channel):
    assert read(a_message(messageType=message_type)).channel == channel


@pytest.mark.parametrize("message_type", ["CALL", "VoiceMail", "Review", "", 3, []])
def test_call_is_recorded_and_not_taken_for_a_text(message_type):
    found = read(a_message(messageType=message_type, body="transcript: STOP"))
    assert (found.kind, found.text, found.keyword, found.crm_message_id) == (EventKind.OTHER, "", None, None)


def test_message_without_a_type_of_its_own_is_a_text():
    assert read(a_message(messageType=None)).channel == "SMS"


def test_stop_is_recognised_before_any_bot():
    found = read(a_message(body="Stop, please!"))
    assert found.keyword is Keyword.STOP and found.keyword_reply.startswith("Acme Homes")


def test_our_own_stop_text_is_no_keyword():
    assert read(a_message(type="OutboundMessage", body="STOP")).keyword is None


def test_mail_is_read_as_text_without_what_it_quotes():
    mail = "<html><head><style>p{}</style></head><body><p>Stop</p><blockquote>Hi, I am Ann</blockquote></body></html>"
    found = read(a_message(messageType="Email", body=mail, emailMessageId="mail_1"))
    assert (found.text, found.keyword, found.crm_message_id) == ("Stop", Keyword.STOP, "mail_1")


def test_two_mails_of_one_thread_are_two_messages():
    mails = [read(a_message(messageType="Email", emailMessageId=each, webhookId=None)) for each in ("a", "b")]
    assert len({mail.event_id for mail in mails}) == 2


def test_long_text_is_cut_at_what_a_bot_takes():
    assert len(read(a_message(body="x" * 50_000)).text) == TEXT_MOST


@pytest.mark.parametrize("body", [None, 7, [], {}])
def test_message_without_words_has_none(body):
    assert read(a_message(body=body)).text == ""


@pytest.mark.parametrize("source", ["api", "workflow", "bulk_actions", "campaign"])
def test_automation_is_no_human(source):
    assert read(a_message(type="OutboundMessage", source=source, userId="u_1")).kind is EventKind.MESSAGE_OUT


@pytest.mark.parametrize("source", ["app", None])
def test_user_who_writes_takes_the_contact(source):
    assert read(a_message(type="OutboundMessage", source=source, userId="u_1")).kind is EventKind.HUMAN_MESSAGE


def test_text_from_the_app_without_a_user_takes_nothing():
    assert read(a_message(type="OutboundMessage", source="app", userId=None)).kind is EventKind.MESSAGE_OUT


# --- ids and times -----------------------------------------------------------------------------------------------


def test_event_id_is_the_delivery_then_the_message_then_a_hash():
    assert read(a_message()).event_id == "w_1"
    assert read(a_message(webhookId=None)).event_id == "msg_1"
    assert read(a_message(webhookId=None, messageId=None)).event_id.startswith("h_")


def test_hash_of_a_message_depends_on_conversation_time_and_words_alone():
    bare = {"webhookId": None, "messageId": None}
    first = read(a_message(**bare)).event_id
    assert read(a_message(**bare, status="delivered", appId="x")).event_id == first
    for change in ({"conversationId": "conv_2"}, {"dateAdded": "2026-11-23T11:59:59Z"}, {"body": "other"}):
        assert read(a_message(**bare, **change)).event_id != first


def test_two_updates_of_a_contact_without_ids_are_two_events():
    first, second = (read(a_contact(webhookId=None, firstName=name)) for name in ("Ann", "Bea"))
    assert first.event_id != second.event_id


@pytest.mark.parametrize("field", ["contactId", "locationId"])
def test_message_that_cannot_be_filed_is_refused_by_name(field):
    with pytest.raises(InvalidField) as refused:
        read(a_message(**{field: None}))
    assert refused.value.metadata["field"] == field


@pytest.mark.parametrize("value", ["x" * 65, "a\nb", " a", 7, {"id": 1}])
def test_id_that_no_bot_would_take_is_refused(value):
    with pytest.raises(InvalidField):
        read(a_message(contactId=value))


@pytest.mark.parametrize(
    ("said", "read_as"),
    [
        ("2026-11-23T16:00:00+05:30", datetime(2026, 11, 23, 10, 30, tzinfo=UTC)),
        ("2026-11-23T11:00:00", datetime(2026, 11, 23, 11, tzinfo=UTC)),
        ("yesterday", None),
        (1714032441, None),
        ("9999-12-31T23:59:59-12:00", None),
        ("2027-01-01T00:00:00Z", None),
    ],
)
def test_time_is_utc_or_unknown(said, read_as):
    assert read(a_message(dateAdded=said)).write_time == read_as


def test_delivery_older_than_any_retry_is_stale():
    assert is_stale({"timestamp": "2026-11-23T09:59:59Z"}, now=NOW)
    assert is_stale({"data": {"timestamp": "2026-11-23T09:59:59Z"}}, now=NOW)
    assert not is_stale({"timestamp": "2026-11-23T10:00:01Z"}, now=NOW)
    assert not is_stale({}, now=NOW)


# --- for whom ----------------------------------------------------------------------------------------------------


def test_event_of_a_location_that_is_not_ours_is_ignored():
    assert read(a_message(locationId="loc_2")) == Ignored(cause="UNKNOWN_LOCATION")


def test_event_of_another_app_is_ignored():
    reader = Reader(tenants={LOC}, app_id="app_1", brokerage=ACME)
    assert read(a_message(appId="app_2"), reader) == Ignored(cause="OTHER_APP")
    assert read(a_message(appId="app_1"), reader).kind is EventKind.MESSAGE_IN
    assert read(a_message(), reader).kind is EventKind.MESSAGE_IN


def test_event_of_a_whole_company_has_no_location():
    assert read({"type": "INSTALL", "companyId": "co_1"}).tenant_id == "-"


# --- contacts ----------------------------------------------------------------------------------------------------


def test_profile_is_what_we_use_within_bounds():
    found = read(
        a_contact(
            firstName=" Ann ",
            phone="+12065550100",
            email="ann@example.com",
            timezone="America/Los_Angeles",
            dateOfBirth="2000-01-05",
            tags=["Hot Lead", "", 7, *map(str, range(100))],
        )
    )
    assert set(found.profile) == {"first_name", "phone", "email", "timezone", "tags"}
    assert (found.profile["first_name"], found.profile["tags"][0], len(found.profile["tags"])) == (
        "Ann",
        "Hot Lead",
        50,
    )


def test_field_that_is_not_said_is_not_erased():
    assert read(a_contact(firstName="", tags=None)).profile == {}


def test_deleted_contact_leaves_no_profile():
    assert read(a_contact("ContactDelete", firstName="Ann", dnd=True)).profile == {}


@pytest.mark.parametrize(
    ("said", "blocked"),
    [
        ({"dnd": True}, True),
        ({"dnd": False, "dndSettings": {"SMS": {"status": "active"}}}, True),
        ({"dnd": False, "dndSettings": {"SMS": {"status": "permanent"}}}, True),
        ({"dnd": True, "dndSettings": {"SMS": {"status": "inactive"}}}, True),
        ({"dnd": False, "dndSettings": {"sms": {"status": "active"}}}, True),
        ({"dnd": False, "dndSettings": {"SMS": {"status": "inactive"}}}, False),
        ({"dnd": False}, None),
        ({"dnd": False, "dndSettings": {"Email": {"status": "active"}}}, None),
        ({"dnd": "true"}, None),
        ({}, None),
    ],
)
def test_do_not_disturb_blocks_in_either_place_and_false_alone_says_nothing(said, blocked):
    assert read(a_contact("ContactDndUpdate", **said)).dnd is blocked


@given(st.dictionaries(st.sampled_from(["type", "locationId", "contactId", "id", "body", "messageType", "dateAdded",
                                        "tags", "dnd", "dndSettings", "userId", "webhookId", "appointment", "data"]),
                       st.none() | st.booleans() | st.integers() | st.text(max_size=9) | st.just(LOC)
                       | st.sampled_from(["InboundMessage", "OutboundMessage", "ContactUpdate", "AppointmentCreate"])
                       | st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=2)))  # fmt: skip
def test_whatever_a_payload_holds_it_is_an_event_ignored_or_refused(payload):
    with contextlib.suppress(InvalidField):
        assert isinstance(read(payload), Event | Ignored)


# --- HTML --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("plain", "plain"),
        ("<div>one</div><div>two</div>", "one\ntwo"),
        ("a<br/>b", "a\nb"),
        ("3 &lt; 4 &amp; 5", "3 < 4 & 5"),
        ("<script>alert('x')</script>hello", "hello"),
        ("<p>STOP</p><p>On Mon, Nov 23, 2026 at 9:00 AM Ann wrote:</p><p>old words</p>", "STOP"),
        ("STOP\n> old words", "STOP"),
        ("1 < 2 and 3", "1 < 2 and 3"),
        ("<b>unclosed", "unclosed"),
        ("</blockquote>words", "words"),
    ],
)
def test_html_becomes_what_was_written(html, text):
    assert html_to_text(html, longest=100) == text


def test_text_from_html_is_bounded():
    assert len(html_to_text("x" * 1000, longest=10)) == 10


@given(st.text())
def test_any_html_becomes_text(html):
    assert isinstance(html_to_text(html, longest=1000), str)


# --- workflows ---------------------------------------------------------------------------------------------------


def test_flat_workflow_body_is_read():
    found = workflow({"type": "InboundMessage", "contactId": "c_1", "locationId": LOC, "messageType": "TYPE_SMS",
                      "body": "hi", "direction": "inbound", "contactName": "Ann", "tags": ["a"]})  # fmt: skip
    assert (found.kind, found.contact_id, found.text, found.channel) == (EventKind.MESSAGE_IN, "c_1", "hi", "SMS")


def test_nested_workflow_body_is_read():
    found = workflow({"type": "InboundMessage", "contactId": "c_1", "locationId": LOC,
                      "message": {"type": "SMS", "body": "hi", "direction": "inbound"},
                      "contact": {"contactId": "c_1", "firstName": "Ann", "tags": ["Needs Qualifying"]}})  # fmt: skip
    assert (found.kind, found.text, found.profile) == (
        EventKind.MESSAGE_IN, "hi", {"first_name": "Ann", "tags": ["Needs Qualifying"]},
    )  # fmt: skip


@pytest.mark.parametrize("name", ["contactId", "contact_id", "id"])
def test_contact_is_found_under_its_several_names(name):
    assert workflow({name: "c_1", "body": "hi"}).contact_id == "c_1"


def test_tag_event_of_a_workflow_is_about_tags():
    found = workflow({"type": "ContactTagAdded", "contactId": "c_1", "tag": "AI-Off", "contact": {"tags": ["AI-Off"]}})
    assert (found.kind, found.profile) == (EventKind.TAGS, {"tags": ["AI-Off"]})


def test_body_without_words_is_about_the_contact():
    assert workflow({"contact_id": "c_1", "first_name": "Ann"}).kind is EventKind.CONTACT_UPSERT


def test_field_is_found_where_the_account_says():
    reader = WorkflowReader(tenants=frozenset({LOC}), brokerage=ACME, fields={"text": "customData.answer"})
    assert workflow({"id": "c_1", "customData": {"answer": "mine"}, "body": "theirs"}, reader=reader).text == "mine"


def test_stop_in_a_workflow_body_is_recognised():
    assert workflow({"id": "c_1", "body": "STOP"}).keyword is Keyword.STOP


def test_two_calls_without_id_and_time_are_two_messages():
    yes = {"id": "c_1", "body": "yes"}
    assert workflow(yes, delivery_id="d_1").event_id != workflow(yes, delivery_id="d_2").event_id


def test_same_call_with_a_time_is_one_message():
    yes = {"id": "c_1", "body": "yes", "dateAdded": "2026-11-23T11:00:00Z"}
    assert workflow(yes, delivery_id="d_1").event_id == workflow(yes, delivery_id="d_2").event_id


def test_body_that_names_another_location_is_refused():
    with pytest.raises(InvalidField):
        workflow({"id": "c_1", "locationId": "loc_2", "body": "hi"})


def test_address_of_another_location_is_ignored():
    assert WORKFLOW.read("loc_2", {"id": "c"}, delivery_id="d", now=NOW) == Ignored(cause="UNKNOWN_LOCATION")


def test_workflow_body_without_a_contact_is_refused():
    with pytest.raises(InvalidField):
        workflow({"body": "hi"})


def test_retry_horizon_is_longer_than_the_crms_own_retries():
    assert is_stale({"timestamp": (NOW - timedelta(hours=3)).isoformat()}, now=NOW)
    assert not is_stale({"timestamp": (NOW - timedelta(minutes=75)).isoformat()}, now=NOW)
