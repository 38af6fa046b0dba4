"""INV-D*: a rich history is whole, and each kind of damage is named by what it breaks.

Each tampering is done by a superuser, past every constraint, and rolled back: the negative control
of its check.
"""

import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from uuid import uuid4

import asyncpg
import pytest

from service.kernel import embedded
from service.kernel.migrations import migrate
from service.ledger import invariants
from tests.ledger import history
from tests.ledger.ledger_fixture import ledger

# The invariants that are checked; each needs a tampering.
CHECKED = [f"INV-D{number}" for number in (1, 2, 3, 4, 6, 7, 9, 10, 11, 12, 13, 15, 18)]

# What {name} in a tampering stands for.
ROWS = {
    "top_up": "(select min(operation_id) from operation o where kind = 'top_up'"
    " and status = 'accepted')",
    "refund": "(select min(operation_id) from operation where kind = 'refund'"
    " and status = 'accepted')",
    "reversal": "(select min(operation_id) from operation where kind = 'reversal'"
    " and status = 'accepted' and card_id is not null)",
    "refused": "(select min(operation_id) from operation where kind = 'redeem'"
    " and status = 'refused')",
    "redeem": "(select min(redemption_id) from redemption where status = 'captured')",
    "partly": "(select min(redemption_id) from redemption where status = 'partly_refunded')",
    "refunded": "(select min(redemption_id) from redemption where status = 'refunded')",
    "card": "(select min(card_id) from card where status = 'active' and expires_at is null)",
    "lot": "(select min(lot_id) from lot where remaining > 0 and expires_at is null)",
    "lapsed": "(select min(lot_id) from posting where to_account = 'lapsed')",
    "foreign_store": "(select max(store_id) from store"
    " where merchant_id <> (select min(merchant_id) from merchant))",
}


def tamperings() -> Iterator[tuple[str, set[str], list[str]]]:
    """What is done, the invariants that name it, and the statements."""
    text = Path(__file__).with_name("tamperings.sql").read_text("utf-8")
    _, *blocks = re.split(r"^-- (?=INV-)", text, flags=re.MULTILINE)
    for block in blocks:
        head, body = block.split("\n", 1)
        expected, what = head.split(": ", 1)
        yield what, set(expected.split(", ")), body.strip().rstrip(";").split(";\n")


TAMPERINGS = list(tamperings())


@pytest.fixture(scope="module")
def postgresql() -> Iterator[embedded.Server]:
    with embedded.temporary() as started:
        yield started


@pytest.fixture(scope="module")
async def written(postgresql: embedded.Server) -> embedded.Server:
    """Two tenants; the first has lived through everything, and nobody is connected any more."""
    await migrate(postgresql.owner_dsn)
    async with ledger(postgresql) as rich:
        await history.write(rich)
    async with ledger(postgresql) as poor:
        await poor.top_up(await poor.issue(await poor.publish()), 100)
    return postgresql


@pytest.fixture
async def copy(written: embedded.Server) -> AsyncIterator[str]:
    """The name of a copy of the database."""
    name = f"copy_{uuid4().hex}"
    admin = await asyncpg.connect(written.admin_dsn)
    await admin.execute(f"create database {name} template kafang owner kafang_owner")
    yield name
    await admin.execute(f"drop database {name} with (force)")
    await admin.close()


async def damage(connection: asyncpg.Connection, statements: list[str]) -> None:
    """Run them with triggers and foreign keys off, as the superuser the connection is."""
    await connection.execute("set session_replication_role = replica")
    for statement in statements:
        await connection.execute(statement.format(**ROWS))


async def test_a_rich_history_is_whole(written: embedded.Server) -> None:
    report = await invariants.verify(written.owner_dsn)
    assert report.breaches == []
    assert report.merchants == 2
    assert report.operations > 100
    assert report.checks == CHECKED
    assert report.text().endswith("no breach")


async def test_the_history_has_every_kind_and_status(written: embedded.Server) -> None:
    admin = await asyncpg.connect(written.admin_dsn, database="kafang")
    found = {tuple(row) for row in await admin.fetch("select distinct kind, status from operation")}
    redemptions = {row[0] for row in await admin.fetch("select distinct status from redemption")}
    outcomes = {row[0] for row in await admin.fetch("select distinct outcome from idempotency_key")}
    await admin.close()
    refusable = {"issue", "activate", "top_up", "redeem", "refund", "reversal"}
    assert {kind for kind, status in found if status == "refused"} == refusable
    others = {"void", "freeze", "unfreeze", "lapse"}
    assert {kind for kind, status in found if status == "accepted"} == refusable | others
    assert redemptions == {"captured", "partly_refunded", "refunded", "voided"}
    assert outcomes == {"accepted", "refused", "tombstone"}


@pytest.mark.parametrize(
    ("expected", "statements"), [case[1:] for case in TAMPERINGS], ids=[c[0] for c in TAMPERINGS]
)
async def test_a_tampering_is_named(
    written: embedded.Server, expected: set[str], statements: list[str]
) -> None:
    connection = await asyncpg.connect(written.admin_dsn, database="kafang")
    tampering = connection.transaction(isolation="repeatable_read")
    await tampering.start()
    tenants = await connection.fetch("select merchant_id from merchant")
    await damage(connection, statements)
    await connection.execute("set local role kafang_owner")
    breaches = await invariants.verify_schema(connection)
    for row in tenants:
        breaches += await invariants.verify_tenant(connection, row["merchant_id"])
    await tampering.rollback()
    await connection.close()
    assert {breach.invariant for breach in breaches} == expected, breaches


def test_every_invariant_has_a_tampering() -> None:
    tampered = {invariant for _, expected, _ in TAMPERINGS for invariant in expected}
    assert set(invariants.checks()) == set(CHECKED) == tampered


async def test_verify_names_tenant_and_subject(written: embedded.Server, copy: str) -> None:
    connection = await asyncpg.connect(written.admin_dsn, database=copy)
    await damage(connection, ["update lot set amount = amount + 1 where lot_id = {lot}"])
    await connection.close()
    dsn = written.owner_dsn.replace("/kafang?", f"/{copy}?")
    report = await invariants.verify(dsn)
    (breach,) = report.breaches
    assert breach.invariant == "INV-D7"
    assert breach.subject.startswith("lot_")
    assert f"INV-D7  {breach.merchant_id}  {breach.subject}: {breach.detail}\n" in report.text()
    assert report.text().endswith("1 breach")
    assert breach.merchant_id is not None
    assert (await invariants.verify(dsn, [breach.merchant_id])).breaches == [breach]
    assert (await invariants.verify(dsn, [])).breaches == []
