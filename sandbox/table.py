"""Every process that `porchlight up` runs, as data. A fourth bot is one line here."""

from dataclasses import dataclass
from typing import Literal

Health = Literal["grpc", "http"]


@dataclass(frozen=True, kw_only=True)
class Process:
    """One process: what to run, where it listens, what it may touch, how to tell that it is well."""

    name: str
    module: str
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
    stand_in_for: str | None = None
    """Environment variable that, when set, makes this stand-in unnecessary."""


LEAD = Process(name="lead", module="services.lead", tier=2, port=50051, database_group="porchlight_bot")
BUYER = Process(name="buyer", module="services.buyer", tier=2, port=50052, database_group="porchlight_bot")
SELLER = Process(name="seller", module="services.seller", tier=2, port=50053, database_group="porchlight_bot")
HANDOFF = Process(name="handoff", module="services.handoff", tier=1, port=50054, database_group="porchlight_arbiter")
CACHE = Process(
    name="cache", module="services.cache", port=50055, tier=1, database_group="porchlight_cache", cache_store=True
)
GATEWAY = Process(
    name="gateway",
    module="services.gateway",
    tier=3,
    port=50056,
    http_port=8080,
    health=("grpc", "http"),
    database_group="porchlight_gateway",
)
CRM = Process(
    name="crm", module="sandbox.crm", port=8090, health=("http",), stand_in_for="PORCHLIGHT_CRM_TOKEN"
)
CLAUDE = Process(
    name="claude", module="sandbox.claude", port=8091, health=("http",), stand_in_for="ANTHROPIC_API_KEY"
)

BOTS = (LEAD, BUYER, SELLER)
SERVICES = (CACHE, HANDOFF, *BOTS, GATEWAY)
STAND_INS = (CRM, CLAUDE)
PROCESSES = (*STAND_INS, *SERVICES)

# Who gets a bearer token besides the processes: people at a terminal, and the operator's page.
CALLERS = ("operator", "console")
