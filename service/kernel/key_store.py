"""Where wrapped keys are kept: apart from the ledger and its backups, so that one can be destroyed.

For one host a file of SQLite; for several a PostgreSQL database of its own (`KAFANG_KEY_STORE`).
The statements are the same (`sql/keys`).
"""

import asyncio
import os
import sqlite3
import threading
from collections.abc import Sequence
from contextlib import suppress
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import asyncpg

from service.kernel.database import ACQUIRE_TIMEOUT_S, CONNECT_TIMEOUT_S, LOST, Pool
from service.kernel.sql import load

SQL = load(files("sql") / "keys")
BUSY_S = 5.0
POOL_MAX = 4


class KeyStoreError(RuntimeError):
    """The key store can't be reached now: nothing was read or changed."""


class WrappedKey(NamedTuple):
    """A key as it is kept: `wrapped_by` is empty where a merchant's key wraps it."""

    owner_id: str
    key_no: int
    wrapped_by: str
    wrapped: bytes


class KeyStore(Protocol):
    """Statements of `sql/keys` on the one table. Both raise KeyStoreError."""

    async def fetch(self, query: str, *values: Any) -> list[Any]:
        """The rows a query finds."""

    async def write(self, query: str, rows: Sequence[Sequence[Any]]) -> None:
        """One statement for each row, all of them or none; durable when this returns."""

    async def close(self) -> None:
        """Let go of it."""


class FileKeys:
    """A file of SQLite that all workers of this host open; what is deleted is overwritten."""

    def __init__(self, file: Path) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(file, os.O_RDWR | os.O_CREAT, 0o600))
        # Each statement is a transaction; those of one `write` are one.
        self._connection = sqlite3.connect(
            file, timeout=BUSY_S, isolation_level=None, check_same_thread=False
        )
        self._one_at_a_time = threading.Lock()
        for pragma in ("secure_delete = on", "journal_mode = truncate", "synchronous = extra"):
            self._connection.execute(f"pragma {pragma}").fetchall()
        self._connection.execute(SQL["keys.create"])

    async def fetch(self, query: str, *values: Any) -> list[Any]:
        """The rows a query finds."""
        return await asyncio.to_thread(self._fetch, SQL[f"keys.{query}"], values)

    async def write(self, query: str, rows: Sequence[Sequence[Any]]) -> None:
        """All or none, synced to the disk."""
        await asyncio.to_thread(self._write, SQL[f"keys.{query}"], rows)

    async def close(self) -> None:
        """Let go of the file."""
        self._connection.close()

    def _fetch(self, text: str, values: Sequence[Any]) -> list[Any]:
        with self._one_at_a_time:
            try:
                return self._connection.execute(text, _named(values)).fetchall()
            except sqlite3.Error as error:
                raise KeyStoreError(str(error)) from None

    def _write(self, text: str, rows: Sequence[Sequence[Any]]) -> None:
        with self._one_at_a_time:
            try:
                self._connection.execute("begin immediate")
                self._connection.executemany(text, [_named(row) for row in rows])
                self._connection.execute("commit")
            except sqlite3.Error as error:
                if self._connection.in_transaction:
                    self._connection.execute("rollback")
                raise KeyStoreError(str(error)) from None


class PostgresKeys:
    """A PostgreSQL database of its own, for several hosts."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def fetch(self, query: str, *values: Any) -> list[Any]:
        """The rows a query finds."""
        try:
            async with self._pool.acquire(timeout=ACQUIRE_TIMEOUT_S) as connection:
                return await connection.fetch(SQL[f"keys.{query}"], *values)
        except (*LOST, TimeoutError) as error:
            raise KeyStoreError(type(error).__name__) from None

    async def write(self, query: str, rows: Sequence[Sequence[Any]]) -> None:
        """All or none: `executemany` is one transaction."""
        try:
            async with self._pool.acquire(timeout=ACQUIRE_TIMEOUT_S) as connection:
                await connection.executemany(SQL[f"keys.{query}"], rows)
        except (*LOST, TimeoutError) as error:
            raise KeyStoreError(type(error).__name__) from None

    async def close(self) -> None:
        """Let go of its connections."""
        await self._pool.close()


async def open_store(url: str, data_dir: str) -> KeyStore:
    """The key store of the settings, its table made on first use."""
    if url in ("", "file"):
        return FileKeys(Path(data_dir) / "person_keys.db")
    pool = await asyncpg.create_pool(
        url, min_size=0, max_size=POOL_MAX, timeout=CONNECT_TIMEOUT_S, command_timeout=BUSY_S
    )
    store = PostgresKeys(pool)
    with suppress(KeyStoreError):  # it may be down, and need not be there to redeem a card
        await store.fetch("create")
    return store


def _named(values: Sequence[Any]) -> dict[str, Any]:
    """To SQLite `$1` is a parameter that is called 1."""
    return {str(number): value for number, value in enumerate(values, 1)}
