"""Business days over HTTP: what they hold, closing, reopening, and stores around the world."""

from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import asyncpg
import pytest

from service.kernel import database, embedded
from service.stores import operations as stores
from tests.api import shop
from tests.conftest import ClientOf
from tests.harness.client import Client, Response
from tests.harness.tenant import Tenant

NOON = "2036-03-01T04:00:00Z"  # in Shanghai
TODAY, TOMORROW, YESTERDAY = "2036-03-01", "2036-03-02", "2036-02-29"
# Cut-offs before, in and after the hours at which the clocks change on these days.
PLACES = {
    "Asia/Shanghai": time(4),
    "America/New_York": time(2, 30),
    "Europe/Berlin": time(0),
}
CHANGES = {"America/New_York": "2036-03-09", "Europe/Berlin": "2036-03-30"}


def path(tenant: Tenant, day: str, move: str = "", *, store_id: str = "") -> str:
    """Of a day of the tenant's first store, unless another is named."""
    return f"/v1/stores/{store_id or tenant.store_ids[0]}/days/{day}{move and '/' + move}"


def told(answer: Response) -> dict[tuple[str, bool], tuple[int, int]]:
    """How many operations of each kind, and their amount."""
    held: dict[tuple[str, bool], tuple[int, int]] = {}
    for line in answer.json()["totals"]:
        operations, amount = held.get((line["kind"], line["accepted"]), (0, 0))
        held[line["kind"], line["accepted"]] = (
            operations + line["operations"], amount + line["amount"]
        )  # fmt: skip
    return held


async def closed(client: Client, tenant: Tenant, day: str, change_no: int = 0) -> Response:
    """The answer to a closing that went through."""
    answer = await client.post(path(tenant, day, "close"), {"change_no": change_no})
    assert (answer.status, answer.json()["status"]) == (200, "closed"), answer.body
    return answer


@pytest.fixture(name="till")
async def _till(office: Client, tenant: Tenant, client_of: ClientOf) -> AsyncIterator[Client]:
    """A till of the first store, at noon of a fresh tenant's day."""
    await shop.move_clock(office, NOON)
    async with client_of(tenant.pos_keys[0]) as client:
        yield client


async def test_CAP_G2_a_day_holds_what_happened_by_whom(
    office: Client, till: Client, tenant: Tenant
) -> None:
    card = await shop.issue(office, tenant)
    for amount, tender in ((30_000, "cash"), (500, "wechat_pay")):
        assert (await shop.top_up(till, card, amount, tender=tender)).status == 201
    for amount, terminal in ((700, "T1"), (800, "T2"), (9, "T2")):
        await shop.sold(till, card, amount, till={"terminal_id": terminal, "operator": "0417"})
    assert (await shop.redeem(till, card, 99_999_999)).status == 409
    day = await till.get(path(tenant, TODAY))
    assert day.status == 200
    assert told(day) == {
        ("top_up", True): (2, 30_500),
        ("redeem", True): (3, 1_509),
        ("redeem", False): (1, 0),  # it may have asked for anything
    }
    paid = {line["tender"]: line["amount"] for line in day.json()["totals"] if line["tender"]}
    assert paid == {"cash": 30_000, "wechat_pay": 500}
    by = await till.get(path(tenant, TODAY) + "?by=terminal")
    sales = {
        line["terminal_id"]: (line["operations"], line["amount"])
        for line in by.json()["totals"]
        if (line["kind"], line["accepted"]) == ("redeem", True)
    }
    assert sales == {"T1": (1, 700), "T2": (2, 809)}
    assert {line["operator"] for line in by.json()["totals"]} == {None}
    assert (await till.get(path(tenant, YESTERDAY))).json()["totals"] == []


async def test_CAP_G2_what_comes_after_the_closing_is_of_the_next_day(
    office: Client, till: Client, tenant: Tenant
) -> None:
    card = await shop.funded(office, tenant, 10_000)
    before = await shop.redeem(till, card, 100)
    done = await closed(till, tenant, TODAY)
    after = await shop.redeem(till, card, 200)
    assert [each.json()["business_date"] for each in (before, after)] == [TODAY, TOMORROW]
    assert done.json()["closed_through"] == TODAY
    [change] = done.json()["changes"]
    assert (change["change_no"], change["action"], change["corrections"]) == (1, "close", [])
    assert told(done) == {("top_up", True): (1, 10_000), ("redeem", True): (1, 100)}
    assert told(await till.get(path(tenant, TODAY))) == told(done)
    assert told(await till.get(path(tenant, TOMORROW))) == {("redeem", True): (1, 200)}
    # A sale of a closed day is refunded, not voided: the day's figures stand.
    void = await till.post(f"/v1/redemptions/{before.json()['id']}/void", {}, shop.new_key())
    assert shop.reasons(void) == ["void_window_closed"]


