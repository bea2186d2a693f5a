"""What the cache service can be told from outside."""

from decimal import Decimal
from typing import Final, Literal

from pydantic import AliasChoices, Field, SecretStr
from pydantic_settings import SettingsConfigDict

from kit.settings import Settings
from services.cache.limits import Use

MICRO: Final = 1_000_000


class CacheSettings(Settings):
    """Settings of the cache service."""

    # Two settings have a second name, the one the vendor's own tools use; tests give values by the field's name.
    model_config = SettingsConfigDict(populate_by_name=True)

    anthropic_api_key: SecretStr = Field(
        SecretStr(""),
        description="Key for Claude; ANTHROPIC_API_KEY is read too. Empty, with no base URL: no model.",
        validation_alias=AliasChoices("PORCHLIGHT_ANTHROPIC_API_KEY", "ANTHROPIC_API_KEY"),
    )
    anthropic_base_url: str = Field(
        "",
        description="Where Claude is; ANTHROPIC_BASE_URL is read too. Empty means the vendor. A stand-in needs no key.",
        validation_alias=AliasChoices("PORCHLIGHT_ANTHROPIC_BASE_URL", "ANTHROPIC_BASE_URL"),
    )
    claude_total_seconds: float = Field(12.0, gt=0, le=12, description="All tries of one completion together.")
    claude_concurrency: int = Field(16, ge=1, le=1_000, description="Requests to Claude at once.")
    claude_requests_per_minute: int = Field(
        300,
        ge=1,
        le=100_000,
        description="Requests to each model in any minute, all processes; the model may lower it.",
    )
    claude_input_tokens_per_minute: int = Field(
        400_000, ge=1, le=100_000_000, description="Tokens that each model reads in any minute, all processes."
    )
    claude_output_tokens_per_minute: int = Field(
        80_000, ge=1, le=100_000_000, description="Tokens that each model writes in any minute, all processes."
    )
    cache_replicas: int = Field(
        1, ge=1, le=100, description="Cache processes; what one may use alone while Redis or Postgres is away."
    )
    claude_daily_usd: Decimal = Field(
        Decimal(5), ge=0, le=100_000, decimal_places=6, description="US dollars for Claude in a UTC day, all processes."
    )
    claude_tenant_daily_usd: Decimal = Field(
        Decimal(5), ge=0, le=100_000, decimal_places=6, description="US dollars for Claude in a UTC day, one tenant."
    )
    student: Literal["off", "light", "minilm"] = Field(
        "light", description="Who analyses before Claude: nobody, words, or words and an encoder (the extra `quality`)."
    )
    l1_bytes: int = Field(64 * 1024 * 1024, ge=0, le=2**32, description="Memory of the process for answers.")

    redis_milliseconds: int = Field(
        100,
        ge=10,
        le=1_000,
        description="The most that a look into Redis may take; when it is lost, who asks just then waits this long.",
    )

    @property
    def daily_microusd(self) -> int:
        """The daily limit in millionths of a US dollar."""
        return int(self.claude_daily_usd * MICRO)

    @property
    def tenant_daily_microusd(self) -> int:
        """A tenant's daily limit in millionths of a US dollar."""
        return int(self.claude_tenant_daily_usd * MICRO)

    @property
    def minute_limit(self) -> Use:
        """What each model may be asked for in a minute."""
        return Use(
            requests=self.claude_requests_per_minute,
            input_tokens=self.claude_input_tokens_per_minute,
            output_tokens=self.claude_output_tokens_per_minute,
        )

    @property
    def has_model(self) -> bool:
        """Whether there is anything to ask."""
        return bool(self.anthropic_api_key.get_secret_value() or self.anthropic_base_url)
