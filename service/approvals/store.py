"""Approvals as rows, the rules that ask for them, and what employees did in a day."""

from collections.abc import Iterable
from datetime import date, datetime

import msgspec
from msgspec import Struct

from schemas.approvals import (
    Approval,
    ApprovalKind,
    ApprovalStatus,
    Authority,
    AuthorityRule,
    Decided,
)
from schemas.audit import Actor, ActorKind
from schemas.common import Total
from service.kernel import database
from service.kernel.sql import SQL
from service.ledger.reading import Reading
from service.rules.periods import business_date

_RULES = msgspec.json.Decoder(list[AuthorityRule])


class Waiting(Struct):
    """What a request waits for; `is_late`: it was not decided, or not used, in time."""

    id: str
    status: str
    is_late: bool


class Subject(Struct):
    """What money would be given back of, and as which version that is seen."""

    amount: int
    currency: str
    version: int


class _Row(Struct):
    id: str
    kind: ApprovalKind
    status: ApprovalStatus
    actor_kind: ActorKind
    actor_id: str
    session_id: str | None
    store_id: str | None
    subject_id: str | None
    amount: int | None
    currency: str | None
    request: str
    digest: str
    approvers: int
    roles: list[str]
    opened_at: datetime
    expires_at: datetime
    decisions: str


async def authority(tenant: Reading) -> Authority:
    """The rules as they are now."""
    row = await tenant.connection.fetchrow(SQL["approvals.authority"], tenant.merchant.merchant_id)
    return Authority(row["version"], _RULES.decode(row["rules"])) if row else Authority(0, [])


async def set_authority(tenant: Reading, rules: Authority, by: str) -> None:
    """Other rules, of the next version."""
    text = msgspec.json.encode(rules.rules).decode("utf-8")
    await tenant.connection.execute(
        SQL["approvals.set_authority"], tenant.merchant.merchant_id, rules.version, text, by
    )


async def rulers(tenant: Reading, roles: list[str]) -> int:
    """How many people could agree to other rules."""
    count: int = await tenant.connection.fetchval(
        SQL["approvals.rulers"], tenant.merchant.merchant_id, roles
    )
    return count


async def responsible(tenant: Reading, api_key_id: str) -> str:
    """Who is behind an API key."""
    found: str = await tenant.connection.fetchval(
        SQL["approvals.responsible"], tenant.merchant.merchant_id, api_key_id
    )
    return found


async def in_turn(tenant: Reading, who: str, what: str) -> None:
    """Nobody looks at this of the same person until the transaction ends."""
    merchant_id = tenant.merchant.merchant_id
    await tenant.connection.execute(SQL["approvals.in_turn"], merchant_id, who, what)


async def waiting(tenant: Reading, responsible_id: str, digest: bytes) -> Waiting | None:
    """What this very request waits for; nobody decides on it meanwhile."""
    return await database.one(
        tenant.connection,
        "approvals.waiting",
        Waiting,
        tenant.merchant.merchant_id,
        responsible_id,
        digest,
    )


async def was_used(tenant: Reading, responsible_id: str, digest: bytes) -> bool:
    """Whether this very request was approved and let through before."""
    used: bool = await tenant.connection.fetchval(
        SQL["approvals.was_used"], tenant.merchant.merchant_id, responsible_id, digest
    )
    return used


async def supersede(
    tenant: Reading, responsible_id: str, kind: ApprovalKind, subject_id: str
) -> None:
    """What the same person asked of the same thing before is void."""
    await tenant.connection.execute(
        SQL["approvals.supersede"], tenant.merchant.merchant_id, responsible_id, kind, subject_id
    )


async def open_one(tenant: Reading, *columns: object) -> None:
    """One more that waits; see the query for its columns."""
    await tenant.connection.execute(SQL["approvals.open"], tenant.merchant.merchant_id, *columns)


