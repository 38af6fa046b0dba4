"""Merchants with cards and a history: written in bulk, row for row as the service would have."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, time
from importlib.resources import files
from time import time_ns

import asyncpg
import msgspec
from msgspec import Struct

from schemas.templates import CardTemplateCreate, Numbering
from service.api_keys.operations import POS_SCOPES
from service.kernel import tokens
from service.kernel.database import Connection
from service.kernel.ids import base32, new_id
from service.kernel.sql import SQL as SERVICE_SQL
from service.kernel.sql import load

SQL = load(files("tests.bench") / "queries")
TEMPLATE = CardTemplateCreate(
    name="金卡",
    currency="CNY",
    holder="anonymous",
    numbering=Numbering("8801", 16),
    max_balance=1_000_000_000,
)
LEGAL_ENTITY = "青禾美发管理有限公司"
# Operations written in one transaction.
CHUNK = 200_000
_TABLES = ("cards", "lots", "operations", "postings", "legs", "redemptions", "keys")


class Merchant(Struct, frozen=True):
    """A seeded merchant: one store, one till's key, one template, cards 0 … `cards` - 1."""

    merchant_id: str
    store_id: str
    api_key_id: str
    token: str
    cards: int


def card_number(index: int) -> str:
    """The number of a merchant's card."""
    return f"8801{index:012d}"


@asynccontextmanager
async def superuser(dsn: str, database: str = "kafang") -> AsyncIterator[Connection]:
    """A connection that neither row-level security nor (unless it says so) foreign keys bind."""
    connection: Connection = await asyncpg.connect(dsn, database=database)
    try:
        yield connection
    finally:
        await connection.close()


async def seed(
    connection: Connection, merchants: int, cards: int, operations: int
) -> list[Merchant]:
    """New merchants with `cards` cards each and about `operations` operations altogether.

    Every card has at least its issue and its top-up. The tables are analysed and checkpointed.
    """
    await connection.fetch(SQL["seed.without_triggers"])
    made = await _merchants(connection, merchants, cards)
    redemptions = max(0, operations // (merchants * cards) - 2)
    ids = [merchant.merchant_id for merchant in made]
    step = max(1, CHUNK // (merchants * (redemptions + 2)))
    for first in range(0, cards, step):
        last = min(first + step, cards) - 1
        async with connection.transaction():
            for table in _TABLES:
                await connection.execute(SQL[f"seed.{table}"], ids, first, last, redemptions)
    await connection.execute(SQL["seed.counters"], ids)
    for merchant_id in ids:
        while await connection.fetchval(SERVICE_SQL["chain.sequence"], [merchant_id]):
            pass
    await connection.execute("vacuum analyze")
    await connection.execute("checkpoint")
    await connection.execute("reset all")
    return made


async def fill_log(connection: Connection, files: int) -> None:
    """Leave so many files of the write-ahead log to be used again.

    Making a file takes every commit 60 ms. A server that has run for a while uses old ones again; a
    new one would make one every few seconds of the bench.
    """
    for _ in range(files):
        await connection.execute(SQL["log.begin_file"])
        await connection.execute(SQL["log.end_file"])
    await connection.execute("checkpoint")


async def redeemed(connection: Connection, merchants: list[Merchant], stamp: str) -> int:
    """How many redemptions of a run are in the ledger."""
    ids = [merchant.merchant_id for merchant in merchants]
    count: int = await connection.fetchval(SQL["seed.redeemed"], ids, stamp)
    return count


def new_stamp() -> str:
    """What the ids of one run begin with: unique, and sorted by time as the service's own ids."""
    return base32(time_ns() // 1_000_000, 5)


async def _merchants(connection: Connection, count: int, cards: int) -> list[Merchant]:
    now = datetime.now(UTC)
    rules = msgspec.json.encode(TEMPLATE).decode("utf-8")
    rows: dict[str, list[tuple[object, ...]]] = {}
    made = []
    for _ in range(count):
        m, s, k, t = (new_id(prefix) for prefix in ("mer", "sto", "key", "tpl"))
        text = tokens.new_token(m, "test")
        token = tokens.parse(text)
        assert token is not None
        made.append(Merchant(m, s, k, text, cards))
        for table, row in {
            "merchant": (m, "青禾美发", "test", "CNY", "Asia/Shanghai", "active", 1, None, now),
            "store": (
                m,
                s,
                "人民广场店",
                LEGAL_ENTITY,
                "Asia/Shanghai",
                time(4),
                "active",
                now,
                None,
            ),
            "api_key": (
                *(m, k, "till 1", token.secret_hash, list(POS_SCOPES), s),
                *("active", None, now),
            ),
            "card_template": (m, t, now),
            "template_version": (m, t, 1, "published", rules, now),
            "template_counter": (m, t, "cards_issued", 0, None),
        }.items():
            rows.setdefault(table, []).append(row)
    for table, records in rows.items():
        # The columns that came later may be null.
        names = [row[0] for row in await connection.fetch(SQL["seed.columns"], table)]
        columns = names[: len(records[0])]
        await connection.copy_records_to_table(table, records=records, columns=columns)
    return made
