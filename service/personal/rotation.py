"""New keys for what is personal, while everybody works (decision 0025).

A new number begins, whatever is sealed from then on is sealed under it, and all that was sealed
before is sealed anew in the order of the members' ids. A row that changes meanwhile is left to the
next pass. The keys of earlier numbers stay until they are told to go: older backups need them.
"""

import asyncio
from contextlib import suppress

from msgspec import Struct

from service.kernel import database
from service.kernel.keyring import Keyring, PersonKey
from service.kernel.sql import SQL
from service.personal import store
from service.personal.operations import sealed
from service.personal.store import Sealed

BATCH = 500


class Rotated(Struct):
    """What a run did: keys wrapped again, merchants with a new key, members sealed anew.

    `unreadable`: who has something that doesn't open, and stays as they are.
    """

    wrapped_again: int = 0
    merchants: int = 0
    members: int = 0
    unreadable: list[str] = []


async def rotate_all(
    keyring: Keyring,
    pool: database.Pool,
    merchant_ids: list[str],
    destroy_after_s: float | None = None,
) -> Rotated:
    """New keys for several merchants, wrapped by the current key-encryption key, as are older ones.

    With `destroy_after_s` the keys of all earlier numbers are destroyed then, and no backup from
    before can be read any more: so many seconds after the new ones began, when no request is under
    way that began with the old ones.
    """
    done = Rotated(await keyring.rewrap())
    begun = {merchant_id: await _begin(keyring, pool, merchant_id) for merchant_id in merchant_ids}
    if destroy_after_s is not None:
        await asyncio.sleep(destroy_after_s)
    for merchant_id, key_no in begun.items():
        unreadable: set[str] = set()
        while moved := await _pass(keyring, pool, merchant_id, key_no, unreadable):
            done.members += moved
        done.merchants += 1
        done.unreadable += sorted(unreadable)
    if destroy_after_s is not None:
        await _destroy_older(keyring, pool, begun, done)
    return done


async def _begin(keyring: Keyring, pool: database.Pool, merchant_id: str) -> int:
    async with database.tenant(pool, merchant_id) as connection:
        used_no = await connection.fetchval(SQL["personal.newest_key_no"], merchant_id)
    return await keyring.begin(merchant_id, used_no)


async def _destroy_older(
    keyring: Keyring, pool: database.Pool, begun: dict[str, int], done: Rotated
) -> None:
    """Raises ValueError, with nothing destroyed, where somebody is left behind who can be read."""
    for merchant_id, key_no in begun.items():
        async with database.tenant(pool, merchant_id) as connection:
            left = await connection.fetchval(SQL["personal.older_than"], merchant_id, key_no)
        if left > 0:
            raise ValueError(
                f"{merchant_id}: {left} members are sealed under an older number still: nothing "
                f"was destroyed. Not readable: {', '.join(done.unreadable) or 'nobody'}"
            )
    for merchant_id, key_no in begun.items():
        await keyring.destroy_older(merchant_id, key_no)


async def _pass(
    keyring: Keyring, pool: database.Pool, merchant_id: str, key_no: int, unreadable: set[str]
) -> int:
    """Once over all members. Returns how many were sealed anew, or changed meanwhile."""
    after, moved = "", 0
    while True:
        async with database.tenant(pool, merchant_id) as connection:
            rows = await store.sealed(connection, merchant_id, after, key_no, BATCH)
        if not rows:
            return moved
        after = rows[-1].member_id
        anew = await _sealed_anew(keyring, merchant_id, rows, key_no)
        unreadable |= {row.member_id for row in rows} - {row.member_id for row in anew}
        if anew:
            async with database.tenant(pool, merchant_id) as connection:
                await store.reseal(connection, merchant_id, key_no, anew)
            moved += len(anew)


async def _sealed_anew(
    keyring: Keyring, merchant_id: str, rows: list[Sealed], key_no: int
) -> list[Sealed]:
    """The rows under their new keys, but for those that don't open."""
    opened = await _opened(keyring, merchant_id, rows)
    if not opened:
        return []
    readable = [row for row in rows if row.member_id in opened]
    new = await keyring.make_many(merchant_id, [row.member_id for row in readable], key_no)
    return [
        Sealed(row.member_id, anew.phone_sealed, anew.name_sealed, row.key_no, row.version)
        for row in readable
        if row.member_id in new  # else they were erased a moment ago
        for anew in [sealed(new[row.member_id], *opened[row.member_id])]
    ]


async def _opened(
    keyring: Keyring, merchant_id: str, rows: list[Sealed]
) -> dict[str, tuple[str | None, str | None]]:
    """Phone and name of whoever can be read."""
    found: dict[str, tuple[str | None, str | None]] = {}
    first, last = rows[0].member_id, rows[-1].member_id
    for number in {row.key_no for row in rows}:
        keys = await keyring.between(merchant_id, first, last, number)
        for row in rows:
            key = keys.get(row.member_id)
            if row.key_no == number and key is not None:
                with suppress(ValueError):
                    found[row.member_id] = (
                        _open(key, "phone", row.phone_sealed),
                        _open(key, "full_name", row.name_sealed),
                    )
    return found


def _open(key: PersonKey, field: str, sealed: bytes | None) -> str | None:
    return None if sealed is None else key.unseal(field, sealed)
