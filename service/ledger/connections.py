"""The writer's connections, one for each lane: opened warm, replaced before they grow old.

The driver learns the types of the calls, and the server plans what every call does, when a
connection first uses them: some 40 ms that no request should wait for.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable

import asyncpg

from service.kernel import database
from service.kernel.database import Connection
from service.kernel.sql import SQL
from service.ledger import attempts
from service.ledger import snapshot as snapshots
from service.ledger.rows import Rows

log = logging.getLogger(__name__)

# Plans are made for the tables as they are (rule 13): soon again after the start, when they grow
# fastest.
RENEW_MIN_S, RENEW_MAX_S = 15.0, 600.0


async def connect(dsn: str, *, allow_unsafe: bool) -> Connection:
    """A connection of the writer that has read and posted nothing once, so that it is warm."""
    connection = await database.connect_writer(dsn, allow_unsafe=allow_unsafe)
    try:
        await snapshots.read(connection, "", [], lock=False)
        await snapshots.read_many(connection, [])
        await connection.fetchval(SQL["ledger.post"], *Rows("").arguments())
        await attempts.post_many(connection, [])
    except BaseException:
        connection.terminate()
        raise
    return connection


class Connections:
    """The lanes' connections. None is shared, and one whose state is uncertain is dropped."""

    def __init__(self, connect: Callable[[], Awaitable[Connection]], lanes: int) -> None:
        self._connect = connect
        self._open: list[Connection | None] = [None] * lanes
        # The successors of those that have grown old.
        self._fresh: list[asyncio.Task[Connection] | None] = [None] * lanes
        self._renew_at = [0.0] * lanes
        self._renew_s = [RENEW_MIN_S] * lanes

    async def start(self) -> None:
        """Connect every lane: a wrong server is refused at start."""
        for lane in range(len(self._open)):
            await self.of(lane)

    async def of(self, lane: int) -> Connection:
        """The lane's connection.

        An old one serves on until its successor is ready. Raises what connecting raises, where
        there is no connection to go on with.
        """
        self._succeed(lane)
        connection = self._open[lane]
        if connection is None or connection.is_closed():
            connection = self._install(lane, await self._connect())
        elif self._fresh[lane] is None and _now() > self._renew_at[lane]:
            self._fresh[lane] = asyncio.ensure_future(self._connect())
        return connection

    def drop(self, lane: int) -> None:
        """A connection whose state is uncertain is never used again (THREAT-T4)."""
        connection, self._open[lane] = self._open[lane], None
        if connection is not None:
            connection.terminate()

    async def close(self) -> None:
        """Disconnect."""
        coming = [task for task in self._fresh if task is not None]
        for task in coming:
            task.cancel()
        for made in await asyncio.gather(*coming, return_exceptions=True):
            if not isinstance(made, BaseException):
                made.terminate()
        for lane in range(len(self._open)):
            self.drop(lane)

    def _succeed(self, lane: int) -> None:
        """Put the successor in its place, if it has come."""
        task = self._fresh[lane]
        if task is None or not task.done():
            return
        self._fresh[lane] = None
        error = None if task.cancelled() else task.exception()
        if error is None and not task.cancelled():
            self.drop(lane)
            self._install(lane, task.result())
        elif isinstance(error, (database.UnsafeDatabaseError, asyncpg.TooManyConnectionsError)):
            # Connecting again says so to whoever asks; without the old one there is room for it.
            self.drop(lane)
        else:
            log.warning("connection of lane %d not renewed: %s", lane, error)
            self._renew_at[lane] = _now() + RENEW_MIN_S

    def _install(self, lane: int, connection: Connection) -> Connection:
        self._open[lane] = connection
        self._renew_s[lane] = min(self._renew_s[lane] * 2, RENEW_MAX_S)
        # Not all lanes in the same moment.
        self._renew_at[lane] = _now() + self._renew_s[lane] * (1 + lane / len(self._open))
        return connection


def _now() -> float:
    return asyncio.get_running_loop().time()
