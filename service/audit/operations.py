"""The story of the audit trail: whoever changes something writes down what, in one transaction.

An entry is numbered and sealed as it is written (`sql/functions/audit_v1.sql`); what moves value
is its own record, and is numbered and sealed once it is committed (`service/events`).
"""

import getpass
import os
from typing import Any

from schemas.audit import Action, Actor, AuditEntryList
from schemas.common import Id
from service.audit import store
from service.kernel import database
from service.kernel.ids import new_id
from service.kernel.paging import decode_cursor, page
from service.kernel.routes import Answer, Call, Guest, json_answer
from service.ledger.reading import Reading, reading

AFTER_ALL = "aud_~"  # sorts after every id


def actor_of(call: Call) -> Actor:
    """Who calls."""
    credential = call.credential
    if credential.member_id is not None:
        return Actor("member", credential.member_id, None)
    if credential.user_id is not None:
        return Actor("user", credential.user_id, credential.session_id)
    return Actor("api_key", credential.actor_id, None)


async def record(
    call: Call,
    tenant: Reading,
    action: Action,
    object_id: str | None,
    *,
    reason: str | None = None,
    before: Any = None,
    after: Any = None,
) -> None:
    """Write down what a request changes, in the transaction that changes it.

    `before` and `after`: the fields that were changed, a dict or a Struct; nothing that is secret,
    and nothing by which a person is known.
    """
    await store.append(
        tenant.connection,
        tenant.merchant.merchant_id,
        new_id("aud"),
        action,
        object_id,
        actor_of(call),
        call.address,
        call.request_id,
        reason,
        before,
        after,
    )


async def record_guest(
    guest: Guest,
    connection: database.Connection,
    merchant_id: str,
    action: Action,
    user_id: str,
    session_id: str | None = None,
) -> None:
    """Write down what somebody does who has just shown who they are."""
    actor, where = Actor("user", user_id, session_id), (guest.address, guest.request_id)
    await record_as(connection, merchant_id, action, session_id or user_id, actor, where)


async def record_operator(
    connection: database.Connection,
    merchant_id: str,
    action: Action,
    object_id: str | None,
    *,
    after: Any = None,
) -> None:
    """Write down what is changed on the command line, in the transaction that changes it."""
    actor = Actor("operator", account(), None)
    await record_as(connection, merchant_id, action, object_id, actor, after=after)


async def record_as(
    connection: database.Connection,
    tenant_id: str,
    action: Action,
    object_id: str | None,
    actor: Actor,
    where: tuple[str | None, str | None] = (None, None),
    reason: str | None = None,
    after: Any = None,
) -> None:
    """Write down what somebody does in the tenant that `connection` is in, which isn't the call's.

    `where`: the address it was asked from, and the request's id.
    """
    entry = (connection, tenant_id, new_id("aud"), action, object_id, actor, *where, reason)
    await store.append(*entry, None, after)


async def browse(call: Call, _: None) -> Answer:
    """Entries, newest first."""
    query = call.query
    older = decode_cursor(query.cursor, Id) or AFTER_ALL
    async with reading(call) as tenant:
        found = await store.page(
            tenant, older, query.object_id, query.actor_id, query.action, query.limit + 1
        )
    return json_answer(200, AuditEntryList(*page(found, query.limit, lambda entry: entry.id)))


def account() -> str:
    """Who runs the system: the account on the host; a container's user may have no name."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())
