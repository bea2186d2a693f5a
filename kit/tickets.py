"""Sign and check handoff tickets. Pure apart from the two functions that read key files.

The arbiter signs, bots check offline before they believe an offer, and the
arbiter's database lets a ticket work once. The check here stops forgery; the
compare-and-set there stops replay. Both are needed.
"""

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, NoReturn, TypeAlias

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from google.protobuf.message import DecodeError
from google.protobuf.timestamp_pb2 import Timestamp
from porchlight.bot.v1 import bot_service_pb2 as bot_pb

from kit.errors import BadTicket

LONGEST_LIFE: Final = timedelta(seconds=60)
# Clocks of two hosts differ; a ticket may seem to come from this far in the future.
SKEW: Final = timedelta(seconds=5)

PublicKeys: TypeAlias = Mapping[str, Ed25519PublicKey]
"""Key id to public key; two while keys are rotated."""


@dataclass(frozen=True, kw_only=True)
class SigningKey:
    """The key that signs now, and the name it goes by."""

    key_id: str
    private: Ed25519PrivateKey

    @property
    def public(self) -> dict[str, Ed25519PublicKey]:
        """The matching entry of `PublicKeys`."""
        return {self.key_id: self.private.public_key()}


def digest(capsule: bytes) -> bytes:
    """Return what a ticket says of a serialised capsule: its SHA-256, 32 bytes."""
    return hashlib.sha256(capsule).digest()


def sign(
    names: bot_pb.TicketPayload, *, key: SigningKey, capsule: bytes, now: datetime, life: timedelta = LONGEST_LIFE
) -> bot_pb.Ticket:
    """Make out a ticket.

    The signature covers the very bytes that travel: protobuf has no canonical
    encoding, so nobody may serialise the payload a second time.

    Args:
        names: Who moves where, at which epoch, under which policy. Digest and times
            are filled in here.
        key: The arbiter's.
        capsule: The serialised capsule that goes along.
        now: The signer's clock, timezone-aware.
        life: How long the ticket is good, above 0 and at most 60 s.
    """
    assert timedelta(0) < life <= LONGEST_LIFE, life
    payload = bot_pb.TicketPayload()
    payload.CopyFrom(names)
    payload.capsule_digest = digest(capsule)
    payload.issue_time.FromDatetime(now)
    payload.expire_time.FromDatetime(now + life)
    data = payload.SerializeToString(deterministic=True)
    return bot_pb.Ticket(payload=data, signature=key.private.sign(data), key_id=key.key_id)


def verify(
    ticket: bot_pb.Ticket,
    *,
    keys: PublicKeys,
    audience: str | None,
    now: datetime,
    capsule: bytes | None = None,
) -> bot_pb.TicketPayload:
    """Check a ticket without asking anybody, and return what it says.

    A good ticket may still have been used: only the arbiter's database knows.

    Args:
        keys: The arbiter's public keys; see `read_public_keys`.
        audience: The bot that must be the target. None accepts any target, for the
            operator who acts for one.
        now: The checker's clock, timezone-aware.
        capsule: The serialised capsule that came with the ticket; None when none did.

    Raises:
        BadTicket: `defect` is one of `unknown_key`, `bad_signature`, `unreadable`,
            `lives_too_long`, `not_yet_valid`, `expired`, `wrong_audience`,
            `wrong_capsule`.
    """
    key = keys.get(ticket.key_id)
    if key is None:
        _refuse("unknown_key")
    try:
        key.verify(ticket.signature, ticket.payload)
    except InvalidSignature:
        _refuse("bad_signature")
    try:
        payload = bot_pb.TicketPayload.FromString(ticket.payload)
        issued, expires = _moment(payload.issue_time), _moment(payload.expire_time)
    except (DecodeError, ValueError):
        _refuse("unreadable")
    if not timedelta(0) < expires - issued <= LONGEST_LIFE:
        _refuse("lives_too_long")
    if now < issued - SKEW:
        _refuse("not_yet_valid")
    if now >= expires:
        _refuse("expired")
    if audience is not None and payload.target_bot != audience:
        _refuse("wrong_audience")
    if capsule is not None and payload.capsule_digest != digest(capsule):
        _refuse("wrong_capsule")
    return payload


def read_signing_key(path: Path, *, keys: PublicKeys) -> SigningKey:
    """Read the arbiter's private key, PEM (PKCS#8, unencrypted); its name is the one it has among `keys`.

    Raises:
        ValueError: The file holds no Ed25519 key, or one that no target would know.
    """
    private = load_pem_private_key(path.read_bytes(), password=None)
    if not isinstance(private, Ed25519PrivateKey):
        raise ValueError(f"{path} holds no Ed25519 key")
    for key_id, public in keys.items():
        if public == private.public_key():
            return SigningKey(key_id=key_id, private=private)
    raise ValueError(f"the public half of {path} is not among the public keys, which are {', '.join(keys) or 'none'}")


def read_public_keys(path: Path) -> dict[str, Ed25519PublicKey]:
    """Read the public keys: a JSON object of key id to the base64 of the 32 raw bytes.

    Raises:
        ValueError: The file is none of that.
    """
    entries = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(entries, dict) or not all(isinstance(each, str) for each in entries.values()):
        raise ValueError(f"{path} is no JSON object of key id to base64")
    return {
        key_id: Ed25519PublicKey.from_public_bytes(base64.b64decode(raw, validate=True))
        for key_id, raw in entries.items()
    }


def private_pem(key: SigningKey) -> bytes:
    """Return what `read_signing_key` reads."""
    return key.private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def public_json(keys: PublicKeys) -> str:
    """Return what `read_public_keys` reads."""
    return json.dumps(
        {
            key_id: base64.b64encode(key.public_bytes(Encoding.Raw, PublicFormat.Raw)).decode()
            for key_id, key in keys.items()
        },
        indent=2,
    )


def new_signing_key(key_id: str) -> SigningKey:
    """Make a key; for `up` and tests."""
    return SigningKey(key_id=key_id, private=Ed25519PrivateKey.generate())


def _moment(stamp: Timestamp) -> datetime:
    return stamp.ToDatetime(tzinfo=UTC)


def _refuse(defect: str) -> NoReturn:
    raise BadTicket(f"the ticket is not good: {defect}", defect=defect)
