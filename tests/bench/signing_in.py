"""Two hundred people sign in at once, over and over: what the tills notice. THREAT-T19."""

import asyncio
import json
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from statistics import median

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

AT_ONCE = 200
P99_MAX, MEMORY_MAX_MIB = 2.0, 64


async def sign_in(bench: Bench) -> list[Line]:
    """The tills' p99 at a quarter of the peak, alone and beside the crowd, in turns."""
    per_s = await bench.http([load.all_cards(bench.merchant)], MANY) / 4
    emails, told = await _hired(bench), Counter[int]()
    before_kib = sum(map(resident_kib, bench.server.workers()))
    alone: list[float] = []
    beside: list[float] = []
    most_kib = before_kib
    for _ in range(bench.plan.rounds):
        alone.append(await _p99_ms(bench, per_s))
        async with _crowd(bench, emails, told):
            beside.append(await _p99_ms(bench, per_s))
            most_kib = max(most_kib, sum(map(resident_kib, bench.server.workers())))
        say(f"  at {per_s:,.0f}/s: p99 {alone[-1]:.1f} ms, beside sign-ins {beside[-1]:.1f} ms")
    say(f"  told: {dict(sorted(told.items()))}")
    if not told[201] or told.keys() - {0, 201, 429, 503}:
        raise BenchError(f"signing in was answered {told}")
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
            f"{told[201]}, {told[503] + told[429]}, {told[0]}",
        ),
        Line(
            "memory the workers gained",
            f"{gained_mib:.0f} MiB",
            f"≤ {MEMORY_MAX_MIB} MiB",
            gained_mib <= MEMORY_MAX_MIB,
        ),
    ]


@asynccontextmanager
async def _crowd(bench: Bench, emails: list[str], told: Counter[int]) -> AsyncIterator[None]:
    """They sign in meanwhile; `told` learns what they were answered."""
    whose = (str(bench.server.port), bench.merchant.merchant_id)
    crowd = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.bench.crowd", *whose),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert crowd.stdin is not None
    assert crowd.stdout is not None
    try:
        crowd.stdin.write("\n".join(emails).encode())
        crowd.stdin.write_eof()
        await crowd.stdout.readline()
        yield
        crowd.terminate()
        counts = json.loads(await crowd.stdout.read())
        told.update({int(status): count for status, count in counts.items()})
    finally:
        with suppress(ProcessLookupError):
            crowd.kill()
        await crowd.wait()


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
