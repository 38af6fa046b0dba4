"""Where wrapped keys are kept: apart from the ledger and its backups, so that one can be destroyed.

For one host a file of SQLite; for several a PostgreSQL database of its own (`KAFANG_KEY_STORE`).
The statements are the same (`sql/keys`). Nothing is opened before it is needed: a store that is
away or broken stops nobody who doesn't need it.
"""

import asyncio
import os
import sqlite3
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import asyncpg

from service.kernel import database
from service.kernel.database import LOST, Connection, Pool
from service.kernel.sql import load

SQL = load(files("sql") / "keys")
CREATE = ("create_keys", "create_forgotten", "create_numbers", "create_merchants")
BUSY_S = 1.0
POOL_MAX = 4

# A query of `sql/keys` with the values of each of its rows.
Statement = tuple[str, Sequence[Sequence[Any]]]


class KeyStoreError(RuntimeError):
    """The key store can't be used now."""


class UnsafeStoreError(KeyStoreError):
    """The store could lose a key that it has said is kept."""


class WrappedKey(NamedTuple):
    """A key as it is kept: `wrapped_by` is empty where a merchant's key wraps it."""

    owner_id: str
    key_no: int
    wrapped_by: str
    wrapped: bytes


class KeyStore(Protocol):
    """Statements of `sql/keys`. All of these raise KeyStoreError."""

    async def prepare(self) -> None:
        """Make the tables where they are missing, and refuse a store that could lose a key."""

    async def fetch(self, query: str, *values: Any) -> list[Any]:
        """The rows a query finds."""

    async def write(self, *statements: Statement) -> None:
        """All of them or none; durable when this returns. Given up, it isn't done later."""

    async def close(self) -> None:
        """Let go of it."""


class FileKeys:
    """A file of SQLite that all workers of this host open.

    In a thread of its own: where the disk hangs, that one hangs, and nobody else waits for it.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._opened: sqlite3.Connection | None = None
        self._thread = ThreadPoolExecutor(1, "keys")

    async def prepare(self) -> None:
        """The tables are made when the file is opened."""
        await self._run(lambda _: None)

    async def fetch(self, query: str, *values: Any) -> list[Any]:
        """The rows a query finds."""
        text, named = SQL[f"keys.{query}"], _named(values)
        found: list[Any] = await self._run(
            lambda connection: connection.execute(text, named).fetchall()
        )
        return found

    async def write(self, *statements: Statement) -> None:
        """All or none, synced to the disk."""
        given_up = threading.Event()

        def work(connection: sqlite3.Connection) -> None:
            connection.execute("begin immediate")
            for query, rows in statements:
                connection.executemany(SQL[f"keys.{query}"], [_named(row) for row in rows])
            if given_up.is_set():  # whoever asked was told that nothing happened
                raise KeyStoreError("given up")
            connection.execute("commit")

        try:
            await self._run(work)
        except asyncio.CancelledError:
            given_up.set()
            raise

    async def close(self) -> None:
        """Let go of the file, once what is under way is done."""
        self._thread.submit(self._let_go)
        self._thread.shutdown(wait=False)

    def _let_go(self) -> None:
        if self._opened is not None:
            self._opened.close()

    async def _run(self, work: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._done, work)

    def _done(self, work: Any) -> Any:
        try:
            connection = self._opened = self._opened or self._open()
            try:
                return work(connection)
            finally:
                if connection.in_transaction:
                    connection.execute("rollback")
        except (sqlite3.Error, OSError) as error:
            raise KeyStoreError(str(error)) from None

    def _open(self) -> sqlite3.Connection:
        self._file.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(self._file, os.O_RDWR | os.O_CREAT, 0o600))
        # Each statement is a transaction; those of one `write` are one.
        connection = sqlite3.connect(
            self._file, timeout=BUSY_S, isolation_level=None, check_same_thread=False
        )
        for pragma in ("secure_delete = on", "journal_mode = truncate", "synchronous = extra"):
            connection.execute(f"pragma {pragma}").fetchall()
        for query in CREATE:
            connection.execute(SQL[f"keys.{query}"])
        return connection


class PostgresKeys:
    """A PostgreSQL database of its own, for several hosts."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._pool: Pool | None = None

    async def prepare(self) -> None:
        """Make the tables; the role may do without the right to, once they are there."""

        async def work(connection: Connection) -> None:
            if problems := await database.durability_problems(connection):
                raise UnsafeStoreError("; ".join(problems))
            if not await connection.fetchval(SQL["keys.is_ready"]):
                for query in CREATE:
                    await connection.execute(SQL[f"keys.{query}"])

        await self._run(work)

    async def fetch(self, query: str, *values: Any) -> list[Any]:
        """The rows a query finds."""
        text = SQL[f"keys.{query}"]
        found: list[Any] = await self._run(lambda connection: connection.fetch(text, *values))
        return found

    async def write(self, *statements: Statement) -> None:
        """All or none."""

        async def work(connection: Connection) -> None:
            async with connection.transaction():
                for query, rows in statements:
                    await connection.executemany(SQL[f"keys.{query}"], rows)

        await self._run(work)

    async def close(self) -> None:
        """Let go of its connections."""
        if self._pool is not None:
            await self._pool.close()

    async def _run(self, work: Any) -> Any:
        try:
            if self._pool is None:
                self._pool = await asyncpg.create_pool(
                    self._url, min_size=0, max_size=POOL_MAX, timeout=BUSY_S, command_timeout=BUSY_S
                )
            async with asyncio.timeout(3 * BUSY_S), database.borrowed(self._pool) as connection:
                return await work(connection)
        except (*LOST, TimeoutError, asyncpg.PostgresError) as error:
            raise KeyStoreError(type(error).__name__) from None


def key_store(place: str, data_dir: str) -> KeyStore:
    """The key store of the settings."""
    if place in ("", "file"):
        return FileKeys(Path(data_dir) / "person_keys.db")
    return PostgresKeys(place)


def _named(values: Sequence[Any]) -> dict[str, Any]:
    """To SQLite `$1` is a parameter that is called 1."""
    return {str(number): value for number, value in enumerate(values, 1)}