async def close(tenant: Reading, approval_id: str, status: ApprovalStatus) -> None:
    """The end of one that is still open or approved."""
    await tenant.connection.execute(
        SQL["approvals.close"], tenant.merchant.merchant_id, approval_id, status
    )


async def held(tenant: Reading, approval_id: str) -> str | None:
    """Who asked for it; nobody else decides on it until the transaction ends. None: no such."""
    found: str | None = await tenant.connection.fetchval(
        SQL["approvals.hold"], tenant.merchant.merchant_id, approval_id
    )
    return found


async def decide(
    tenant: Reading,
    approval_id: str,
    user_id: str,
    responsible_id: str,
    session_id: str,
    note: str | None,
    *,
    approved: bool,
) -> None:
    """What somebody says of it; with a last yes it is approved, with a no it is over."""
    merchant_id = tenant.merchant.merchant_id
    await tenant.connection.execute(
        SQL["approvals.decide"],
        *(merchant_id, approval_id, user_id, responsible_id, session_id, approved, note),
    )
    if approved:
        await tenant.connection.execute(SQL["approvals.approve"], merchant_id, approval_id)
    else:
        await close(tenant, approval_id, "rejected")


async def page(
    tenant: Reading,
    before: str,
    stores: Iterable[str] | None,
    status: str | None,
    limit: int,
    only: str | None = None,
) -> list[Approval]:
    """Those older than an id, newest first."""
    within = None if stores is None else sorted(stores)
    merchant_id = tenant.merchant.merchant_id
    rows = await database.many(
        tenant.connection,
        "approvals.page",
        _Row,
        *(merchant_id, before, within, status, only, limit),
    )
    return [_shown(row) for row in rows]


async def key_known(tenant: Reading, key_hash: bytes) -> bool:
    """Whether a request with this idempotency key has had its answer."""
    known: bool = await tenant.connection.fetchval(
        SQL["approvals.key_known"], tenant.merchant.merchant_id, key_hash
    )
    return known


async def subject(tenant: Reading, subject_id: str) -> Subject | None:
    """What money would be given back of: a redemption, or an operation."""
    connection, merchant_id = tenant.connection, tenant.merchant.merchant_id
    if subject_id.startswith("rdm_"):
        return await database.one(
            connection, "approvals.left_of_redemption", Subject, merchant_id, subject_id
        )
    return await database.one(
        connection, "approvals.amount_of_operation", Subject, merchant_id, subject_id
    )


async def today(tenant: Reading, store_id: str) -> date:
    """The business day of a store."""
    row = await tenant.connection.fetchrow(
        SQL["approvals.business_clock"], tenant.merchant.merchant_id, store_id
    )
    assert row is not None
    return business_date(tenant.now, row["time_zone"], row["day_cutoff"])


async def day_of(
    tenant: Reading, employee: str, kind: str, day: date, key_hash: bytes
) -> tuple[int, int]:
    """What an employee did before on a day: amount and count."""
    row = await tenant.connection.fetchrow(
        SQL["approvals.day_of"], tenant.merchant.merchant_id, employee, kind, day, key_hash
    )
    assert row is not None
    return row["amount"], row["count"]


async def note_use(
    tenant: Reading, employee: str, kind: str, day: date, key_hash: bytes, amount: int
) -> None:
    """It counts from now on."""
    await tenant.connection.execute(
        SQL["approvals.note_use"],
        *(tenant.merchant.merchant_id, employee, kind, day, key_hash, amount),
    )


def _shown(row: _Row) -> Approval:
    money = None
    if row.amount is not None and row.currency is not None:
        money = Total(row.amount, row.currency)
    return Approval(
        row.id,
        row.kind,
        row.status,
        Actor(row.actor_kind, row.actor_id, row.session_id),
        row.store_id,
        row.subject_id,
        money,
        msgspec.json.decode(row.request),
        row.digest,
        row.approvers,
        row.roles,
        msgspec.json.decode(row.decisions, type=list[Decided]),
        row.opened_at,
        row.expires_at,
    )
