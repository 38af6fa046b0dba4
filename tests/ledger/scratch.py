"""Databases to break: clones of a migrated one, for the twins of what PostgreSQL guards."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count

import asyncpg
import msgspec

from service.kernel import embedded

_numbers = count(1)


def on(server: embedded.Server, database: str) -> embedded.Server:
    """The same server; its three DSNs lead to this database."""
    admin = server.admin_dsn.replace("/postgres?", f"/{database}?")
    owner, app = (
        dsn.replace("/kafang?", f"/{database}?") for dsn in (server.owner_dsn, server.app_dsn)
    )
    return msgspec.structs.replace(server, admin_dsn=admin, owner_dsn=owner, app_dsn=app)


@asynccontextmanager
async def clone(server: embedded.Server) -> AsyncIterator[embedded.Server]:
    """A clone of the server's database `kafang`, dropped at the end.

    Nobody may be connected to the original.
    """
    name = f"scratch_{next(_numbers)}"
    await execute(server.admin_dsn, f"create database {name} owner kafang_owner template kafang")
    try:
        yield on(server, name)
    finally:
        await execute(server.admin_dsn, f"drop database {name} with (force)")


async def execute(dsn: str, *statements: str) -> None:
    """Run statements, each committed."""
    connection = await asyncpg.connect(dsn)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()
