"""What the gateway can be told from outside."""

from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import NoDecode

from kit.settings import Settings

LEAST_KEY: Final = 16
LEAST_KEEP_DAYS: Final = 90


class GatewaySettings(Settings):
    """Settings of the gateway, beside those of every process."""

    http_listen: str = Field("127.0.0.1:8080", description="Address of the HTTP server for webhooks; port 0 takes any.")
    webhook_public_key_file: Path | None = Field(
        None, description="PEM of the Ed25519 key that webhooks are signed with; unset means HighLevel's published key."
    )
    workflow_secret: SecretStr = Field(SecretStr(""), description="What workflows send in X-Porchlight-Secret.")
    workflow_secret_file: Path | None = Field(
        None, description="File with that secret. Without either, workflow webhooks are refused."
    )
    workflow_fields: Annotated[dict[str, str], NoDecode] = Field(
        {}, description="Where a workflow's body has our fields, as text=customData.answer,contact_id=customData.cid."
    )
    suppression_key_file: Path = Field(
        description="File with the secret, 16 characters or more, under which opt-outs survive an erasure; keep it for good."
    )
    keep_days: int = Field(
        2557, ge=0, le=36_500, description="How old records may become, 90 days at least; 0 keeps them for good."
    )
    locations: Annotated[frozenset[str], NoDecode] = Field(
        frozenset({"loc_sandbox"}), description="CRM locations that are served, comma separated; others are ignored."
    )
    app_id: str = Field("", description="Our marketplace app; other apps' events are ignored. Empty accepts all.")
    brokerage_name: str = Field("Porchlight Realty (sample)", min_length=1, description="Who answers STOP and HELP.")
    brokerage_contact: str = Field("", description="How to reach a person of the brokerage; said in answers to HELP.")
    first_owner: str = Field("lead", description="The bot that gets a new contact.")
    debounce_seconds: float = Field(8.0, ge=0, le=300, description="How long after a text a bot waits for another one.")
    debounce_longest_seconds: float = Field(30.0, ge=0, le=600, description="The most that a burst delays its answer.")
    concurrent_webhooks: int = Field(64, ge=1, le=1000, description="Webhooks stored at once; more are answered 429.")
    concurrent_turns: int = Field(32, ge=1, le=1000, description="Turns in progress at once.")
    concurrent_deliveries: int = Field(16, ge=1, le=200, description="Texts on their way to the CRM at once.")
    delivery: Literal["dry_run", "live"] = Field(
        "dry_run", description="live sends texts to the CRM; dry_run marks them and sends nothing."
    )
    crm_url: str = Field("https://services.leadconnectorhq.com", description="The CRM's REST interface.")
    crm_token: SecretStr = Field(SecretStr(""), description="Bearer token for the CRM.")
    crm_token_file: Path | None = Field(None, description="File with that token.")
    reconcile_seconds: float = Field(
        120.0,
        ge=0,
        le=3600,
        description="How often the CRM is asked for texts whose webhook was lost; 0 never asks. Only with live delivery.",
    )
    reconcile_settle_seconds: float = Field(
        30.0, ge=0, le=600, description="How long a text's webhook may take before the text is taken from the CRM."
    )
    reconcile_answer_seconds: float = Field(
        3600.0, ge=60, le=86_400, description="How old a text may be that is found so and answered; later it is a task."
    )
    reconcile_reach_hours: float = Field(
        24.0, ge=1, le=144, description="How far back the CRM is read after the gateway was away."
    )
    reconcile_calls: int = Field(60, ge=10, le=500, description="Calls to the CRM in one such round, by location.")
    reconcile_share: float = Field(
        0.25, ge=0.01, le=0.5, description="The share of the CRM's rate limit that they may use at once."
    )

    @field_validator("suppression_key_file")
    @classmethod
    def _check_key(cls, value: Path) -> Path:
        try:
            usable = len(value.read_text(encoding="utf-8").strip()) >= LEAST_KEY
        except (OSError, ValueError):
            raise ValueError("cannot be read") from None
        if not usable:
            raise ValueError(f"holds less than {LEAST_KEY} characters")
        return value

    @field_validator("keep_days")
    @classmethod
    def _check_days(cls, value: int) -> int:
        if 0 < value < LEAST_KEEP_DAYS:
            raise ValueError(f"is less than {LEAST_KEEP_DAYS}, and not 0 for good")
        return value

    @field_validator("locations", mode="before")
    @classmethod
    def _read_locations(cls, value: object) -> object:
        if isinstance(value, str):
            return frozenset(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("workflow_fields", mode="before")
    @classmethod
    def _read_fields(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        pairs = [pair.partition("=") for pair in value.split(",") if pair.strip()]
        if not all(name.strip() and path.strip() for name, _, path in pairs):
            raise ValueError("is not of the form name=path,name=path")
        return {name.strip(): path.strip() for name, _, path in pairs}
