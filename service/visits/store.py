"""Visits as rows: one in each of the two tenants."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from msgspec import Struct

from schemas.roles import VisitingRole
from schemas.visits import Visit
from service.kernel import database
from service.kernel.sql import SQL
from service.ledger.reading import Reading


class Kept(Struct):
    """A visit with what only its tenants' own people know of it."""

    id: str
    merchant_id: str
    platform_id: str
    user_id: str
    session_id: str
    role: VisitingRole
    reason: str
    masked_email: str
    began_at: datetime
    ends_at: datetime
    ended_at: datetime | None
    ended_by: str | None

    def shown(self) -> Visit:
        """As it is answered."""
        return Visit(**{name: getattr(self, name) for name in Visit.__struct_fields__})


async def masked_email(tenant: Reading, user_id: str) -> str:
    """As what one of the platform's people is shown."""
    found: str = await _value(tenant.connection, "masked_email", _id(tenant), user_id)
    return found


async def admit(connection: database.Connection, host_id: str, user_id: str, masked: str) -> None:
    """An account at the merchant for who visits."""
    await connection.execute(SQL["visits.admit"], host_id, user_id, masked)


async def give_role(
    connection: database.Connection, host_id: str, user_id: str, role: str, grant_id: str
) -> None:
    """What they are there, for as long as they have a session."""
    grant = (host_id, grant_id, user_id, role, None, None, user_id)
    await connection.execute(SQL["users.give"], *grant)


async def take_roles(connection: database.Connection, host_id: str, user_id: str, by: str) -> None:
    """They are nothing there any more."""
    await connection.execute(SQL["visits.take_roles"], host_id, user_id, by)


async def start_session(
    connection: database.Connection,
    host_id: str,
    session_id: str,
    user_id: str,
    secret_hash: bytes,
    address: str | None,
    good_for: timedelta,
) -> datetime:
    """The session of a visit, and when it is over: that is the visit's end, to the microsecond."""
    who, seconds = (host_id, session_id, user_id, secret_hash, True), good_for.total_seconds()
    row = (*who, address, None, seconds, None)
    ends_at: datetime = await connection.fetchval(SQL["sessions.start"], *row)
    return ends_at


async def end_session(connection: database.Connection, visit: Kept) -> None:
    """Nothing sent with it is accepted any more."""
    at = (visit.merchant_id, visit.user_id, visit.session_id)
    await connection.execute(SQL["sessions.end"], *at)


async def insert(connection: database.Connection, tenant_id: str, visit: Kept) -> None:
    """The visit, in one of its tenants."""
    row = (
        *(tenant_id, visit.id, visit.platform_id, visit.merchant_id, visit.user_id),
        *(visit.session_id, visit.role, visit.reason, visit.masked_email),
        *(visit.began_at, visit.ends_at),
    )
    await connection.execute(SQL["visits.begin"], *row)


async def end(connection: database.Connection, tenant_id: str, visit_id: str, by: str) -> bool:
    """The end of the visit, in one of its tenants; whether it wasn't over before."""
    return await _value(connection, "end", tenant_id, visit_id, by) is not None


async def by_ids(connection: database.Connection, tenant_id: str, ids: Iterable[str]) -> list[Kept]:
    """Those visits, newest first."""
    return await database.many(connection, "visits.by_ids", Kept, tenant_id, list(ids))


async def open_of(
    connection: database.Connection, tenant_id: str, user_id: str, host_id: str | None = None
) -> list[Kept]:
    """Where somebody visits now, by merchant: who locks many goes through them in one order."""
    rows = await connection.fetch(SQL["visits.open_of"], tenant_id, user_id, host_id)
    found = await by_ids(connection, tenant_id, [row["id"] for row in rows])
    return sorted(found, key=lambda visit: visit.merchant_id)


async def page(tenant: Reading, before: str, limit: int) -> list[Kept]:
    """Visits older than an id, newest first."""
    rows = await tenant.connection.fetch(SQL["visits.page"], _id(tenant), before, limit)
    return await by_ids(tenant.connection, _id(tenant), [row["id"] for row in rows])


async def _value(connection: database.Connection, query: str, *values: Any) -> Any:
    return await connection.fetchval(SQL[f"visits.{query}"], *values)


def _id(tenant: Reading) -> str:
    return tenant.merchant.merchant_id
