"""Far more than can be done, from all sides and from one: GOAL-G17, THREAT-T26 and T30.

The crowd is wrk in an open loop: its requests are due at fixed times, each takes a connection that
is free, and has as many of them as this system lets a process open. A few tills of our own sell at
their own pace meanwhile, and keep a journal.
"""

import asyncio
import itertools
import resource
import time
from statistics import median

from msgspec import Struct

from service.settings import Settings
from tests.bench import client, load, seed
from tests.bench.bench import Bench, say
from tests.bench.figures import BenchError, Line, percentile, rate_line
from tests.bench.load import Flood
from tests.bench.measures import MANY, ms
from tests.bench.seed import Merchant
from tests.harness import server as servers
from tests.harness.client import Client

PEAKS = 3
FACTOR = 10
# As many tills as a chain of 3,000 stores has.
CONNECTIONS_MAX = 8_000
GOODPUT_MIN = 0.8
# A till sells once in so many seconds; the tills take turns.
TILLS, PACE_S = 40, 2.0
CALM_S, AFTER_S = 10, 15
RECOVERY_MAX_S = 5.0
MERCHANTS, CARDS, TIMES, OTHERS_P99_MAX = 20, 100, 50, 1.2
ITS_TILLS = 1000


class Sale(Struct, frozen=True):
    """What a till asked, and what it was told after `seconds`; `at` is when it was."""

    key: str
    at: float
    status: int
    seconds: float


class Tills:
    """Tills of one merchant that sell at their own pace, and their journal."""

    def __init__(self, port: int, merchant: Merchant) -> None:
        self.stamp = seed.new_stamp()
        self.sales: list[Sale] = []
        self._port = port
        self._merchant = merchant
        self._numbers = itertools.count()
        self._tasks: list[asyncio.Task[None]] = []

    def open(self) -> None:
        """Begin to sell."""
        self._tasks = [asyncio.create_task(self._sell(TILLS, number)) for number in range(TILLS)]

    async def close(self) -> None:
        """Stop; raises what went wrong."""
        for task in self._tasks:
            task.cancel()
        for failed in await asyncio.gather(*self._tasks, return_exceptions=True):
            if isinstance(failed, Exception):
                raise BenchError(f"a till failed: {failed!r}") from failed

    async def _sell(self, tills: int, number: int) -> None:
        async with Client("127.0.0.1", self._port, self._merchant.token) as till:
            await asyncio.sleep(PACE_S * number / tills)
            while True:
                began = time.perf_counter()
                await self._sale(till, began)
                await asyncio.sleep(max(0.0, began + PACE_S - time.perf_counter()))

    async def _sale(self, till: Client, began: float) -> None:
        number = next(self._numbers)
        key = f"{self.stamp}-0-{number}"
        body = {
            "request_no": key,
            "amount": {"value": 1, "currency": "CNY"},
            "sources": [{"card_number": seed.card_number(number % self._merchant.cards)}],
        }
        answer = await till.post("/v1/redemptions", body, key)
        self.sales.append(Sale(key, began, answer.status, time.perf_counter() - began))


async def overload(bench: Bench) -> list[Line]:
    """Ten times the peak: how much is done, how late the last answer is, how soon it is over."""
    every = [load.all_cards(bench.merchant)]
    (merchant,) = await seed.seed(bench.admin, 1, CARDS, 0)
    tills = Tills(bench.server.port, merchant)
    peaks = [await bench.http(every, MANY) for _ in range(PEAKS)]
    peak = median(peaks)
    tills.open()
    await asyncio.sleep(CALM_S)
    before = time.perf_counter()
    say(f"  {FACTOR} × {peak:,.0f}/s for {bench.plan.overload_s} s")
    flood = await load.run_wrk(
        bench.server.port, every, _connections(), bench.plan.overload_s, FACTOR * peak
    )
    after = time.perf_counter()
    await asyncio.sleep(AFTER_S)
    await tills.close()
    done = await seed.redeemed(bench.admin, [bench.merchant], flood.stamp)
    await _require_kept(bench, flood, done, tills, merchant)
    say(f"  {flood}")
    return [
        rate_line("peak, HTTP, 256 connections", peaks),
        *_flood_lines(flood, done, peak),
        *_till_lines(tills.sales, before, after),
        _late_line(flood, tills.sales),
    ]


def _flood_lines(flood: Flood, done: int, peak: float) -> list[Line]:
    goodput, sent = done / flood.seconds, flood.requests / flood.seconds
    return [
        Line("due", f"{FACTOR * peak:,.0f}/s ({FACTOR} × the peak)"),
        Line(
            f"sent, for want of more than {_connections():,} connections",
            f"{sent:,.0f}/s ({sent / peak:.1f} × the peak)",
        ),
        Line(
            "redeemed",
            f"{goodput:,.0f}/s ({goodput / peak:.2f} × the peak)",
            f"≥ {GOODPUT_MIN:g} ×",
            goodput >= GOODPUT_MIN * peak,
        ),
        Line("turned away", f"{flood.refused / flood.seconds:,.0f}/s"),
    ]


