"""Who a webhook comes from."""

import base64
import json

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from hypothesis import assume, given
from hypothesis import strategies as st

from services.gateway.signature import PLATFORM_KEY, is_secret, is_signed, read_key

PRIVATE = Ed25519PrivateKey.generate()
PUBLIC = PRIVATE.public_key()
BODY = b'{"type": "InboundMessage", "body": "hello"}'


def signed(body: bytes) -> str:
    return base64.b64encode(PRIVATE.sign(body)).decode()


def pem(key) -> str:
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return key.public_bytes(serialization.Encoding.PEM, form).decode()


def test_signed_bytes_are_accepted():
    assert is_signed(BODY, signed(BODY), PUBLIC)


@pytest.mark.parametrize("header", [None, "", "  ", "N/A", "not base64!", "AAAA", "ünï"])
def test_missing_or_unreadable_signature_is_refused(header):
    assert not is_signed(BODY, header, PUBLIC)


def test_signature_of_another_key_is_refused():
    assert not is_signed(BODY, base64.b64encode(Ed25519PrivateKey.generate().sign(BODY)).decode(), PUBLIC)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(min_size=1), JSON, min_size=1, max_size=5), st.sampled_from([None, 0, 1, 4]))
def test_same_json_in_other_bytes_is_refused(payload, indent):
    body = json.dumps(payload).encode()
    for other in (
        json.dumps(payload, indent=indent, separators=(",", ":")).encode(),
        json.dumps(dict(reversed(payload.items()))).encode(),
        json.dumps(payload, ensure_ascii=False).encode("utf-8", "surrogatepass"),
        body + b" ",
        b"\n" + body,
    ):
        assert is_signed(other, signed(body), PUBLIC) == (other == body)


@given(st.binary(min_size=1), st.integers(min_value=0), st.integers(min_value=1, max_value=255))
def test_one_changed_byte_is_refused(body, place, change):
    other = bytearray(body)
    other[place % len(body)] ^= change
    assume(bytes(other) != body)
    assert not is_signed(bytes(other), signed(body), PUBLIC)


def test_published_key_can_be_read():
    assert pem(read_key(PLATFORM_KEY)).splitlines()[1] == PLATFORM_KEY


def test_key_is_read_from_pem():
    assert pem(read_key(pem(PUBLIC))) == pem(PUBLIC)


@pytest.mark.parametrize("text", ["", "nonsense", "AAAA", pem(generate_private_key(65537, 2048).public_key())])
def test_what_is_no_ed25519_key_is_refused(text):
    with pytest.raises(ValueError, match="no Ed25519 public key"):
        read_key(text)


def test_shared_secret_is_compared_whole():
    assert is_secret("s3cret", "s3cret")
    assert not any(is_secret(presented, "s3cret") for presented in (None, "", "s3cre", "s3cret ", "S3CRET", "ü"))


def test_nobody_has_a_secret_that_is_not_set():
    assert not is_secret("", "")
