"""What whoever runs the system does about what is personal: new keys, forgetting, checking."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

import asyncpg

from service.kernel import database
from service.kernel.key_store import KeyStoreError, key_store
from service.kernel.keyring import Keyring
from service.kernel.sql import SQL
from service.ledger.door import Keys
from service.ledger.invariants import Breach
from service.personal import checking, forgetting, rotation
from service.personal.forgetting import Forgotten
from service.personal.rotation import Rotated
from service.settings import Settings, SettingsError, check_keys, keyring_of

INVARIANT = "INV-D16"
# Longer than a deadline: by then no request is under way that began before.
SETTLED_S = 5.0


class _Parts(NamedTuple):
    keyring: Keyring
    pool: database.Pool
    merchant_ids: list[str]


async def rotate(
    owner_url: str, settings: Settings, merchant_id: str | None, destroy_older: bool
) -> Rotated:
    """New keys for one merchant, or for all."""
    destroy_after_s = settings.deadline_s + SETTLED_S if destroy_older else None
    async with _parts(owner_url, settings, merchant_id) as parts:
        return await rotation.rotate_all(*parts, destroy_after_s)


async def forget(owner_url: str, settings: Settings, merchant_id: str | None) -> Forgotten:
    """Erase whose time is over, of one merchant or of all."""
    async with _parts(owner_url, settings, merchant_id) as parts:
        return await forgetting.forget_all(*parts)


async def adopt(owner_url: str, settings: Settings) -> dict[str, str]:
    """Take the store of keys that is there for this database's: the one it had is lost."""

    async def any_store(key_store_id: bytes) -> bytes:
        return key_store_id

    store = key_store(settings.key_store, settings.data_dir)
    keyring = Keyring(settings.key_encryption_keys(), store, any_store)
    connection: database.Connection = await asyncpg.connect(owner_url)
    try:
        await keyring.check()
        await connection.execute(SQL["startup.adopt_key_store"], await keyring.store_id())
    finally:
        await connection.close()
        await keyring.close()
    await check_keys(settings, owner_url)
    return {"key_store": settings.key_store or "file"}


async def breaches(
    owner_url: str, settings: Settings, merchant_id: str | None = None
) -> list[Breach]:
    """Where sealed fields aren't what they must be (INV-D16), of one merchant or of all.

    Where the keys can't be had, that is the breach.
    """
    index_key, found = Keys.of(settings.secret()).phone, []
    try:
        async with (
            _parts(owner_url, settings, merchant_id) as parts,
            parts.pool.acquire() as connection,
        ):
            for each in parts.merchant_ids:
                found += await checking.breaches(connection, parts.keyring, index_key, each)
    except (KeyStoreError, SettingsError) as error:
        found.append(Breach(INVARIANT, None, "key store", str(error)))
    return found


@asynccontextmanager
async def _parts(
    owner_url: str, settings: Settings, merchant_id: str | None
) -> AsyncIterator[_Parts]:
    """The keys, and the database as its owner, who alone may list merchants."""
    await check_keys(settings, owner_url)
    pool = await asyncpg.create_pool(owner_url, min_size=1, max_size=2)
    keyring = keyring_of(settings, owner_url)
    try:
        merchant_ids = [row[0] for row in await pool.fetch(SQL["merchants.list_ids"])]
        if merchant_id is not None and merchant_id not in merchant_ids:
            raise ValueError(f"there is no merchant {merchant_id}")
        yield _Parts(keyring, pool, merchant_ids if merchant_id is None else [merchant_id])
    finally:
        await keyring.close()
        await pool.close()
