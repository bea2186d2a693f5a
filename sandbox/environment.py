"""What `up` tells each process: only the names it knows, and only the secrets it needs."""

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import Field, SecretStr, create_model

from kit.settings import PREFIX, Settings, load, unknown_names
from kit.settings import names as names_of
from sandbox.child import free_port
from sandbox.keys import token_path
from sandbox.table import BOT_GROUP, CACHE, CLAUDE, CRM, GATEWAY, HANDOFF, PROCESSES, Process

# One address cannot be everybody's, and the owner's URLs are not for the services.
LAUNCHER_DECIDES = frozenset(
    PREFIX + name
    for name in (
        *("CLAUDE_LISTEN", "CRM_LISTEN", "DATABASE_URL", "DATABASE_URL_FILE"),
        *("HTTP_LISTEN", "LISTEN", "METRICS_LISTEN", "REDIS_URL"),
    )
)


class _Own(Settings):
    postgres_port: int = Field(0, ge=0, le=65535, description="Port of the embedded Postgres; 0 takes a free one.")
    valkey_port: int = Field(0, ge=0, le=65535, description="Port of the embedded Valkey; 0 takes a free one.")
    crm_token: SecretStr = Field(SecretStr(""), description="Token of a real CRM; set, the CRM stand-in stays off.")


def _port_fields() -> dict[str, tuple[type[int], object]]:
    wanted = [(f"{each.name}_port", each.port) for each in PROCESSES]
    wanted += [(f"{each.name}_http_port", each.http_port) for each in PROCESSES if each.http_port is not None]
    return {
        name: (int, Field(port, ge=0, le=65535, description=f"Port of {name.removesuffix('_port')}; 0: a free one."))
        for name, port in wanted
    }


UpSettings: type[_Own] = create_model("UpSettings", __base__=_Own, **_port_fields())  # type: ignore[call-overload]
"""Settings of the launcher itself: one port per line of the table. `up` alone reads these."""


def load_settings(environ: Mapping[str, str], processes: Sequence[Process] = PROCESSES) -> Settings:
    """Read the launcher's settings, and refuse names that neither it nor any process knows.

    Raises:
        ValueError: A name is unknown, or a value is not acceptable.
    """
    known: set[str] = set(names_of(UpSettings)).union(*(known_names(each) for each in processes))
    unknown = [name for name in unknown_names(environ) if name not in known]
    if unknown:
        raise ValueError(f"unknown settings: {', '.join(unknown)}")
    return load(UpSettings, {name: value for name, value in environ.items() if name in names_of(UpSettings)})


def known_names(process: Process) -> frozenset[str]:
    """Return the PORCHLIGHT_ names that a process reads: those of the settings classes in its module for them."""
    inside = vars(importlib.import_module(process.settings)).values()
    types = [each for each in inside if isinstance(each, type) and issubclass(each, Settings)]
    return frozenset[str]().union(*(names_of(each) for each in types))


