"""The launcher: two small processes with real health servers, and the real stores."""

import asyncio
import os
import re
import signal
import socket
import stat
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest

from kit.settings import Settings
from sandbox.child import StartFailed, command_line, free_port
from sandbox.environment import UpSettings, load_settings
from sandbox.roles_pg import answers
from sandbox.table import PROCESSES, Process
from sandbox.up import Launcher, run_until_signal

ALPHA = Process(name="alpha", module="tests.support.fake_service", port=0, tier=1, database_group="porchlight_bot")
BETA = Process(name="beta", module="tests.support.fake_service", port=0, cache_store=True)
DEAF = Process(name="deaf", module="tests.support.fake_hanging", port=0)


class Sandbox:
    """A launcher at work and what it has said so far."""

    def __init__(self, state_dir: Path, processes: Sequence[Process], *, drain_seconds: float = 2.0) -> None:
        self.lines: list[str] = []
        self._changed = asyncio.Event()
        settings = UpSettings(state_dir=state_dir, drain_seconds=drain_seconds)
        self.launcher = Launcher(settings, {"PATH": os.environ["PATH"]}, self._hear, processes)

    def _hear(self, line: str) -> None:
        self.lines.append(line)
        self._changed.set()

    async def said(self, pattern: str, *, times: int = 1) -> str:
        while len(found := [line for line in self.lines if re.search(pattern, line)]) < times:
            self._changed.clear()
            await self._changed.wait()
        return found[-1]


@asynccontextmanager
async def up(sandbox: Sandbox) -> AsyncIterator[Sandbox]:
    work = asyncio.create_task(sandbox.launcher.run())
    ready = asyncio.create_task(sandbox.said("^ready"))
    await asyncio.wait({work, ready}, return_when=asyncio.FIRST_COMPLETED)
    ready.cancel()
    if work.done():
        await work
    yield sandbox
    work.cancel()
    await asyncio.gather(work, return_exceptions=True)


def pid_of(state_dir: Path, name: str) -> int:
    return int((state_dir / "run" / f"{name}.pid").read_text())


def alive(pid: int) -> bool:
    return command_line(pid) != ""


async def test_everything_that_was_started_is_gone_after_the_stop(state_dir: Path) -> None:
    async with up(Sandbox(state_dir, [ALPHA, BETA])):
        pids = [pid_of(state_dir, name) for name in ("postgres", "valkey", "alpha", "beta")]
        assert all(alive(pid) for pid in pids)
    assert not any(alive(pid) for pid in pids)
    assert list((state_dir / "run").iterdir()) == []


async def test_process_that_hangs_dies_with_its_children(state_dir: Path) -> None:
    async with up(Sandbox(state_dir, [DEAF], drain_seconds=0)) as sandbox:
        said = await sandbox.said("grandchild")
        grandchild = int(said.rpartition(" ")[2])
        assert alive(grandchild)
    assert not alive(grandchild)


async def test_killed_process_is_started_again(state_dir: Path) -> None:
    async with up(Sandbox(state_dir, [ALPHA])) as sandbox:
        killed = pid_of(state_dir, "alpha")
        os.kill(killed, signal.SIGKILL)
        await sandbox.said("alpha is healthy again")
        assert pid_of(state_dir, "alpha") != killed


@pytest.mark.parametrize("store", ["postgres", "valkey"])
async def test_killed_store_is_started_again_where_it_was(state_dir: Path, store: str) -> None:
    async with up(Sandbox(state_dir, [ALPHA])) as sandbox:
        url = (state_dir / "database.url").read_text().strip()
        os.kill(pid_of(state_dir, store), signal.SIGKILL)
        await sandbox.said(f"{store} is healthy again")
        assert await answers(url)


async def test_process_left_by_a_killed_launcher_is_ended_first(state_dir: Path) -> None:
    orphan = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        ALPHA.module,
        env=os.environ | {"PORCHLIGHT_LISTEN": "127.0.0.1:0"},
        start_new_session=True,
    )
    (state_dir / "run").mkdir()
    (state_dir / "run" / "alpha.pid").write_text(f"{orphan.pid}\n")
    async with up(Sandbox(state_dir, [ALPHA])) as sandbox:
        await sandbox.said("ended alpha, left behind")
        assert await orphan.wait() is not None


