"""The console script `porchlight`."""

import argparse
import asyncio
import os
import sys
from collections.abc import Callable, Coroutine, Sequence
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
    ticket_key = commands.add_parser("ticket-key", help="make a second key for handoff tickets; see docs/deploy.md")
    ticket_key.add_argument("name", help="what it is to be called, such as k2")
    commands.add_parser("doctor", help="say which stores would be used, and why")
    lanes = commands.add_parser("lanes", help="list contacts that wait, longest first")
    lanes.add_argument("--most", type=int, default=50, help="how many at most, 1 to 200")
    _add_cache(commands.add_parser("cache", help="explain and judge answers of the cache; statistics and spend"))
    _add_prompts(commands.add_parser("prompts", help="show the versions of prompts, store new ones, say which is used"))
    setup = commands.add_parser("setup", help="make what containers need: secrets, certificates, the database")
    setup.add_argument("--into", type=Path, required=True, help="directory that gets a folder per process")
    setup.add_argument("--secrets-only", action="store_true", help="leave the database alone")
    health = commands.add_parser("health", help="ask servers whether they are well; 1 when one is not")
    health.add_argument("targets", nargs="+", help="host:port of a gRPC server, http://host:port of an HTTP server")
    kinds = commands.add_parser("load", help="load data into the database").add_subparsers(dest="what", required=True)
    kinds.add_parser("sample", help="load the sales and the listings that come with the project")
    sales = kinds.add_parser("sales", help="load sales from a CSV; safe to repeat")
    sales.add_argument("file", type=Path, help="the CSV; its first line names the columns")
    sales.add_argument("--source", required=True, help="short name of the set, such as king_county")
    sales.add_argument("--title", default="", help="what people are told that it is; default the short name")
    sales.add_argument("--map", required=True, help="their columns and our fields: column=field,column=field,...")
    _add_load_listings(kinds.add_parser("listings", help="replace a source's homes for sale by those of a file"))
    given = parser.parse_args(arguments)
    run: dict[str, Callable[[argparse.Namespace], int]] = {
        "up": _up,
        "migrate": _migrate,
        "token": _token,
        "ticket-key": _ticket_key,
        "doctor": _doctor,
        "lanes": _lanes,
        "cache": _cache,
        "prompts": _prompts,
        "setup": _setup,
        "health": _health,
        "load": _load,
    }
    try:
        return run[given.command](given)
    except ValueError as error:  # settings that are unknown or not acceptable
        return _refuse(str(error))
    except BrokenPipeError:  # whoever read our output has seen enough, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _add_cache(parser: argparse.ArgumentParser) -> None:
    kinds = parser.add_subparsers(dest="what", required=True)
    stats = kinds.add_parser("stats", help="answers by tier, what they saved and cost, how many were wrong")
    stats.add_argument("--prompt", default="", help="of one prompt only")
    stats.add_argument("--hours", type=int, default=24, help="how far back, 1 to 744; default 24")
    spend = kinds.add_parser("spend", help="what Claude cost by day, tenant, prompt and model")
    spend.add_argument("--days", type=int, default=30, help="how far back, 1 to 366; default 30")
    for command in (stats, spend):
        command.add_argument("--tenant", default="", help="of one CRM location only")
    explain = kinds.add_parser("explain", help="say why an answer was given")
    feedback = kinds.add_parser("feedback", help="say that an answer was right or wrong; a wrong one is removed")
    for command in (explain, feedback):
        command.add_argument("answer_id", help="the answer_id of the response, of a turn or of a log line")
        command.add_argument("--tenant", default="loc_sandbox", help="the CRM location; default loc_sandbox")
    feedback.add_argument("verdict", choices=("right", "wrong"))


def _add_prompts(parser: argparse.ArgumentParser) -> None:
    kinds = parser.add_subparsers(dest="what", required=True)
    kinds.add_parser("list", help="all prompts and where their labels point")
    show = kinds.add_parser("show", help="print a version as a prompt file")
    diff = kinds.add_parser("diff", help="what differs between two versions")
    put = kinds.add_parser("put", help="store a prompt file as a new version; used once you say so")
    put.add_argument("file", type=Path, help="as `show` prints it")
    put.add_argument("--check", action="store_true", help="say only whether it could be stored")
    use = kinds.add_parser("use", help="put a version to use, on all replicas within a second")
    back = kinds.add_parser("rollback", help="use again what was used before")
    for command in (show, diff, use, back):
        command.add_argument("name", help="the prompt, such as lead.extract")
    show.add_argument("--version", type=int, default=0, help="default the one in use")
    diff.add_argument("before", type=int)
    diff.add_argument("after", type=int)
    use.add_argument("version", type=int)
    for command in (use, back):
        command.add_argument("--label", default="production", help="default production")
    for command in (put, use, back):
        command.add_argument("--reason", required=True, help="kept with the change")


def _refuse(message: str) -> int:
    sys.stderr.write(f"porchlight: {message}\n")
    return 1


def _state_dir() -> Path:
    return Path(os.environ.get("PORCHLIGHT_STATE_DIR", ".porchlight"))


def _database_url() -> str:
    """Return the owner's URL: the one given, or that of a running `up`; empty when there is neither."""
    url, running = os.environ.get("PORCHLIGHT_DATABASE_URL", ""), _state_dir() / "database.url"
    return running.read_text().strip() if not url and running.exists() else url


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


