"""`porchlight setup`: what containers need before they start. Safe to repeat; what is there stays.

One folder per process, so that each container can be given its own and nothing else.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from migrations.prompts import load_prompts
from migrations.run import migrate
from sandbox import certificates, keys, roles_pg
from sandbox.stores import make_state_dir, secret, write_private
from sandbox.table import BOTS, CALLERS, CRM, GATEWAY, HANDOFF, PROCESSES, Process
from sandbox.up import ROOT

POSTGRES: Final = "postgres"
"""The folder of the database server: the password of its owner."""


def write_secrets(state_dir: Path, into: Path, processes: Sequence[Process] = PROCESSES, *, now: datetime) -> None:
    """Make all secrets and certificates, and copy to each process's folder what it may know.

    Args:
        state_dir: Where the originals are kept, the authority's key too.
        into: Parent of the folders, which may be there already, as mounts are.
        processes: Those that get a folder.
        now: The moment from which certificates are good.
    """
    state_dir = make_state_dir(state_dir)
    serving = [each.name for each in processes if "grpc" in each.health]
    keys.make_all(state_dir, [*serving, *CALLERS])
    certificates.make_all(state_dir / "tls", servers=serving, callers=CALLERS, now=now)
    for process in processes:
        for name, source in secrets_of(process, state_dir).items():
            _place(into / process.name / name, source.read_text(encoding="utf-8"))
    password = into / POSTGRES / "password"
    _place(password, secret(state_dir / "logins" / POSTGRES))
    # The server's image has an account of its own; nobody else mounts this folder.
    password.chmod(0o444)
    password.parent.chmod(0o755)


def secrets_of(process: Process, state_dir: Path) -> Mapping[str, Path]:
    """Return the files that a process may have: name in its folder -> original."""
    files: dict[str, Path] = {}
    # The page of the CRM stand-in looks at the gateway as the console does.
    caller = "console" if process is CRM else process.name
    if process is CRM or "grpc" in process.health:
        files |= {
            "token": keys.token_path(state_dir, caller),
            "ca.pem": state_dir / "tls" / "ca.pem",
            "tls.pem": state_dir / "tls" / f"{caller}.pem",
            "tls.key": state_dir / "tls" / f"{caller}.key",
        }
    if "grpc" in process.health:
        files["callers.json"] = state_dir / "callers.json"
    if process is HANDOFF:
        files["ticket.key"] = state_dir / "ticket.key"
    if process is HANDOFF or process in BOTS:
        files["ticket.pub.json"] = state_dir / "ticket.pub.json"
    if process is GATEWAY:
        files |= {name: state_dir / name for name in ("workflow.secret", "suppression.key", "webhook.pub")}
    if process is CRM:
        files["webhook.key"] = state_dir / "webhook.key"
    if process in (GATEWAY, CRM):
        files["crm.token"] = keys.token_path(state_dir, "crm")
    return files


async def prepare_database(
    state_dir: Path, into: Path, url: str, processes: Sequence[Process] = PROCESSES
) -> Mapping[str, int]:
    """Migrate, load the prompts, give each process a login, and put its URL into its folder.

    Args:
        state_dir: Where the logins' passwords are kept.
        into: Parent of the processes' folders.
        url: Of the owner; without a password in it, the one that `write_secrets` made.
        processes: Those that get a login where the table says so.

    Returns:
        The version of each prompt by its name.

    Raises:
        OSError: The database does not answer.
    """
    url = owner_url(url, password=secret(state_dir / "logins" / POSTGRES))
    await migrate(url)
    loaded = await load_prompts(url, ROOT)
    for name, login in (await roles_pg.login_urls(url, state_dir, processes)).items():
        _place(into / name / "database.url", login)
    # For `porchlight migrate` with the same state directory.
    write_private(state_dir / "database.url", url + "\n")
    return loaded


def owner_url(url: str, *, password: str) -> str:
    """Return the URL with a password in it: its own, else the given one.

    >>> owner_url("postgresql://postgres@db:5432/porchlight", password="made")
    'postgresql://postgres:made@db:5432/porchlight'
    """
    parts = urlsplit(url)
    return url if parts.password else roles_pg.login_url(url, parts.username or POSTGRES, password)


def _place(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_private(path, text.rstrip("\n") + "\n")
