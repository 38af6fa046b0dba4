"""What provokes the refusals that look something up first, with a merchant to look for it."""

import asyncio
import functools
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import asyncpg
import msgspec
import pytest

from schemas.cards import CardCreate, CardLookup
from schemas.days import DayClose, DayReopen
from schemas.merchants import TestClockMove
from schemas.reversals import ReversalCreate
from schemas.templates import CardTemplateCreate
from service import health
from service.cards import operations as cards
from service.days import operations as days
from service.kernel.key_store import FileKeys
from service.kernel.sql import SQL
from service.ledger import door
from service.ledger.batch import Relocate
from service.ledger.commands import Freeze
from service.ledger.reading import reading
from service.ledger.writer import NumberTakenError
from service.merchants import routes as merchants
from service.records import operations as records
from service.records import press
from service.redemptions import operations as redemptions
from service.reports import operations as reporting
from service.reversals import routes as reversals
from service.stores import operations as stores
from service.templates import operations as templates
from tests.harness.keys import keyring_on
from tests.ledger.rules import kit
from tests.ledger.rules.kit import ZONE, Shop

KEK = "5f" * 32
NOBODY = "mer_" + "0" * 26
PATH = {
    "template_id": "tpl_" + "0" * 26,
    "card_id": "crd_" + "0" * 26,
    "redemption_id": "rdm_" + "0" * 26,
    "operation_id": "rdm_" + "0" * 26,
    "store_id": "sto_" + "0" * 26,
    "member_id": "mbr_" + "0" * 26,
    "business_date": "2026-03-01",
}
How = Callable[[Shop], Awaitable[Any]]


@functools.cache
def _folder() -> "tempfile.TemporaryDirectory[str]":
    return tempfile.TemporaryDirectory(prefix="kafang-keys-")


def keyring_file() -> Path:
    """Where the keys of people are; gone with the process."""
    return Path(_folder().name) / "person_keys.db"


def call(merchant: Shop, merchant_id: str = "", writer: Any = None) -> Any:
    """A request of the merchant's key, or of one of a merchant that isn't there."""
    credential = msgspec.structs.replace(
        merchant.credential, merchant_id=merchant_id or merchant.merchant_id
    )
    return SimpleNamespace(
        credential=credential,
        state=SimpleNamespace(
            pool=merchant.pool,
            terms=merchant.terms,
            writer=writer or merchant.writer,
            door_keys=door.Keys.of(b"s" * 32),
            keyring=keyring_on(FileKeys(keyring_file()), KEK),
            closing=asyncio.Semaphore(1),
            reporting=asyncio.Semaphore(1),
        ),
        path=PATH,
        query=SimpleNamespace(cursor=None, limit=10, by="store"),
        request_id="req_1",
        address="127.0.0.1",
        trace=None,
        idempotency_key="key-00000001",
        route="x",
        scope="cards:write",
    )


async def taken(*_: Any) -> Any:
    """Every number is in use."""
    raise NumberTakenError


async def moved(*_: Any) -> Any:
    """What was looked up is out of date again."""
    return Relocate()


async def read_as_nobody(merchant: Shop) -> Any:
    """The tenant of the credential is gone."""
    async with reading(call(merchant, NOBODY)):
        pass


async def write_as_nobody(merchant: Shop) -> Any:
    """The same, at the writer."""
    command = merchant.command(Freeze(None), None)
    command.credential = msgspec.structs.replace(merchant.credential, merchant_id=NOBODY)
    return await merchant.writer.submit(command)


async def find_nothing(merchant: Shop) -> Any:
    """A quote of a merchant that isn't there."""
    return await door.consider(call(merchant, NOBODY), Freeze(None), "8", None)


async def find_without_database(merchant: Shop) -> Any:
    """The database goes away before anything was sent."""

    def refused(**_: Any) -> Any:
        raise ConnectionRefusedError

    lost = call(merchant)
    lost.state.pool = SimpleNamespace(acquire=refused)
    return await door.find(lost, "ledger.locate_card", "crd_0")


