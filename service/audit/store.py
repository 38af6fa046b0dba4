"""The audit trail as rows."""

from datetime import datetime
from typing import Any

import msgspec
from msgspec import Struct

from schemas.audit import Actor, ActorKind, AuditEntry
from service.kernel import database
from service.kernel.sql import SQL
from service.ledger.reading import Reading


class _Row(Struct):
    """An entry as it is stored."""

    id: str
    action: Any
    object_id: str | None
    actor_kind: ActorKind
    actor_id: str
    session_id: str | None
    address: str | None
    request_id: str | None
    reason: str | None
    before: str | None
    after: str | None
    recorded_at: datetime


async def append(
    connection: database.Connection,
    merchant_id: str,
    entry_id: str,
    action: str,
    object_id: str | None,
    actor: Actor,
    address: str | None,
    request_id: str | None,
    reason: str | None,
    before: Any,
    after: Any,
) -> None:
    """One more entry, sealed with the transaction of what it tells of."""
    await connection.fetchval(
        SQL["audit.append"],
        merchant_id,
        entry_id,
        action,
        object_id,
        actor.kind,
        actor.id,
        actor.session_id,
        address,
        request_id,
        reason,
        _json(before),
        _json(after),
    )


async def page(
    tenant: Reading,
    before: str,
    object_id: str | None,
    actor_id: str | None,
    action: str | None,
    limit: int,
) -> list[AuditEntry]:
    """Entries older than an id, newest first."""
    rows = await database.many(
        tenant.connection,
        "audit.page",
        _Row,
        tenant.merchant.merchant_id,
        before,
        object_id,
        actor_id,
        action,
        limit,
    )
    return [_entry(row) for row in rows]


def _entry(row: _Row) -> AuditEntry:
    return AuditEntry(
        row.id,
        row.action,
        row.object_id,
        Actor(row.actor_kind, row.actor_id, row.session_id),
        row.address,
        row.request_id,
        row.reason,
        msgspec.json.decode(row.before) if row.before else None,
        msgspec.json.decode(row.after) if row.after else None,
        row.recorded_at,
    )


def _json(facts: Any) -> str | None:
    return None if facts is None else msgspec.json.encode(facts).decode("utf-8")
