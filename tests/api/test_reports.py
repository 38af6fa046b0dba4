"""Reports against a replay of the ledger, posting by posting, at any instant of the past."""

import random
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest

from service.kernel import embedded
from tests.api import shop
from tests.conftest import ClientOf, require_whole
from tests.harness import tenant as tenants
from tests.harness.client import Client
from tests.harness.tenant import TEMPLATE, Tenant

START = datetime(2036, 3, 1, 1, tzinfo=UTC)
STEPS = 150
INSTANTS = 1000
ENDS = ("account", "currency", "template_id", "store_id")

Posting = dict[str, Any]
Line = tuple[Any, ...]


class History:
    """A merchant with three years of trade behind it, and its postings in the order they came."""

    def __init__(self, tenant: Tenant, office: Client, postings: list[Posting]) -> None:
        self.tenant = tenant
        self.office = office
        self.postings = postings

    def instants(self, count: int) -> list[datetime]:
        """Random ones, of which some are those at which something happened."""
        chance = random.Random(2036)
        known = [posting["recorded_at"] for posting in self.postings]
        span = (known[-1] - START).total_seconds()
        return [
            chance.choice(known) if chance.random() < 0.2
            else START + timedelta(seconds=chance.uniform(0, span))
            for _ in range(count)
        ]  # fmt: skip

    async def report(self, name: str, **query: Any) -> Any:
        """What a report answers."""
        text = "&".join(f"{field}={wire(value)}" for field, value in query.items())
        answer = await self.office.get(f"/v1/reports/{name}?{text}")
        assert answer.status == 200, answer.body
        return answer.json()


def wire(value: Any) -> str:
    """A query parameter's text."""
    return value.isoformat().replace("+00:00", "Z") if isinstance(value, datetime) else str(value)


def line(posting: Posting, by: str) -> Line:
    """The line of a report that a posting belongs to."""
    return (
        posting["account"],
        "CNY",
        posting["template_id"] if by == "template" else None,
        posting["sold_store_id"] if by == "store" else None,
    )


def replayed(postings: list[Posting], by: str, as_of: datetime) -> dict[Line, list[int]]:
    """Value and expired value of each line that isn't empty, from the first posting on."""
    lots: dict[str, list[Any]] = {}
    for posting in postings:
        if posting["recorded_at"] <= as_of:
            lot = lots.setdefault(posting["lot_id"], [posting, 0])
            lot[1] += posting["moved"]
    lines: dict[Line, list[int]] = {}
    for posting, left in lots.values():
        assert left >= 0
        found = lines.setdefault(line(posting, by), [0, 0])
        found[0] += left
        found[1] += left if posting["expires_at"] and posting["expires_at"] <= as_of else 0
    return {key: value for key, value in lines.items() if value[0]}


async def trade(office: Client, tills: list[Client], tenant: Tenant) -> None:
    """Three years of sales, refunds and mistakes at two stores, with cards of two templates."""
    chance = random.Random(8800)
    silver = await shop.publish(
        office, **{**TEMPLATE, "name": "银卡", "drawdown_policy": "principal_first"}
    )
    cards = [await shop.issue(office, tenant, kind) for kind in (None, silver) * 3]
    sales: list[tuple[str, Client]] = []
    now = START
    for _ in range(STEPS):
        now += timedelta(hours=chance.randint(1, 400))
        await shop.move_clock(office, wire(now))
        card, till = chance.choice(cards), chance.choice(tills)
        match chance.choice(("top_up", "sale", "sale", "sale", "refund", "void", "reversal")):
            case "top_up":
                await shop.top_up(till, card, 30_000 * chance.randint(1, 2))
            case "sale":
                sold = await shop.redeem(till, card, chance.randint(1, 20_000))
                if sold.status == 201:
                    sales.append((sold.json()["id"], till))
            case "refund" if sales:
                sale, seller = chance.choice(sales)
                body = {"amount": shop.yuan(chance.randint(1, 900))}
                await seller.post(f"/v1/redemptions/{sale}/refunds", body, shop.new_key())
            case "void" if sales:
                sale, seller = sales.pop()
                await seller.post(f"/v1/redemptions/{sale}/void", {}, shop.new_key())
            case "reversal":
                key = shop.new_key()
                undone = chance.choice((shop.redeem, shop.top_up))
                await undone(till, card, 500, key=key)
                await till.post("/v1/reversals", {"idempotency_key": key}, shop.new_key())


