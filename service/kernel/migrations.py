"""Brings a database to the state of sql/migrations and sql/functions (design section 5).

Numbered files in `migrations/` are applied once, in order; files in `functions/` (create or
replace) again whenever their text changed. Each file is one transaction together with its row in
`schema_migration`, so a failing file leaves nothing behind. The one exception is a file whose
first line is `-- migrate: no-transaction`: a single `create index concurrently if not exists`.

A schema with migrations beyond our last is a newer version's, and ours to use as it is (decision
0016), unless one of them is named `NNNN_contract_MMMM_…` and MMMM lies beyond our last too.
"""

import asyncio
import hashlib
import re
import time
from collections.abc import Iterator
from importlib.resources import files
from importlib.resources.abc import Traversable

import asyncpg
import msgspec
from asyncpg.pool import PoolConnectionProxy

from service.kernel.sql import SQL

LOCK_KEY = 7_203_511_846_021  # any number, the same in every version of Kafang
LOCK_DEADLINE_S = 600.0
# Who waits for a table lock stops all traffic behind it: better to fail and be run again.
LOCK_TIMEOUT = "5s"
NO_TRANSACTION = "-- migrate: no-transaction"

_MIGRATION_NAME = re.compile(r"(\d{4})_[a-z0-9_]+\.sql")
_CONTRACT_NAME = re.compile(r"\d{4}_contract_(\d{4})_[a-z0-9_]+\.sql")
_FUNCTION_NAME = re.compile(r"[a-z0-9_]+\.sql")
_TRANSACTION_COMMAND = re.compile(
    r"^\s*(?:begin|commit|rollback|start\s+transaction)\s*;", re.IGNORECASE | re.MULTILINE
)
# A procedure's body may commit what it did; the runner's own transaction is not in there.
_BODY = re.compile(r"(\$\w*\$).*?\1", re.DOTALL)
_INDEX_BUILD = re.compile(
    r"(?:\s*--[^\n]*\n)*\s*create\s+(?:unique\s+)?index\s+concurrently\s+if\s+not\s+exists\s+"
    r"([a-z_][a-z0-9_]*)\s[^;]*;?\s*",
    re.IGNORECASE,
)

type_of_connection = asyncpg.Connection | PoolConnectionProxy
Applied = dict[tuple[str, str], str]  # checksum by kind and name


class MigrationError(RuntimeError):
    """The database can't be migrated; the message names every file at fault and what mends it."""


class Step(msgspec.Struct, frozen=True):
    """One file: `kind` is the folder it lies in, migrations or functions."""

    kind: str
    name: str
    text: str
    checksum: str

    @property
    def path(self) -> str:
        """What reports and errors call it."""
        return f"{self.kind}/{self.name}"

    @property
    def built_index(self) -> str | None:
        """The index a no-transaction file builds; "" if it does something else instead."""
        if not self.text.startswith(NO_TRANSACTION):
            return None
        found = _INDEX_BUILD.fullmatch(self.text)
        return found[1] if found else ""


async def migrate(
    dsn: str, source: Traversable | None = None, lock_deadline_s: float = LOCK_DEADLINE_S
) -> list[str]:
    """Apply what is pending and return its paths in order; [] when there was nothing to do.

    `source` holds the folders `migrations` and `functions`, by default the package `sql`. Safe to
    call from several processes at once: one works, the others wait for it. A newer version's schema
    is left as it is. Raises MigrationError.
    """
    steps = read_steps(source or files("sql"))
    connection = await asyncpg.connect(dsn, server_settings={"lock_timeout": LOCK_TIMEOUT})
    try:
        await _lock(connection, lock_deadline_s)
        await connection.execute(SQL["migrations.create_table"])
        applied = await _applied(connection)
        todo = _todo(applied, steps)
        for step in todo:
            await _apply(connection, step)
        if not _newer(applied, steps):
            functions = [step.name for step in steps if step.kind == "functions"]
            await connection.execute(SQL["migrations.forget_functions"], functions)
    finally:
        await connection.close()  # and with it the lock
    return [step.path for step in todo]


async def pending(connection: type_of_connection, source: Traversable | None = None) -> list[str]:
    """Return the paths `migrate` would apply; needs no more than to read `schema_migration`."""
    steps = read_steps(source or files("sql"))
    if not await connection.fetchval(SQL["migrations.table_exists"]):
        return [step.path for step in steps]
    return [step.path for step in _todo(await _applied(connection), steps)]


def read_steps(source: Traversable) -> list[Step]:
    """Read and check the files: migrations by number, then functions by name."""
    migrations = list(_read(source, "migrations", _MIGRATION_NAME))
    steps = migrations + list(_read(source, "functions", _FUNCTION_NAME))
    faults = [fault for step in steps for fault in _faults(step)]
    numbers = [step.name[:4] for step in migrations]
    faults += [f"number {n} is given twice" for n in sorted(set(numbers)) if numbers.count(n) > 1]
    _raise_any(faults)
    return steps


