"""INV-D16: what is sealed opens as what it is, and the index of a phone is that phone's."""

from msgspec import Struct

from service.kernel import database
from service.kernel.keyring import Keyring, PersonKey
from service.kernel.sql import SQL
from service.ledger.invariants import Breach
from service.rules.persons import phone_index

BATCH = 1_000


class _Row(Struct):
    member_id: str
    phone_sealed: bytes | None
    name_sealed: bytes | None
    phone_index: bytes | None
    key_no: int


async def breaches(
    connection: database.Connection, keyring: Keyring, index_key: bytes, merchant_id: str
) -> list[Breach]:
    """Where a merchant's sealed fields aren't what they must be."""
    found: list[Breach] = []
    after = ""
    while rows := await _rows(connection, merchant_id, after):
        first, after = rows[0].member_id, rows[-1].member_id
        keys = {
            key_no: await keyring.between(merchant_id, first, after, key_no)
            for key_no in {row.key_no for row in rows}
        }
        for row in rows:
            wrong = _wrong(row, keys[row.key_no].get(row.member_id), index_key)
            if wrong:
                found.append(Breach("INV-D16", merchant_id, row.member_id, wrong))
    return found


async def _rows(connection: database.Connection, merchant_id: str, after: str) -> list[_Row]:
    async with connection.transaction():
        await connection.execute(SQL["tenant.set"], merchant_id)
        return await database.many(connection, "personal.readable", _Row, merchant_id, after, BATCH)


def _wrong(row: _Row, key: PersonKey | None, index_key: bytes) -> str | None:
    if key is None:
        return "its key is gone: `python -m service forget` if they were erased before a restore"
    try:
        phone = None if row.phone_sealed is None else key.unseal("phone", row.phone_sealed)
        if row.name_sealed is not None:
            key.unseal("full_name", row.name_sealed)
    except ValueError:
        return "what is sealed doesn't open: it is another's, or was changed"
    if phone is None or row.phone_index is None:
        return None
    if phone_index(index_key, key.merchant_id, phone) != row.phone_index:
        return "the index isn't that of the phone"
    return None
