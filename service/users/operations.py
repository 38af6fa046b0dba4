"""The story of a person: invited with a role, in with a password, given more, let in no more.

Nobody acts on themselves, and nobody on somebody who has a role that they couldn't give: so there
is always an owner, whoever took the role from the others. What ends is over with the answer: the
tenant's epoch is raised in the same transaction.
"""

import asyncpg
import msgspec

from schemas.common import Id
from schemas.roles import RoleAt, RoleDetail, RoleList
from schemas.users import (
    TicketRedeem,
    TicketRedeemed,
    User,
    UserInvite,
    UserList,
    UserReset,
    UserTicket,
    UserVersion,
)
from service.approvals import operations as approvals
from service.approvals.operations import Ask
from service.audit import operations as audit
from service.kernel import database, tokens
from service.kernel.ids import is_id, new_id
from service.kernel.paging import decode_cursor
from service.kernel.paging import page as page_of
from service.kernel.permissions import PERMISSIONS, ROLES
from service.kernel.problems import (
    NOT_FOUND,
    ProblemError,
    because,
    define,
    define_reason,
)
from service.kernel.routes import Answer, Call, Guest, json_answer, object_id
from service.ledger.reading import Reading, configuring, grants_of, reading
from service.ledger.reasons import STORE_UNKNOWN, UNPROCESSABLE
from service.rules import accounts
from service.sessions import operations as sessions
from service.users import rules, store
from service.visits import operations as visits

AFTER_ALL = "usr_~"  # sorts after every id
INVITATION_S, RESET_S = 7 * 86_400.0, 3_600.0

USER_EXISTS = define(
    "user_exists",
    409,
    "Somebody has this address already",
    "Nothing has changed. Give the user that reasons name a role, or a new invitation.",
)
USER_REFUSED = define(
    "user_refused",
    409,
    "This can't be done with the user now",
    "Nothing has changed. See reasons.",
)
TICKET_REFUSED = define(
    "ticket_refused",
    409,
    "This invitation or reset is good no more",
    "It is good once, and not for long. Ask whoever gave it to you for another one.",
    is_told=True,
)
BEYOND_REACH = define(
    "beyond_reach",
    403,
    "This isn't yours to give or take",
    "You give and take the roles that yours name, where yours reach; see GET /v1/roles. The same "
    "holds for whoever has such a role.",
)
EMAIL_TAKEN = define_reason("email_taken", "The user in existing_id has this address.")
ROLE_ELSEWHERE = define_reason("role_elsewhere", "This role can't be given at such a place.")
NODE_UNKNOWN = define_reason("node_unknown", "You have no such area.")
USER_MOVED = define_reason(
    "user_moved", "Somebody changed the account meanwhile. Look at it, then decide again."
)
USER_VISITS = define_reason(
    "user_visits", "They visit from the platform, which looks after them; end the visit instead."
)
ONESELF = define_reason("oneself", "Nobody does this to themselves. Ask somebody else.")


async def invite(call: Call, body: UserInvite) -> Answer:
    """Somebody new, with their first role."""
    found = _email(call, body.email)
    merchant_id = call.credential.merchant_id
    index = accounts.email_index(call.state.door_keys.email, merchant_id, found.address)
    user_id = new_id("usr")
    async with configuring(call) as tenant:
        await _require_may_give(call, tenant, body.role, body.node_id)
        existing_id = await store.by_email(tenant, index)
        if existing_id is not None:
            reason = because(EMAIL_TAKEN, path="$.email", existing_id=existing_id)
            raise ProblemError(USER_EXISTS, reasons=[reason])
        shown = {"role": body.role, "node_id": body.node_id, "masked_email": found.masked}
        agreed = Ask("role.grant", shown, state=index.hex(), store_id=_store_in(body.node_id))
        await _require_agreed(call, tenant, agreed, [body.role])
        await store.insert(tenant.connection, merchant_id, user_id, index, found.masked)
        await _give(call, tenant, user_id, body.role, body.node_id)
        await audit.record(call, tenant, "user.invited", user_id)
        answer = await _ticket(call, tenant, user_id, "invitation", INVITATION_S)
    return json_answer(201, answer)


