"""The story of a visit: one of the platform's people at a merchant, for a reason and for an hour.

A visit is a session in the merchant's own tenant, with a role that only visitors have: all that
holds for the merchant's people holds for it, and nothing that is asked as a visitor knows another
merchant. Both tenants keep the visit and write down its beginning and its end, in one transaction.
It ends with its hour, and at once when either side ends it, when the visitor signs out, or when
the platform takes their role, their password or their account (decision 0026).

Whoever locks both tenants takes the platform's row before a merchant's, and the platform's trail
after it; a merchant that ends a visit locks its own row, and then that trail.
"""

from datetime import timedelta

from schemas.audit import Actor
from schemas.common import Id
from schemas.visits import VisitBegin, VisitBegun, VisitList
from service.audit import operations as audit
from service.kernel import database, tokens
from service.kernel.ids import new_id
from service.kernel.paging import decode_cursor
from service.kernel.paging import page as page_of
from service.kernel.permissions import ROLES
from service.kernel.problems import NOT_FOUND, ProblemError, because, define_reason
from service.kernel.routes import Answer, Call, json_answer, object_id
from service.ledger.reading import Reading, configuring, grants_of, reading
from service.ledger.reasons import UNPROCESSABLE
from service.visits import store
from service.visits.store import Kept

AFTER_ALL = "vis_~"  # sorts after every id
VISIT = timedelta(hours=1)

MERCHANT_UNKNOWN = define_reason("merchant_unknown", "There is no such merchant to visit.")
ROLE_NOT_YOURS = define_reason("role_not_yours", "Your roles visit as one of `allowed`.")


async def begin(call: Call, body: VisitBegin) -> Answer:
    """In, as a visitor; an earlier visit of theirs to that merchant is over."""
    user_id = call.credential.actor_id
    async with configuring(call) as tenant:
        roles = [grant.role for grant in await grants_of(tenant, user_id)]
        allowed = {name for role in roles if role in ROLES for name in ROLES[role].visits}
        if body.role not in allowed:
            reason = because(ROLE_NOT_YOURS, path="$.role", allowed=sorted(allowed))
            raise ProblemError(UNPROCESSABLE, reasons=[reason])
        home_id = tenant.merchant.merchant_id
        earlier = await store.open_of(tenant.connection, home_id, user_id, body.merchant_id)
        await _end(tenant.connection, home_id, earlier, audit.actor_of(call))
        visit, token = await _admitted(call, tenant, body)
        await store.insert(tenant.connection, home_id, visit)
        await _record_begun(call, tenant.connection, home_id, visit)
    return json_answer(201, VisitBegun(visit.shown(), visit.session_id, token))


async def browse(call: Call, _: None) -> Answer:
    """Visits to the caller's merchant; of the platform's people, all of theirs. Newest first."""
    limit, before = call.query.limit, decode_cursor(call.query.cursor, Id) or AFTER_ALL
    async with reading(call) as tenant:
        found = [visit.shown() for visit in await store.page(tenant, before, limit + 1)]
    return json_answer(200, VisitList(*page_of(found, limit, lambda visit: visit.id)))


async def end(call: Call, _: None) -> Answer:
    """Over: nothing sent with its token after this answer is accepted."""
    visit_id = object_id(call, "visit_id", "vis")
    async with configuring(call, also_suspended=True) as tenant:
        connection, home_id = tenant.connection, tenant.merchant.merchant_id
        now = tenant.merchant.clock
        found = await store.by_ids(connection, home_id, [visit_id])
        goes_on = [visit for visit in found if visit.ended_at is None and visit.ends_at > now]
        await _end(connection, home_id, goes_on, audit.actor_of(call))
        found = await store.by_ids(connection, home_id, [visit_id])
    if not found:
        raise ProblemError(NOT_FOUND)
    return json_answer(200, found[0].shown())


async def end_of(
    connection: database.Connection, tenant_id: str, user_id: str, by: Actor | None = None
) -> None:
    """Every visit of somebody is over, in the transaction that takes what they visit with.

    `by`: who takes it, if not they themselves.
    """
    found = await store.open_of(connection, tenant_id, user_id)
    await _end(connection, tenant_id, found, by or Actor("user", user_id, None))


async def _admitted(call: Call, tenant: Reading, body: VisitBegin) -> tuple[Kept, str]:
    """The visit, and the token of its session. Raises 422 where there is no such merchant."""
    connection, home_id, host_id = tenant.connection, tenant.merchant.merchant_id, body.merchant_id
    user_id, session_id = call.credential.actor_id, new_id("ses")
    masked = await store.masked_email(tenant, user_id)
    async with database.elsewhere(connection, host_id, home_id):
        mode = await database.raise_epoch(connection, host_id)
        if mode is None or host_id == home_id:
            reason = because(MERCHANT_UNKNOWN, path="$.merchant_id")
            raise ProblemError(UNPROCESSABLE, reasons=[reason])
        await store.admit(connection, host_id, user_id, masked)
        await store.take_roles(connection, host_id, user_id, user_id)  # of one that ended by itself
        await store.give_role(connection, host_id, user_id, body.role, new_id("grt"))
        token = tokens.new_token(host_id, mode, "kfs")
        ends_at = await store.start_session(
            connection, host_id, session_id, user_id, tokens.hash_of(token), call.address, VISIT
        )
        visit = Kept(
            *(new_id("vis"), host_id, home_id, user_id, session_id, body.role, body.reason, masked),
            *(ends_at - VISIT, ends_at, None, None),
        )
        await store.insert(connection, host_id, visit)
        await _record_begun(call, connection, host_id, visit)
    return visit, token


async def _end(
    connection: database.Connection, home_id: str, visits: list[Kept], actor: Actor
) -> None:
    """In both tenants. The merchants' part comes first: who ends one there waits for our trail."""
    for visit in visits:
        async with database.elsewhere(connection, visit.merchant_id, home_id):
            await database.raise_epoch(connection, visit.merchant_id)
            await _show_out(connection, visit, actor)
    for visit in visits:
        async with database.elsewhere(connection, visit.platform_id, home_id):
            await _close(connection, visit.platform_id, visit, actor)


async def _show_out(connection: database.Connection, visit: Kept, actor: Actor) -> None:
    await store.end_session(connection, visit)
    await store.take_roles(connection, visit.merchant_id, visit.user_id, actor.id)
    await _close(connection, visit.merchant_id, visit, actor)


async def _close(
    connection: database.Connection, tenant_id: str, visit: Kept, actor: Actor
) -> None:
    if await store.end(connection, tenant_id, visit.id, actor.id):
        await audit.record_as(connection, tenant_id, "visit.ended", visit.id, actor)


async def _record_begun(
    call: Call, connection: database.Connection, tenant_id: str, visit: Kept
) -> None:
    after = {"merchant_id": visit.merchant_id, "role": visit.role, "ends_at": visit.ends_at}
    actor, where = audit.actor_of(call), (call.address, call.request_id)
    await audit.record_as(
        connection, tenant_id, "visit.began", visit.id, actor, where, visit.reason, after
    )
