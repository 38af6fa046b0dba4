"""Prints the schema that the migrations make, for readers and for the drift test.

`python -m tests.sql.dump_schema` starts a temporary PostgreSQL, migrates it and writes SQL-like
text to standard output. It is the same on PostgreSQL 15 to 18 and whoever owns the tables.
"""

import asyncio
import sys

import asyncpg

from service.kernel import embedded
from service.kernel.migrations import migrate
from service.kernel.sql import SQL

HEADER = "-- Made from the migrations by `make schema`. To read, not to run or to edit."
# What is printed about one object stands together, in this order.
SECTIONS = (
    ("schema_grants", "default_grants"),
    ("types", "type_grants"),
    ("sequences",),
    (
        "tables",
        "indexes",
        "row_security",
        "policies",
        "triggers",
        "relation_grants",
        "column_grants",
    ),
    ("functions", "function_grants"),
)


async def dump(connection: asyncpg.Connection) -> str:
    """Return the schema of the connected database as text that depends on nothing else."""
    transaction = connection.transaction()
    await transaction.start()
    try:
        # Names are printed with their schema unless the search path finds them.
        await connection.execute(SQL["migrations.set"], "search_path", "public")
        blocks = [block for names in SECTIONS for block in await _blocks(connection, names)]
    finally:
        await transaction.rollback()
    return "\n\n".join((HEADER, *blocks)) + "\n"


async def _blocks(connection: asyncpg.Connection, names: tuple[str, ...]) -> list[str]:
    objects: dict[str, list[str]] = {}
    for name in names:
        for row in await connection.fetch(SQL[f"schema_dump.{name}"]):
            objects.setdefault(row["object"], []).append(row["line"])
    return ["\n".join(lines) for lines in objects.values()]


async def main() -> str:
    """Return the dump of a fresh, migrated database."""
    with embedded.temporary() as server:
        await migrate(server.owner_dsn)
        connection = await asyncpg.connect(server.owner_dsn)
        try:
            return await dump(connection)
        finally:
            await connection.close()


if __name__ == "__main__":
    sys.stdout.write(asyncio.run(main()))