async def test_closing_again_changes_nothing(till: Client, tenant: Tenant) -> None:
    first = await closed(till, tenant, TODAY)
    for day in (TODAY, YESTERDAY):
        again = await closed(till, tenant, day)
        assert again.json()["closed_through"] == TODAY
    assert (await till.get(path(tenant, TODAY))).json() == first.json()
    assert (await till.get(path(tenant, YESTERDAY))).json()["changes"] == []


async def test_a_reopened_day_carries_corrections_and_no_edits(
    office: Client, till: Client, tenant: Tenant
) -> None:
    card = await shop.funded(office, tenant, 10_000)
    await shop.sold(till, card, 100)
    booked = (await closed(till, tenant, TODAY)).json()["changes"][0]
    between = await shop.redeem(till, card, 50)
    opened = await office.post(
        path(tenant, TODAY, "reopen"), {"change_no": 1, "reason": "closed at noon"}
    )
    assert (opened.status, opened.json()["status"]) == (200, "open")
    late = await shop.redeem(till, card, 200)
    assert [each.json()["business_date"] for each in (between, late)] == [TOMORROW, TODAY]
    again = (await closed(till, tenant, TODAY, 2)).json()
    assert [change["action"] for change in again["changes"]] == ["close", "reopen", "close"]
    assert again["changes"][0] == booked
    assert again["changes"][1]["reason"] == "closed at noon"
    corrections = again["changes"][2]["corrections"]
    assert [(c["kind"], c["operations"], c["amount"]) for c in corrections] == [("redeem", 1, 200)]
    assert sum(line["amount"] for line in again["totals"]) == 10_300


async def test_only_today_opens_again(office: Client, till: Client, tenant: Tenant) -> None:
    body = {"change_no": 0, "reason": "a mistake"}
    still_open = await office.post(path(tenant, TODAY, "reopen"), body)
    assert (still_open.status, still_open.json()["changes"]) == (200, [])
    await closed(till, tenant, TODAY)
    earlier = await office.post(path(tenant, YESTERDAY, "reopen"), body)
    assert (earlier.status, shop.reasons(earlier)) == (409, ["day_over"])
    await shop.move_clock(office, NOON.replace("03-01", "03-02"))
    over = await office.post(path(tenant, TODAY, "reopen"), {**body, "change_no": 1})
    assert (over.status, shop.reasons(over)) == (409, ["day_over"])


async def test_a_request_that_comes_again_undoes_nobodys_work(
    office: Client, till: Client, tenant: Tenant
) -> None:
    """The answer to a reopening is lost, a till closes the day anew, the reopening is repeated."""
    opening = {"change_no": 1, "reason": "too early"}
    await closed(till, tenant, TODAY)
    opened = await office.post(path(tenant, TODAY, "reopen"), opening)
    assert (await office.post(path(tenant, TODAY, "reopen"), opening)).json() == opened.json()
    late = await till.post(path(tenant, TODAY, "close"), {"change_no": 0})
    assert (late.status, shop.reasons(late)) == (409, ["day_moved"])
    await closed(till, tenant, TODAY, 2)
    again = await office.post(path(tenant, TODAY, "reopen"), opening)
    assert (again.status, shop.reasons(again)) == (409, ["day_moved"])
    assert (await till.get(path(tenant, TODAY))).json()["change_no"] == 3


async def test_what_is_taken_back_stands_beside_what_it_was(
    office: Client, till: Client, tenant: Tenant
) -> None:
    card, key = await shop.funded(office, tenant, 1_000), shop.new_key()
    at = {"till": {"terminal_id": "T1"}}
    await shop.top_up(till, card, 500, tender="wechat_pay", key=key, **at)
    await till.post("/v1/reversals", {"idempotency_key": key}, shop.new_key())
    await till.post("/v1/reversals", {"idempotency_key": shop.new_key()}, shop.new_key())
    day = (await till.get(path(tenant, TODAY) + "?by=terminal")).json()
    fields = ("terminal_id", "kind", "undoes", "tender", "operations", "amount")
    lines = {tuple(line[field] for field in fields) for line in day["totals"]}
    assert lines >= {
        ("T1", "top_up", None, "wechat_pay", 1, 500),
        ("T1", "reversal", "top_up", "wechat_pay", 1, 500),
        (None, "reversal", None, None, 1, 0),
    }


