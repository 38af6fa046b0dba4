"""New keys for what is personal, while everybody works (decision 0025).

A new number begins, whatever is sealed from then on is sealed under it, and all that was sealed
before is sealed anew in the order of the members' ids. A row that changes meanwhile is left to the
next pass. The keys of earlier numbers stay until they are told to go: older backups need them.
"""

from msgspec import Struct

from service.kernel import database
from service.kernel.keyring import Keyring, PersonKey
from service.kernel.sql import SQL
from service.personal import store
from service.personal.store import Sealed

BATCH = 500


class Rotated(Struct):
    """What a run did: keys wrapped again, merchants with a new key, members sealed anew."""

    wrapped_again: int = 0
    merchants: int = 0
    members: int = 0


async def rotate_all(
    keyring: Keyring, pool: database.Pool, merchant_ids: list[str], *, destroy_older: bool
) -> Rotated:
    """New keys for several merchants, wrapped by the current key-encryption key, as are older ones.

    `destroy_older` as for `rotate`.
    """
    done = Rotated(await keyring.rewrap())
    for merchant_id in merchant_ids:
        done.members += await rotate(keyring, pool, merchant_id, destroy_older=destroy_older)
        done.merchants += 1
    return done


async def rotate(
    keyring: Keyring, pool: database.Pool, merchant_id: str, *, destroy_older: bool
) -> int:
    """Begin a number and seal a merchant's members anew. Returns how many were.

    `destroy_older`: then the keys of all earlier numbers are destroyed, and no backup from before
    can be read any more. Raises ValueError when something is still sealed under one of them.
    """
    members, key_no = 0, await keyring.begin(merchant_id)
    while moved := await _pass(keyring, pool, merchant_id, key_no):
        members += moved
    if destroy_older:
        async with database.tenant(pool, merchant_id) as connection:
            if await connection.fetchval(SQL["personal.older_than"], merchant_id, key_no):
                raise ValueError(f"{merchant_id}: something is sealed under an older number still")
        await keyring.destroy_older(merchant_id, key_no)
    return members


async def _pass(keyring: Keyring, pool: database.Pool, merchant_id: str, key_no: int) -> int:
    """Once over all members. Returns how many were sealed anew."""
    after, moved = "", 0
    while True:
        async with database.tenant(pool, merchant_id) as connection:
            rows = await store.sealed(connection, merchant_id, after, key_no, BATCH)
        if not rows:
            return moved
        after = rows[-1].member_id
        anew = await _sealed_anew(keyring, merchant_id, rows, key_no)
        if anew:
            async with database.tenant(pool, merchant_id) as connection:
                moved += await store.reseal(connection, merchant_id, key_no, anew)


async def _sealed_anew(
    keyring: Keyring, merchant_id: str, rows: list[Sealed], key_no: int
) -> list[Sealed]:
    """The rows under their new keys, but for those whose key is destroyed."""
    old: dict[tuple[str, int], PersonKey] = {}
    first, last = rows[0].member_id, rows[-1].member_id
    for number in {row.key_no for row in rows}:
        found = await keyring.between(merchant_id, first, last, number)
        old |= {(person_id, number): key for person_id, key in found.items()}
    readable = [row for row in rows if (row.member_id, row.key_no) in old]
    if not readable:
        return []
    new = await keyring.make_many(merchant_id, [row.member_id for row in readable], key_no)
    return [
        Sealed(
            row.member_id,
            _anew(old[row.member_id, row.key_no], new[row.member_id], "phone", row.phone_sealed),
            _anew(old[row.member_id, row.key_no], new[row.member_id], "full_name", row.name_sealed),
            row.key_no,
            row.version,
        )
        for row in readable
    ]


def _anew(old: PersonKey, new: PersonKey, field: str, sealed: bytes | None) -> bytes | None:
    return None if sealed is None else new.seal(field, old.unseal(field, sealed))
