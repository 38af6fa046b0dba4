"""What is asked when the day is over: the ledger's rows, every card, the reports, the checker."""

import itertools
import re
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from typing import TypeVar

import asyncpg
import msgspec

from schemas.reports import Liability, MovementList, SettlementList
from service.kernel.sql import SQL as SERVICE_SQL
from service.kernel.sql import load
from service.ledger import invariants
from tests.demo.books import Facts, Played, Reports, Sum
from tests.demo.chapters import DAY_OPENS
from tests.demo.crew import Crew
from tests.harness.client import Client

SQL = load(files("tests.demo") / "queries")
# No ledger is older.
FOREVER = "2000-01-01T00:00:00Z"
# What a comment says about a query's arguments.
_ARGUMENTS = re.compile(r" \(\$[^)]*\)")
Body = TypeVar("Body")


async def facts(crew: Crew, played: list[Played], midnight: datetime, seconds: float) -> Facts:
    """Everything the report is made from."""
    dsn, merchant_id = crew.server.postgres.owner_dsn, crew.chain.merchant_id
    opens_at = midnight + timedelta(minutes=DAY_OPENS)
    verified = await invariants.verify(dsn)
    ledger, due, cards = await _ledger(dsn, merchant_id)
    async with Client(crew.server.host, crew.server.port, crew.chain.office_key) as client:
        balances = await _balances(client, crew)
        reports = await _reports(client, opens_at)
        meanings = await _meanings(client)
    return Facts(
        seed=crew.plan.seed,
        seconds=seconds,
        plan=crew.plan.digest,
        planned=sum(map(len, crew.plan.visits.values())),
        begun=sum(len(set(numbers)) for numbers in crew.taken.values()),
        opens_at=opens_at,
        chapters=played,
        stores=crew.chain.stores,
        exits=crew.exits,
        deaths=crew.deaths,
        ops=crew.ops,
        ledger=ledger,
        due=due,
        cards=cards,
        balances=balances,
        reports=reports,
        meanings=meanings,
        checks={name: _says(name) for name in verified.checks},
        operations=verified.operations,
        breaches=[f"{one.invariant} {one.subject}: {one.detail}" for one in verified.breaches],
    )


async def _ledger(dsn: str, merchant_id: str) -> tuple[dict[str, Sum], Sum, int]:
    """What the rows say, in one snapshot."""
    connection = await asyncpg.connect(dsn)
    try:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            await connection.execute(SERVICE_SQL["tenant.set"], merchant_id)
            flows = await connection.fetch(SQL["demo.flows"], merchant_id)
            due = await connection.fetchrow(SQL["demo.due"], merchant_id)
            cards: int = await connection.fetchval(SQL["demo.cards"], merchant_id)
    finally:
        await connection.close()
    ledger = {row["flow"]: Sum(row["operations"], row["principal"], row["bonus"]) for row in flows}
    assert due is not None
    return ledger, Sum(0, due["principal"], due["bonus"]), cards


async def _balances(client: Client, crew: Crew) -> Sum:
    """What the cards show over the API, summed."""
    principal = bonus = 0
    for customer in crew.customers:
        answer = await client.get(f"/v1/cards/{customer.card_id}")
        if answer.status != 200:
            raise RuntimeError(f"{customer.card_id} can't be read: {answer.body!r}")
        shown = answer.json()["balances"]
        principal += shown["principal"]
        bonus += shown["bonus"]
    return Sum(len(crew.customers), principal, bonus)


async def _reports(client: Client, opens_at: datetime) -> Reports:
    """The day, what was before it, and what is owed in the end; all as of one instant, now."""
    opening = opens_at.astimezone(UTC) - timedelta(microseconds=1)
    instant = opening.isoformat().replace("+00:00", "Z")
    day = f"/v1/reports/movements?opening_at={instant}"
    before = f"/v1/reports/movements?opening_at={FOREVER}&closing_at={instant}"
    return Reports(
        before=await _read(client, before, MovementList),
        day=await _read(client, day, MovementList),
        owed=await _read(client, "/v1/reports/liability", Liability),
        settlements=await _read(
            client, f"/v1/reports/settlements?opening_at={instant}", SettlementList
        ),
    )


async def _read(client: Client, path: str, shape: type[Body]) -> Body:
    answer = await client.get(path)
    if answer.status != 200:
        raise RuntimeError(f"{path} was not answered: {answer.body!r}")
    return msgspec.json.decode(answer.body, type=shape)


async def _meanings(client: Client) -> dict[str, tuple[str, str]]:
    """What the codes of refusals mean, as the service itself explains them."""
    listed = (await client.get("/v1/error-codes")).json()
    codes = [*listed["data"], *listed["reasons"]]
    return {one["code"]: (one["meaning"]["en"], one["meaning"]["zh"]) for one in codes}


def _says(invariant: str) -> str:
    """What an invariant says, from the comments that its queries begin with."""
    prefix = f"invariants.{invariant.removeprefix('INV-').lower()}_"
    queries = [text for name, text in SERVICE_SQL.items() if prefix in name]
    lines = [
        line.removeprefix("--").strip()
        for text in queries
        for line in itertools.takewhile(lambda line: line.startswith("--"), text.splitlines())
    ]
    return _ARGUMENTS.sub("", " ".join(lines))
