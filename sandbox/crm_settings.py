"""What the CRM stand-in can be told from outside."""

from pathlib import Path

from pydantic import Field, SecretStr

from kit.settings import Settings


class CrmSettings(Settings):
    """Settings of `python -m sandbox.crm`; faults can be changed later through POST /control."""

    listen: str = Field(default="127.0.0.1:8090", description="Address of the HTTP server and the phone page.")
    crm_listen: str = Field(default="", description="The same; wins over `listen` when both are set.")
    crm_location: str = Field(default="loc_sandbox", description="The location whose phone the page shows.")
    crm_token: SecretStr = Field(default=SecretStr(""), description="Bearer token that callers of the REST API send.")
    crm_token_file: Path | None = Field(
        default=None, description="File with that token; unset means state_dir/tokens/crm, made when missing."
    )
    crm_limit: int = Field(default=100, ge=1, le=1_000_000, description="REST calls accepted in 10 seconds.")
    crm_faults: str = Field(
        default="", description="Faults from the start, as kind:probability[:value] or kind*count[:value], comma list."
    )
    crm_seed: int = Field(default=1, description="Seed of the faults.")
    crm_dnd_on_stop: bool = Field(
        default=False,
        description="Set SMS DND by itself on STOP, as the CRM does; off shows our own confirmation on the page.",
    )
    webhook_url: str = Field(
        default="http://127.0.0.1:8080/webhooks/ghl", description="Where webhooks go; without a path, /webhooks/ghl."
    )
    webhook_key_file: Path | None = Field(
        default=None, description="Ed25519 key that signs webhooks, PKCS 8 PEM; unset makes one for this run."
    )
    webhook_step_seconds: float = Field(
        default=0.5, ge=0, le=3600, description="Wait between tries after a 429; the CRM's own is 600."
    )
    webhook_message_id: bool = Field(
        default=True, description="Whether message events carry messageId; the CRM's own examples lack it."
    )
    webhook_app_id: str = Field(default="app_sandbox", description="The appId of webhooks.")