async def browse(call: Call, _: None) -> Answer:
    """People, newest first: all of them, or those at the caller's own stores."""
    limit, before = call.query.limit, decode_cursor(call.query.cursor, Id) or AFTER_ALL
    async with reading(call) as tenant:
        found = await store.page(tenant, before, _own_stores(call), limit + 1)
    return json_answer(200, UserList(*page_of(found, limit, lambda user: user.id)))


async def read(call: Call, _: None) -> Answer:
    """A user by id."""
    async with reading(call) as tenant:
        return json_answer(200, await _seen(call, tenant))


async def give(call: Call, body: RoleAt) -> Answer:
    """One more role."""
    async with configuring(call) as tenant:
        user = await _within_reach(call, tenant)
        await _require_may_give(call, tenant, body.role, body.node_id)
        held = [(grant.role, grant.node_id) for grant in user.roles]
        if (body.role, body.node_id) not in held:
            state = [user.version, sorted(held)]
            agreed = Ask("role.grant", body, user.id, state, _store_in(body.node_id))
            await _require_agreed(call, tenant, agreed, [body.role])
        is_new = await _give(call, tenant, user.id, body.role, body.node_id)
        if is_new:  # whoever handed out a way in could be somebody with more than they have
            await _void_tickets(tenant, user.id)
        given = await store.user(tenant, user.id)
    return json_answer(201 if is_new else 200, given)


async def take(call: Call, _: None) -> Answer:
    """One role less."""
    grant_id = object_id(call, "grant_id", "grt")
    async with configuring(call) as tenant:
        user = await _within_reach(call, tenant)
        grant = next((grant for grant in user.roles if grant.id == grant_id), None)
        if grant is not None:
            await store.take(tenant, user.id, grant_id, call.credential.actor_id)
            merchant_id, by = tenant.merchant.merchant_id, audit.actor_of(call)
            await visits.end_of(tenant.connection, merchant_id, user.id, by)
            await store.void_issued(tenant, user.id)
            before = {"role": grant.role, "node_id": grant.node_id}
            await audit.record(call, tenant, "role.revoked", user.id, before=before)
        return json_answer(200, await store.user(tenant, user.id))


async def disable(call: Call, body: UserVersion) -> Answer:
    """Out: nothing sent with any of their sessions after this answer is accepted."""
    return await _set_status(call, body.version, disabled=True)


async def enable(call: Call, body: UserVersion) -> Answer:
    """In again, with the password and the roles they had."""
    return await _set_status(call, body.version, disabled=False)


async def reset(call: Call, body: UserReset) -> Answer:
    """A new invitation, or a way back in; what was given before is good no more."""
    async with configuring(call) as tenant:
        user = await _within_reach(call, tenant)
        if user.status == "disabled":
            raise ProblemError(USER_REFUSED, reasons=[because(USER_MOVED)])
        ask = Ask("user.reset", body, user.id, user.version)
        await _require_agreed(call, tenant, ask, [grant.role for grant in user.roles])
        if body.second_factor:
            await sessions.end_second_factor(tenant, user.id, audit.actor_of(call))
            await audit.record(call, tenant, "user.second_factor_removed", user.id)
        await audit.record(call, tenant, "user.reset", user.id)
        is_new = user.status == "invited"
        kind: store.Ticket = "invitation" if is_new else "reset"
        good_for_s = INVITATION_S if is_new else RESET_S
        answer = await _ticket(call, tenant, user.id, kind, good_for_s)
    return json_answer(201, answer)


async def redeem(guest: Guest, body: TicketRedeem) -> Answer:
    """A password for whoever shows an invitation or a reset; every session they had is over."""
    token = tokens.parse(body.token)
    if token is None or token.kind != "kft":
        raise ProblemError(TICKET_REFUSED)
    pool, merchant_id = guest.state.pool, token.merchant_id
    async with database.tenant(pool, merchant_id) as connection:
        holder = await store.ticket_holder(connection, merchant_id, token.secret_hash)
    if holder is None:
        raise ProblemError(TICKET_REFUSED)
    known = [holder.masked_email.rpartition("@")[2], holder.merchant_name]
    await sessions.require_strong(guest.state.passwords, body.password, known)
    password_hash = await guest.state.passwords.hash(body.password)
    async with database.tenant(pool, merchant_id) as connection:
        await database.raise_epoch(connection, merchant_id)
        user_id = await store.use_ticket(connection, merchant_id, token.secret_hash)
        if user_id is None or not await store.set_password(
            connection, merchant_id, user_id, password_hash
        ):
            raise ProblemError(TICKET_REFUSED)
        await sessions.end_every(connection, merchant_id, user_id)
        await audit.record_guest(guest, connection, merchant_id, "user.password_set", user_id)
    return json_answer(200, TicketRedeemed(merchant_id, user_id))


