"""A day closes while tills sell: every sale is in one day, and the figures of a closing stand."""

from collections import Counter
from collections.abc import Awaitable
from datetime import UTC, datetime, timedelta
from typing import Any

from service.kernel import embedded
from tests.api import shop
from tests.concurrency.crowd import Request, crowd_of, make_cards, redeem
from tests.concurrency.test_stop_at_once import STREAMS, Ask, Stop
from tests.harness.client import Client, Response
from tests.harness.server import Server
from tests.harness.tenant import Tenant

ROUNDS = 40
NOON = datetime(2036, 3, 1, 4, tzinfo=UTC)  # in Shanghai


def sales(totals: list[dict[str, object]]) -> int:
    """How many sales a day's figures hold."""
    return sum(int(str(line["operations"])) for line in totals if line["kind"] == "redeem")


async def test_CAP_G2_sales_during_a_closing_are_in_exactly_one_day(
    server: Server, tenant: Tenant, postgres: embedded.Server
) -> None:
    """Forty days that close under sales, every other one opened and closed again meanwhile."""
    store_id = tenant.store_ids[0]
    booked: dict[str, int] = {}
    told: Counter[str] = Counter()
    async with crowd_of(server, tenant.merchant_key, STREAMS + 1) as crowd:
        *tills, office = crowd.clients
        cards = await make_cards(crowd, tenant, 8, 5_000_000, "day")

        async def move(day: str, name: str, body: dict[str, Any]) -> Response:
            path = f"/v1/stores/{store_id}/days/{day}/{name}"
            answer = await crowd.post(office, Request(path, body, f"{name}-{day}-{len(told)}"))
            assert answer.status == 200, answer.body
            return answer

        async def close(day: str, *, again: bool) -> None:
            [first] = (await move(day, "close", {"change_no": 0})).json()["changes"]
            booked[day] = sales(first["totals"])
            if again:
                await move(day, "reopen", {"change_no": 1, "reason": "too early"})
                kept, _, last = (await move(day, "close", {"change_no": 2})).json()["changes"]
                assert kept == first
                booked[day] += sales(last["corrections"])
                assert booked[day] == sales(last["totals"])

        def selling(till: Client, number: int, name: str) -> Ask:
            def ask(n: int) -> Awaitable[Response]:
                card = cards[number % len(cards)]
                return crowd.post(till, redeem(card, 1, f"{name}-{n}", store_id=store_id))

            return ask

        for number in range(ROUNDS):
            now = NOON + timedelta(days=number)
            await shop.move_clock(office, now.isoformat())
            day, stop = str(now.date()), Stop()
            asks = [selling(till, n, f"day-{number}-{n}") for n, till in enumerate(tills)]
            await stop.around(asks, close(day, again=number % 2 == 1))
            before, after = stop.before_and_after()
            assert {answer.status for answer in (*before, *after)} == {201}
            tomorrow = str(now.date() + timedelta(days=1))
            assert {answer.json()["business_date"] for answer in after} == {tomorrow}
            assert {answer.json()["business_date"] for answer in before} <= {day, tomorrow}
            told.update(answer.json()["business_date"] for answer in (*before, *after))
        looks = [office.get(f"/v1/stores/{store_id}/days/{day}") for day in booked]
        held = [sales((await look).json()["totals"]) for look in looks]
    assert held == [*booked.values()], "a closed day has changed"
    assert held == [told[day] for day in booked], "a day holds other sales than tills were told"
    print(sum(told.values()), "sales in", len(told), "days")
    rows = await shop.rows(postgres, tenant.merchant_id)
    assert rows["redemption"] == told.total()
