"""API keys as rows; the text of a key is never one."""

from datetime import datetime

from msgspec import Struct

from schemas.api_keys import ApiKey
from service.kernel import database
from service.kernel.sql import SQL
from service.ledger.reading import Reading


class KeyCreated(Struct):
    """A new key. `token` is shown this once."""

    merchant_id: str
    api_key_id: str
    name: str
    mode: str
    store_id: str | None
    scopes: list[str]
    token: str


class KeyScopes(Struct):
    """What a key may do now."""

    merchant_id: str
    api_key_id: str
    name: str
    scopes: list[str]


async def insert(
    connection: database.Connection,
    merchant_id: str,
    api_key_id: str,
    name: str,
    secret_hash: bytes,
    scopes: list[str],
    store_id: str | None,
    expires_at: datetime | None = None,
    networks: list[str] | None = None,
    created_by: str | None = None,
    signed: bool = False,
) -> None:
    """The key's row."""
    await connection.execute(
        SQL["api_keys.insert"],
        merchant_id,
        api_key_id,
        name,
        secret_hash,
        scopes,
        store_id,
        expires_at,
        networks,
        created_by,
        signed,
    )


async def page(
    tenant: Reading, before: str, limit: int, api_key_id: str | None = None
) -> list[ApiKey]:
    """Keys older than one, newest first, or the one that is named."""
    return await database.many(
        tenant.connection,
        "api_keys.page",
        ApiKey,
        tenant.merchant.merchant_id,
        before,
        api_key_id,
        limit,
    )


async def shorten(tenant: Reading, api_key_id: str, good_for_s: float, rotated_to: str) -> bool:
    """Whether it was good still; from now on it is so for as long, at most."""
    done = await tenant.connection.fetchval(
        SQL["api_keys.shorten"], tenant.merchant.merchant_id, api_key_id, good_for_s, rotated_to
    )
    return done is not None


async def refresh(
    connection: database.Connection,
    merchant_id: str,
    api_key_id: str,
    pos: list[str],
    merchant: list[str],
) -> KeyScopes | None:
    """Other scopes for an active key: a till's or the merchant's own; None: there is none."""
    return await database.one(
        connection, "api_keys.refresh", KeyScopes, merchant_id, api_key_id, pos, merchant
    )


async def revoke(connection: database.Connection, merchant_id: str, api_key_id: str) -> bool:
    """Whether an active key was ended."""
    ended = await connection.fetchval(SQL["api_keys.revoke"], merchant_id, api_key_id)
    if ended is not None:
        await database.raise_epoch(connection, merchant_id)
    return ended is not None
