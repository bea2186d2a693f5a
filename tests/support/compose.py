"""docker-compose.yml as Compose would read it, and its processes run here with what it gives them."""

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from sandbox import postgres
from sandbox.roles_pg import ensure_database

ROOT = Path(__file__).parent.parent.parent
_VARIABLE = re.compile(r"\$\{(?P<name>\w+):-(?P<default>[^{}]*)\}")


def read(**variables: str) -> dict[str, Any]:
    """Return the file with `variables` set as a .env would set them.

    Raises:
        ValueError: A variable stands there without a default.
    """
    composed = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
    replaced: dict[str, Any] = _replace(composed, variables)
    return replaced


def _replace(node: Any, variables: Mapping[str, str]) -> Any:
    if isinstance(node, dict):
        return {key: _replace(value, variables) for key, value in node.items()}
    if isinstance(node, list):
        return [_replace(value, variables) for value in node]
    if not isinstance(node, str):
        return node
    text = _VARIABLE.sub(lambda found: variables.get(found["name"]) or found["default"], node)
    if "$" in text:
        raise ValueError(f"a variable without a default: {node}")
    return text


def environment(service: Mapping[str, Any]) -> dict[str, str]:
    """Return the whole environment of a container: its files, then what stands in the file itself."""
    found: dict[str, str] = {}
    for entry in service.get("env_file", ()):
        path, required = (entry, True) if isinstance(entry, str) else (entry["path"], entry["required"])
        file = ROOT / path
        if not required and not file.exists():
            continue
        lines = (line for line in file.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#"))
        found |= dict(line.split("=", 1) for line in lines)
    return found | service.get("environment", {})


CLEAN = {name: value for name, value in os.environ.items() if not name.startswith(("PORCHLIGHT_", "ANTHROPIC_", "PG"))}


@dataclass(frozen=True, kw_only=True)
class Deployment:
    """What `keys` and `setup` leave behind."""

    state_dir: Path
    secrets: Path
    said: str

    def environment(self, name: str, **other: str) -> dict[str, str]:
        """Return what compose gives a container, with paths of here."""
        given = environment(read()["services"][name])
        here = {key: value.replace("/run/porchlight", str(self.secrets / name)) for key, value in given.items()}
        return CLEAN | here | {"GRPC_VERBOSITY": "NONE"} | other


@asynccontextmanager
async def set_up(state_dir: Path) -> AsyncIterator[Deployment]:
    """Run what `keys` and `setup` run, against a Postgres of its own."""
    server = await postgres.start(state_dir / "store", durable=False)
    try:
        url = await ensure_database(server.admin_url, "porchlight")
        state, into = state_dir / "state", state_dir / "secrets"
        env = CLEAN | {"PORCHLIGHT_STATE_DIR": str(state)}
        code, _ = await run(["setup", "--into", str(into), "--secrets-only"], env)
        assert code == 0
        code, said = await run(["setup", "--into", str(into)], env | {"PORCHLIGHT_DATABASE_URL": url})
        assert code == 0, said
        yield Deployment(state_dir=state, secrets=into, said=said)
    finally:
        await server.stop()


async def run(arguments: list[str], env: Mapping[str, str]) -> tuple[int, str]:
    """Run a `porchlight` command; return its exit code and what it said."""
    command = [sys.executable, "-m", "sandbox.cli", *arguments]
    ran = await asyncio.create_subprocess_exec(
        *command, cwd=ROOT, env=env, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    said, _ = await ran.communicate()
    return ran.returncode or 0, said.decode()


@asynccontextmanager
async def serving(module: str, env: Mapping[str, str]) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run a process from `process.ready` until it has ended by SIGTERM."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", module, cwd=ROOT, env=env, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        said = b""
        while b"process.ready" not in said:
            line = await process.stdout.readline()
            assert line, f"{module} ended: {said.decode()}"
            said += line
        yield process
        process.send_signal(signal.SIGTERM)
        await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()
