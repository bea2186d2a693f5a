"""Tickets: good ones pass, and nothing else does."""

import base64
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from porchlight.bot.v1 import bot_service_pb2 as bot_pb

from kit import tickets
from kit.errors import BadTicket
from tests.support.forgeries import forgeries

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
KEY = tickets.new_signing_key("k1")
OTHER_KEY = tickets.new_signing_key("k2")
CAPSULE = b"what the target must know"


def a_ticket(
    *, key: tickets.SigningKey = KEY, life: timedelta = timedelta(seconds=60), target: str = "buyer"
) -> bot_pb.Ticket:
    names = bot_pb.TicketPayload(
        handoff_id="h_1",
        tenant_id="loc_1",
        contact_id="c_81",
        source_bot="lead",
        target_bot=target,
        epoch=6,
        policy_version=7,
    )
    return tickets.sign(names, key=key, capsule=CAPSULE, now=NOON, life=life)


def check(
    ticket: bot_pb.Ticket,
    *,
    keys: tickets.PublicKeys = KEY.public,
    audience: str | None = "buyer",
    now: datetime = NOON,
    capsule: bytes | None = CAPSULE,
) -> bot_pb.TicketPayload:
    return tickets.verify(ticket, keys=keys, audience=audience, now=now, capsule=capsule)


def signed(payload: bytes) -> bot_pb.Ticket:
    return bot_pb.Ticket(payload=payload, signature=KEY.private.sign(payload), key_id=KEY.key_id)


def defect(ticket: bot_pb.Ticket, **circumstances: object) -> str:
    with pytest.raises(BadTicket) as refused:
        check(ticket, **circumstances)  # type: ignore[arg-type]
    return refused.value.metadata["defect"]


def test_good_ticket_says_who_moves_where() -> None:
    payload = check(a_ticket())
    assert (payload.handoff_id, payload.tenant_id, payload.contact_id) == ("h_1", "loc_1", "c_81")
    assert (payload.source_bot, payload.target_bot, payload.epoch) == ("lead", "buyer", 6)
    assert payload.policy_version == 7
    assert payload.issue_time.ToDatetime(tzinfo=UTC) == NOON
    assert payload.expire_time.ToDatetime(tzinfo=UTC) == NOON + timedelta(seconds=60)


def test_ticket_for_another_bot_is_refused() -> None:
    assert defect(a_ticket(target="seller")) == "wrong_audience"


def test_operator_may_check_a_ticket_of_any_bot() -> None:
    assert check(a_ticket(target="seller"), audience=None).target_bot == "seller"


def test_ticket_ends_at_its_very_moment() -> None:
    check(a_ticket(), now=NOON + timedelta(seconds=60) - timedelta(microseconds=1))
    assert defect(a_ticket(), now=NOON + timedelta(seconds=60)) == "expired"


def test_ticket_from_a_clock_a_little_ahead_is_good_and_from_far_ahead_is_not() -> None:
    check(a_ticket(), now=NOON - timedelta(seconds=5))
    assert defect(a_ticket(), now=NOON - timedelta(seconds=5, microseconds=1)) == "not_yet_valid"


def test_ticket_that_lives_over_a_minute_is_refused_though_signed() -> None:
    payload = bot_pb.TicketPayload.FromString(a_ticket().payload)
    payload.expire_time.FromDatetime(NOON + timedelta(seconds=61))
    assert defect(signed(payload.SerializeToString())) == "lives_too_long"


def test_ticket_without_times_is_refused_though_signed() -> None:
    assert defect(signed(b"")) == "lives_too_long"


def test_signed_bytes_that_are_no_payload_are_refused() -> None:
    assert defect(signed(b"\xff\xff\xff")) == "unreadable"


@pytest.mark.parametrize("life", [timedelta(seconds=60, microseconds=1), timedelta(0), timedelta(seconds=-1)])
def test_ticket_is_made_to_live_above_zero_and_at_most_a_minute(life: timedelta) -> None:
    with pytest.raises(AssertionError, match=re.escape(str(life))):
        a_ticket(life=life)


def test_ticket_lives_a_minute_unless_told_otherwise() -> None:
    ticket = tickets.sign(bot_pb.TicketPayload(target_bot="buyer"), key=KEY, capsule=CAPSULE, now=NOON)
    assert check(ticket).expire_time.ToDatetime(tzinfo=UTC) == NOON + timedelta(seconds=60)


def test_same_names_are_signed_over_the_same_bytes() -> None:
    assert a_ticket() == a_ticket()