async def test_a_closing_gives_way_to_tills_that_take_long(
    office: Client, till: Client, tenant: Tenant, other: Tenant, postgres: embedded.Server,
    client_of: ClientOf,
) -> None:  # fmt: skip
    """It is answered soon, and whoever has no such store is told so without any wait."""
    holder = await asyncpg.connect(postgres.app_dsn)
    transaction = holder.transaction()
    await transaction.start()
    try:
        await holder.execute(
            "select pg_advisory_xact_lock_shared(hashtextextended($1, 0))",
            tenant.merchant_id + tenant.store_ids[0],
        )
        busy = await till.post(path(tenant, TODAY, "close"), {"change_no": 0})
        assert (busy.status, busy.json()["outcome"]) == (503, "not_applied")
        async with client_of(other.merchant_key) as foreign:
            absent = await foreign.post(path(tenant, TODAY, "close"), {"change_no": 0})
        assert absent.status == 404
    finally:
        await transaction.rollback()
        await holder.close()
    await closed(till, tenant, TODAY)


async def test_a_day_that_has_not_begun_stays_open(till: Client, tenant: Tenant) -> None:
    answer = await till.post(path(tenant, TOMORROW, "close"), {"change_no": 0})
    assert (answer.status, shop.reasons(answer)) == (409, ["day_ahead"])
    assert (await till.get(path(tenant, TOMORROW))).json()["status"] == "open"


async def test_a_till_closes_its_own_days_and_reopens_none(
    till: Client, tenant: Tenant, other: Tenant
) -> None:
    reopened = await till.post(path(tenant, TODAY, "reopen"), {"change_no": 0, "reason": "mine"})
    assert (reopened.status, reopened.json()["code"]) == (403, "forbidden")
    for store_id in (tenant.store_ids[1], other.store_ids[0], "sto_" + "0" * 26):
        answer = await till.post(path(tenant, TODAY, "close", store_id=store_id), {"change_no": 0})
        assert (answer.status, answer.json()["code"]) == (403, "store_not_allowed")


@pytest.mark.parametrize("day", ["2036-02-30", "20360301", "2036-W09-6", "1999-12-31", "x", "%00"])
async def test_what_is_no_day_is_not_found(till: Client, tenant: Tenant, day: str) -> None:
    assert (await till.get(path(tenant, day))).status == 404


def local_day(instant: datetime, zone: str, cutoff: time) -> date:
    """The store's day, found by walking through the minutes up to the instant."""
    place = ZoneInfo(zone)
    day, at = date.min, instant - timedelta(days=2)
    while at <= instant:
        local = at.astimezone(place)
        if local.time() >= cutoff:
            day = max(day, local.date())
        at += timedelta(minutes=1)
    return day


async def test_CAP_G2_totals_by_date_are_the_sum_of_operations_in_every_zone(
    office: Client, tenant: Tenant, postgres: embedded.Server
) -> None:
    """Three zones and cut-offs, over the days on which clocks go forward."""
    pool = await database.open_pool(postgres.app_dsn, 1)
    made = {}
    for zone, cutoff in PLACES.items():
        made[zone] = await stores.create(pool, tenant.merchant_id, zone, "青禾", zone, cutoff)
    await pool.close()
    await shop.move_clock(office, "2036-03-07T00:00:00Z")
    card = await shop.funded(office, tenant, 10_000_000)
    wanted: Counter[tuple[str, date]] = Counter()
    begin = [datetime(2036, 3, 8, 0, 10, tzinfo=UTC), datetime(2036, 3, 29, 0, 10, tzinfo=UTC)]
    for first in begin:
        for number in range(60):
            now = first + timedelta(minutes=47 * number)
            await shop.move_clock(office, now.isoformat())
            for zone, store in made.items():
                amount = 100 + number
                await shop.sold(office, card, amount, store_id=store.store_id)
                wanted[store.store_id, local_day(now, zone, PLACES[zone])] += amount
    for (store_id, day), amount in wanted.items():
        answer = await office.get(path(tenant, str(day), store_id=store_id))
        assert [line["amount"] for line in answer.json()["totals"]] == [amount], (store_id, day)
    for zone, changed in CHANGES.items():
        assert wanted[made[zone].store_id, date.fromisoformat(changed)] > 0, "no sale on that day"


async def test_days_are_kept_as_they_were(postgres: embedded.Server) -> None:
    """Who serves may add a closing, and neither change nor remove one."""
    line = await asyncpg.connect(postgres.app_dsn)
    try:
        for statement in ("update day_change set reason = ''", "delete from day_change"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await line.execute(statement)
    finally:
        await line.close()
