"""The checker: the invariants INV-D* of a live database, each a query of `sql/queries`.

Constraints are the first line of defence and this is the second; INV-D18 checks that the first
still stands. Each tenant is read in one snapshot, as the owner of the tables; nothing is locked.
Holds (INV-D5) are not there yet, so they are not checked.
"""

from typing import Any

import asyncpg
from msgspec import Struct

from service.kernel import database
from service.kernel.sql import SQL
from service.ledger.decisions.cards import TRANSITIONS

# Whole tables are joined: never row by row, whatever the statistics say, and with more memory.
_SETTINGS = {
    "application_name": "kafang-verify",
    "enable_nestloop": "off",
    "jit": "off",
    "timezone": "UTC",
    "work_mem": "64MB",
}
# How the names of the queries begin.
_TENANT, _SCHEMA = "invariants.d", "schema_invariants.d"
# What a query takes beside the tenant: the moves of a card, from the table the decisions use.
_ARGUMENTS: dict[str, tuple[list[str], ...]] = {
    "invariants.d9_moves": (
        [state for state, _ in TRANSITIONS],
        [move for _, move in TRANSITIONS],
        list(TRANSITIONS.values()),
    )
}


class Breach(Struct, frozen=True):
    """What must not be. `merchant_id` is None when it is in the schema, not in a tenant's rows."""

    invariant: str
    merchant_id: str | None
    subject: str
    detail: str


class Report(Struct, frozen=True):
    """What was checked and what was found; clean when there are no breaches."""

    merchants: int
    checks: list[str]
    operations: int
    breaches: list[Breach]

    def text(self) -> str:
        """The report for people, a line for each breach."""
        checked = (
            f"checked {', '.join(self.checks)} on {self.operations} operations "
            f"of {self.merchants} merchants"
        )
        found = [
            f"{breach.invariant}  {breach.merchant_id or 'schema'}  {breach.subject}: "
            f"{breach.detail}"
            for breach in self.breaches
        ]
        count = {0: "no breach", 1: "1 breach"}.get(len(found), f"{len(found)} breaches")
        return "\n".join([*found, checked, count])


def checks() -> list[str]:
    """The invariants that are checked, in order."""
    found = {_invariant(name) for prefix in (_TENANT, _SCHEMA) for name in _queries(prefix)}
    return sorted(found, key=lambda invariant: int(invariant.removeprefix("INV-D")))


async def verify(dsn: str, merchant_ids: list[str] | None = None) -> Report:
    """Check the schema and these tenants (None: all, which only the owner's `dsn` may list).

    Raises what the driver raises when the database can't be reached or a query fails.
    """
    connection: database.Connection = await asyncpg.connect(
        dsn, server_settings=_SETTINGS, timeout=database.CONNECT_TIMEOUT_S
    )
    try:
        if merchant_ids is None:
            rows = await connection.fetch(SQL["merchants.list_ids"])
            merchant_ids = [row["merchant_id"] for row in rows]
        breaches = await verify_schema(connection)
        operations = 0
        for merchant_id in merchant_ids:
            async with connection.transaction(isolation="repeatable_read", readonly=True):
                breaches += await verify_tenant(connection, merchant_id)
                operations += await connection.fetchval(SQL["invariants.operations"], merchant_id)
    finally:
        await connection.close()
    return Report(len(merchant_ids), checks(), operations, breaches)


async def verify_schema(connection: database.Connection) -> list[Breach]:
    """Check what guards the rows: keys, constraints, row security, grants."""
    return await _run(connection, _SCHEMA, None)


async def verify_tenant(connection: database.Connection, merchant_id: str) -> list[Breach]:
    """Check one tenant's rows in a snapshot of its own, or the repeatable read one that is open."""
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        await connection.execute(SQL["tenant.set"], merchant_id)
        return await _run(connection, _TENANT, merchant_id)


async def _run(
    connection: database.Connection, prefix: str, merchant_id: str | None
) -> list[Breach]:
    breaches: list[Breach] = []
    for name in _queries(prefix):
        values: tuple[Any, ...] = _ARGUMENTS.get(name, ())
        if merchant_id is not None:
            values = (merchant_id, *values)
        breaches += [
            Breach(_invariant(name), merchant_id, row["subject"], row["detail"])
            for row in await connection.fetch(SQL[name], *values)
        ]
    return breaches


def _queries(prefix: str) -> list[str]:
    return [name for name in SQL if name.startswith(prefix)]


def _invariant(name: str) -> str:
    """`invariants.d4_chain` -> `INV-D4`."""
    return "INV-" + name.split(".")[1].split("_")[0].upper()
