"""`porchlight up`: stores, migrations, every process; kept running, and ended without a trace."""

import asyncio
import hashlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from kit.settings import Settings
from sandbox import environment, health, keys, postgres, roles_pg, valkey
from sandbox.child import Child, StartFailed, end_orphan, lock_directory, port_taken, spawn
from sandbox.stores import make_state_dir, write_private
from sandbox.table import CALLERS, CRM, GATEWAY, PROCESSES, Process

ROOT = Path(__file__).parent.parent
DATABASE = "porchlight"
READY_SECONDS = 60.0
FIRST_TRIES = 3
SHORTEST_PAUSE, LONGEST_PAUSE = 0.2, 10.0
# Having run this long, a process that ends has not failed at starting: it begins again at the shortest pause.
SETTLED_SECONDS = 30.0


class Launcher:
    """Starts everything in order and keeps it running until its task is cancelled."""

    def __init__(
        self,
        settings: Settings,
        environ: Mapping[str, str],
        say: Callable[[str], None],
        processes: Sequence[Process] = PROCESSES,
    ) -> None:
        self._settings = settings
        self._say = say
        running = tuple(each for each in processes if not any(map(environ.get, each.stand_in_for)))
        self._plan = environment.Plan(
            state_dir=settings.state_dir.absolute(),
            ports=environment.choose_ports(settings, running),
            processes=running,
            environ=environ,
            log_format=settings.log_format,
        )
        self._children: dict[str, Child] = {}
        self._ready = {each.name: asyncio.Event() for each in running}
        self._database_urls: dict[str, str] = {}
        self._postgres: postgres.Postgres | None = None
        self._valkey: valkey.Valkey | None = None

    async def run(self) -> None:
        """Run until cancelled; then stop everything, in reverse order.

        Raises:
            StartFailed: A port or the directory is taken, or something does not come up.
        """
        began = asyncio.get_running_loop().time()
        state_dir = make_state_dir(self._plan.state_dir)
        lock = lock_directory(state_dir)
        try:
            await self._end_orphans()
            self._check_ports()
            serving = (each.name for each in self._plan.processes if "grpc" in each.health)
            keys.make_all(state_dir, [*serving, *CALLERS])
            async with asyncio.TaskGroup() as group:
                # What needs no store starts beside the stores.
                later = []
                for process in self._plan.processes:
                    if process.database_group or process.cache_store:
                        later.append(process)
                    else:
                        group.create_task(self._keep(process))
                await self._start_stores()
                await self._prepare_database()
                for process in later:
                    group.create_task(self._keep(process))
                group.create_task(self._keep_postgres())
                group.create_task(self._keep_valkey())
                for event in self._ready.values():
                    await event.wait()
                self._say(self._ready_lines(asyncio.get_running_loop().time() - began))
        except BaseExceptionGroup as failures:
            raise _first(failures) from None
        finally:
            await self._stop()
            lock.close()

    def kill(self) -> None:
        """Kill every process at once; for the second Ctrl-C."""
        stores = [each.child for each in (self._postgres, self._valkey) if each and each.child]
        for child in (*self._children.values(), *stores):
            child.kill()

    async def _end_orphans(self) -> None:
        run_dir = self._plan.state_dir / "run"
        for process in self._plan.processes:
            marker = f"-m {process.module}"
            if await end_orphan(process.name, run_dir=run_dir, marker=marker, by=signal.SIGTERM):
                self._say(f"ended {process.name}, left behind by an earlier run")

    def _check_ports(self) -> None:
        stores = {"postgres_port": self._settings_port("postgres"), "valkey_port": self._settings_port("valkey")}
        wanted = [(name, port) for name, port in (*self._plan.ports.items(), *stores.items()) if port]
        taken = [(name, port) for name, port in wanted if port_taken(port)]
        if taken:
            lines = [f"port {port} is taken, by whom is unknown; set PORCHLIGHT_{name.upper()}" for name, port in taken]
            raise StartFailed("\n".join(lines))

    def _settings_port(self, store: str) -> int:
        return int(getattr(self._settings, f"{store}_port", 0))

    async def _start_stores(self) -> None:
        async def start_postgres() -> None:
            self._postgres = await postgres.start(
                self._plan.state_dir,
                port=self._settings_port("postgres"),
                given_url=self._settings.database_url.get_secret_value(),
            )

        async def start_valkey() -> None:
            self._valkey = await valkey.start(
                self._plan.state_dir,
                port=self._settings_port("valkey"),
                given_url=self._settings.redis_url.get_secret_value(),
            )

        async with asyncio.TaskGroup() as group:
            group.create_task(start_postgres())
            group.create_task(start_valkey())

    async def _prepare_database(self) -> None:
        assert self._postgres is not None
        url, state_dir = self._postgres.admin_url, self._plan.state_dir
        if self._postgres.child is not None:
            url = await roles_pg.ensure_database(url, DATABASE)
        # For `porchlight migrate` beside a running `up`.
        write_private(state_dir / "database.url", url + "\n")
        await self._migrate(url)
        self._database_urls |= await roles_pg.login_urls(url, state_dir, self._plan.processes)

    async def _migrate(self, url: str) -> None:
        """Migrate, load prompts and samples, unless our own database says that it holds just these already.

        The check saves the second start a good second: importing Alembic and
        SQLAlchemy costs more than starting Postgres.
        """
        assert self._postgres is not None
        ours, wanted = self._postgres.child is not None, _digest_of_sources()
        if ours and await roles_pg.comment_of_database(url) == wanted:
            return
        from migrations.load_listings import load_sample_listings
        from migrations.prompts import load_prompts
        from migrations.run import migrate
        from sandbox.load import load_sample

        await migrate(url)
        await load_prompts(url, ROOT)
        if ours:  # somebody's own database gets sample data only by `porchlight load`
            await load_sample(url)
            await load_sample_listings(url, ROOT)
            await roles_pg.comment_on_database(url, wanted)

    async def _keep(self, process: Process) -> None:
        """Run a process, and run it again whenever it ends, ever more slowly."""
        loop = asyncio.get_running_loop()
        pause, tries, ready = SHORTEST_PAUSE, 0, self._ready[process.name]
        while True:
            child = self._spawn(process)
            pump = loop.create_task(self._pump(child))
            began = loop.time()
            try:
                if await self._becomes_healthy(process, child):
                    if ready.is_set():
                        self._say(f"{process.name} is healthy again")
                    ready.set()
                    await child.wait()
                code = await child.stop()
            finally:
                pump.cancel()
            if not ready.is_set() and (tries := tries + 1) == FIRST_TRIES:
                raise StartFailed(f"{process.name} did not become healthy in {tries} tries; its output is above")
            if loop.time() - began > SETTLED_SECONDS:
                pause = SHORTEST_PAUSE
            self._say(f"{process.name} ended with code {code}; again in {pause:g} s")
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE)

    def _spawn(self, process: Process) -> Child:
        env = environment.for_process(
            process,
            self._plan,
            database_url=self._database_urls.get(process.name, ""),
            redis_url=self._valkey.url if self._valkey else "",
        )
        command = [sys.executable, "-m", process.module]
        run_dir = self._plan.state_dir / "run"
        child = spawn(process.name, command, run_dir=run_dir, output=subprocess.PIPE, env=env)
        self._children[process.name] = child
        return child

    async def _pump(self, child: Child) -> None:
        """Print what a process says, with its name before every line."""
        reader = asyncio.StreamReader(limit=1 << 20)
        loop = asyncio.get_running_loop()
        transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), child.process.stdout)
        try:
            while True:
                try:
                    line = await reader.readline()
                except ValueError:  # longer than the limit; dropped, the next one is whole again
                    continue
                if not line:
                    return
                self._say(f"{child.name:<8}| {line.decode(errors='replace').rstrip()}")
        finally:
            transport.close()

    async def _becomes_healthy(self, process: Process, child: Child) -> bool:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + READY_SECONDS
        while child.running and loop.time() < deadline:
            if await self._healthy(process):
                return True
            await asyncio.sleep(0.05)
        return False

    async def _healthy(self, process: Process) -> bool:
        ports = self._plan.ports
        port = ports[f"{process.name}_port"]
        if "grpc" in process.health and not await health.serving(port):
            return False
        return "http" not in process.health or await health.answers_http(ports.get(f"{process.name}_http_port", port))

    async def _keep_postgres(self) -> None:
        while self._postgres is not None and self._postgres.child is not None:
            code = await self._postgres.child.wait()
            self._say(f"postgres ended with code {code}; starting it again")
            port = roles_pg.port_of(self._postgres.admin_url)
            await self._postgres.stop()
            self._postgres = await postgres.start(self._plan.state_dir, port=port)
            self._say("postgres is healthy again")

    async def _keep_valkey(self) -> None:
        while self._valkey is not None and self._valkey.child is not None:
            code = await self._valkey.child.wait()
            self._say(f"valkey ended with code {code}; starting it again")
            port = roles_pg.port_of(self._valkey.url)
            await self._valkey.stop()
            self._valkey = await valkey.start(self._plan.state_dir, port=port)
            self._say("valkey is healthy again")

    async def _stop(self) -> None:
        seconds = self._settings.drain_seconds + 3
        for tier in sorted({each.tier for each in self._plan.processes}, reverse=True):
            names = {each.name for each in self._plan.processes if each.tier == tier}
            ending = [child.stop(seconds=seconds) for name, child in self._children.items() if name in names]
            await asyncio.gather(*ending)
        await asyncio.gather(*(store.stop() for store in (self._valkey, self._postgres) if store is not None))

    def _ready_lines(self, seconds: float) -> str:
        plan = self._plan
        lines = [f"ready in {seconds:.1f} s; Ctrl-C stops everything"]
        if plan.runs(CRM):
            lines.append(f"  phone page      http://{plan.target(CRM)}/")
        if plan.runs(GATEWAY):
            lines.append(f"  webhooks        http://127.0.0.1:{plan.ports['gateway_http_port']}/")
        grpc = [f"{each.name} {plan.target(each)}" for each in plan.processes if "grpc" in each.health]
        lines.append(f"  gRPC            {', '.join(grpc)}")
        lines.append(f"  operator token  {keys.token_path(plan.state_dir, 'operator')}")
        return "\n".join(lines)


