"""One process that the sandbox started: spawned in its own session, ended for certain, found again after a crash."""

import asyncio
import fcntl
import os
import pwd
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

POLL_SECONDS = 0.02


class StartFailed(Exception):
    """A process of the sandbox could not be started; the message says what to do about it."""


class Child:
    """A running process with a pid file, stoppable from any event loop.

    `subprocess.Popen`, not asyncio's: a test session starts a store in one event
    loop and stops it in another, and asyncio kills its processes with their loop.
    """

    def __init__(self, name: str, process: subprocess.Popen[bytes], pid_file: Path) -> None:
        self.name = name
        self.process = process
        self._pid_file = pid_file

    @property
    def pid(self) -> int:
        """The process id, which is also the id of its process group."""
        return self.process.pid

    @property
    def running(self) -> bool:
        """Whether the process has not ended yet."""
        return self.process.poll() is None

    async def wait(self, seconds: float | None = None) -> int | None:
        """Wait until the process ends; None if `seconds` pass first."""
        deadline = None if seconds is None else asyncio.get_running_loop().time() + seconds
        while self.process.poll() is None:
            if deadline is not None and asyncio.get_running_loop().time() >= deadline:
                return None
            await asyncio.sleep(POLL_SECONDS)
        return self.process.returncode

    async def stop(self, *, by: signal.Signals = signal.SIGTERM, seconds: float = 10.0) -> int:
        """Ask the process to end with signal `by`; after `seconds` kill its whole group."""
        if self.running:
            with suppress(ProcessLookupError):
                self.process.send_signal(by)
            await self.wait(seconds)
        # The group also when its leader ended in time: a hanging grandchild must not outlive it.
        self.kill()
        code = self.process.wait()
        self._pid_file.unlink(missing_ok=True)
        return code

    def kill(self) -> None:
        """Send SIGKILL to the process and everything in its group."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)


def spawn(
    name: str,
    command: Sequence[str],
    *,
    run_dir: Path,
    output: IO[bytes] | int,
    env: Mapping[str, str] | None = None,
    user: str | None = None,
    cwd: Path | None = None,
) -> Child:
    """Start `command` in a session of its own and note its pid under `run_dir`.

    Raises:
        StartFailed: The program cannot be executed.
    """
    try:
        process = subprocess.Popen(
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=None if env is None else dict(env),
            user=user,
            group=None if user is None else pwd.getpwnam(user).pw_gid,
            extra_groups=None if user is None else [],
            cwd=cwd,
            start_new_session=True,
        )
    except OSError as error:
        raise StartFailed(f"{name}: {command[0]} cannot be run: {error.strerror}") from error
    run_dir.mkdir(parents=True, exist_ok=True)
    pid_file = run_dir / f"{name}.pid"
    pid_file.write_text(f"{process.pid}\n")
    return Child(name, process, pid_file)


async def end_orphan(name: str, *, run_dir: Path, marker: str, by: signal.Signals, seconds: float = 10.0) -> bool:
    """End the process that a killed launcher left behind; True if there was one.

    A pid is used again sooner or later, so the process is only touched when its
    command line holds `marker`. Call it while holding the directory's lock.
    """
    pid_file = run_dir / f"{name}.pid"
    try:
        pid = int(pid_file.read_text())
    except (FileNotFoundError, ValueError):
        return False
    found = marker in command_line(pid)
    if found:
        with suppress(ProcessLookupError):
            os.kill(pid, by)
        for _ in range(int(seconds / POLL_SECONDS)):
            if marker not in command_line(pid):
                break
            await asyncio.sleep(POLL_SECONDS)
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)
    pid_file.unlink(missing_ok=True)
    return found


def command_line(pid: int) -> str:
    """Return a process's command line, "" when it is gone."""
    proc = Path(f"/proc/{pid}/cmdline")
    if Path("/proc/self/cmdline").exists():
        try:
            return proc.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            return ""
    asked = subprocess.run(["ps", "-p", str(pid), "-o", "command="], capture_output=True, text=True, check=False)  # noqa: S607
    return asked.stdout.strip()


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 that nobody listens on, and that is given to nobody else while this process lives."""
    probe = socket.socket()
    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    probe.bind(("127.0.0.1", 0))
    port: int = probe.getsockname()[1]
    if sys.platform == "linux":
        # Bound and never listening: the kernel gives the port to no one who asks for any, and a server may have it.
        probe.detach()
    else:
        probe.close()  # elsewhere the server would be refused
    return port


def port_taken(port: int, host: str = "127.0.0.1") -> bool:
    """Say whether somebody holds `port`; 0 (choose one for me) never is."""
    with socket.socket() as probe:
        # As the servers do it: without this a port in TIME_WAIT from our own last run would look taken.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return True
    return False


def lock_directory(path: Path) -> IO[bytes]:
    """Take the directory for this process alone; the lock ends with the returned file or the process.

    Raises:
        StartFailed: Another process holds it.
    """
    path.mkdir(parents=True, exist_ok=True)
    held = (path / "lock").open("ab")
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        held.close()
        raise StartFailed(f"{path} is in use by another running porchlight") from error
    return held
