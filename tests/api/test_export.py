"""The export of operations against the ledger's own rows: each once, in order, chunk by chunk."""

import csv
import random
from collections.abc import AsyncIterator, Iterable
from datetime import UTC, datetime, timedelta
from io import StringIO
from itertools import pairwise
from typing import Any
from urllib.parse import quote

import asyncpg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct

from schemas.reports import OPERATION_COLUMNS
from service.kernel import embedded
from service.kernel.paging import encode_cursor
from service.reports import rules
from tests.api import shop
from tests.conftest import ClientOf, require_whole
from tests.harness import tenant as tenants
from tests.harness.client import Client, Response
from tests.harness.tenant import Tenant

START, END = "2036-03-01T01:00:00Z", "2036-03-01T03:00:00Z"
WHOLE = f"opening_at=2036-01-01T00:00:00Z&closing_at={END}"
ACTIVE = tuple("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")
NASTY = [
    "=1+1", "+8613800000000", "-2", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "\uff1d1", "\uff0d1",
    "'=1", "''",
    'say "hi", twice', "two\r\nlines", " =1", "早班；甲", ";=1", "x",
]  # fmt: skip

Row = dict[str, str]


class Books(Struct):
    """A merchant whose every kind of operation was done, some refused, at instants that repeat."""

    tenant: Tenant
    office: Client
    rows: list[Row]


def table(answer: Response) -> list[Row]:
    """The rows of a chunk."""
    assert answer.status == 200, answer.body
    lines = list(csv.reader(StringIO(answer.body.decode("utf-8"), newline=""), strict=True))
    assert lines[0] == list(OPERATION_COLUMNS)
    return [dict(zip(lines[0], line, strict=True)) for line in lines[1:]]


async def walked(client: Client, query: str) -> list[Response]:
    """Every chunk."""
    chunks = [await client.get(f"/v1/reports/operations?{query}")]
    while cursor := chunks[-1].headers.get("next-cursor"):
        limit = query[query.find("limit=") :] if "limit=" in query else ""
        chunks.append(await client.get(f"/v1/reports/operations?cursor={cursor}&{limit}"))
        assert len(chunks) < 1000
    return chunks


def joined(chunks: Iterable[Response]) -> list[Row]:
    """The rows of all chunks."""
    return [row for chunk in chunks for row in table(chunk)]


def told(value: Any) -> str:
    """A value of the ledger as the export shows it."""
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    return "" if value is None else str(value)


async def ledger_of(postgres: embedded.Server, merchant_id: str) -> list[Row]:
    """Every operation of a merchant as the export must show it, told in another way."""
    connection = await asyncpg.connect(postgres.admin_dsn, database="kafang")
    try:
        found = await connection.fetch(
            """select o.*, c.card_number, g.principal_delta, g.bonus_delta,
                 o.details ->> 'tender' as tender, o.details ->> 'payment_reference' as paid_by,
                 o.details ->> 'code' as code, (select array_agg(r ->> 'code') from
                   jsonb_array_elements(coalesce(o.details -> 'reasons', '[]')) r) as reasons
               from operation o
               left join card c using (merchant_id, card_id)
               left join leg g using (merchant_id, card_id, operation_id)
               where merchant_id = $1""",
            merchant_id,
        )
    finally:
        await connection.close()
    rows = []
    for row in sorted(found, key=lambda row: (row["recorded_at"], row["operation_id"])):
        number = row["card_number"]
        values = {name: told(row[name]) for name in OPERATION_COLUMNS if name in row}
        values |= {
            "card": f"{number[:4]} **** **** {number[-4:]}" if number else "",
            "currency": row["currency"] or "CNY",
            "undoes": told(row["target_id"]),
            "payment_reference": told(row["paid_by"]),
            "refusal": told(row["code"]),
            "reasons": " ".join(row["reasons"] or []),
        }
        rows.append({name: values[name] for name in OPERATION_COLUMNS})
    return rows


async def trade(office: Client, tills: list[Client], tenant: Tenant) -> None:
    """Two hours in a shop, with a clock that stands still in between."""
    chance = random.Random(4180)
    cards = [await shop.funded(office, tenant, 30_000) for _ in range(3)]
    asleep = await shop.issue(office, tenant, activate=False)
    await office.post(f"/v1/cards/{asleep.card_id}/activate", {}, shop.new_key())
    now = datetime.fromisoformat(START)
    for number in range(60):
        if chance.random() < 0.3:
            now += timedelta(microseconds=chance.randint(1, 90_000_000))
            await shop.move_clock(office, told(now))
        card, till = chance.choice(cards), chance.choice(tills)
        named = {"till": {"terminal_id": f"T{number % 3}", "operator": '王 "小"', "shift": "早,班"}}
        key = shop.new_key()
        sale = await shop.redeem(till, card, chance.randint(1, 9_000), key=key, **named)
        at = f"/v1/redemptions/{sale.json().get('id')}"
        match number % 6:
            case 0:
                await shop.top_up(till, card, 30_000, payment_reference=f"42-{number}", **named)
            case 1:
                await till.post(f"{at}/refunds", {"amount": shop.yuan(1)}, shop.new_key())
            case 2:
                await till.post(f"{at}/void", {}, shop.new_key())
            case 3:
                await till.post("/v1/reversals", {"idempotency_key": key}, shop.new_key())
    await tills[0].post("/v1/reversals", {"idempotency_key": "never-sent-1"}, shop.new_key())
    await office.post(f"/v1/cards/{cards[0].card_id}/freeze", {"reason": "lost"}, shop.new_key())
    assert (await shop.redeem(tills[0], cards[0], 10**6)).status == 409
    await office.post(f"/v1/cards/{cards[0].card_id}/unfreeze", {}, shop.new_key())
    await shop.move_clock(office, END)