def _till_lines(sales: list[Sale], before: float, after: float) -> list[Line]:
    calm = sorted(sale.seconds for sale in sales if sale.at < before)
    during = [sale for sale in sales if before <= sale.at < after]
    served = sorted(sale.seconds for sale in during if sale.status == 201)
    usual_s = percentile(calm, 0.99)
    over_s = _over_s([sale for sale in sales if sale.at >= after], after, 2 * usual_s)
    return [
        Line(
            f"another merchant's {TILLS} tills meanwhile",
            f"{len(served)} of {len(during)} served, p50 {1000 * percentile(served, 0.5):.0f} ms, "
            f"p99 {1000 * percentile(served, 0.99):.0f} ms (before: {1000 * usual_s:.0f} ms)",
        ),
        Line(
            "their last second with a refusal, or with half of the answers later than twice that",
            f"{over_s:.1f} s",
            f"≤ {RECOVERY_MAX_S:.0f} s",
            over_s <= RECOVERY_MAX_S,
        ),
    ]


def _over_s(sales: list[Sale], after: float, slow_s: float) -> float:
    """When the last second was over in which it showed still."""
    seconds: dict[int, list[Sale]] = {}
    for sale in sales:
        seconds.setdefault(int(sale.at - after), []).append(sale)
    bad = [
        second + 1.0
        for second, its in seconds.items()
        if any(sale.status != 201 for sale in its) or median(sale.seconds for sale in its) > slow_s
    ]
    return max(bad, default=0.0)


def _late_line(flood: Flood, sales: list[Sale]) -> Line:
    latest_s = max(flood.max_s, max(sale.seconds for sale in sales))
    deadline_s = Settings().deadline_s
    met = latest_s <= deadline_s + 0.05
    return Line("the latest answer of all", f"{latest_s:.2f} s", f"≤ {deadline_s + 0.05:g} s", met)


async def _require_kept(
    bench: Bench, flood: Flood, done: int, tills: Tills, merchant: Merchant
) -> None:
    """Nothing that was acknowledged is missing, nothing that was refused was done."""
    answered = flood.requests - flood.refused
    # What was under way when wrk stopped may still have been done.
    if flood.lost or not answered <= done <= answered + _connections():
        raise BenchError(f"{answered} were answered 201, {done} were redeemed; {flood}")
    sold = sum(sale.status == 201 for sale in tills.sales)
    kept = await seed.redeemed(bench.admin, [merchant], tills.stamp)
    if not sold <= kept <= sold + TILLS:  # a till was stopped while it waited
        raise BenchError(f"the tills were told of {sold} sales, the ledger has {kept}")


async def neighbour(bench: Bench) -> list[Line]:
    """Twenty merchants, a quarter of the peak together; then one asks for fifty times its share.

    On a server of its own, which lets a merchant begin twice that share.
    """
    many = await seed.seed(bench.admin, MERCHANTS, CARDS, 0)
    share = await bench.http([load.all_cards(m) for m in many], MANY) / 4 / MERCHANTS
    say(f"  {share:,.0f}/s each")
    usual: list[float] = []
    beside: list[float] = []
    done: list[float] = []
    with servers.running({"KAFANG_TENANT_PER_S": f"{share:.0f}"}) as server:  # of each worker
        async with seed.superuser(server.postgres.admin_dsn) as admin:
            merchants = await seed.seed(admin, MERCHANTS, CARDS, 0)
        crowds = [
            _Crowd(server.port, merchants[0], share * times, bench.plan.latency_s)
            for times in (1, TIMES)
        ]
        await crowds[1].beside(merchants[1:], share)  # a warm-up
        for _ in range(bench.plan.rounds):
            tail_ms, _ = await crowds[0].beside(merchants[1:], share)
            usual.append(tail_ms)
            tail_ms, per_s = await crowds[1].beside(merchants[1:], share)
            beside.append(tail_ms)
            done.append(per_s)
            say(f"  p99 {usual[-1]:.1f} ms, beside {tail_ms:.1f} ms; {per_s:,.0f}/s of the one")
    return [
        rate_line("each merchant's share", [share]),
        rate_line(f"served of the one that asks for {TIMES} times that", done),
        Line("p99 of the others, usually", ms(usual)),
        Line("p99 of the others, beside that one", ms(beside)),
        _times_line(usual, beside),
    ]


class _Crowd(Struct):
    """One merchant's tills, which ask for `per_s` together for so many seconds."""

    port: int
    merchant: Merchant
    per_s: float
    seconds: int

    async def beside(self, others: list[Merchant], share: float) -> tuple[float, float]:
        """The others' 99th percentile in ms, and what this one is served a second."""
        crowd = asyncio.create_task(
            load.run_wrk(
                self.port, [load.all_cards(self.merchant)], ITS_TILLS, self.seconds, self.per_s
            )
        )
        requests = client.Requests(others, (0, CARDS - 1))
        # Over while the one still asks.
        rest_s = max(1, self.seconds - 2)
        measured = await client.open_loop(self.port, requests, MANY, share * len(others), rest_s)
        flood = await crowd
        per_s = (flood.requests - flood.refused) / flood.seconds
        return 1000 * percentile(measured.latencies, 0.99), per_s


def _times_line(usual: list[float], beside: list[float]) -> Line:
    ratios = [b / a for a, b in zip(usual, beside, strict=True)]
    middle = median(ratios)
    figure = f"{middle:.2f} × ({min(ratios):.2f} – {max(ratios):.2f})"
    return Line("beside / usually", figure, f"≤ {OTHERS_P99_MAX:g} ×", middle <= OTHERS_P99_MAX)


def _connections() -> int:
    """As many as a process may open files here, within reason."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return CONNECTIONS_MAX if soft < 0 else min(CONNECTIONS_MAX, soft - 100)