async def create_owner(
    pool: database.Pool, email_key: bytes, merchant_id: str, address: str
) -> UserTicket:
    """The first person of a merchant, by whoever runs the system. Raises ValueError."""
    found, user_id = accounts.email(address), new_id("usr")
    index = accounts.email_index(email_key, merchant_id, found.address)
    async with database.tenant(pool, merchant_id) as connection:
        mode = await database.raise_epoch(connection, merchant_id)
        if mode is None:
            raise ValueError(f"there is no merchant {merchant_id}")
        if not await store.insert(connection, merchant_id, user_id, index, found.masked):
            raise ValueError("somebody at this merchant has this address already")
        is_platform = await database.is_platform(connection, merchant_id)
        role = "platform_admin" if is_platform else "owner"
        await store.give(
            connection, merchant_id, new_id("grt"), user_id, role, merchant_id, audit.account()
        )
        after = {"role": role, "node_id": merchant_id}
        await audit.record_operator(connection, merchant_id, "user.invited", user_id, after=after)
        return await _new_ticket(
            connection, merchant_id, mode, user_id, "invitation", INVITATION_S, audit.account()
        )


async def roles(call: Call, _: None) -> Answer:
    """What people can be."""
    shown = [
        RoleDetail(
            name,
            role.title,
            sorted(role.at),
            sorted(role.permissions),
            sorted(name for name in role.permissions if PERMISSIONS[name].guarded),
            sorted(role.grants),
            sorted(role.visits),
        )
        for name, role in ROLES.items()
    ]
    await call.state.confirm(call)
    return json_answer(200, RoleList(shown))


def _email(call: Call, text: str) -> accounts.Email:
    """The address. Raises 422 for one that belongs to a person where the company's is wanted."""
    found = accounts.email(text)
    if call.state.company_mail_only and found.domain in accounts.PERSONAL_MAIL:
        reason = because(accounts.MAIL_IS_PERSONAL, path="$.email")
        raise ProblemError(UNPROCESSABLE, reasons=[reason])
    return found


def _own_stores(call: Call) -> frozenset[str] | None:
    """The stores whose people the caller may see; None: everybody."""
    return call.credential.limited_to("users:read")


async def _seen(call: Call, tenant: Reading) -> User:
    """The user of the path, where the caller may see them. Raises 404."""
    user = await store.user(tenant, object_id(call, "user_id", "usr"))
    stores = _own_stores(call)
    if user is None or (
        stores is not None and stores.isdisjoint(grant.node_id for grant in user.roles)
    ):
        raise ProblemError(NOT_FOUND)
    return user


async def _within_reach(call: Call, tenant: Reading) -> User:
    """The user of the path, where the caller may give and take all that they have.

    Raises 403, 404, and 409 for oneself.
    """
    user = await _seen(call, tenant)
    if user.id == call.credential.user_id:
        raise ProblemError(USER_REFUSED, reasons=[because(ONESELF)])
    if user.status == "visiting":
        raise ProblemError(USER_REFUSED, reasons=[because(USER_VISITS)])
    own = await grants_of(tenant, call.credential.actor_id)
    for grant in user.roles:
        place = grant.node_id if rules.node_of(grant.node_id) == "store" else None
        if not rules.may_give(own, call.scope, grant.role, place):
            raise ProblemError(BEYOND_REACH)
    return user


