"""What pgbench is given to do is what the service does: row for row and column for column."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from service.kernel import embedded
from service.kernel.database import Connection
from service.ledger import invariants
from tests.bench import pgbench, seed
from tests.bench.seed import SQL, Merchant
from tests.conftest import ClientOf

TABLES = ("card", "lot", "operation", "posting", "leg", "redemption", "idempotency_key")
# What may differ: ids, times, keys and what is derived from them.
DIFFERENT = {
    *("card_id", "card_number", "lot_id", "operation_id", "redemption_id", "request_no"),
    *("last_operation_at", "occurred_at", "recorded_at", "decided_at", "created_at"),
    *("key_hash", "fingerprint", "answer"),
}
BY_HTTP, BY_PGBENCH = 0, 1

Rows = dict[str, list[dict[str, Any]]]


@pytest.fixture
async def admin(postgres: embedded.Server) -> AsyncIterator[Connection]:
    """A superuser: it seeds, and sees every row."""
    async with seed.superuser(postgres.admin_dsn) as connection:
        yield connection


@pytest.fixture
async def merchant(admin: Connection, postgres: embedded.Server) -> AsyncIterator[Merchant]:
    """A merchant with two equal cards; the ledger must be whole, seeded rows included."""
    (made,) = await seed.seed(admin, 1, 2, 10)
    yield made
    async with seed.superuser(postgres.admin_dsn) as connection:
        assert await invariants.verify_tenant(connection, made.merchant_id) == []


async def redeem_by_http(client_of: ClientOf, merchant: Merchant) -> bytes:
    """One redemption as the bench's load does it; the answer."""
    body = {
        "request_no": f"{seed.new_stamp()}-0-1",
        "amount": {"value": 1, "currency": "CNY"},
        "sources": [{"card_number": seed.card_number(BY_HTTP)}],
    }
    async with client_of(merchant.token) as client:
        answer = await client.post("/v1/redemptions", body, key=str(body["request_no"]))
    assert answer.status == 201, answer.body
    return answer.body


async def redeem_by_pgbench(dsn: str, merchant: Merchant, text: str) -> int:
    """One transaction; how many pgbench counted."""
    output, _ = await pgbench.run(dsn, merchant, text, 1, ("-t", "1"))
    return pgbench.transactions(output)


async def rows_of(admin: Connection, merchant: Merchant, card: int) -> Rows:
    """Every row that belongs to a card, newest first where there are several."""
    rows = {}
    for table in TABLES:
        found = await admin.fetch(SQL[f"rows.{table}"], merchant.merchant_id, card_id(card))
        rows[table] = [dict(row) for row in found]
    return rows


def card_id(card: int) -> str:
    """The id of a seeded card."""
    return f"crd_{card:026d}"


def differences(ours: Rows, theirs: Rows) -> list[str]:
    """Where the two sets of rows are not equal."""
    found = []
    for table in TABLES:
        if len(ours[table]) != len(theirs[table]):
            found.append(f"{table}: {len(ours[table])} rows, pgbench {len(theirs[table])}")
        for a, b in zip(ours[table], theirs[table], strict=False):
            found += [
                f"{table}.{column}: {a[column]!r}, pgbench {b[column]!r}"
                for column in a
                if column not in DIFFERENT and a[column] != b[column]
            ]
            found += [
                f"{table}.{column}: only one is null"
                for column in a
                if (a[column] is None) != (b[column] is None)
            ]
    mine, other = (len(rows["idempotency_key"][0]["answer"]) for rows in (ours, theirs))
    if abs(mine - other) > 0.1 * mine:
        found.append(f"an answer of {mine} bytes, pgbench {other}")
    return found


async def test_http_and_pgbench_leave_equal_rows(
    admin: Connection, merchant: Merchant, postgres: embedded.Server, client_of: ClientOf
) -> None:
    before = await rows_of(admin, merchant, BY_HTTP)
    answer = await redeem_by_http(client_of, merchant)
    text = pgbench.script(merchant, (BY_PGBENCH, BY_PGBENCH), answer, seed.new_stamp())
    assert await redeem_by_pgbench(postgres.app_dsn, merchant, text) == 1
    ours = await rows_of(admin, merchant, BY_HTTP)
    theirs = await rows_of(admin, merchant, BY_PGBENCH)
    assert differences(ours, theirs) == []
    for table in ("operation", "posting", "leg", "redemption", "idempotency_key"):
        assert len(ours[table]) == len(before[table]) + 1
    for table in ("card", "lot"):
        assert ours[table] != before[table]


@pytest.mark.parametrize(
    ("written", "instead", "where"),
    [
        (
            "'${legal_entity}'\n  from lot_now),\nunsequenced_now",
            "null\n  from lot_now),\nunsequenced_now",
            "posting",
        ),
        ("'${store_id}', '${legal_entity}',", "'${store_id}', null,", "operation.legal_entity"),
        ("'\\x${answer}'", "'\\x00'", "bytes"),
    ],
)
async def test_a_leaner_statement_is_noticed(
    admin: Connection,
    merchant: Merchant,
    postgres: embedded.Server,
    client_of: ClientOf,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Any,
    written: str,
    instead: str,
    where: str,
) -> None:
    text = pgbench.SCRIPT.read_text("utf-8")
    assert written in text
    broken = tmp_path / "broken.pgbench"
    broken.write_text(text.replace(written, instead), "utf-8")
    monkeypatch.setattr(pgbench, "SCRIPT", broken)
    answer = await redeem_by_http(client_of, merchant)
    text = pgbench.script(merchant, (BY_PGBENCH, BY_PGBENCH), answer, seed.new_stamp())
    await redeem_by_pgbench(postgres.app_dsn, merchant, text)
    found = differences(
        await rows_of(admin, merchant, BY_HTTP), await rows_of(admin, merchant, BY_PGBENCH)
    )
    assert any(where in difference for difference in found), found


async def test_a_guard_that_refuses_shows_in_the_count(
    admin: Connection, merchant: Merchant, postgres: embedded.Server
) -> None:
    """pgbench counts a statement that found no card as a transaction; the ledger doesn't."""
    stamp = seed.new_stamp()
    text = pgbench.script(merchant, (2, 2), b"{}", stamp)
    assert await redeem_by_pgbench(postgres.app_dsn, merchant, text) == 1
    assert await seed.redeemed(admin, [merchant], stamp) == 0
