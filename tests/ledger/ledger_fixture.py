"""A small driver of the writer: commands in, decoded answers out; no HTTP, one embedded server."""

import functools
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, time
from typing import Any

import msgspec

from schemas.templates import CardTemplateCreate
from service.api_keys import operations as api_keys
from service.kernel import database, embedded, tokens
from service.kernel.auth import Credential
from service.kernel.ids import new_id
from service.ledger.batch import Settled
from service.ledger.commands import (
    Activate,
    Command,
    Freeze,
    Intent,
    Issue,
    Redeem,
    Refund,
    Reverse,
    TopUp,
    Unfreeze,
    Void,
)
from service.ledger.terms import Terms
from service.ledger.writer import Writer
from service.merchants import operations as merchants
from service.rules.luhn import new_number
from service.stores import operations as stores
from service.templates import store as templates

CURRENCY = "CNY"
SCOPE_OF: dict[type, str] = {
    Issue: "cards:write",
    Activate: "cards:write",
    Freeze: "cards:freeze",
    Unfreeze: "cards:freeze",
    TopUp: "top_ups:write",
    Redeem: "redemptions:write",
    Refund: "refunds:write",
    Void: "refunds:write",
    Reverse: "reversals:write",
}


class Card(msgspec.Struct, frozen=True):
    """A card as the driver names it."""

    card_id: str
    number: str


class Ledger:
    """One merchant with a store and a key, and everything that can be done to its cards."""

    def __init__(self, pool: database.Pool, writer: Writer, credential: Credential, store_id: str):
        self.pool = pool
        self.writer = writer
        self.credential = credential
        self.merchant_id = credential.merchant_id
        self.store_id = store_id

    async def publish(self, **rules: Any) -> str:
        """A template; id of it."""
        body = {
            "name": "金卡",
            "currency": CURRENCY,
            "holder": "named",
            "numbering": {"prefix": "8800", "digits": 16},
            "max_balance": 500_000,
            **rules,
        }
        async with database.tenant(self.pool, self.merchant_id) as connection:
            made = await templates.publish(
                connection, self.merchant_id, msgspec.convert(body, CardTemplateCreate)
            )
        return made.id

    async def move_clock(self, now: datetime) -> None:
        """Move the tenant's clock forward."""
        async with database.tenant(self.pool, self.merchant_id) as connection:
            await merchants.move_clock(connection, self.merchant_id, now)

    async def do(self, intent: Intent, number: str, key: bytes | None = None) -> dict[str, Any]:
        """The answer's body, its HTTP status as `http`. Raises what the writer raises."""
        command = Command(
            intent,
            self.credential,
            SCOPE_OF[type(intent)],
            number,
            self.store_id,
            None,
            key or secrets.token_bytes(16),
            b"f" * 16,
            "req_1",
        )
        answer = await self.writer.submit(command)
        assert isinstance(answer, Settled), answer
        body: dict[str, Any] = msgspec.json.decode(answer.body)
        return {**body, "http": answer.status}

    async def issue(self, template_id: str, *, activate: bool = True) -> Card:
        """A new card."""
        card = Card(new_id("crd"), new_number("8800", 16, secrets.randbelow))
        answer = await self.do(Issue(template_id, card.card_id, card.number, activate), card.number)
        assert answer["http"] == 201, answer
        return card

    async def activate(self, card: Card) -> dict[str, Any]:
        """created → active."""
        return await self.do(Activate(None), card.number)

    async def freeze(self, card: Card) -> dict[str, Any]:
        """active → frozen."""
        return await self.do(Freeze("lost"), card.number)

    async def unfreeze(self, card: Card) -> dict[str, Any]:
        """frozen → active."""
        return await self.do(Unfreeze("found"), card.number)

    async def top_up(self, card: Card, amount: int, key: bytes | None = None) -> dict[str, Any]:
        """Cash in."""
        return await self.do(TopUp(amount, CURRENCY, "cash", None), card.number, key)

    async def redeem(self, card: Card, amount: int, key: bytes | None = None) -> dict[str, Any]:
        """Take an amount."""
        intent = Redeem(secrets.token_hex(8), amount, CURRENCY, [], True, None, None)
        return await self.do(intent, card.number, key)

    async def refund(self, card: Card, redemption_id: str, amount: int | None) -> dict[str, Any]:
        """Give part back; None: all that is left."""
        currency = None if amount is None else CURRENCY
        return await self.do(Refund(redemption_id, amount, currency, {}, None), card.number)

    async def void(self, card: Card, redemption_id: str) -> dict[str, Any]:
        """Undo a redemption on its day."""
        return await self.do(Void(redemption_id, None), card.number)

    async def reverse(self, card: Card | None, key: bytes, done: str | None) -> dict[str, Any]:
        """Undo what a key did; `done`: the operation it led to, None: it was never seen."""
        return await self.do(Reverse(key, done, None), card.number if card else "")


@asynccontextmanager
async def ledger(server: embedded.Server, *, lanes: int = 2) -> AsyncIterator[Ledger]:
    """A merchant of its own on a migrated server, with a writer; both are closed at the end."""
    pool = await database.open_pool(server.app_dsn, 2)
    made = await merchants.create(pool, "星河美发", "test", CURRENCY, "Asia/Shanghai")
    store = await stores.create(
        pool, made.merchant_id, "人民广场店", "星河美发有限公司", "Asia/Shanghai", time(4)
    )
    key = await api_keys.create(pool, made.merchant_id, "office", "merchant", None)
    terms = Terms(pool)
    token = tokens.parse(key.token)
    assert token is not None
    credential = await terms.credential(made.merchant_id, token.secret_hash)
    assert credential is not None
    connect = functools.partial(database.connect_writer, server.app_dsn, allow_unsafe=False)
    writer = Writer(
        connect, terms, b"q" * 32, lanes=lanes, batch_max=64, queue_max=4096, patience_s=5.0
    )
    await writer.start()
    try:
        yield Ledger(pool, writer, credential, store.store_id)
    finally:
        await writer.close()
        await pool.close()
