"""What PostgreSQL says of its connections, and waiting for it to say something else."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable

import asyncpg

from service.kernel.database import Connection

PATIENCE_S = 20.0
_BACKENDS = """
select application_name, state, wait_event, pid from pg_stat_activity
where backend_type = 'client backend'
"""
OURS = ("kafang-writer", "kafang-reader")


async def pids(connection: Connection, name: str) -> set[int]:
    """The backends that an application's connections have."""
    rows = await connection.fetch(_BACKENDS)
    return {row["pid"] for row in rows if row["application_name"] == name}


async def states(connection: Connection) -> Counter[tuple[str, str]]:
    """How many connections are in which state, by application."""
    rows = await connection.fetch(_BACKENDS)
    return Counter(
        (row["application_name"], row["state"]) for row in rows if row["application_name"] in OURS
    )


async def waiting(connection: Connection, among: set[int]) -> set[str]:
    """What these backends wait for."""
    rows = await connection.fetch(_BACKENDS)
    return {row["wait_event"] for row in rows if row["pid"] in among and row["state"] == "active"}


async def until(reached: Callable[[], Awaitable[bool]], what: str) -> None:
    """Poll a condition with a deadline."""
    deadline = asyncio.get_running_loop().time() + PATIENCE_S
    while not await reached():
        assert asyncio.get_running_loop().time() < deadline, f"never came: {what}"
        await asyncio.sleep(0.002)  # polling with a deadline


async def connect(dsn: str) -> Connection:
    """A connection of the test's own."""
    connection: Connection = await asyncpg.connect(dsn)
    return connection
