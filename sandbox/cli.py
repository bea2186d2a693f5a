"""The console script `porchlight`."""

import argparse
import asyncio
import os
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from pathlib import Path

# Every command imports what it needs itself: `porchlight token` must not wait for gRPC and SQLAlchemy.


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return the exit code."""
    parser = argparse.ArgumentParser(prog="porchlight", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("up", help="start everything here, until Ctrl-C")
    commands.add_parser("migrate", help="bring the database up to date and load the prompts")
    token = commands.add_parser("token", help="print a caller's token, for grpcurl")
    token.add_argument("name", nargs="?", default="operator", help="operator, console or a service; default operator")
    commands.add_parser("doctor", help="say which stores would be used, and why")
    lanes = commands.add_parser("lanes", help="list contacts that wait, longest first")
    lanes.add_argument("--most", type=int, default=50, help="how many at most, 1 to 200")
    kinds = commands.add_parser("load", help="load data from a CSV file").add_subparsers(dest="kind", required=True)
    _add_load_listings(kinds.add_parser("listings", help="replace a source's homes for sale by those of a file"))
    given = parser.parse_args(arguments)
    run: dict[str, Callable[[argparse.Namespace], int]] = {
        "up": _up,
        "migrate": _migrate,
        "token": _token,
        "doctor": _doctor,
        "lanes": _lanes,
        "load": _load,
    }
    try:
        return run[given.command](given)
    except ValueError as error:  # settings that are unknown or not acceptable
        return _refuse(str(error))
    except BrokenPipeError:  # whoever read our output has seen enough, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _refuse(message: str) -> int:
    sys.stderr.write(f"porchlight: {message}\n")
    return 1


def _state_dir() -> Path:
    return Path(os.environ.get("PORCHLIGHT_STATE_DIR", ".porchlight"))


def _database_url() -> str:
    """Return the URL of the schema's owner: the one set, else that of a running `up`, else an empty one."""
    running = _state_dir() / "database.url"
    if url := os.environ.get("PORCHLIGHT_DATABASE_URL", ""):
        return url
    return running.read_text().strip() if running.exists() else ""


def _up(_: argparse.Namespace) -> int:
    from sandbox.up import main as up

    return up()


def _migrate(_: argparse.Namespace) -> int:
    from migrations.prompts import load_prompts
    from migrations.run import migrate
    from sandbox.up import ROOT

    url = _database_url()
    if not url:
        return _refuse("no database: set PORCHLIGHT_DATABASE_URL, or start `porchlight up`, which migrates by itself")

    async def work() -> None:
        await migrate(url)
        loaded = await load_prompts(url, ROOT)
        sys.stdout.write(f"up to date; {len(loaded)} prompts\n")

    try:
        asyncio.run(work())
    except OSError as error:
        return _refuse(f"the database does not answer: {error}")
    return 0


def _add_load_listings(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, help="CSV with a header")
    parser.add_argument("--source", required=True, help="where the listings are from; said in answers")
    parser.add_argument(
        "--map", default="", metavar="COLUMN=FIELD,...", help="columns that are not called as our fields"
    )
    parser.add_argument("--tenant", default="loc_sandbox", help="the CRM location they are for; default loc_sandbox")
    parser.add_argument("--as-of", type=date.fromisoformat, help="the day they speak of, YYYY-MM-DD; default today")
    parser.add_argument("--sample", action="store_true", help="they are no homes for sale; every text says so")


def _load(given: argparse.Namespace) -> int:
    from migrations.load_listings import Origin, load_listings

    url = _database_url()
    if not url:
        return _refuse("no database: set PORCHLIGHT_DATABASE_URL, or start `porchlight up`")
    as_of = given.as_of or datetime.now(UTC).date()
    origin = Origin(tenant_id=given.tenant, source=given.source, as_of=as_of, sample=given.sample)
    try:
        loaded = asyncio.run(load_listings(url, given.file, origin, columns=given.map, progress=_show_progress))
    except OSError as error:
        return _refuse(str(error))
    for row in loaded.skipped:
        sys.stderr.write(f"line {row.line} skipped: {row.reason}\n")
    if unlisted := loaded.skipped_count - len(loaded.skipped):
        sys.stderr.write(f"and {unlisted} more\n")
    sys.stdout.write(f"{loaded.loaded_count} listings loaded, {loaded.skipped_count} skipped\n")
    return 0 if loaded.loaded_count else 1


def _show_progress(done: int, whole: int) -> None:
    """Draw a bar where somebody watches."""
    if sys.stderr.isatty():
        filled = 30 * done // max(1, whole)
        sys.stderr.write(f"\r[{'#' * filled}{'.' * (30 - filled)}] {done:,} of {whole:,} lines")
        sys.stderr.write("\n" if done >= whole else "")
        sys.stderr.flush()


def _token(given: argparse.Namespace) -> int:
    from sandbox.keys import token_path

    try:
        sys.stdout.write(token_path(_state_dir(), given.name).read_text())
    except FileNotFoundError:
        return _refuse(f"no token called {given.name} in {_state_dir()}; `porchlight up` makes them")
    return 0


def _doctor(_: argparse.Namespace) -> int:
    from sandbox import postgres, valkey
    from sandbox.child import StartFailed
    from sandbox.stores import Choice, account
    from sandbox.table import STAND_INS

    missing = 0
    chosen: list[tuple[str, str, Callable[[], Choice]]] = [
        ("postgres", "PORCHLIGHT_DATABASE_URL", lambda: postgres.choose(_state_dir() / "postgres" / "data", account())),
        ("valkey", "PORCHLIGHT_REDIS_URL", valkey.choose),
    ]
    for name, variable, choose in chosen:
        if os.environ.get(variable):
            sys.stdout.write(f"{name}: the server of {variable}\n")
            continue
        try:
            choice = choose()
            sys.stdout.write(f"{name}: {choice.source}, {choice.version}, {choice.program}\n  {choice.why}\n")
        except StartFailed as failure:
            missing += 1
            sys.stdout.write(f"{name}: none. {failure}\n")
    for stand_in in STAND_INS:
        state = "off" if any(map(os.environ.get, stand_in.stand_in_for)) else "on"
        sys.stdout.write(f"{stand_in.name} stand-in: {state}; {' or '.join(stand_in.stand_in_for)} turns it off\n")
    return 1 if missing else 0


def _lanes(given: argparse.Namespace) -> int:
    from kit.errors import PorchlightError
    from sandbox.lanes import rows

    target = os.environ.get("PORCHLIGHT_GATEWAY_TARGET", "127.0.0.1:50056")
    try:
        for row in asyncio.run(rows(_state_dir(), target, most=given.most)):
            sys.stdout.write(row + "\n")
    except FileNotFoundError:
        return _refuse(f"no operator token in {_state_dir()}; `porchlight up` makes it")
    except PorchlightError as error:
        return _refuse(str(error))
    return 0


if __name__ == "__main__":
    sys.exit(main())
