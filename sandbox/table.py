"""Every process that `porchlight up` runs, as data. A fourth bot is one line here."""

from dataclasses import dataclass
from typing import Literal

Health = Literal["grpc", "http"]


BOT_GROUP = "porchlight_bot"
"""What makes a process a bot: the group role that may open and complete turns."""


@dataclass(frozen=True, kw_only=True)
class Process:
    """One process: what to run, where it listens, what it may touch, how to tell that it is well."""

    name: str
    module: str
    settings: str = "kit.settings"
    """Module that holds its settings class; light, since the launcher imports it."""
    port: int
    """gRPC port, or HTTP port of a process without gRPC. 0 takes a free one."""
    http_port: int | None = None
    """A second, HTTP port."""
    health: tuple[Health, ...] = ("grpc",)
    database_group: str | None = None
    """Group role of the migrations that its login role belongs to; None: no database."""
    cache_store: bool = False
    """Whether it is given Valkey's URL."""
    tier: int = 0
    """Order of stopping: the highest first, so that nobody loses a neighbour it still needs."""
    stand_in_for: tuple[str, ...] = ()
    """Environment variables of which any one, when set, makes this stand-in unnecessary."""


def _bot(name: str, port: int, settings: str = "kit.bot.settings") -> Process:
    return Process(
        name=name,
        module=f"services.{name}",
        settings=settings,
        tier=2,
        port=port,
        database_group=BOT_GROUP,
    )


LEAD = _bot("lead", 50051)
BUYER = _bot("buyer", 50052, "services.buyer.settings")
SELLER = _bot("seller", 50053)
HANDOFF = Process(
    name="handoff",
    module="services.handoff",
    settings="services.handoff.settings",
    tier=1,
    port=50054,
    database_group="porchlight_arbiter",
)
CACHE = Process(
    name="cache",
    module="services.cache",
    settings="services.cache.settings",
    port=50055,
    tier=1,
    database_group="porchlight_cache",
    cache_store=True,
)
GATEWAY = Process(
    name="gateway",
    module="services.gateway",
    settings="services.gateway.settings",
    tier=3,
    port=50056,
    http_port=8080,
    health=("grpc", "http"),
    database_group="porchlight_gateway",
)
CRM = Process(
    name="crm",
    module="sandbox.crm",
    settings="sandbox.crm_settings",
    port=8090,
    health=("http",),
    stand_in_for=("PORCHLIGHT_CRM_TOKEN", "PORCHLIGHT_CRM_TOKEN_FILE"),
)
CLAUDE = Process(
    name="claude",
    module="sandbox.claude",
    settings="sandbox.claude_settings",
    port=8091,
    health=("http",),
    stand_in_for=("ANTHROPIC_API_KEY", "PORCHLIGHT_ANTHROPIC_API_KEY"),
)

# In the order in which they are listed everywhere; all start at once.
BOTS = (LEAD, BUYER, SELLER)
SERVICES = (CACHE, HANDOFF, *BOTS, GATEWAY)
STAND_INS = (CRM, CLAUDE)
PROCESSES = (*STAND_INS, *SERVICES)

# Who gets a bearer token besides the processes: people at a terminal, and the operator's page.
CALLERS = ("operator", "console")
