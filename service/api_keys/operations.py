"""API keys: made, shown once, stored as a hash, revoked."""

import asyncpg

from service.api_keys import store
from service.api_keys.store import KeyCreated, KeyScopes
from service.audit import operations as audit
from service.kernel import database, tokens
from service.kernel.ids import new_id

# What a key can be allowed to do. A till's key and a merchant's key get a bundle each.
POS_SCOPES = (
    "approvals:read",
    "cards:read",
    "cards:write",
    "days:read",
    "days:write",
    "members:read",
    "members:write",
    "redemptions:read",
    "redemptions:write",
    "refunds:write",
    "reversals:write",
    "top_ups:write",
)
MERCHANT_SCOPES = (
    *POS_SCOPES,
    "cards:freeze",
    "audit:read",
    "days:reopen",
    "events:read",
    "member_tokens:write",
    "reports:read",
    "reversals:any",
    "stores:read",
    "stores:write",
    "templates:read",
    "templates:write",
    "test_clock:write",
)
BUNDLES = {"pos": POS_SCOPES, "merchant": MERCHANT_SCOPES}


async def create(
    pool: database.Pool, merchant_id: str, name: str, bundle: str, store_id: str | None
) -> KeyCreated:
    """A new key, whose text is in this answer only.

    Raises ValueError for an unknown bundle, or when bundle and store don't fit.
    """
    if bundle not in BUNDLES:
        raise ValueError(f"bundle {bundle!r}: must be one of {', '.join(BUNDLES)}")
    if (bundle == "pos") != (store_id is not None):
        raise ValueError("a pos key is bound to a store (name it), a merchant key to none")
    async with database.tenant(pool, merchant_id) as connection:
        mode = await database.require_merchant(connection, merchant_id)
        text = tokens.new_token(merchant_id, mode)
        scopes = _scopes(bundle, mode)
        api_key_id = new_id("key")
        try:
            await store.insert(
                connection, merchant_id, api_key_id, name, tokens.hash_of(text), scopes, store_id
            )
        except asyncpg.ForeignKeyViolationError:
            raise ValueError(f"the merchant has no store {store_id}") from None
        after = {"name": name, "scopes": scopes, "store_id": store_id}
        await audit.record_operator(
            connection, merchant_id, "api_key.created", api_key_id, after=after
        )
    return KeyCreated(merchant_id, api_key_id, name, mode, store_id, scopes, text)


async def refresh(pool: database.Pool, merchant_id: str, api_key_id: str) -> KeyScopes | None:
    """Give a key what a new one of its bundle has; None when there is no such active key.

    A version that can do more makes keys that may do more; those made before stay as they were
    until somebody says so.
    """
    async with database.tenant(pool, merchant_id) as connection:
        mode = await database.raise_epoch(connection, merchant_id)
        if mode is None:
            return None
        pos, merchant = (_scopes(bundle, mode) for bundle in ("pos", "merchant"))
        found = await store.refresh(connection, merchant_id, api_key_id, pos, merchant)
        if found is not None:
            after = {"scopes": found.scopes}
            await audit.record_operator(
                connection, merchant_id, "api_key.refreshed", api_key_id, after=after
            )
    return found


async def revoke(pool: database.Pool, merchant_id: str, api_key_id: str) -> bool:
    """End a key; False when there is no such active key.

    Nothing sent with it after this returns is accepted.
    """
    async with database.tenant(pool, merchant_id) as connection:
        ended = await store.revoke(connection, merchant_id, api_key_id)
        if ended:
            await audit.record_operator(connection, merchant_id, "api_key.revoked", api_key_id)
    return ended


def _scopes(bundle: str, mode: str) -> list[str]:
    """What a key of a bundle may do; a live tenant's clock is not moved."""
    return [scope for scope in BUNDLES[bundle] if mode == "test" or scope != "test_clock:write"]