def test_refusal_says_what_is_wrong_with_the_ticket() -> None:
    with pytest.raises(BadTicket, match=r"^the ticket is not good: unknown_key$"):
        check(a_ticket(key=OTHER_KEY))


def test_capsule_that_is_not_the_one_decided_on_is_refused() -> None:
    assert defect(a_ticket(), capsule=CAPSULE + b"!") == "wrong_capsule"


def test_ticket_without_a_capsule_at_hand_is_checked_for_the_rest() -> None:
    assert check(a_ticket(), capsule=None).capsule_digest == tickets.digest(CAPSULE)


def test_ticket_of_a_key_that_nobody_knows_is_refused() -> None:
    assert defect(a_ticket(key=OTHER_KEY)) == "unknown_key"


def test_every_new_key_is_another_and_goes_by_the_name_it_was_given() -> None:
    first, second = tickets.new_signing_key("k5"), tickets.new_signing_key("k5")
    assert first.key_id == second.key_id == "k5"
    assert check(a_ticket(key=first), keys=first.public).handoff_id == "h_1"
    assert defect(a_ticket(key=first), keys=second.public) == "bad_signature"


def test_ticket_of_another_key_under_a_known_name_is_refused() -> None:
    forged = a_ticket(key=OTHER_KEY)
    forged.key_id = KEY.key_id
    assert defect(forged) == "bad_signature"


def test_tickets_of_the_old_and_the_new_key_are_good_while_keys_are_rotated() -> None:
    keys = {**KEY.public, **OTHER_KEY.public}
    assert check(a_ticket(key=KEY), keys=keys).handoff_id == check(a_ticket(key=OTHER_KEY), keys=keys).handoff_id


def test_ten_thousand_altered_tickets_are_all_refused() -> None:
    """Bytes, fields, signers, algorithms and key names; see tests/support/forgeries.py."""
    for forged in forgeries(a_ticket(), count=10_000, seed=20261123):
        with pytest.raises(BadTicket):
            check(forged)


def test_keys_are_read_as_they_were_written(tmp_path: Path) -> None:
    private, public = tmp_path / "ticket.pem", tmp_path / "ticket.json"
    private.write_bytes(tickets.private_pem(KEY))
    public.write_text(tickets.public_json(KEY.public))
    keys = tickets.read_public_keys(public)
    assert check(a_ticket(key=tickets.read_signing_key(private, keys=keys)), keys=keys).handoff_id == "h_1"


def test_key_that_signs_goes_by_the_name_that_targets_know_it_by(tmp_path: Path) -> None:
    private = tmp_path / "ticket.pem"
    private.write_bytes(tickets.private_pem(OTHER_KEY))
    read = tickets.read_signing_key(private, keys={**KEY.public, "second": OTHER_KEY.private.public_key()})
    assert read.key_id == "second"
    both = {**KEY.public, **tickets.new_signing_key("k3").public}
    for keys, known in ((both, "k1, k3"), ({}, "none")):
        text = f"the public half of {private} is not among the public keys, which are {known}"
        with pytest.raises(ValueError, match=f"^{re.escape(text)}$"):
            tickets.read_signing_key(private, keys=keys)


def test_file_that_holds_another_kind_of_key_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "ticket.pem"
    path.write_bytes(X25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    with pytest.raises(ValueError, match=rf"^{re.escape(str(path))} holds no Ed25519 key$"):
        tickets.read_signing_key(path, keys=KEY.public)


def test_public_keys_are_written_for_people_to_read() -> None:
    raw = base64.b64encode(KEY.private.public_key().public_bytes_raw()).decode()
    assert tickets.public_json(KEY.public) == f'{{\n  "k1": "{raw}"\n}}'


@pytest.mark.parametrize("text", ["[]", '{"k1": 1}', '{"k1": "!"}', '{"k1": "AAAA"}', "{"])
def test_file_that_holds_no_public_keys_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "ticket.json"
    path.write_text(text)
    with pytest.raises(ValueError) as refused:
        tickets.read_public_keys(path)
    if text in ("[]", '{"k1": 1}'):
        assert str(refused.value) == f"{path} is no JSON object of key id to base64"


def test_key_with_bytes_that_are_no_base64_is_refused_and_not_read_around_them(tmp_path: Path) -> None:
    path = tmp_path / "ticket.json"
    path.write_text(tickets.public_json(KEY.public).replace('": "', '": "!'))
    with pytest.raises(ValueError, match="base64"):
        tickets.read_public_keys(path)
