"""Says whether a webhook comes from whom it says. Pure."""

import base64
import binascii
import hmac

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_der_public_key

PLATFORM_KEY = "MCowBQYDK2VwAyEAi2HR1srL4o18O8BRa7gVJY7G7bupbN3H9AwJrHCDiOg="
"""HighLevel's key for all apps, as published in its webhook guide of 2026-03-28."""


def read_key(text: str) -> Ed25519PublicKey:
    """Read a public key: PEM, or the base64 inside it.

    Raises:
        ValueError: It is no Ed25519 public key.
    """
    body = "".join(line.strip() for line in text.splitlines() if not line.startswith("-----"))
    try:
        key = load_der_public_key(base64.b64decode(body, validate=True))
    except (binascii.Error, ValueError):
        key = None
    if isinstance(key, Ed25519PublicKey):
        return key
    raise ValueError("the webhook key is no Ed25519 public key in PEM")


def is_signed(body: bytes, header: str | None, key: Ed25519PublicKey) -> bool:
    """Say whether `header` is a signature over exactly these bytes.

    Over the bytes as they came, never over parsed and re-written JSON: the CRM's
    own SDKs do that, and accept what nobody signed.

    Args:
        body: The raw body.
        header: `X-GHL-Signature`, base64. The literal `N/A` counts as missing.
    """
    if header is None or header.strip() in ("", "N/A"):
        return False
    try:
        key.verify(base64.b64decode(header.strip(), validate=True), body)
    except (binascii.Error, ValueError, InvalidSignature):
        return False
    return True


def is_secret(presented: str | None, secret: str) -> bool:
    """Say, in constant time, whether the shared secret was presented; without a secret nobody has it."""
    if not secret or presented is None:
        return False
    return hmac.compare_digest(presented.encode(errors="surrogatepass"), secret.encode())
