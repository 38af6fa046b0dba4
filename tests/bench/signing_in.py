"""Two hundred people sign in at once, over and over: what the tills notice. THREAT-T19."""

import asyncio
from collections import Counter
from contextlib import suppress
from statistics import median

from msgspec import Struct

from service.kernel import database
from service.kernel.ids import new_id
from service.kernel.passwords import Passwords
from service.rules import accounts
from service.users import store as users
from tests.bench import client, load
from tests.bench.bench import Bench, say
from tests.bench.figures import BenchError, Line, percentile
from tests.bench.measures import MANY, ms, resident_kib
from tests.harness import people
from tests.harness.client import Client

AT_ONCE = 200
# Of every so many one hangs up before the answer.
HANGS_UP = 4
P99_MAX, MEMORY_MAX_MIB = 2.0, 64


class _Crowd(Struct):
    """People who sign in, and what they were told; 0: they had hung up."""

    port: int
    merchant_id: str
    emails: list[str]
    told: Counter[int]

    async def flood(self) -> None:
        """All of them at once, again and again, until it is cancelled."""
        await asyncio.gather(*(self._insist(number) for number in range(len(self.emails))))

    async def _insist(self, number: int) -> None:
        body = {
            "merchant_id": self.merchant_id,
            "email": self.emails[number],
            "password": people.PASSWORD,
        }
        for turn in range(number, 10**9):
            line = Client("127.0.0.1", self.port)
            try:
                asked = asyncio.create_task(line.post("/v1/sessions", body))
                if turn % HANGS_UP == 0:
                    await asyncio.wait([asked], timeout=0.05)
                    self.told[0] += not asked.done()
                else:
                    self.told[(await asked).status] += 1
            finally:
                asked.cancel()
                line.drop()
                with suppress(asyncio.CancelledError, OSError, EOFError):
                    await asked


async def sign_in(bench: Bench) -> list[Line]:
    """The tills' p99 at a quarter of the peak, alone and beside the crowd, in turns."""
    per_s = await bench.http([load.all_cards(bench.merchant)], MANY) / 4
    crowd = _Crowd(bench.server.port, bench.merchant.merchant_id, await _hired(bench), Counter())
    before_kib = sum(map(resident_kib, bench.server.workers()))
    alone: list[float] = []
    beside: list[float] = []
    most_kib = before_kib
    for _ in range(bench.plan.rounds):
        alone.append(await _p99_ms(bench, per_s))
        flood = asyncio.create_task(crowd.flood())
        beside.append(await _p99_ms(bench, per_s))
        most_kib = max(most_kib, sum(map(resident_kib, bench.server.workers())))
        flood.cancel()
        await asyncio.wait([flood])
        say(f"  at {per_s:,.0f}/s: p99 {alone[-1]:.1f} ms, beside sign-ins {beside[-1]:.1f} ms")
    say(f"  told: {dict(sorted(crowd.told.items()))}")
    if not crowd.told[201] or crowd.told.keys() - {0, 201, 429, 503}:
        raise BenchError(f"signing in was answered {crowd.told}")
    ratios = [b / a for a, b in zip(alone, beside, strict=True)]
    gained_mib = (most_kib - before_kib) / 1024
    return [
        Line("p99 alone", ms(alone)),
        Line(f"p99 beside {AT_ONCE} who sign in", ms(beside)),
        Line(
            "beside / alone",
            f"{median(ratios):.2f} × ({min(ratios):.2f} – {max(ratios):.2f})",
            f"≤ {P99_MAX:g} ×",
            median(ratios) <= P99_MAX,
        ),
        Line(
            "let in, turned away, hung up",
            f"{crowd.told[201]}, {crowd.told[503] + crowd.told[429]}, {crowd.told[0]}",
        ),
        Line(
            "memory the workers gained",
            f"{gained_mib:.0f} MiB",
            f"≤ {MEMORY_MAX_MIB} MiB",
            gained_mib <= MEMORY_MAX_MIB,
        ),
    ]


async def _p99_ms(bench: Bench, per_s: float) -> float:
    requests = client.Requests([bench.merchant], (0, bench.merchant.cards - 1))
    seconds = bench.plan.latency_s
    measured = await client.open_loop(bench.server.port, requests, MANY, per_s, seconds)
    return 1000 * percentile(measured.latencies, 0.99)


async def _hired(bench: Bench) -> list[str]:
    """The addresses of as many people, whose password takes its time."""
    keys, passwords = people.keys_of(bench.server.data_dir), Passwords()
    hashed, merchant_id = await passwords.hash(people.PASSWORD), bench.merchant.merchant_id
    passwords.close()
    pool = await database.open_pool(bench.app_dsn, 1)
    emails = [f"person{number}@{people.DOMAIN}" for number in range(AT_ONCE)]
    async with database.tenant(pool, merchant_id) as connection:
        for email in emails:
            user_id = new_id("usr")
            index = accounts.email_index(keys.email, merchant_id, email)
            await users.insert(connection, merchant_id, user_id, index, "p***")
            await users.set_password(connection, merchant_id, user_id, hashed)
            grant = (new_id("grt"), user_id, "auditor", merchant_id, "operator")
            await users.give(connection, merchant_id, *grant)
    await pool.close()
    return emails
