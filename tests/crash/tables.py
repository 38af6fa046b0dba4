"""What the tables say about one merchant, read in one snapshot as the database's owner."""

import asyncpg
import msgspec
from msgspec import Struct

from service.kernel.sql import SQL

_KEYS = """
select key_hash, outcome, operation_id, http_status, answer
from idempotency_key where merchant_id = $1
"""
# The marker is what the tills write into every request: its key, as receipt number or reason.
_OPERATIONS = """
select operation_id, kind, status, amount, coalesce(receipt_no, details ->> 'reason') as marker,
  (select count(*) from posting p
    where p.merchant_id = o.merchant_id and p.operation_id = o.operation_id) as postings
from operation o where merchant_id = $1
"""
_LEGS = """
select card_id, version, operation_id, principal, bonus from leg
where merchant_id = $1 order by card_id, version
"""
_SEAL = """
select encode(sha256(string_agg(
  key_hash || sha256(coalesce(answer, ''))
    || convert_to(outcome || coalesce(operation_id, ''), 'UTF8'), '' order by key_hash)), 'hex')
from idempotency_key where merchant_id = $1
"""


class KeyRow(Struct, frozen=True):
    """A row of idempotency_key."""

    key_hash: bytes
    outcome: str
    operation_id: str | None
    http_status: int
    answer: bytes | None


class Operation(Struct, frozen=True):
    """A row of operation, and how many postings it has."""

    operation_id: str
    kind: str
    status: str
    amount: int
    marker: str | None
    postings: int


class Leg(Struct, frozen=True):
    """A row of leg: the balances of a card after an operation."""

    card_id: str
    version: int
    operation_id: str
    principal: int
    bonus: int


class Tables(Struct):
    """All rows of a merchant that answers are held against."""

    keys: dict[bytes, KeyRow]
    operations: dict[str, Operation]
    legs: list[Leg]  # by card and version


async def read(dsn: str, merchant_id: str) -> Tables:
    """One snapshot of a merchant's rows. `dsn` is the owner's."""
    connection = await asyncpg.connect(dsn)
    try:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            await connection.execute(SQL["tenant.set"], merchant_id)
            keys = await connection.fetch(_KEYS, merchant_id)
            operations = await connection.fetch(_OPERATIONS, merchant_id)
            legs = await connection.fetch(_LEGS, merchant_id)
    finally:
        await connection.close()
    return Tables(
        {row["key_hash"]: KeyRow(*row) for row in keys},
        {row["operation_id"]: Operation(*row) for row in operations},
        [Leg(*row) for row in legs],
    )


async def seal(dsn: str, merchant_id: str) -> str:
    """A digest of every key, answer and operation: equal while none is lost or changed."""
    connection = await asyncpg.connect(dsn)
    try:
        async with connection.transaction():
            await connection.execute(SQL["tenant.set"], merchant_id)
            return msgspec.convert(await connection.fetchval(_SEAL, merchant_id), str)
    finally:
        await connection.close()