async def postings_of(postgres: embedded.Server, merchant_id: str) -> list[Posting]:
    """Each posting with where its value was sold and used, in the order of the ledger."""
    connection = await asyncpg.connect(postgres.admin_dsn, database="kafang")
    try:
        rows = await connection.fetch(
            """select o.recorded_at, o.kind, o.operation_id, o.target_id, p.lot_id, l.account,
                 l.expires_at, c.template_id, s.store_id as sold_store_id,
                 coalesce(u.store_id, o.store_id) as used_store_id,
                 coalesce(u.kind, o.kind) = 'redeem' as used,
                 case when p.to_account = l.account then p.amount else -p.amount end as moved
               from posting p
               join operation o on (o.merchant_id, o.operation_id)
                 = (p.merchant_id, p.operation_id)
               join lot l on (l.merchant_id, l.card_id, l.lot_id)
                 = (p.merchant_id, p.card_id, p.lot_id)
               join card c on (c.merchant_id, c.card_id) = (p.merchant_id, p.card_id)
               join operation s on (s.merchant_id, s.operation_id)
                 = (l.merchant_id, l.operation_id)
               left join operation u on (u.merchant_id, u.operation_id)
                 = (o.merchant_id, o.target_id)
               where p.merchant_id = $1 order by o.recorded_at""",
            merchant_id,
        )
    finally:
        await connection.close()
    return [dict(row) for row in rows]


@pytest.fixture(name="history", scope="module")
async def _history(postgres: embedded.Server, client_of: ClientOf) -> AsyncIterator[History]:
    tenant = await tenants.make(postgres.app_dsn, client_of, stores_count=2)
    async with (
        client_of(tenant.merchant_key) as office,
        client_of(tenant.pos_keys[0]) as first,
        client_of(tenant.pos_keys[1]) as second,
    ):
        await trade(office, [first, second], tenant)
        postings = await postings_of(postgres, tenant.merchant_id)
        kinds = Counter(posting["kind"] for posting in postings)
        wanted = {"top_up", "redeem", "refund", "void", "reversal", "lapse"}
        assert kinds.keys() == wanted, f"the history lacks something: {kinds}"
        yield History(tenant, office, postings)
    await require_whole(postgres, tenant.merchant_id)


async def test_CAP_G5_liability_at_any_instant_is_what_a_replay_says(history: History) -> None:
    lines = 0
    for number, as_of in enumerate(history.instants(INSTANTS)):
        by = ("account", "template", "store")[number % 3]
        report = await history.report("liability", by=by, as_of=as_of)
        assert report["as_of"] == wire(as_of)
        told = {
            tuple(row[end] for end in ENDS): [row["value"], row["expired"]]
            for row in report["data"]
        }
        assert told == replayed(history.postings, by, as_of), (by, as_of)
        lines += len(told)
    assert lines > INSTANTS


async def test_CAP_G5_expired_value_is_told_until_it_is_taken_off(history: History) -> None:
    lapses = [posting for posting in history.postings if posting["kind"] == "lapse"]
    for lapse in lapses:
        before = lapse["recorded_at"] - timedelta(microseconds=1)
        report = await history.report("liability", as_of=before)
        [bonus] = [row for row in report["data"] if row["account"] == "bonus"]
        assert bonus["expired"] >= -lapse["moved"] > 0


@pytest.mark.parametrize("by", ["account", "template", "store"])
async def test_CAP_G5_a_period_rolls_forward(history: History, by: str) -> None:
    instants = history.instants(60)
    for opening_at, closing_at in zip(*[iter(instants)] * 2, strict=True):
        opening_at, closing_at = sorted((opening_at, closing_at))
        period = {"opening_at": opening_at, "closing_at": closing_at}
        report = await history.report("movements", by=by, **period)
        seen: Counter[tuple[Line, str, str]] = Counter()
        for row in report["data"]:
            moved = sum(flow["value_in"] - flow["value_out"] for flow in row["flows"])
            assert row["opening"] + moved == row["closing"]
            key = tuple(row[end] for end in ENDS)
            ends = [replayed(history.postings, by, at).get(key, [0])[0] for at in period.values()]
            assert [row["opening"], row["closing"]] == ends
            for flow in row["flows"]:
                seen[key, flow["kind"], "in"] += flow["value_in"]
                seen[key, flow["kind"], "out"] += flow["value_out"]
        wanted: Counter[tuple[Line, str, str]] = Counter()
        for posting in history.postings:
            if opening_at < posting["recorded_at"] <= closing_at:
                way = "in" if posting["moved"] > 0 else "out"
                wanted[line(posting, by), posting["kind"], way] += abs(posting["moved"])
        assert +seen == wanted


