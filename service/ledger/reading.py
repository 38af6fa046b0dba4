"""Reading: a tenant's transaction with its clock, for answers that change nothing."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Protocol, TypeVar

from msgspec import Struct

from service.kernel import database
from service.kernel.auth import require_scope
from service.kernel.http import Call
from service.kernel.problems import NOT_FOUND, UNAUTHENTICATED, ProblemError
from service.ledger.reasons import STORE_NOT_ALLOWED
from service.ledger.terms import Merchant


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
    """What was found, where the caller's key may see it: 404 when absent, 403 at another store."""
    if found is None:
        raise ProblemError(NOT_FOUND)
    if not call.credential.acts_for(found.store_id):
        raise ProblemError(STORE_NOT_ALLOWED)
    return found


@asynccontextmanager
async def reading(call: Call) -> AsyncIterator[Reading]:
    """A snapshot of the caller's tenant. Raises 401 and 403."""
    merchant_id = call.credential.merchant_id
    async with database.tenant(call.state.pool, merchant_id, snapshot=True) as connection:
        yield await tenant_of(call, connection)


async def tenant_of(call: Call, connection: database.Connection) -> Reading:
    """The caller's tenant in a transaction that has it set. Raises 401 and 403.

    The credential is checked again when the tenant's epoch has moved.
    """
    credential = call.credential
    merchant = await database.one(connection, "tenant.merchant", Merchant, credential.merchant_id)
    if merchant is None:
        raise ProblemError(UNAUTHENTICATED)
    expired = credential.expires_at is not None and credential.expires_at <= merchant.clock
    if merchant.epoch != credential.epoch or expired:
        # On the connection that is held: waiting for a second one of the pool, readers would
        # wait for each other.
        tenant = await call.state.terms.load(
            credential.merchant_id, [credential.secret_hash], connection=connection
        )
        fresh = tenant.credentials.get(credential.secret_hash) if tenant else None
        if fresh is None or expired:
            raise ProblemError(UNAUTHENTICATED, headers={"WWW-Authenticate": "Bearer"})
        require_scope(fresh, call.scope)
    return Reading(connection, merchant)