def publish(merchant: Shop) -> Awaitable[Any]:
    """A template in another currency."""
    body = {"name": "金卡", "currency": "USD", "holder": "named", "max_balance": 100}
    body |= {"numbering": {"prefix": "8800", "digits": 16}}
    return templates.create(call(merchant), msgspec.convert(body, CardTemplateCreate))


@asynccontextmanager
async def suspended(merchant: Shop) -> AsyncIterator[None]:
    """The merchant is suspended meanwhile."""
    change = "update merchant set status = '{}', epoch = epoch + 1 where merchant_id = $1"
    await merchant.rows(change.format("suspended"))
    try:
        yield
    finally:
        await merchant.rows(change.format("active"))


async def publish_suspended(merchant: Shop) -> None:
    """A template, while the merchant is suspended."""
    async with suspended(merchant):
        await merchant.publish()


def without_database(_: Shop) -> Awaitable[Any]:
    """A pool that is closed."""
    return health.ready(SimpleNamespace(pool=None))


def clock_back(merchant: Shop) -> Awaitable[Any]:
    """A clock in the past."""
    return merchants.move(call(merchant), TestClockMove(datetime(2020, 1, 1, tzinfo=UTC)))


async def bound(merchant: Shop, credential: Any, store_id: str) -> Any:
    """A key as if it were of that store's till, and read just now."""
    [row] = await merchant.rows("select epoch from merchant where merchant_id = $1")
    return msgspec.structs.replace(credential, store_id=store_id, epoch=row[0])


def elsewhere(read: Callable[[Any, None], Awaitable[Any]], name: str) -> How:
    """What one store did, read with the key of another's till; `name` is the id's in the path."""

    async def asked_for(merchant: Shop) -> Any:
        redeemed = await merchant.redeem(await merchant.card(100), 30)
        asked = call(merchant)
        asked.path = PATH | {name: redeemed["id"]}
        asked.credential = await bound(merchant, asked.credential, "sto_elsewhere")
        return await read(asked, None)

    return asked_for


def on_day(move: Callable[[Any], Awaitable[Any]], day: str, **changes: Any) -> How:
    """Something done with a day of a fresh store; `changes` are the credential's."""

    async def asked_for(merchant: Shop) -> Any:
        asked = call(merchant)
        made = await stores.create(
            merchant.pool, merchant.merchant_id, "门店", "青禾", ZONE, time(4)
        )
        asked.path = PATH | {"store_id": made.store_id, "business_date": day}
        if "store_id" in changes:
            asked.credential = await bound(merchant, asked.credential, changes["store_id"])
        return await move(asked)

    return asked_for


async def reopen_earlier(asked: Any) -> Any:
    """A day that is over."""
    await days.close(asked, DayClose(0))
    return await days.reopen(asked, DayReopen(1, "a mistake"))


async def close_late(asked: Any) -> Any:
    """A closing by who hasn't seen that the day was opened again."""
    # The store's: eight hours ahead, and its day begins at four.
    today = (datetime.now(UTC) + timedelta(hours=8 - 4)).date()
    asked.path = asked.path | {"business_date": str(today)}
    await days.close(asked, DayClose(0))
    await days.reopen(asked, DayReopen(1, "too early"))
    return await days.close(asked, DayClose(0))


async def close_suspended(merchant: Shop) -> Any:
    """A closing, while the merchant is suspended."""
    async with suspended(merchant):
        return await on_day(lambda asked: days.close(asked, DayClose(0)), "2026-03-01")(merchant)


async def close_beside(merchant: Shop) -> Any:
    """A closing while somebody has the store's days and doesn't let go."""

    async def close(asked: Any) -> Any:
        async with kit.lines(kit.admin(merchant.server)) as (holder,), holder.transaction():
            names = asked.credential.merchant_id, asked.path["store_id"]
            await holder.execute(SQL["days.hold"], *names)
            return await days.close(asked, DayClose(0))

    return await on_day(close, "2026-03-01")(merchant)


