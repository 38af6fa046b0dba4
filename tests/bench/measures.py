"""The measurements, each a list of lines for the report."""

import asyncio
import functools
import time
from pathlib import Path
from statistics import median

from tests.bench import client, load, seed
from tests.bench.bench import Bench, Plan, Rate, say, told
from tests.bench.figures import BenchError, Line, alternate, best, percentile, rate_line, ratio_line

MANY, FEW = 256, 64
# A thousand merchants have at least a till each.
MOST = 1024
# Cards of each of many merchants: enough that none is hot.
CARDS_OF_MANY = 100
LATENCY_P99_MAX_MS = 50.0
MEMORY_GROWTH_MAX = 0.05
SAMPLE_INTERVAL_S = 2.0


async def redemption(bench: Bench) -> list[Line]:
    """Redemptions over HTTP against pgbench doing the same writes one by one."""
    every = [load.all_cards(bench.merchant)]
    cards = (0, bench.merchant.cards - 1)
    http: dict[str, Rate] = {
        _connections(count): functools.partial(bench.http, every, count) for count in (FEW, MANY)
    }
    leasts = {_connections(FEW): 0.8, _connections(MANY): 1.0}
    return await _against_pgbench(bench, http, cards, bench.plan.pgbench_clients, leasts)


async def hot_card(bench: Bench) -> list[Line]:
    """The same with one card that everybody uses."""
    last = bench.merchant.cards - 1
    target = [load.Target(bench.merchant, last, last)]
    http: dict[str, Rate] = {_connections(FEW): functools.partial(bench.http, target, FEW)}
    leasts = {_connections(FEW): 2.0}
    return await _against_pgbench(bench, http, (last, last), bench.plan.hot_clients, leasts)


async def _against_pgbench(
    bench: Bench,
    http: dict[str, Rate],
    cards: tuple[int, int],
    client_counts: tuple[int, ...],
    leasts: dict[str, float],
) -> list[Line]:
    answer = await bench.answer()
    one_by_one: dict[str, Rate] = {
        f"pgbench, {count} clients": functools.partial(bench.pgbench, cards, count, answer)
        for count in client_counts
    }
    say("looking for pgbench's best number of clients")
    figures = await alternate(_told(one_by_one), bench.plan.choosing_rounds)
    theirs = best(figures)
    against = http | {theirs: one_by_one[theirs]}
    # Only the best one takes turns with HTTP: what is compared then runs in the same half minute.
    figures |= await alternate(_told(against), bench.plan.rounds)
    return [
        *(rate_line(name, figures[name]) for name in http | one_by_one),
        *(
            ratio_line(f"{ours} / {theirs} (its best)", figures[ours], figures[theirs], least)
            for ours, least in leasts.items()
        ),
    ]


async def merchants(bench: Bench) -> list[Line]:
    """Many merchants with Zipf traffic against one with all of it, over as many connections."""
    plan = bench.plan
    say(f"seeding {plan.merchants:,} merchants")
    many = await seed.seed(bench.admin, plan.merchants, CARDS_OF_MANY, 0)
    names = (f"{plan.merchants:,} merchants, Zipf 1.1", "one merchant")
    targets = (load.zipf(many, 1.1), [load.all_cards(bench.merchant)])
    http: dict[str, Rate] = {
        f"{name}, {_connections(count)}": functools.partial(bench.http, target, count)
        for count in (MOST, MANY)
        for name, target in zip(names, targets, strict=True)
    }
    figures = await alternate(_told(http), plan.rounds)
    lines = [rate_line(name, figures[name]) for name in http]
    for count, least in ((MOST, 0.6), (MANY, None)):
        ours, theirs = (figures[f"{name}, {_connections(count)}"] for name in names)
        lines.append(ratio_line(f"many / one, {_connections(count)}", ours, theirs, least))
    return lines


