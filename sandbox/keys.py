"""The secrets `up` makes once: tokens, the ticket key, the CRM stand-in's webhook key."""

from collections.abc import Iterable
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from kit import tickets
from kit.tokens import digest, write_callers
from sandbox.stores import secret, write_private


def make_all(state_dir: Path, callers: Iterable[str]) -> None:
    """Make every secret that is missing; what is there stays, so a restart changes nobody's token."""
    write_callers(state_dir / "callers.json", {name: digest(secret(token_path(state_dir, name))) for name in callers})
    # Not callers of ours: what the CRM stand-in asks of the gateway, and its unsigned workflow webhook.
    secret(token_path(state_dir, "crm"))
    secret(state_dir / "workflow.secret")
    secret(state_dir / "suppression.key")
    if not (state_dir / "ticket.key").exists():
        key = tickets.new_signing_key("k1")
        write_private(state_dir / "ticket.pub.json", tickets.public_json(key.public))
        write_private(state_dir / "ticket.key", tickets.private_pem(key).decode())
    if not (state_dir / "webhook.key").exists():
        webhook = Ed25519PrivateKey.generate()
        public = webhook.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        private = webhook.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        write_private(state_dir / "webhook.pub", public.decode())
        write_private(state_dir / "webhook.key", private.decode())


def add_ticket_key(state_dir: Path, name: str) -> Path:
    """Make a second key for tickets, which all who check them know from their next start; return its file.

    Raises:
        ValueError: There is a key of that name, or none yet at all.
    """
    known = state_dir / "ticket.pub.json"
    if not known.exists():
        raise ValueError(f"no keys in {state_dir}; `porchlight up` makes the first one")
    keys = tickets.read_public_keys(known)
    if not name.isalnum() or name in keys:
        raise ValueError(f"the name is {name}, allowed are letters and digits, and none of {', '.join(keys)}")
    key = tickets.new_signing_key(name)
    path = state_dir / f"ticket.{name}.key"
    write_private(path, tickets.private_pem(key).decode())
    write_private(known, tickets.public_json({**keys, **key.public}))
    return path


def token_path(state_dir: Path, name: str) -> Path:
    """Where the token of `name` is; only its owner can read it."""
    return state_dir / "tokens" / name
