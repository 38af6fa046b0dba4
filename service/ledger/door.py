"""The door as routes see it: an intent goes in, the exact answer comes out."""

import hmac
from hashlib import blake2b
from typing import Any

import asyncpg
import msgspec
from msgspec import Struct

from schemas.common import Till
from service.kernel import database
from service.kernel.ids import new_id
from service.kernel.problems import NOT_FOUND, UNAVAILABLE, ProblemError, because
from service.kernel.routes import Answer, Call
from service.kernel.sql import SQL
from service.ledger import snapshot as snapshots
from service.ledger.batch import Batch, Relocate, Settled, terms_of
from service.ledger.commands import Command, Intent
from service.ledger.decide import Decision, decide
from service.ledger.reading import reading
from service.ledger.reasons import STORE_MISMATCH, STORE_NOT_ALLOWED, STORE_REQUIRED, UNPROCESSABLE
from service.ledger.state import View

_encode = msgspec.json.Encoder().encode


class Keys(Struct, frozen=True):
    """Secrets kept outside the database, each derived for one purpose from the service's secret."""

    idempotency: bytes
    fingerprint: bytes
    quote: bytes
    phone: bytes
    member_token: bytes
    email: bytes
    totp: bytes
    device: bytes
    signing: bytes

    @classmethod
    def of(cls, secret: bytes) -> "Keys":
        """The keys of a service secret of at least 32 bytes."""
        return cls(
            *(
                blake2b(name.encode("ascii"), key=secret, digest_size=32).digest()
                for name in cls.__struct_fields__
            )
        )


def key_hash(keys: Keys, idempotency_key: str) -> bytes:
    """What stands for an idempotency key in the database."""
    return blake2b(idempotency_key.encode("ascii"), key=keys.idempotency, digest_size=16).digest()


def fingerprint(keys: Keys, call: Call, body: Any) -> bytes:
    """An HMAC over route, path ids, the till's store and the validated, typed body.

    Key order, white space and defaults don't matter: request Structs leave defaults out, so that a
    field added later changes no fingerprint of a request sent before.
    """
    at = call.credential.only_store(call.scope)
    message = _encode([call.route, sorted(call.path.items()), at, body])
    return hmac.digest(keys.fingerprint, message, "sha256")[:16]


async def perform(
    call: Call,
    body: Any,
    intent: Intent,
    card_number: str,
    store_id: str | None = None,
    till: Till | None = None,
) -> Answer:
    """Send an intent through the writer. Raises ProblemError for what is not stored."""
    settled = await attempt(call, body, intent, card_number, store_id, till)
    assert isinstance(settled, Settled)
    return Answer(settled.status, settled.body, settled.replayed)


async def attempt(
    call: Call,
    body: Any,
    intent: Intent,
    card_number: str,
    store_id: str | None = None,
    till: Till | None = None,
) -> Settled | Relocate:
    """As `perform`, but a reversal whose target moved says so."""
    keys: Keys = call.state.door_keys
    command = Command(
        intent,
        call.credential,
        call.scope,
        card_number,
        store_id,
        till,
        key_hash(keys, call.idempotency_key),
        fingerprint(keys, call, body),
        call.request_id,
        call.trace,
    )
    settled: Settled | Relocate = await call.state.writer.submit(command)
    return settled


async def consider(
    call: Call, intent: Intent, card_number: str, store_id: str | None
) -> tuple[View, Decision]:
    """What an intent would do now: the same read and the same decision, nothing posted (quote)."""
    command = Command(
        intent, call.credential, call.scope, card_number, store_id, None, b"", b"", call.request_id
    )
    merchant_id = call.credential.merchant_id
    while True:
        async with database.borrowed(call.state.pool) as connection:
            state = await snapshots.read(connection, merchant_id, [command], lock=False)
        if state is None:
            raise ProblemError(NOT_FOUND)
        tenant = await terms_of(call.state.terms, merchant_id, [command], state)
        if tenant is not None:
            break
    batch = Batch(tenant, state, call.state.door_keys.quote, new_id)
    refusal = batch.authorize(command)
    if refusal is not None:
        raise refusal
    view = batch.view(command)
    assert isinstance(view, View)
    return view, decide(view, command, new_id)


def store_of(call: Call, store_id: str | None) -> str:
    """The store something happens at: it is named, unless the caller acts for one alone.

    Raises 422 when it isn't named, 403 when it isn't the caller's to act for.
    """
    found = store_if_any(call, store_id)
    if found is None:
        raise _unnamed()
    return found


def store_or_office(call: Call, store_id: str | None) -> str | None:
    """The same; where whoever acts for all stores names none it is the merchant's own office."""
    found = store_if_any(call, store_id)
    if found is None and call.credential.limited_to(call.scope) is not None:
        raise _unnamed()
    return found


def store_if_any(call: Call, store_id: str | None) -> str | None:
    """The same, where none need be named. Raises 403."""
    credential = call.credential
    if credential.store_id is None:
        if store_id is not None and not credential.acts_for(call.scope, store_id):
            raise ProblemError(STORE_NOT_ALLOWED)
        return store_id or credential.only_store(call.scope)
    if store_id is not None and store_id != credential.store_id:
        reason = because(STORE_MISMATCH, path="$.store_id")
        raise ProblemError(STORE_NOT_ALLOWED, reasons=[reason])
    return credential.store_id


def _unnamed() -> ProblemError:
    reason = because(STORE_REQUIRED, path="$.store_id")
    return ProblemError(UNPROCESSABLE, reasons=[reason])


async def locate(call: Call, query: str, name: str) -> tuple[str, str | None]:
    """Card number and store behind an id, by a named query. Raises 404."""
    row = await find(call, query, name)
    if row is None:
        raise ProblemError(NOT_FOUND)
    return row["card_number"], row["store_id"]


async def find(call: Call, query: str, name: str | bytes) -> asyncpg.Record | None:
    """What never changes, read ahead by a named query, or None.

    Raises 503 for a lost database: nothing was sent yet, so nothing was applied.
    """
    try:
        async with reading(call) as tenant:
            return await tenant.connection.fetchrow(SQL[query], tenant.merchant.merchant_id, name)
    except database.LOST:
        raise ProblemError(UNAVAILABLE) from None