async def test_CAP_G2_sold_here_used_there(history: History) -> None:
    instants = history.instants(40)
    crossed = 0
    for opening_at, closing_at in zip(*[iter(instants)] * 2, strict=True):
        opening_at, closing_at = sorted((opening_at, closing_at))
        report = await history.report("settlements", opening_at=opening_at, closing_at=closing_at)
        wanted: dict[Line, list[int]] = {}
        for posting in history.postings:
            if posting["used"] and opening_at < posting["recorded_at"] <= closing_at:
                names = ("sold_store_id", "used_store_id", "account")
                found = wanted.setdefault(tuple(posting[name] for name in names), [0, 0])
                found[posting["moved"] > 0] += abs(posting["moved"])
        told = {
            (row["sold_store_id"], row["used_store_id"], row["account"]): [
                row["redeemed"], row["given_back"]
            ]
            for row in report["data"]
        }  # fmt: skip
        assert told == wanted
        crossed += sum(sold != used for sold, used, _ in told)
    assert crossed, "no card was used at another store"


async def test_a_report_without_a_time_is_as_of_now(history: History) -> None:
    now = (await history.report("liability"))["data"]
    last = max(posting["recorded_at"] for posting in history.postings)
    assert {row["account"]: row["value"] for row in now} == {
        key[0]: value for key, (value, _) in replayed(history.postings, "account", last).items()
    }
    day = await history.report("movements")
    length = datetime.fromisoformat(day["closing_at"]) - datetime.fromisoformat(day["opening_at"])
    assert length == timedelta(days=1)


async def test_an_empty_ledger_owes_nothing(office: Client) -> None:
    for name in ("liability", "movements", "settlements"):
        answer = await office.get(f"/v1/reports/{name}")
        assert (answer.status, answer.json()["data"]) == (200, [])


@pytest.mark.parametrize(
    ("path", "code", "place"),
    [
        ("liability?as_of=2999-01-01T00:00:00Z", "instant_out_of_range", "$query.as_of"),
        ("liability?as_of=9999-12-31T23:59:59-14:00", "instant_out_of_range", "$query.as_of"),
        ("liability?as_of=0001-01-01T00:00:00%2B14:00", "instant_out_of_range", "$query.as_of"),
        ("movements?closing_at=2999-01-01T00:00:00Z", "instant_out_of_range", "$query.closing_at"),
        ("movements?closing_at=0001-01-01T00:00:00Z", "instant_out_of_range", "$query.closing_at"),
        ("movements?opening_at=1999-12-31T23:59:59Z", "instant_out_of_range", "$query.opening_at"),
        ("settlements?closing_at=2020-01-01T00:00:00Z&opening_at=2020-01-02T00:00:00Z",
         "period_backwards", "$query.opening_at"),
        ("liability?as_of=2020-01-01", "invalid_value", "$query.as_of"),
        ("liability?by=colour", "invalid_value", "$query.by"),
    ],
)  # fmt: skip
async def test_a_time_that_can_not_be_told_is_refused(
    office: Client, path: str, code: str, place: str
) -> None:
    answer = await office.get(f"/v1/reports/{path}")
    assert answer.status == 400
    assert [(r["code"], r["path"]) for r in answer.json()["reasons"]] == [(code, place)]


async def test_a_report_is_the_merchants_own(
    pos: Client, other: Tenant, office: Client, client_of: ClientOf
) -> None:
    """A till may not read it, and nobody reads another's."""
    async with client_of(other.merchant_key) as others:
        await shop.sold(
            others, await shop.funded(others, other, 1_000), 10, store_id=other.store_ids[1]
        )
        for name in ("liability", "movements", "settlements"):
            path = f"/v1/reports/{name}"
            assert (await pos.get(path)).status == 403
            assert (await others.get(path)).json()["data"] != []
            assert (await office.get(path)).json()["data"] == []
        assert (await pos.get("/v1/reports/operations")).status == 403
