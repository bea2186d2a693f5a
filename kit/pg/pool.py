"""A bounded way to Postgres: every wait ends, and a lost store is one error."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, Any, Final

import asyncpg
import orjson

from kit.errors import StoreUnavailable

if TYPE_CHECKING:
    from asyncpg import Record
    from asyncpg.pool import PoolConnectionProxy

ACQUIRE_SECONDS: Final = 0.5
CONNECT_SECONDS: Final = 2.0
COMMAND_SECONDS: Final = 2.0
IDLE_SECONDS: Final = 240.0
"""What lies on the way, a NAT or a balancer, may forget a connection that is idle for longer."""


class _Connection(asyncpg.Connection):  # type: ignore[misc]
    """A connection that is given back without a round trip.

    asyncpg would reset session state each time; nothing here makes any. An open
    transaction is still rolled back.
    """

    def get_reset_query(self) -> str:
        return ""


class Pool:
    """Connections to Postgres. One call is one round trip and one commit, unless in `transaction`."""

    def __init__(self, pool: asyncpg.Pool[Record], *, size: int) -> None:
        self._pool = pool
        # asyncpg has one limit for waiting one's turn and for connecting, and they
        # differ: a queue is a sign of overload, a slow handshake is not.
        self._turns = asyncio.Semaphore(size)
        # Kept out of asyncpg's pool, which spends two tasks on each way out and back; only
        # what may be broken or in a transaction is given back to it, to be cleaned up.
        self._idle: list[tuple[PoolConnectionProxy[Record], float]] = []

    async def fetch(self, sql: str, *arguments: object) -> list[Record]:
        """Return all rows."""
        async with self.acquire() as connection:
            rows: list[Record] = await connection.fetch(sql, *arguments)
            return rows

    async def fetchrow(self, sql: str, *arguments: object) -> Record | None:
        """Return the first row, or None."""
        async with self.acquire() as connection:
            return await connection.fetchrow(sql, *arguments)

    async def fetchval(self, sql: str, *arguments: object) -> Any:
        """Return the first value of the first row, or None."""
        async with self.acquire() as connection:
            return await connection.fetchval(sql, *arguments)

    async def execute(self, sql: str, *arguments: object) -> str:
        """Run a statement and return its command tag."""
        async with self.acquire() as connection:
            tag: str = await connection.execute(sql, *arguments)
            return tag

    @contextlib.asynccontextmanager
    async def acquire(self) -> AsyncIterator[PoolConnectionProxy[Record]]:
        """Lend a connection. Not across a call to anybody else: others wait for it.

        Raises:
            StoreUnavailable: Postgres is gone, or all connections are busy for 0.5 s.
                The outcome of what ran before is then unknown.
        """
        with _translated():
            if self._turns.locked():
                async with asyncio.timeout(ACQUIRE_SECONDS):
                    await self._turns.acquire()
            else:
                await self._turns.acquire()
            try:
                connection, whole = await self._lend(), False
                try:
                    yield connection
                    whole = not connection.is_in_transaction()
                finally:
                    if whole:
                        self._idle.append((connection, asyncio.get_running_loop().time()))
                    else:
                        await self._pool.release(connection)
            finally:
                self._turns.release()

    async def _lend(self) -> PoolConnectionProxy[Record]:
        while self._idle:
            connection, since = self._idle.pop()
            # One that was lost while it lay here has gone back to asyncpg by itself, and answers nothing any more.
            with contextlib.suppress(asyncpg.InterfaceError):
                if not connection.is_closed() and asyncio.get_running_loop().time() - since < IDLE_SECONDS:
                    return connection
                connection.terminate()
            await self._pool.release(connection)
        return await self._pool.acquire(timeout=CONNECT_SECONDS)

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[PoolConnectionProxy[Record]]:
        """Lend a connection with a transaction that commits at the end of the block."""
        async with self.acquire() as connection, connection.transaction():
            yield connection

    async def close(self) -> None:
        """Close all connections; those in use are cut after 2 s."""
        try:
            async with asyncio.timeout(COMMAND_SECONDS):
                while self._idle:
                    await self._pool.release(self._idle.pop()[0])
                await self._pool.close()
        except (TimeoutError, OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            self._pool.terminate()


async def open_pool(url: str, *, name: str, size: int = 8) -> Pool:
    """Open a pool of at most `size` connections to the schema `porchlight`.

    Opens while Postgres is away too, so a process starts without its store and says
    through health that it is not ready.

    Raises:
        asyncpg.PostgresError: Postgres is there and refuses us: wrong password,
            unknown database.
    """
    pool = await asyncpg.create_pool(
        url,
        min_size=0,
        max_size=size,
        timeout=CONNECT_SECONDS,
        command_timeout=COMMAND_SECONDS,
        init=_prepare,
        connection_class=_Connection,
        server_settings={
            "application_name": f"porchlight-{name}",
            "search_path": "porchlight,public",
            "statement_timeout": "2000",
            "lock_timeout": "1000",
            "idle_in_transaction_session_timeout": "5000",
        },
    )
    opened = Pool(pool, size=size)
    with contextlib.suppress(StoreUnavailable):  # the first caller need not wait for a handshake
        await ping(opened)
    return opened


async def ping(pool: Pool) -> None:
    """Ask Postgres for a sign of life.

    Raises:
        StoreUnavailable: There is none.
    """
    await pool.fetchval("SELECT 1")


async def _prepare(connection: asyncpg.Connection[Record]) -> None:
    await connection.set_type_codec(
        "jsonb",
        schema="pg_catalog",
        encoder=lambda value: b"\x01" + orjson.dumps(value),
        decoder=lambda data: orjson.loads(data[1:]),
        format="binary",
    )


# What asyncpg raised when Postgres was gone, stopped, restarting, full or out of reach.
# After any of them the outcome of what ran is unknown.
_GONE: Final = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    # What a database says that takes no connections for a while: it is being moved or copied.
    asyncpg.ObjectNotInPrerequisiteStateError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.InsufficientResourcesError,
    asyncpg.ReadOnlySQLTransactionError,
    # statement_timeout and lock_timeout: it is there, and too slow to be of use.
    asyncpg.QueryCanceledError,
    asyncpg.LockNotAvailableError,
    # Rolled back in favour of somebody else: asking again helps, and nothing is broken.
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
)


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except _GONE as error:
        if _is_our_mistake(error):
            raise
        raise StoreUnavailable("postgres does not answer", store="postgres") from error


def _is_our_mistake(error: BaseException) -> bool:
    """Tell a wrong statement or argument from a lost store; asyncpg raises InterfaceError for both."""
    return isinstance(error, asyncpg.InterfaceError) and (
        isinstance(error, ValueError | TypeError) or "the server expects" in str(error)
    )