def _read(source: Traversable, kind: str, pattern: re.Pattern[str]) -> Iterator[Step]:
    folder = source / kind
    entries = sorted(folder.iterdir(), key=lambda entry: entry.name) if folder.is_dir() else []
    for file in entries:
        if not file.name.endswith(".sql"):
            continue
        if not pattern.fullmatch(file.name):
            raise MigrationError(f"{kind}/{file.name}: the name must be like {pattern.pattern}")
        # Line ends are the checkout's business, not a change.
        text = file.read_bytes().decode("utf-8").replace("\r\n", "\n")
        yield Step(kind, file.name, text, hashlib.sha256(text.encode("utf-8")).hexdigest())


def _faults(step: Step) -> Iterator[str]:
    if _TRANSACTION_COMMAND.search(_BODY.sub("", step.text)):
        yield f"{step.path}: begin, commit and rollback are the runner's business, remove them"
    if step.kind == "migrations" and step.name[5:].startswith("contract_"):
        found = _CONTRACT_NAME.fullmatch(step.name)
        if not found:
            yield f"{step.path}: the name must be like NNNN_contract_MMMM_what.sql"
        elif found[1] >= step.name[:4]:
            yield f"{step.path}: {found[1]} is not before {step.name[:4]}"
    if step.built_index == "":
        yield (
            f"{step.path}: without a transaction there may be only one statement, "
            "'create [unique] index concurrently if not exists name ...'"
        )


async def _applied(connection: type_of_connection) -> Applied:
    rows = await connection.fetch(SQL["migrations.applied"])
    return {(row["kind"], row["name"]): row["checksum"] for row in rows}


def _todo(applied: Applied, steps: list[Step]) -> list[Step]:
    """Compare files and bookkeeping; an applied migration must be there, unchanged and not late."""
    newer = _newer(applied, steps)
    migrated = sorted(name for kind, name in applied if kind == "migrations")
    present = {step.name: step.checksum for step in steps if step.kind == "migrations"}
    faults = _given_up(newer, steps)
    for name in migrated:
        if name not in present and name not in newer:
            faults.append(f"migrations/{name}: was applied and is missing, restore the file")
        elif name in present and present[name] != applied["migrations", name]:
            faults.append(f"migrations/{name}: was edited after it was applied, restore it")
    todo = [step for step in steps if applied.get((step.kind, step.name)) != step.checksum]
    for step in todo:
        late = step.name not in migrated and step.name < max(migrated, default="")
        if step.kind == "migrations" and late:
            faults.append(f"{step.path}: comes before the applied {migrated[-1]}, renumber it")
    _raise_any(faults)
    # What a newer version made of a function is for both; see decision 0016.
    return [] if newer else todo


def _newer(applied: Applied, steps: list[Step]) -> list[str]:
    """The applied migrations beyond our last: what a newer version brought."""
    last = _last(steps)
    return sorted(name for kind, name in applied if kind == "migrations" and name[:4] > last)


def _last(steps: list[Step]) -> str:
    return max((step.name[:4] for step in steps if step.kind == "migrations"), default="0000")


def _given_up(newer: list[str], steps: list[Step]) -> list[str]:
    """What a newer version took away, where ours still needs it."""
    last = _last(steps)
    return [
        f"migrations/{name}: took away what this version needs; start one with migration "
        f"{found[1]} or later"
        for name in newer
        if (found := _CONTRACT_NAME.fullmatch(name)) and found[1] > last
    ]


async def _apply(connection: asyncpg.Connection, step: Step) -> None:
    started = time.monotonic()

    async def record() -> None:
        duration_ms = round((time.monotonic() - started) * 1000)
        await connection.execute(
            SQL["migrations.record"], step.kind, step.name, step.checksum, duration_ms
        )

    try:
        if step.built_index is not None:
            await _build_index(connection, step.text, step.built_index)
            await record()
        else:
            async with connection.transaction():
                await connection.execute(step.text)
                await record()
        await connection.execute(SQL["migrations.reset"])
    except asyncpg.PostgresError as error:
        raise MigrationError(f"{step.path}{_line(step.text, error)}: {error}") from error


async def _build_index(connection: asyncpg.Connection, text: str, index: str) -> None:
    """Build an index without stopping writes, in place of what a broken build left."""
    await connection.execute(SQL["migrations.set"], "kafang.index", index)
    await connection.execute(SQL["migrations.drop_invalid_index"])
    # The build waits for old transactions, which counts as waiting for a lock.
    await connection.execute(SQL["migrations.set"], "lock_timeout", "0")
    await connection.execute(text)


async def _lock(connection: asyncpg.Connection, deadline_s: float) -> None:
    end = time.monotonic() + deadline_s
    while not await connection.fetchval(SQL["migrations.try_lock"], LOCK_KEY):
        if time.monotonic() > end:
            raise MigrationError(
                f"another migration holds the lock for more than {deadline_s:.0f} s: "
                "wait for it or end its session (pg_locks, locktype = 'advisory')"
            )
        await asyncio.sleep(0.1)


def _line(text: str, error: asyncpg.PostgresError) -> str:
    position = getattr(error, "position", None)
    return f":{text.count(chr(10), 0, int(position) - 1) + 1}" if position else ""


def _raise_any(faults: list[str]) -> None:
    if faults:
        raise MigrationError("\n".join(faults))
