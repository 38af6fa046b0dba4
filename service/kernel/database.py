"""Connections: two kinds, checked when they are made, and one way to read as a tenant.

Reads take a pooled connection and open a transaction whose first statement sets the tenant. The
ledger's writer keeps connections of its own (`connect_writer`). Start-up refuses a server or a role
that breaks a promise (design section 4).
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import asyncpg
import msgspec

from service.kernel.problems import ProblemError
from service.kernel.sql import SQL

if TYPE_CHECKING:  # generic for the type checker only
    Connection = (
        asyncpg.Connection[asyncpg.Record] | asyncpg.pool.PoolConnectionProxy[asyncpg.Record]
    )
    Pool = asyncpg.Pool[asyncpg.Record]
else:
    Connection = asyncpg.Connection
    Pool = asyncpg.Pool
T = TypeVar("T")
IsolationLevel = Literal["read_committed", "repeatable_read"]

# How a server that went away, or a connection to it, shows.
LOST = (
    OSError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # a notice of the shutdown was just being read
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.TooManyConnectionsError,
)

# Point look-ups by key only: a plan made while a table was empty must not stay a sequential scan
# (rule 13).
WRITER_SETTINGS = {
    "application_name": "kafang-writer",
    # post_v2 looks again after it waited: on a snapshot of its own for each statement.
    "default_transaction_isolation": "read committed",
    "jit": "off",
    "enable_seqscan": "off",
    "enable_bitmapscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "plan_cache_mode": "force_generic_plan",
    "statement_timeout": "10s",
    # Well below the writer's patience: who can't have a lock is answered, and the rest goes on.
    "lock_timeout": "1s",
    "idle_in_transaction_session_timeout": "15s",
    "timezone": "UTC",
}
READER_SETTINGS = {
    "application_name": "kafang-reader",
    "jit": "off",
    "statement_timeout": "10s",
    "idle_in_transaction_session_timeout": "15s",
    "timezone": "UTC",
}
SEQUENCER_SETTINGS = WRITER_SETTINGS | {
    "application_name": "kafang-sequencer",
    # A chain that begins takes in all that was posted before there were chains.
    "statement_timeout": "0",
}
# A request may wait twice: for its credential, and for what it reads.
ACQUIRE_TIMEOUT_S = 2.5
CONNECT_TIMEOUT_S = 10.0
COMMAND_TIMEOUT_S = 15.0
START_PATIENCE_S = 180.0


class UnsafeDatabaseError(RuntimeError):
    """The server or the role breaks a promise.

    The message names each setting and what it must be.
    """


async def wait_until_reachable(dsn: str) -> None:
    """Wait while the server is down or recovering: a worker that starts just then must not give up.

    Raises what the driver raised last once START_PATIENCE_S are over, and anything else at once.
    """
    deadline = asyncio.get_running_loop().time() + START_PATIENCE_S
    while True:
        try:
            connection = await asyncpg.connect(dsn, timeout=CONNECT_TIMEOUT_S)
        except LOST:
            if asyncio.get_running_loop().time() > deadline:
                raise
            await asyncio.sleep(0.1)
        else:
            await connection.close()
            return


async def open_pool(dsn: str, size: int) -> Pool:
    """The pool for reads."""
    return await asyncpg.create_pool(
        dsn,
        min_size=1,
        max_size=size,
        server_settings=READER_SETTINGS,
        timeout=CONNECT_TIMEOUT_S,
        command_timeout=COMMAND_TIMEOUT_S,
    )


async def connect_writer(dsn: str, *, allow_unsafe: bool) -> Connection:
    """A connection of the ledger's writer; refused unless its commits are durable."""
    connection: Connection = await asyncpg.connect(
        dsn,
        server_settings=WRITER_SETTINGS,
        timeout=CONNECT_TIMEOUT_S,
        command_timeout=COMMAND_TIMEOUT_S,
    )
    try:
        problems = await durability_problems(connection)
        if problems and not allow_unsafe:
            raise UnsafeDatabaseError("; ".join(problems))
    except BaseException:
        connection.terminate()
        raise
    return connection


async def connect_sequencer(dsn: str) -> Connection:
    """The connection of whoever numbers events."""
    connection: Connection = await asyncpg.connect(
        dsn, server_settings=SEQUENCER_SETTINGS, timeout=CONNECT_TIMEOUT_S
    )
    return connection