async def latency(bench: Bench) -> list[Line]:
    """Latency at half of what it could do a moment before, from when each request was due."""
    every = [load.all_cards(bench.merchant)]
    peaks: list[float] = []
    middles: list[float] = []
    tails: list[float] = []
    for _ in range(bench.plan.rounds):
        peaks.append(await bench.http(every, MANY))
        await _paced(bench, peaks[-1] / 2, bench.plan.warm_up_s)
        latencies = await _paced(bench, peaks[-1] / 2, bench.plan.latency_s)
        middles.append(1000 * percentile(latencies, 0.5))
        tails.append(1000 * percentile(latencies, 0.99))
        say(f"  at {peaks[-1] / 2:,.0f}/s: p50 {middles[-1]:.1f} ms, p99 {tails[-1]:.1f} ms")
    return [
        rate_line(f"peak, {_connections(MANY)}", peaks),
        Line("p50 at half of each round's peak", ms(middles)),
        Line(
            "p99 at half of each round's peak",
            ms(tails),
            f"≤ {LATENCY_P99_MAX_MS:.0f} ms",
            median(tails) <= LATENCY_P99_MAX_MS,
        ),
    ]


async def _paced(bench: Bench, per_s: float, seconds: float) -> list[float]:
    """Seconds from when each request was due to its answer, sorted; all are in the ledger."""
    merchant = bench.merchant
    requests = client.Requests([merchant], (0, merchant.cards - 1))
    measured = await client.open_loop(bench.server.port, requests, MANY, per_s, seconds)
    gained = await seed.redeemed(bench.admin, [merchant], measured.stamp)
    if gained != len(measured.latencies):
        raise BenchError(f"{len(measured.latencies)} answers, the ledger gained {gained}")
    return measured.latencies


def _told(rates: dict[str, Rate]) -> dict[str, Rate]:
    return {name: told(name, rate) for name, rate in rates.items()}


def ms(figures: list[float]) -> str:
    return f"{median(figures):.1f} ms ({min(figures):.1f} – {max(figures):.1f})"


async def memory(bench: Bench) -> list[Line]:
    """Memory of the workers under load: at the end, against after the first fifth."""
    plan = bench.plan
    task = asyncio.create_task(
        load.measure(bench.server.port, [load.all_cards(bench.merchant)], FEW, plan.soak_s)
    )
    samples: list[tuple[float, list[int]]] = []
    began = time.monotonic()
    pids = bench.server.workers()
    while not task.done():
        samples.append((time.monotonic() - began, [resident_kib(pid) for pid in pids]))
        await asyncio.wait([task], timeout=SAMPLE_INTERVAL_S)
    await bench.accounted(await task, [bench.merchant])
    if pids != bench.server.workers():
        raise BenchError("a worker was replaced under load")
    return _memory_lines(plan, samples)


def _memory_lines(plan: Plan, samples: list[tuple[float, list[int]]]) -> list[Line]:
    settled_s, window_s = plan.soak_s / 5, plan.soak_s / 20
    early = [sum(rss) for at, rss in samples if settled_s <= at < settled_s + window_s]
    late = [sum(rss) for at, rss in samples if at >= plan.soak_s - window_s]
    growth = median(late) / median(early) - 1
    workers = " and ".join(f"{kib / 1024:.0f}" for kib in samples[-1][1])
    return [
        Line(f"resident memory of the workers after {plan.soak_s} s of load", f"{workers} MiB"),
        Line(
            f"growth from second {settled_s:.0f} to the end",
            f"{100 * growth:.1f} %",
            f"< {100 * MEMORY_GROWTH_MAX:.0f} %",
            growth < MEMORY_GROWTH_MAX,
        ),
    ]


def resident_kib(pid: int) -> int:
    """Memory of a worker that is in use."""
    for line in Path(f"/proc/{pid}/status").read_text("utf-8").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    raise BenchError(f"worker {pid} has ended")


def _connections(count: int) -> str:
    return f"HTTP, {count} connections"
