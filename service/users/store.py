"""People as rows: accounts, roles, and what sets a password once."""

from collections.abc import Iterable
from datetime import datetime
from typing import Literal

import msgspec
from msgspec import Struct

from schemas.roles import RoleGrant
from schemas.users import User, UserStatus
from service.kernel import database
from service.kernel.sql import SQL
from service.ledger.reading import Reading
from service.users.rules import node_of

Ticket = Literal["invitation", "reset"]


class _Row(Struct):
    """An account as it is read; `roles` is JSON."""

    id: str
    masked_email: str
    status: UserStatus
    second_factor: bool
    version: int
    created_at: datetime
    roles: str


class Holder(Struct):
    """Whom something that is good once is for."""

    user_id: str
    masked_email: str
    merchant_name: str


async def insert(
    connection: database.Connection, merchant_id: str, user_id: str, index: bytes, masked: str
) -> bool:
    """Whether there was nobody with this address."""
    made = await connection.fetchval(SQL["users.insert"], merchant_id, user_id, index, masked)
    return made is not None


async def users(
    connection: database.Connection, merchant_id: str, ids: Iterable[str]
) -> list[User]:
    """Those people with their roles, newest first."""
    rows = await database.many(connection, "users.by_ids", _Row, merchant_id, list(ids))
    return [_user(row) for row in rows]


async def merchant_name(tenant: Reading) -> str:
    """What the merchant is called: no password should hold it."""
    name: str = await tenant.connection.fetchval(
        SQL["users.merchant_name"], tenant.merchant.merchant_id
    )
    return name


async def user(tenant: Reading, user_id: str) -> User | None:
    """One of them."""
    found = await users(tenant.connection, tenant.merchant.merchant_id, [user_id])
    return found[0] if found else None


async def page(
    tenant: Reading, before: str, stores: frozenset[str] | None, limit: int
) -> list[User]:
    """People older than an id, newest first; with stores, those who have a role at one."""
    merchant_id = tenant.merchant.merchant_id
    within = None if stores is None else sorted(stores)
    rows = await tenant.connection.fetch(SQL["users.page"], merchant_id, before, within, limit)
    return await users(tenant.connection, merchant_id, [row["id"] for row in rows])


async def by_email(tenant: Reading, index: bytes) -> str | None:
    """Whose an address is."""
    found: str | None = await tenant.connection.fetchval(
        SQL["users.by_email"], tenant.merchant.merchant_id, index
    )
    return found


async def give(
    connection: database.Connection,
    merchant_id: str,
    grant_id: str,
    user_id: str,
    role: str,
    node_id: str,
    by: str,
) -> bool:
    """Whether it is a new one."""
    area, store = (node_id if node_of(node_id) == kind else None for kind in ("area", "store"))
    given = await connection.fetchval(
        SQL["users.give"], merchant_id, grant_id, user_id, role, area, store, by
    )
    return given is not None


async def take(tenant: Reading, user_id: str, grant_id: str, by: str) -> None:
    """The end of a role."""
    await tenant.connection.execute(
        SQL["users.take"], tenant.merchant.merchant_id, grant_id, user_id, by
    )


async def set_status(tenant: Reading, user_id: str, version: int, *, disabled: bool) -> bool:
    """Whether it was as it was seen, and is changed."""
    changed = await tenant.connection.fetchval(
        SQL["users.set_status"], tenant.merchant.merchant_id, user_id, version, disabled
    )
    return changed is not None


async def set_password(
    connection: database.Connection, merchant_id: str, user_id: str, password_hash: str
) -> bool:
    """Whether there is such an account, and it isn't disabled."""
    done = await connection.fetchval(SQL["users.set_password"], merchant_id, user_id, password_hash)
    return done is not None


async def add_ticket(
    connection: database.Connection,
    merchant_id: str,
    secret_hash: bytes,
    user_id: str,
    kind: Ticket,
    good_for_s: float,
    by: str,
) -> datetime:
    """Something that is good once, and until when."""
    expires_at: datetime = await connection.fetchval(
        SQL["users.ticket"], merchant_id, secret_hash, user_id, kind, good_for_s, by
    )
    return expires_at


async def void_tickets(connection: database.Connection, merchant_id: str, user_id: str) -> None:
    """Ways in that were handed out for somebody are good no more."""
    await connection.execute(SQL["users.void_tickets"], merchant_id, user_id)


async def void_issued(tenant: Reading, user_id: str) -> None:
    """Ways in that somebody handed out, who may no more."""
    await tenant.connection.execute(SQL["users.void_issued"], tenant.merchant.merchant_id, user_id)


async def ticket_holder(
    connection: database.Connection, merchant_id: str, secret_hash: bytes
) -> Holder | None:
    """Whom it is for, while it is good."""
    return await database.one(connection, "users.ticket_holder", Holder, merchant_id, secret_hash)


async def use_ticket(
    connection: database.Connection, merchant_id: str, secret_hash: bytes
) -> str | None:
    """Whose it was; None when it is good no more."""
    found: str | None = await connection.fetchval(SQL["users.use_ticket"], merchant_id, secret_hash)
    return found


def _user(row: _Row) -> User:
    roles = msgspec.json.decode(row.roles, type=list[RoleGrant])
    return User(
        row.id,
        row.masked_email,
        row.status,
        row.second_factor,
        roles,
        row.version,
        row.created_at,
    )