async def durability_problems(connection: Connection) -> list[str]:
    """What would let an acknowledged commit be lost: empty when nothing would (promise 1)."""
    rows = await connection.fetch(SQL["startup.durability"])
    return [f"{row['name']} is {row['setting']}, must be on" for row in rows]


async def check_role(connection: Connection) -> None:
    """Refuse a role that row-level security does not bind, or that owns a table (promise 2)."""
    row = await connection.fetchrow(SQL["startup.role"])
    assert row is not None
    problems = [
        text
        for flag, text in (
            ("superuser", "is a superuser"),
            ("bypasses_rls", "bypasses row-level security"),
            ("owns_tables", "owns tables"),
            ("not_member", "is not a member of kafang_app"),
        )
        if row[flag]
    ]
    if problems:
        raise UnsafeDatabaseError(f"the application's role {row['role']} {', '.join(problems)}")
    unprotected = [
        str(row["table"]) for row in await connection.fetch(SQL["startup.unprotected_tables"])
    ]
    if unprotected:
        raise UnsafeDatabaseError(
            f"row-level security is not enabled and forced on: {', '.join(unprotected)}"
        )


@asynccontextmanager
async def tenant(
    pool: Pool, merchant_id: str, *, snapshot: bool = False
) -> AsyncIterator[Connection]:
    """A transaction of one tenant; with `snapshot` all its reads see one state."""
    isolation: IsolationLevel = "repeatable_read" if snapshot else "read_committed"
    async with borrowed(pool) as connection, connection.transaction(isolation=isolation):
        with _cut_when_cancelled(connection):
            await connection.execute(SQL["tenant.set"], merchant_id)
            yield connection


@asynccontextmanager
async def borrowed(pool: Pool) -> AsyncIterator[Connection]:
    """A connection of the pool."""
    async with pool.acquire(timeout=ACQUIRE_TIMEOUT_S) as connection:
        with _cut_when_cancelled(connection):
            yield connection


@contextmanager
def _cut_when_cancelled(connection: Connection) -> Iterator[None]:
    """Whose time is over doesn't wait for a rollback too: the server may be what is slow."""
    try:
        yield
    except asyncio.CancelledError:
        connection.terminate()
        raise


async def raise_epoch(connection: Connection, merchant_id: str) -> str | None:
    """Nothing is believed as it was remembered once this commits; who else configures waits.

    The tenant's mode, test or live; None when there is no such tenant.
    """
    mode: str | None = await connection.fetchval(SQL["tenant.raise_epoch"], merchant_id)
    return mode


async def require_merchant(connection: Connection, merchant_id: str) -> str:
    """As `raise_epoch`. Raises ValueError for the platform, too: it has neither cards nor tills."""
    mode = await raise_epoch(connection, merchant_id)
    if mode is None:
        raise ValueError(f"there is no merchant {merchant_id}")
    if await is_platform(connection, merchant_id):
        raise ValueError(f"{merchant_id} is the platform: only people work there")
    return mode


async def is_platform(connection: Connection, merchant_id: str) -> bool:
    """Whether this is the tenant of those who look after merchants."""
    return bool(await connection.fetchval(SQL["tenant.is_platform"], merchant_id))


@asynccontextmanager
async def elsewhere(connection: Connection, merchant_id: str, home_id: str) -> AsyncIterator[None]:
    """Part of a transaction in another tenant: what the platform does there is done in both."""
    await connection.execute(SQL["tenant.set"], merchant_id)
    try:
        yield
    except ProblemError:  # there are refusals whose transaction commits
        await connection.execute(SQL["tenant.set"], home_id)
        raise
    await connection.execute(SQL["tenant.set"], home_id)


async def one(connection: Connection, query: str, wanted: type[T], *values: Any) -> T | None:
    """The row a named query finds, as a Struct, or None."""
    row = await connection.fetchrow(SQL[query], *values)
    return None if row is None else msgspec.convert(dict(row), wanted)


async def many(connection: Connection, query: str, wanted: type[T], *values: Any) -> list[T]:
    """The rows a named query finds, as Structs."""
    rows = await connection.fetch(SQL[query], *values)
    return msgspec.convert([dict(row) for row in rows], list[wanted])  # type: ignore[valid-type]
