"""What a process can be told from outside: environment variables, read once at start."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

PREFIX = "PORCHLIGHT_"

# The tests' own switches (which stores to use, for instance) are no settings.
_FOR_TESTS = PREFIX + "TEST_"


class Settings(BaseSettings):
    """What every process has. A service subclasses it; `PORCHLIGHT_` + the name in capitals sets a field."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, extra="forbid", frozen=True, hide_input_in_errors=True, env_ignore_empty=True
    )

    state_dir: Path = Field(
        default=Path(".porchlight"), description="Directory of stores, tokens, keys and logs; mode 0700."
    )
    listen: str = Field(default="127.0.0.1:0", description="Address of the gRPC server; port 0 takes any free one.")
    metrics_listen: str = Field(
        default="", description="Address of Prometheus metrics over HTTP; empty turns them off."
    )
    # Before database_url, which looks at it.
    database_url_file: Path | None = Field(
        default=None, description="File with the URL of Postgres; for containers, whose environment anybody may read."
    )
    database_url: SecretStr = Field(
        default=SecretStr(""),
        validate_default=True,
        description="Postgres, as postgresql://user:password@host:port/db; wins over the file.",
    )
    redis_url: SecretStr = Field(default=SecretStr(""), description="Redis or Valkey; empty means that there is none.")
    token_file: Path | None = Field(default=None, description="File with this process's own token.")
    callers_file: Path | None = Field(default=None, description="JSON of who may call: name to SHA-256 of the token.")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Least level that is written."
    )
    log_format: Literal["json", "console"] = Field(default="json", description="json for machines, console for people.")
    drain_seconds: float = Field(
        default=5.0, ge=0, le=300, description="How long calls in flight may go on after SIGTERM."
    )
    concurrent_calls: int = Field(default=256, ge=1, le=10_000, description="Calls served at once; more are refused.")
    crash_at: str = Field(
        default="",
        description="Named points at which the process kills itself, or a directory of traps; for tests only.",
    )
    handoff_target: str = Field(default="127.0.0.1:50054", description="Where the arbiter is.")
    cache_target: str = Field(default="127.0.0.1:50055", description="Where the cache service is.")
    gateway_target: str = Field(default="127.0.0.1:50056", description="Where the gateway's gRPC server is.")
    bot_targets: Annotated[dict[str, str], NoDecode] = Field(
        default={"lead": "127.0.0.1:50051", "buyer": "127.0.0.1:50052", "seller": "127.0.0.1:50053"},
        description="The bots and where they are, as lead=host:port,buyer=ipv4:host:port,host:port.",
    )
    tls_cert_file: Path | None = Field(default=None, description="Own certificate chain, PEM; unset means no TLS.")
    tls_key_file: Path | None = Field(default=None, description="Private key of the certificate, PEM.")
    tls_ca_file: Path | None = Field(
        default=None, description="Who signs the neighbours' certificates, PEM; asks for mTLS."
    )

    @field_validator("database_url", mode="before")
    @classmethod
    def _read_url(cls, value: object, info: ValidationInfo) -> object:
        given = value.get_secret_value() if isinstance(value, SecretStr) else value
        path = info.data.get("database_url_file")
        if given or path is None:
            return value
        try:
            return path.read_text(encoding="utf-8").strip()
        except OSError:
            raise ValueError("the file of PORCHLIGHT_DATABASE_URL_FILE cannot be read") from None

    @field_validator("bot_targets", mode="before")
    @classmethod
    def _read_targets(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        # gRPC's own lists of addresses hold commas too: `ipv4:10.0.0.1:50051,10.0.0.2:50051`.
        pairs = [pair.split("=", 1) for pair in re.split(r",(?=[^,]*=|\s*$)", value) if pair.strip()]
        targets = {name.strip(): target.strip() for name, *rest in pairs for target in rest}
        lists = ("ipv4:", "ipv6:")
        if len(targets) != len(pairs) or not all(
            name and target and ("," not in target or target.startswith(lists)) for name, target in targets.items()
        ):
            raise ValueError("is not of the form name=host:port,name=host:port")
        return targets


S = TypeVar("S", bound=Settings)


class SettingsRefused(ValueError):
    """Settings that a process cannot start with: environment name -> what is wrong, without values."""

    def __init__(self, causes: Mapping[str, str]) -> None:
        super().__init__("; ".join(f"{name}: {cause}" for name, cause in causes.items()))
        self.causes = dict(causes)


def names(settings_type: type[Settings]) -> frozenset[str]:
    """Return the environment variables that settings of this type are read from."""
    return frozenset(PREFIX + field.upper() for field in settings_type.model_fields)


def unknown_names(environ: Mapping[str, str], *settings_types: type[Settings]) -> list[str]:
    """Return the PORCHLIGHT_ variables that none of the given types knows, sorted."""
    known = frozenset[str]().union(*(names(each) for each in settings_types))
    ours = {name.upper() for name in environ if name.upper().startswith(PREFIX)}
    return sorted(name for name in ours - known if not name.startswith(_FOR_TESTS))


def load(settings_type: type[S], environ: Mapping[str, str]) -> S:
    """Read the settings of a process, and refuse names that it does not know.

    A misspelt name would otherwise leave the default in force without a word.

    Args:
        settings_type: The process's own settings.
        environ: Names to look for unknown ones in; values come from the process's
            environment.

    Raises:
        SettingsRefused: Names are unknown, or values not acceptable.
    """
    if unknown := unknown_names(environ, settings_type):
        raise SettingsRefused(dict.fromkeys(unknown, "no process setting has this name"))
    try:
        return settings_type()
    except ValidationError as error:
        causes = {PREFIX + str(each["loc"][0]).upper(): each["msg"] for each in error.errors(include_input=False)}
        raise SettingsRefused(causes) from None  # the original knows the values