async def _require_may_give(call: Call, tenant: Reading, role: str, node_id: str) -> None:
    """Raise 403 unless one of the caller's own roles gives this one there, 422 for nonsense."""
    kind, merchant_id = rules.node_of(node_id), tenant.merchant.merchant_id
    if node_id == merchant_id and "platform" in ROLES[role].at:
        kind = "platform"
    if kind not in ROLES[role].at or (kind == "merchant" and node_id != merchant_id):
        allowed = sorted(ROLES[role].at)
        reason = because(ROLE_ELSEWHERE, path="$.node_id", allowed=allowed)
        raise ProblemError(UNPROCESSABLE, reasons=[reason])
    own = await grants_of(tenant, call.credential.actor_id)
    if not rules.may_give(own, call.scope, role, node_id if kind == "store" else None):
        raise ProblemError(BEYOND_REACH)


async def _require_agreed(call: Call, tenant: Reading, ask: Ask, roles: list[str]) -> None:
    """Raise 403 until somebody else agrees, where the merchant's rules want that.

    Where there are rules they always do of what makes somebody one who decides, or lets whoever
    asks in as such a one.
    """
    decides = any("approvals:decide" in ROLES[role].permissions for role in roles if role in ROLES)
    await approvals.require(call, tenant, msgspec.structs.replace(ask, makes_decider=decides))


def _store_in(node_id: str) -> str | None:
    """The store that a place is; None is above stores."""
    return node_id if rules.node_of(node_id) == "store" else None


async def _give(call: Call, tenant: Reading, user_id: str, role: str, node_id: str) -> bool:
    """Whether the role is new to them. Raises 422 when there is no such place."""
    connection, merchant_id = tenant.connection, tenant.merchant.merchant_id
    by = call.credential.actor_id
    try:
        is_new = await store.give(
            connection, merchant_id, new_id("grt"), user_id, role, node_id, by
        )
    except asyncpg.ForeignKeyViolationError:
        code = STORE_UNKNOWN if is_id("sto", node_id) else NODE_UNKNOWN
        raise ProblemError(UNPROCESSABLE, reasons=[because(code, path="$.node_id")]) from None
    if is_new:
        after = {"role": role, "node_id": node_id}
        await audit.record(call, tenant, "role.granted", user_id, after=after)
    return is_new


async def _set_status(call: Call, version: int, *, disabled: bool) -> Answer:
    async with configuring(call) as tenant:
        user = await _within_reach(call, tenant)
        if (user.status == "disabled") != disabled:
            if not disabled:
                ask = Ask("user.enable", {"version": version}, user.id, user.version)
                await _require_agreed(call, tenant, ask, [grant.role for grant in user.roles])
            if not await store.set_status(tenant, user.id, version, disabled=disabled):
                raise ProblemError(USER_REFUSED, reasons=[because(USER_MOVED)])
            await _void_tickets(tenant, user.id)
            if disabled:
                await sessions.end_all(tenant, user.id, audit.actor_of(call))
                await store.void_issued(tenant, user.id)
            await audit.record(
                call, tenant, "user.disabled" if disabled else "user.enabled", user.id
            )
        return json_answer(200, await store.user(tenant, user.id))


async def _void_tickets(tenant: Reading, user_id: str) -> None:
    """Ways in that were handed out for somebody are good no more."""
    await store.void_tickets(tenant.connection, tenant.merchant.merchant_id, user_id)


async def _ticket(
    call: Call, tenant: Reading, user_id: str, kind: store.Ticket, good_for_s: float
) -> UserTicket:
    merchant, by = tenant.merchant, call.credential.actor_id
    return await _new_ticket(
        tenant.connection, merchant.merchant_id, merchant.mode, user_id, kind, good_for_s, by
    )


async def _new_ticket(
    connection: database.Connection,
    merchant_id: str,
    mode: str,
    user_id: str,
    kind: store.Ticket,
    good_for_s: float,
    by: str,
) -> UserTicket:
    """What sets a password once; those given before are good no more."""
    text = tokens.new_token(merchant_id, mode, "kft")
    await store.void_tickets(connection, merchant_id, user_id)
    expires_at = await store.add_ticket(
        connection, merchant_id, tokens.hash_of(text), user_id, kind, good_for_s, by
    )
    [user] = await store.users(connection, merchant_id, [user_id])
    return UserTicket(user, text, expires_at)