@pytest.fixture(name="books", scope="module")
async def _books(postgres: embedded.Server, client_of: ClientOf) -> AsyncIterator[Books]:
    tenant = await tenants.make(postgres.app_dsn, client_of, stores_count=2)
    async with (
        client_of(tenant.merchant_key) as office,
        client_of(tenant.pos_keys[0]) as first,
        client_of(tenant.pos_keys[1]) as second,
    ):
        await shop.move_clock(office, START)
        await trade(office, [first, second], tenant)
        rows = await ledger_of(postgres, tenant.merchant_id)
        wanted = {"issue", "activate", "top_up", "redeem", "refund", "void", "reversal", "freeze"}
        assert {row["kind"] for row in rows} >= wanted
        assert len({row["recorded_at"] for row in rows}) < len(rows) / 2
        [frozen] = [row for row in rows if row["reasons"].count(" ")]
        assert frozen["refusal"] == "redemption_refused"
        yield Books(tenant, office, rows)
    await require_whole(postgres, tenant.merchant_id)


@pytest.mark.parametrize("limit", [1, 7, 249, 250, 251, 50_000])
async def test_every_operation_comes_once_and_in_order(books: Books, limit: int) -> None:
    limit = min(limit, len(books.rows) + 1) if limit < 50_000 else limit
    chunks = await walked(books.office, f"{WHOLE}&limit={limit}")
    assert joined(chunks) == books.rows
    assert all(len(table(chunk)) == limit for chunk in chunks[:-1])
    assert 0 < len(table(chunks[-1])) <= limit


async def test_a_last_chunk_that_is_full_has_no_next(books: Books) -> None:
    chunks = await walked(books.office, f"{WHOLE}&limit={len(books.rows)}")
    assert len(chunks) == 1
    assert joined(chunks) == books.rows


async def test_a_chunk_asked_for_again_has_the_same_bytes(
    books: Books, client_of: ClientOf
) -> None:
    for chunk in await walked(books.office, f"{WHOLE}&limit=20"):
        if cursor := chunk.headers.get("next-cursor"):
            path = f"/v1/reports/operations?cursor={cursor}&limit=20"
            async with client_of(books.tenant.merchant_key) as broken:
                await broken.send("GET", path)
                broken.drop()
            once, again = [await books.office.get(path) for _ in range(2)]
            assert once.body == again.body
            assert once.headers.get("next-cursor") == again.headers.get("next-cursor")


async def test_the_first_chunk_fixes_the_period(tenant: Tenant, office: Client) -> None:
    """What is recorded while the export is walked is the next one's."""
    card = await shop.funded(office, tenant, 1_000)
    now = (await office.get("/v1/reports/liability")).json()["as_of"]
    first = await office.get(f"/v1/reports/operations?closing_at={now}&limit=1")
    assert first.headers["closing-at"] == now
    sale = await shop.sold(office, card, 10, store_id=tenant.store_ids[0])
    cursor = first.headers["next-cursor"]
    rest = await office.get(f"/v1/reports/operations?cursor={cursor}")
    assert [row["kind"] for row in joined([first, rest])] == ["issue", "top_up"]
    assert rest.headers["closing-at"] == now
    opening, closing = (first.headers[name] for name in ("opening-at", "closing-at"))
    same = f"&opening_at={quote(opening)}&closing_at={closing}"
    again = await office.get(f"/v1/reports/operations?cursor={cursor}{same}")
    assert again.body == rest.body
    later = (await office.get("/v1/reports/liability")).json()["as_of"]
    [row] = joined(await walked(office, f"opening_at={closing}&closing_at={later}"))
    assert row["operation_id"] == sale


