"""Two hundred people sign in at once, half of them hang up: the tills go on. THREAT-T19."""

import asyncio
import time
from collections import Counter

from service.kernel import database
from service.kernel.embedded import Server as Postgres
from tests.api import shop
from tests.harness import people
from tests.harness.client import Client
from tests.harness.server import Server
from tests.harness.tenant import Tenant, TestCard

AT_ONCE = 200
TILLS = 8
SALES = 40


async def test_T19_a_flood_of_sign_ins_leaves_the_tills_alone(
    server: Server, tenant: Tenant, postgres: Postgres, office: Client
) -> None:
    pool = await database.open_pool(postgres.app_dsn, 1)
    keys = people.keys_of(server.data_dir)
    person = await people.hire(pool, keys, tenant.merchant_id, "cashier", tenant.store_ids[0])
    await pool.close()
    card = await shop.funded(office, tenant, 10_000_000)
    alone = await _sales(server, tenant, card)
    told: Counter[int] = Counter()
    flood = asyncio.gather(
        *(_sign_in(server, tenant, person, number, told) for number in range(AT_ONCE))
    )
    beside = await _sales(server, tenant, card)
    await flood
    print(f"p99 {_p99(alone) * 1000:.0f} ms alone, {_p99(beside) * 1000:.0f} ms beside; {told}")
    assert told.keys() <= {0, 201, 401, 429, 503}
    assert told.total() == AT_ONCE
    assert told[401] + told[201] > 0
    async with Client(server.host, server.port) as line:  # the places are free again
        answer = await line.post("/v1/sessions", _body(tenant, person, "Wrong*1 whatever"))
    assert answer.status in (401, 429)


async def _sales(server: Server, tenant: Tenant, card: TestCard) -> list[float]:
    """How long each took; every one goes through."""
    took: list[float] = []

    async def till() -> None:
        async with Client(server.host, server.port, tenant.pos_keys[0]) as line:
            for _ in range(SALES):
                began = time.perf_counter()
                answer = await shop.redeem(line, card, 1)
                took.append(time.perf_counter() - began)
                assert answer.status == 201, answer.body

    await asyncio.gather(*(till() for _ in range(TILLS)))
    return took


async def _sign_in(
    server: Server, tenant: Tenant, person: people.Person, number: int, told: Counter[int]
) -> None:
    """Each from an address of their own kind of mistake; every other one hangs up."""
    line = Client(server.host, server.port)
    name = f"{number}@{people.DOMAIN}"
    body = {**_body(tenant, person, people.PASSWORD), "email": name}
    asked = asyncio.create_task(line.post("/v1/sessions", body))
    if number % 2:
        await asyncio.sleep(0)
        line.drop()
        asked.cancel()
        await asyncio.gather(asked, return_exceptions=True)
        told[0] += 1
    else:
        told[(await asked).status] += 1
    line.drop()


def _body(tenant: Tenant, person: people.Person, password: str) -> dict[str, str]:
    return {"merchant_id": tenant.merchant_id, "email": person.email, "password": password}


def _p99(took: list[float]) -> float:
    return sorted(took)[int(len(took) * 0.99)]
