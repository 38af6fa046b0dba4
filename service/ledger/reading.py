"""Reading: a tenant's transaction with its clock, for answers that change nothing.

And changing what isn't value: all that is goes through the door.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Protocol, TypeVar

from msgspec import Struct

from service.kernel import database
from service.kernel.auth import require_scope
from service.kernel.permissions import Grant
from service.kernel.problems import NOT_FOUND, UNAUTHENTICATED, ProblemError
from service.kernel.routes import Call
from service.kernel.sql import SQL
from service.ledger.reasons import MERCHANT_SUSPENDED, STORE_NOT_ALLOWED
from service.ledger.terms import Merchant


class KeptError(ProblemError):
    """A refusal that comes with something written, which stays: the transaction commits."""


class Reading(Struct):
    """One snapshot of a tenant. `now` is the tenant's clock (a test tenant's may be moved)."""

    connection: database.Connection
    merchant: Merchant

    @property
    def now(self) -> datetime:
        """The instant the answer is as of."""
        return self.merchant.test_now or self.merchant.clock


class _OfAStore(Protocol):
    """What happened at a store; None is the merchant's own office."""

    @property
    def store_id(self) -> str | None: ...


T = TypeVar("T", bound=_OfAStore)


def own(call: Call, found: T | None) -> T:
    """What was found, where the caller may see it: 404 when absent, 403 at another store."""
    if found is None:
        raise ProblemError(NOT_FOUND)
    if not call.credential.acts_for(call.scope, found.store_id):
        raise ProblemError(STORE_NOT_ALLOWED)
    return found


def require_own_member(call: Call, member_id: str) -> None:
    """Raise 404 where a member's token asks for another member, as for one that isn't there."""
    if call.credential.member_id not in (None, member_id):
        raise ProblemError(NOT_FOUND)


async def require_own_card(call: Call, tenant: Reading, card_id: str) -> int:
    """After which version the caller may see a card's history; 0 is all of it, as for every key.

    Raises 404 where a member's token asks for what isn't the member's now, whether it is there or
    not.
    """
    member_id, merchant_id = call.credential.member_id, call.credential.merchant_id
    if member_id is None:
        return 0
    version: int | None = await tenant.connection.fetchval(
        SQL["tenant.visible_after"], merchant_id, card_id, member_id
    )
    if version is None:
        raise ProblemError(NOT_FOUND)
    return version


@asynccontextmanager
async def reading(call: Call) -> AsyncIterator[Reading]:
    """A snapshot of the caller's tenant. Raises 401 and 403."""
    merchant_id = call.credential.merchant_id
    async with database.tenant(call.state.pool, merchant_id, snapshot=True) as connection:
        yield await tenant_of(call, connection)


async def grants_of(tenant: Reading, user_id: str) -> list[Grant]:
    """The roles somebody has now."""
    rows = await tenant.connection.fetchval(
        SQL["tenant.grants"], tenant.merchant.merchant_id, user_id
    )
    return [Grant.read(*row) for row in rows]


async def confirm(call: Call) -> None:
    """Raise 401 or 403 where the credential isn't good any more."""
    async with reading(call):
        pass


@asynccontextmanager
async def writing(call: Call, *, also_suspended: bool = False) -> AsyncIterator[Reading]:
    """A transaction that changes what isn't value. Raises 401, and 403 as `active_tenant_of`.

    `also_suspended`: what people do for themselves goes on while their merchant is suspended.
    """
    async with _transaction(call) as connection:
        opened = tenant_of if also_suspended else active_tenant_of
        yield await opened(call, connection)


@asynccontextmanager
async def configuring(call: Call, *, also_suspended: bool = False) -> AsyncIterator[Reading]:
    """As `writing`, and nobody else configures this merchant meanwhile.

    Who may do what is read again once it is one's turn, and by everybody from the commit on.
    """
    async with _transaction(call) as connection:
        await database.raise_epoch(connection, call.credential.merchant_id)
        opened = tenant_of if also_suspended else active_tenant_of
        yield await opened(call, connection, remember=False)


@asynccontextmanager
async def _transaction(call: Call) -> AsyncIterator[database.Connection]:
    """A transaction that a KeptError doesn't undo."""
    kept = None
    async with database.tenant(call.state.pool, call.credential.merchant_id) as connection:
        try:
            yield connection
        except KeptError as error:
            kept = error
    if kept is not None:
        raise kept


async def active_tenant_of(
    call: Call, connection: database.Connection, *, remember: bool = True
) -> Reading:
    """As `tenant_of`, where something is to change: 403 also for a suspended merchant."""
    tenant = await tenant_of(call, connection, remember=remember)
    if tenant.merchant.status != "active":
        raise ProblemError(MERCHANT_SUSPENDED)
    return tenant


async def tenant_of(
    call: Call, connection: database.Connection, *, remember: bool = True
) -> Reading:
    """The caller's tenant in a transaction that has it set. Raises 401 and 403.

    `remember`: unless the epoch is this transaction's own.

    The credential is checked again when the tenant's epoch has moved, and a member's token always:
    by the database's clock, in the snapshot of what is read.
    """
    credential = call.credential
    merchant = await database.one(connection, "tenant.merchant", Merchant, credential.merchant_id)
    if merchant is None or not await _is_good(call, connection, merchant, remember):
        raise ProblemError(UNAUTHENTICATED, headers={"WWW-Authenticate": "Bearer"})
    return Reading(connection, merchant)


async def _is_good(
    call: Call, connection: database.Connection, merchant: Merchant, remember: bool
) -> bool:
    """Whether the credential still is, or the API key that the token was issued with. Raises 403.

    The real clock: a test tenant's may stand still, and a token would be good for ever.
    """
    credential = call.credential
    if credential.expires_at is not None and credential.expires_at <= merchant.clock:
        return False
    if merchant.epoch != credential.epoch:
        # On the connection that is held: waiting for a second one of the pool, readers would
        # wait for each other.
        tenant = await call.state.terms.load(
            credential.merchant_id,
            [credential.secret_hash],
            connection=connection,
            remember=remember,
        )
        fresh = tenant.credentials.get(credential.secret_hash) if tenant else None
        if fresh is None:
            return False
        if credential.member_id is None:
            require_scope(fresh, call.scope)
            call.credential = fresh  # where it may act has changed, too
    if credential.member_id is None:
        return True
    generation: int | None = await connection.fetchval(
        SQL["tenant.token_generation"], credential.merchant_id, credential.member_id
    )
    return generation == credential.token_generation