async def test_periods_that_adjoin_hold_every_operation_once(books: Books) -> None:
    chance = random.Random(7)
    cuts = sorted(row["recorded_at"] for row in chance.sample(books.rows, 6))
    ends = ["2036-01-01T00:00:00Z", *cuts, END]
    found = []
    for opening, closing in pairwise(ends):
        period = f"opening_at={opening}&closing_at={closing}&limit=9"
        rows = joined(await walked(books.office, period))
        instants = [datetime.fromisoformat(row["recorded_at"]) for row in rows]
        limits = datetime.fromisoformat(opening), datetime.fromisoformat(closing)
        assert all(limits[0] < instant <= limits[1] for instant in instants)
        found += rows
    assert found == books.rows


async def test_without_an_end_it_is_what_is_settled(tenant: Tenant, office: Client) -> None:
    await shop.issue(office, tenant)
    now = datetime.fromisoformat((await office.get("/v1/reports/liability")).json()["as_of"])
    answer = await office.get("/v1/reports/operations")
    closing_at = datetime.fromisoformat(answer.headers["closing-at"])
    opening_at = datetime.fromisoformat(answer.headers["opening-at"])
    assert now - timedelta(seconds=60) <= closing_at <= datetime.now(UTC) - timedelta(seconds=59)
    assert closing_at - opening_at == timedelta(days=1)
    assert table(answer) == []
    assert "next-cursor" not in answer.headers
    [row] = table(await office.get(f"/v1/reports/operations?closing_at={quote(told(now))}"))
    assert row["kind"] == "issue"


async def test_no_cell_is_a_formula(tenant: Tenant, office: Client, pos: Client) -> None:
    await shop.move_clock(office, START)
    card = await shop.funded(office, tenant, 30_000)
    for text in NASTY:
        till = dict.fromkeys(("terminal_id", "operator", "shift", "receipt_no"), text)
        topped = await shop.top_up(pos, card, 100, till=till, payment_reference=text)
        assert topped.status == 201, topped.body
    sale = shop.sale(card, 1)
    await pos.post("/v1/redemptions", {**sale, "request_no": "=1+1"}, shop.new_key())
    rows = joined(await walked(office, f"closing_at={START}&limit=5"))
    told_by = {row["request_no"]: row for row in rows}
    assert "'=1+1" in told_by
    for name in ("terminal_id", "operator", "shift", "receipt_no", "payment_reference"):
        cells = [row[name] for row in rows if row[name]]
        assert not [cell for cell in cells if cell.startswith(ACTIVE)], name
        assert sorted(cell.removeprefix("'") for cell in cells) == sorted(NASTY)
        assert {"'=1+1", "'-2", "''=1", "'''", " =1", "x"} <= set(cells)


@given(st.text(min_size=1))
def test_a_harmless_text_can_be_told_back(text: str) -> None:
    shown = rules.harmless(text)
    assert not shown.startswith(ACTIVE)
    assert shown.removeprefix("'") == text


def bent(books: Books, *, last: str | None = None, **period: str) -> str:
    """A cursor as nobody got it."""
    opening, closing = period.get("opening", START), period.get("closing", END)
    return encode_cursor([opening, closing, last or START, books.rows[0]["operation_id"]])


async def test_a_cursor_of_another_kind_is_refused(books: Books) -> None:
    assert table(await books.office.get(f"/v1/reports/operations?cursor={bent(books)}"))
    far = "0001-01-01T00:00:00+14:00"
    for cursor in (
        bent(books, last="2035-01-01T00:00:00Z"),
        bent(books, last="2037-01-01T00:00:00Z"),
        bent(books, closing="2999-01-01T00:00:00Z"),
        bent(books, opening="1999-01-01T00:00:00Z"),
        bent(books, opening=far),
        bent(books, opening=far, last=far),
        bent(books, closing="9999-12-31T23:59:59-14:00"),
        encode_cursor([START, END, START, "~"]),
        encode_cursor([START, END, START]),
    ):
        answer = await books.office.get(f"/v1/reports/operations?cursor={cursor}")
        assert answer.status == 400, cursor
        assert [reason["path"] for reason in answer.json()["reasons"]] == ["$query.cursor"]


@pytest.mark.parametrize("name", ["opening_at", "closing_at"])
async def test_a_cursor_is_of_one_period(books: Books, name: str) -> None:
    other = "2036-03-01T02:00:00Z"
    path = f"/v1/reports/operations?cursor={bent(books)}&{name}={other}"
    answer = await books.office.get(path)
    assert answer.status == 400
    assert [reason["path"] for reason in answer.json()["reasons"]] == [f"$query.{name}"]


async def test_another_merchants_cursor_shows_ones_own(
    books: Books, tenant: Tenant, office: Client
) -> None:
    await shop.move_clock(office, START)
    await shop.issue(office, tenant)
    await shop.move_clock(office, END)
    chunk = await books.office.get(f"/v1/reports/operations?{WHOLE}&limit=1")
    cursor = chunk.headers["next-cursor"]
    seen = table(await office.get(f"/v1/reports/operations?cursor={cursor}"))
    assert not {row["operation_id"] for row in seen} & {row["operation_id"] for row in books.rows}
    assert len(seen) <= 1
