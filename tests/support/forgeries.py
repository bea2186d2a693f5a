"""Tickets that nobody may take: every way of altering a good one that we could think of."""

import hashlib
import hmac
import random
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from porchlight.bot.v1 import bot_service_pb2 as bot_pb

from kit import tickets

THIEF: Final = tickets.new_signing_key("k1")
"""A key of the forger's own, under the arbiter's name."""
_CURVE: Final = ec.generate_private_key(ec.SECP256R1())
_TEXTS: Final = ("handoff_id", "tenant_id", "contact_id", "source_bot", "target_bot")
_NUMBERS: Final = ("epoch", "policy_version")


def _bytes(dice: random.Random, data: bytes) -> bytes:
    altered = bytearray(data)
    match dice.randrange(5):
        case 0:
            altered[dice.randrange(len(altered))] ^= 1 << dice.randrange(8)
        case 1:
            del altered[dice.randrange(len(altered)) :]
        case 2:
            altered += dice.randbytes(dice.randrange(1, 9))
        case 3:
            del altered[: dice.randrange(1, len(altered))]
        case _:
            place = dice.randrange(len(altered))
            altered[place] = (altered[place] + dice.randrange(1, 256)) % 256
    return bytes(altered)


def _payload(dice: random.Random, good: bot_pb.Ticket) -> bytes:
    """Change one field to another sensible value."""
    said = bot_pb.TicketPayload.FromString(good.payload)
    field = dice.choice([*_TEXTS, *_NUMBERS, "capsule_digest", "issue_time", "expire_time"])
    if field in _TEXTS:
        setattr(
            said,
            field,
            dice.choice(["loc_2", "c_82", "h_2", "seller", "lead", "operator", ""]) + str(dice.randrange(99)),
        )
    elif field in _NUMBERS:
        setattr(said, field, getattr(said, field) + dice.choice([-1, 1, 2, 1 << 40]))
    elif field == "capsule_digest":
        said.capsule_digest = hashlib.sha256(dice.randbytes(4)).digest()
    else:
        moment = getattr(said, field)
        moment.FromDatetime(moment.ToDatetime() + timedelta(seconds=dice.choice([-3600, -30, 30, 3600])))
    return said.SerializeToString()


def _other_algorithm(dice: random.Random, good: bot_pb.Ticket) -> bot_pb.Ticket:
    """Sign the very payload with what is not Ed25519, or with what everybody knows."""
    public = THIEF.private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    signature = dice.choice(
        [
            b"",
            bytes(64),
            hashlib.sha512(good.payload).digest(),
            hmac.digest(public, good.payload, "sha512"),
            _CURVE.sign(good.payload, ec.ECDSA(hashes.SHA256())),
            THIEF.private.sign(hashlib.sha512(good.payload).digest()),
        ]
    )
    key_id = dice.choice([good.key_id, good.key_id, "none", "HS512", "ES256", ""])
    return bot_pb.Ticket(payload=good.payload, signature=signature, key_id=key_id)


_WAYS: Final[tuple[Callable[[random.Random, bot_pb.Ticket], bot_pb.Ticket], ...]] = (
    lambda dice, good: bot_pb.Ticket(payload=_bytes(dice, good.payload), signature=good.signature, key_id=good.key_id),
    lambda dice, good: bot_pb.Ticket(payload=good.payload, signature=_bytes(dice, good.signature), key_id=good.key_id),
    lambda dice, good: bot_pb.Ticket(payload=_payload(dice, good), signature=good.signature, key_id=good.key_id),
    lambda dice, good: _signed_by_the_thief(_payload(dice, good), good.key_id),
    lambda dice, good: _signed_by_the_thief(good.payload, good.key_id),
    lambda dice, good: bot_pb.Ticket(
        payload=good.payload, signature=good.signature, key_id=dice.choice(["", "k2", "K1", "k1 ", "k1\0", "\u212a1"])
    ),
    _other_algorithm,
)


def _signed_by_the_thief(payload: bytes, key_id: str) -> bot_pb.Ticket:
    return bot_pb.Ticket(payload=payload, signature=THIEF.private.sign(payload), key_id=key_id)


def forgeries(good: bot_pb.Ticket, *, count: int, seed: int) -> Iterator[bot_pb.Ticket]:
    """Give `count` tickets that are none, each way in turn; none equals the good one."""
    dice = random.Random(seed)
    for number in range(count):
        forged = good
        while forged == good:
            forged = _WAYS[number % len(_WAYS)](dice, good)
        yield forged