def _digest_of_sources() -> str:
    """Return a digest over everything that decides what a migrated database holds."""
    found = hashlib.sha256()
    loaded = ("services/*/prompts/*.md", "sandbox/sample.py", "sandbox/data/*.*", "kit/homes.py")
    for pattern in ("migrations/**/*.py", "migrations/sql/*.sql", *loaded):
        for path in sorted(ROOT.glob(pattern)):
            found.update(f"{path.relative_to(ROOT)}\0".encode() + hashlib.sha256(path.read_bytes()).digest())
    return found.hexdigest()


def _first(failures: BaseExceptionGroup[BaseException]) -> BaseException:
    first = failures.exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first


async def run_until_signal(launcher: Launcher, say: Callable[[str], None]) -> int:
    """Run the launcher; the first SIGINT, SIGTERM or SIGHUP stops it in order, the second at once."""
    loop = asyncio.get_running_loop()
    work = loop.create_task(launcher.run())
    asked = False

    def on_signal() -> None:
        nonlocal asked
        if asked:
            launcher.kill()
        else:
            asked = True
            with suppress(OSError):  # the terminal may be what has gone
                say("stopping")
            work.cancel()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, on_signal)
    try:
        await work
    except asyncio.CancelledError:
        return 0
    except StartFailed as failure:
        say(f"not started: {failure}")
        return 1
    return 0


def main() -> int:
    """Run `porchlight up` with the settings of the environment."""

    def say(line: str) -> None:
        sys.stdout.write(line + "\n")
        sys.stdout.flush()

    settings = environment.load_settings(os.environ)
    if "PORCHLIGHT_LOG_FORMAT" not in os.environ and sys.stdout.isatty():
        settings = settings.model_copy(update={"log_format": "console"})

    async def run() -> int:
        return await run_until_signal(Launcher(settings, dict(os.environ), say), say)

    return asyncio.run(run())
