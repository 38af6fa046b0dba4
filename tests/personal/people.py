"""Members with something sealed, by the thousand, as the service would have made them."""

import asyncpg
from msgspec import Struct

from service.kernel import embedded
from service.kernel.keyring import Keyring, PersonKey
from service.ledger.door import Keys
from service.rules.persons import masked_name, phone, phone_index

BATCH = 2_000
_COLUMNS = (
    "merchant_id", "member_id", "phone_index", "masked_phone", "created_at", "phone_sealed",
    "name_sealed", "masked_name", "key_no",
)  # fmt: skip


class Somebody(Struct, frozen=True):
    """A member as a test knows them."""

    member_id: str
    name: str
    phone: str


def somebody(number: int) -> Somebody:
    """The member of a number; their ids sort as the numbers do."""
    return Somebody(f"mbr_{number:026d}", f"客{number:08d}", f"+86138{number:08d}")


async def make(
    postgres: embedded.Server, keyring: Keyring, keys: Keys, merchant_id: str, count: int
) -> None:
    """So many members."""
    owner = await asyncpg.connect(postgres.owner_dsn)
    try:
        now = await owner.fetchval("select clock_timestamp()")
        for start in range(0, count, BATCH):
            batch = [somebody(number) for number in range(start, min(start + BATCH, count))]
            await keyring.make(merchant_id, batch[0].member_id)
            made = await keyring.make_many(merchant_id, [each.member_id for each in batch], 1)
            rows = [
                _row(made[each.member_id], keys.phone, merchant_id, each, now) for each in batch
            ]
            async with owner.transaction():
                await owner.execute(
                    "select set_config('kafang.merchant_id', $1, true)", merchant_id
                )
                # COPY isn't for a table whose rows are policed.
                await owner.executemany(
                    f"insert into member ({', '.join(_COLUMNS)}) "
                    f"values ({', '.join(f'${n}' for n in range(1, len(_COLUMNS) + 1))})",
                    rows,
                )
    finally:
        await owner.close()


def _row(
    key: PersonKey, index_key: bytes, merchant_id: str, each: Somebody, now: object
) -> tuple[object, ...]:
    return (
        merchant_id,
        each.member_id,
        phone_index(index_key, merchant_id, each.phone),
        phone(each.phone).masked,
        now,
        key.seal("phone", each.phone),
        key.seal("full_name", each.name),
        masked_name(each.name),
        key.key_no,
    )