def _load_listings(given: argparse.Namespace, url: str) -> int:
    from migrations.load_listings import Origin, load_listings
    from sandbox.load import show_progress

    as_of = given.as_of or datetime.now(UTC).date()
    origin = Origin(tenant_id=given.tenant, source=given.source, as_of=as_of, sample=given.sample)
    loaded = asyncio.run(load_listings(url, given.file, origin, columns=given.map, progress=show_progress))
    for row in loaded.skipped:
        sys.stderr.write(f"line {row.line} skipped: {row.reason}\n")
    if unlisted := loaded.skipped_count - len(loaded.skipped):
        sys.stderr.write(f"and {unlisted} more\n")
    sys.stdout.write(f"{loaded.loaded_count} listings loaded, {loaded.skipped_count} skipped\n")
    return 0 if loaded.loaded_count else 1


def _token(given: argparse.Namespace) -> int:
    from sandbox.keys import token_path

    try:
        sys.stdout.write(token_path(_state_dir(), given.name).read_text())
    except FileNotFoundError:
        return _refuse(f"no token called {given.name} in {_state_dir()}; `porchlight up` makes them")
    return 0


def _ticket_key(given: argparse.Namespace) -> int:
    from sandbox.keys import add_ticket_key

    made = add_ticket_key(_state_dir(), given.name)
    sys.stdout.write(f"{made} is made, and {given.name} is among the public keys\n")
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
    from kit.rpc.tls import channel_credentials
    from kit.settings import Settings
    from sandbox.lanes import rows

    target = os.environ.get("PORCHLIGHT_GATEWAY_TARGET", "127.0.0.1:50056")
    return _print(rows(_state_dir(), target, most=given.most, credentials=channel_credentials(Settings())))


def _cache(given: argparse.Namespace) -> int:
    from sandbox.cache_desk import run

    return _ask_cache(run, given)


def _prompts(given: argparse.Namespace) -> int:
    from sandbox.prompt_desk import run

    return _ask_cache(run, given)


def _ask_cache(run: Callable[..., Coroutine[None, None, Sequence[str]]], given: argparse.Namespace) -> int:
    from kit.rpc.tls import channel_credentials
    from kit.settings import Settings

    target = os.environ.get("PORCHLIGHT_CACHE_TARGET", "127.0.0.1:50055")
    return _print(run(given, _state_dir(), target, channel_credentials(Settings())))


def _print(asking: Coroutine[None, None, Sequence[str]]) -> int:
    """Print the lines that a service answers an operator with."""
    from kit.errors import PorchlightError

    try:
        for row in asyncio.run(asking):
            sys.stdout.write(row + "\n")
    except FileNotFoundError:
        return _refuse(f"no operator token in {_state_dir()}; `porchlight up` makes it")
    except PorchlightError as error:
        return _refuse(str(error))
    return 0


def _setup(given: argparse.Namespace) -> int:
    from kit.clock import utc_now
    from sandbox.environment import load_settings
    from sandbox.setup import prepare_database, write_secrets

    settings = load_settings(os.environ)
    state_dir, into = settings.state_dir.absolute(), given.into
    write_secrets(state_dir, into, now=utc_now())
    sys.stdout.write(f"secrets are in {into}\n")
    if given.secrets_only:
        return 0
    url = settings.database_url.get_secret_value()
    if not url:
        return _refuse("no database: set PORCHLIGHT_DATABASE_URL, or say --secrets-only")
    try:
        loaded = asyncio.run(prepare_database(state_dir, into, url))
    except OSError as error:
        return _refuse(f"the database does not answer: {error}")
    sys.stdout.write(f"the database is up to date; {len(loaded)} prompts\n")
    return 0


def _health(given: argparse.Namespace) -> int:
    from kit.rpc.tls import channel_credentials
    from kit.settings import Settings
    from sandbox.health import answers_http, says_serving

    async def well(target: str) -> bool:
        host, _, port = target.removeprefix("http://").rpartition(":")
        if target.startswith("http://"):
            return await answers_http(int(port), host)
        return await says_serving(host, int(port), channel_credentials(Settings()))

    async def ask() -> dict[str, bool]:
        return {target: await well(target) for target in given.targets}

    answers = asyncio.run(ask())
    for target, answer in answers.items():
        sys.stdout.write(f"{target} {'serves' if answer else 'does not serve'}\n")
    return 0 if all(answers.values()) else 1


def _load(given: argparse.Namespace) -> int:
    from migrations.load_listings import load_sample_listings
    from sandbox.load import load_file, load_sample
    from sandbox.up import ROOT

    async def load_samples() -> None:
        await load_sample(url, say=sys.stdout.write)
        await load_sample_listings(url, ROOT)

    async def load_sales() -> None:
        title = given.title or given.source
        await load_file(url, given.file, source=given.source, title=title, mapping=given.map, say=sys.stdout.write)

    url = _database_url()
    if not url:
        return _refuse("no database: set PORCHLIGHT_DATABASE_URL, or start `porchlight up`")
    try:
        if given.what == "listings":
            return _load_listings(given, url)
        asyncio.run(load_samples() if given.what == "sample" else load_sales())
    except OSError as error:
        return _refuse(str(error))
    return 0


if __name__ == "__main__":
    sys.exit(main())