async def test_taken_port_is_named_and_nothing_is_started(state_dir: Path) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        taken = Process(name="alpha", module=ALPHA.module, port=port)
        with pytest.raises(StartFailed, match=rf"port {port} is taken.*PORCHLIGHT_ALPHA_PORT"):
            await Sandbox(state_dir, [taken]).launcher.run()
    assert list((state_dir / "run").iterdir()) == []


def test_port_that_was_chosen_is_left_to_whom_it_was_chosen_for() -> None:
    ports = [free_port() for _ in range(300)]
    assert len(set(ports)) == len(ports)
    with socket.socket() as other, pytest.raises(OSError, match="in use"):
        other.bind(("127.0.0.1", ports[0]))
    with socket.create_server(("127.0.0.1", ports[0])) as server:
        server.listen()


async def test_process_that_never_gets_healthy_ends_the_start(state_dir: Path) -> None:
    broken = Process(name="broken", module="tests.support.no_such_module", port=0)
    with pytest.raises(StartFailed, match="broken did not become healthy"):
        await Sandbox(state_dir, [broken, ALPHA]).launcher.run()
    assert list((state_dir / "run").iterdir()) == []


async def test_second_launcher_on_the_same_directory_is_refused(state_dir: Path) -> None:
    async with up(Sandbox(state_dir, [ALPHA])):
        with pytest.raises(StartFailed, match="in use"):
            await Sandbox(state_dir, [ALPHA]).launcher.run()


async def test_pipe_of_a_child_is_closed_however_early_the_stop_comes(state_dir: Path) -> None:
    """Goal: no descriptor is left when a process is stopped before a line of it was read."""
    launcher = Sandbox(state_dir, [ALPHA]).launcher
    work = asyncio.create_task(launcher.run())
    while "alpha" not in launcher._children:
        await asyncio.sleep(0)
    work.cancel()
    await asyncio.gather(work, return_exceptions=True)
    pipe = launcher._children["alpha"].process.stdout
    assert pipe is not None and pipe.closed


async def test_each_process_is_given_only_its_own_secrets(state_dir: Path) -> None:
    async with up(Sandbox(state_dir, [ALPHA, BETA])) as sandbox:
        alpha, beta = await sandbox.said("alpha.*given"), await sandbox.said("beta.*given")
        assert "DATABASE_URL" in alpha and "REDIS_URL" not in alpha
        assert "REDIS_URL" in beta and "DATABASE_URL" not in beta
        assert "ANTHROPIC" not in alpha + beta


async def test_service_role_logs_in_and_cannot_read_a_table(state_dir: Path) -> None:
    async with up(Sandbox(state_dir, [ALPHA])) as sandbox:
        connection = await asyncpg.connect(sandbox.launcher._database_urls["alpha"])
        try:
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.fetch("select * from porchlight.contact")
        finally:
            await connection.close()


async def test_tokens_stay_the_same_and_private_over_a_restart(state_dir: Path) -> None:
    seen = []
    for _ in range(2):
        async with up(Sandbox(state_dir, [ALPHA])):
            seen.append((state_dir / "tokens/operator").read_text())
    assert seen[0] == seen[1]
    private = [path for path in state_dir.glob("*") if path.is_file() and path.name != "lock"]
    assert all(stat.S_IMODE(path.stat().st_mode) & 0o077 == 0 for path in private), private
    assert stat.S_IMODE((state_dir / "tokens/operator").stat().st_mode) == 0o600


async def test_sigterm_stops_in_order_and_ends_with_0(state_dir: Path) -> None:
    sandbox = Sandbox(state_dir, [ALPHA, BETA])
    work = asyncio.create_task(run_until_signal(sandbox.launcher, sandbox.lines.append))
    await sandbox.said("^ready")
    os.kill(os.getpid(), signal.SIGTERM)
    assert await work == 0


def test_misspelt_setting_is_refused() -> None:
    with pytest.raises(ValueError, match="PORCHLIGHT_LAED_PORT"):
        load_settings({"PORCHLIGHT_LAED_PORT": "1"})


def test_every_port_of_the_table_is_a_setting() -> None:
    fields = UpSettings.model_fields
    assert issubclass(UpSettings, Settings)
    assert all(f"{process.name}_port" in fields for process in PROCESSES)
