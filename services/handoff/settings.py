"""What the arbiter can be told from outside."""

from pathlib import Path

from pydantic import Field

from kit.settings import Settings


class HandoffSettings(Settings):
    """The settings of every process, and the arbiter's own."""

    ticket_key_file: Path = Field(description="The Ed25519 key that signs tickets, PEM.")
    ticket_public_keys_file: Path = Field(
        description="JSON of all public keys whose tickets are good, the signing key's too: key id to base64."
    )
    offer_seconds: float = Field(10.0, ge=1, le=60, description="How long a target has to answer an offer.")
    offer_call_seconds: float = Field(1.0, ge=0.1, le=10, description="Deadline of one call of OfferHandoff.")
    sweep_seconds: float = Field(1.0, ge=0.05, le=60, description="How often offers left behind are looked for.")