async def report_too_long(merchant: Shop) -> None:
    """A report whose statement is ended by its limit."""
    async with reporting._reporting(call(merchant)) as tenant:
        await tenant.connection.execute("set local statement_timeout = 1")
        await tenant.connection.execute("select pg_sleep(10)")


async def record_too_long(merchant: Shop) -> None:
    """A record whose statement is ended by its limit."""

    async def ended(*_: Any) -> Any:
        raise asyncpg.QueryCanceledError

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(records, "_part", ended)
        await records._record(call(merchant), PATH["card_id"])


async def print_too_long(_: Shop) -> None:
    """A record that is printed for longer than anybody waits."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(press, "PATIENCE_S", 0.0)
        await press._run("pdf", b"{}")


def reverse(key: str, writer: Any = None) -> How:
    """A reversal of a key."""
    return lambda merchant: reversals.create(
        call(merchant, writer=writer), ReversalCreate(idempotency_key=key)
    )


def issue(template_id: str = "", writer: Any = None) -> How:
    """A card, of the merchant's template if no other is named."""
    return lambda merchant: cards.issue(
        call(merchant, writer=writer), CardCreate(template_id or merchant.template_id)
    )


CASES: list[tuple[str, str, How]] = [
    ("service.cards.operations.issue", "not_found", issue(PATH["template_id"])),
    ("service.cards.operations.issue", "unavailable", issue(writer=SimpleNamespace(submit=taken))),
    ("service.cards.operations.look_up", "card_not_found",
     lambda m: cards.look_up(call(m), CardLookup("88000000"))),
    ("service.cards.operations.found", "not_found", lambda m: cards.read(call(m), None)),
    ("service.records.operations._record", "unavailable", record_too_long),
    ("service.records.press._run", "unavailable", print_too_long),
    ("service.ledger.reading.active_tenant_of", "merchant_suspended", close_suspended),
    ("service.days.operations._alone", "unavailable", close_beside),
    ("service.days.operations._days", "not_found", lambda m: days.read(call(m), None)),
    ("service.days.operations._named", "not_found",
     on_day(lambda asked: days.read(asked, None), "2026-02-29")),
    ("service.days.operations._named", "store_not_allowed",
     on_day(lambda asked: days.read(asked, None), "2026-03-01", store_id="sto_elsewhere")),
    ("service.days.operations._require_unmoved", "day_refused day_moved",
     on_day(close_late, "2026-03-01")),
    ("service.days.operations.close", "day_refused day_ahead",
     on_day(lambda asked: days.close(asked, DayClose(0)), "2190-01-01")),
    ("service.days.operations.reopen", "day_refused day_over",
     on_day(reopen_earlier, "2026-03-01")),
    ("service.health.ready", "unavailable", without_database),
    ("service.ledger.door.consider", "not_found", find_nothing),
    ("service.ledger.door.find", "unavailable", find_without_database),
    ("service.ledger.door.locate", "not_found",
     lambda m: door.locate(call(m), "ledger.locate_card", "crd_0")),
    ("service.ledger.reading.own", "not_found", lambda m: redemptions.read(call(m), None)),
    ("service.ledger.reading.own", "store_not_allowed",
     elsewhere(redemptions.read, "redemption_id")),
    ("service.ledger.reading.tenant_of", "unauthenticated", read_as_nobody),
    ("service.ledger.writer.Writer._decide", "unauthenticated", write_as_nobody),
    ("service.merchants.routes.move", "contradiction clock_moves_forward", clock_back),
    ("service.reports.operations._reporting", "unavailable", report_too_long),
    ("service.reversals.routes.create", "contradiction", reverse("key-00000001")),
    ("service.reversals.routes.create", "unavailable",
     reverse("key-00000002", SimpleNamespace(submit=moved))),
    ("service.templates.operations.create", "contradiction currency_mismatch", publish),
    ("service.templates.operations.read", "not_found", lambda m: templates.read(call(m), None)),
    ("service.templates.store.publish", "merchant_suspended", publish_suspended),
]  # fmt: skip