def choose_ports(settings: Settings, processes: Sequence[Process]) -> dict[str, int]:
    """Return each port by setting name ("lead_port", "gateway_http_port"), free ones chosen."""
    ports = {}
    for process in processes:
        name = f"{process.name}_port"
        ports[name] = getattr(settings, name, process.port) or free_port()
        if process.http_port is not None:
            name = f"{process.name}_http_port"
            ports[name] = getattr(settings, name, process.http_port) or free_port()
    return ports


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is the same for all processes of one `up`."""

    state_dir: Path
    ports: Mapping[str, int]
    processes: Sequence[Process]
    environ: Mapping[str, str] = field(repr=False)
    log_format: str = "json"

    @property
    def bots(self) -> tuple[Process, ...]:
        """The bots among them."""
        return tuple(each for each in self.processes if each.database_group == BOT_GROUP)

    def target(self, process: Process) -> str:
        """Where the process listens, or would."""
        return f"127.0.0.1:{self.ports.get(f'{process.name}_port', process.port)}"

    def runs(self, process: Process) -> bool:
        """Whether it is one of those that are started."""
        return process in self.processes


def for_process(process: Process, plan: Plan, *, database_url: str, redis_url: str) -> dict[str, str]:
    """Make the whole environment of a process.

    What the user set is passed on where the process knows the name; where things
    are, the launcher alone decides.
    """
    known = known_names(process)
    env = {name: value for name, value in plan.environ.items() if not name.startswith((PREFIX, "ANTHROPIC_", "PG"))}
    env |= {
        name: value
        for name, value in plan.environ.items()
        if (name in known and name not in LAUNCHER_DECIDES) or name.startswith("PORCHLIGHT_TEST_")
    }
    # gRPC's core writes lines of its own to stderr, unstructured; what they say stands in our own log too.
    env.setdefault("GRPC_VERBOSITY", "NONE")
    if process is CACHE and not plan.runs(CLAUDE):
        env |= {name: value for name, value in plan.environ.items() if name.startswith("ANTHROPIC_")}
    offered = _shared(plan) | _own(process, plan, database_url=database_url, redis_url=redis_url)
    return env | {PREFIX + name: value for name, value in offered.items() if PREFIX + name in known}


def _shared(plan: Plan) -> dict[str, str]:
    return {
        "STATE_DIR": str(plan.state_dir),
        "LOG_FORMAT": plan.log_format,
        "CALLERS_FILE": str(plan.state_dir / "callers.json"),
        "HANDOFF_TARGET": plan.target(HANDOFF),
        "CACHE_TARGET": plan.target(CACHE),
        "GATEWAY_TARGET": plan.target(GATEWAY),
        "BOT_TARGETS": ",".join(f"{bot.name}={plan.target(bot)}" for bot in plan.bots),
    }


def _own(process: Process, plan: Plan, *, database_url: str, redis_url: str) -> dict[str, str]:
    state = plan.state_dir
    own = {
        "LISTEN": plan.target(process),
        "DATABASE_URL": database_url,
        # The page of the CRM stand-in looks at the gateway as the console does.
        "TOKEN_FILE": str(token_path(state, "console" if process is CRM else process.name)),
    }
    if process.http_port is not None:
        own["HTTP_LISTEN"] = f"127.0.0.1:{plan.ports[f'{process.name}_http_port']}"
    if process.cache_store:
        own["REDIS_URL"] = redis_url
    if process is HANDOFF:
        own["TICKET_KEY_FILE"] = str(state / "ticket.key")
    if process is HANDOFF or process in plan.bots:
        own["TICKET_PUBLIC_KEYS_FILE"] = str(state / "ticket.pub.json")
    if process is GATEWAY:
        own["SUPPRESSION_KEY_FILE"] = str(state / "suppression.key")
    if process in (GATEWAY, CRM) and plan.runs(CRM):
        own |= {
            "CRM_URL": f"http://{plan.target(CRM)}",
            "CRM_TOKEN_FILE": str(token_path(state, "crm")),
            "WORKFLOW_SECRET_FILE": str(state / "workflow.secret"),
            "WEBHOOK_URL": f"http://127.0.0.1:{plan.ports.get('gateway_http_port', 8080)}",
            "WEBHOOK_PUBLIC_KEY_FILE": str(state / "webhook.pub"),
        }
    if process is GATEWAY and plan.runs(CRM):
        # Nobody is at the other end but the stand-in, and whoever tries it does not want to wait long.
        own |= {
            name: value
            for name, value in (("DELIVERY", "live"), ("DEBOUNCE_SECONDS", "2"))
            if PREFIX + name not in plan.environ
        }
    if process is CACHE and plan.runs(CLAUDE):
        own |= {"ANTHROPIC_BASE_URL": f"http://{plan.target(CLAUDE)}", "ANTHROPIC_API_KEY": "stand-in"}
    if process is CRM:
        own["WEBHOOK_KEY_FILE"] = str(state / "webhook.key")
    return own
