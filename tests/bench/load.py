"""Load over HTTP with wrk, or with a client of our own where wrk is missing."""

import asyncio
import re
import shutil
import sys
import tempfile
import urllib.request
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from msgspec import Struct

from tests.bench import client, seed
from tests.bench.figures import BenchError, Run
from tests.bench.seed import Merchant

SCRIPT = Path(__file__).with_name("redeem.lua")
_FIGURES = re.compile(r"^figures (\d+) (\d+) (\d+) (\d+) (\d+)$", re.MULTILINE)
_STATUS = re.compile(rb"^kafang_http_requests_total\{(.*)\} (\S+)$", re.MULTILINE)


class Target(Struct, frozen=True):
    """Where requests go: cards `first` to `last` of a merchant, as often as `weight` says."""

    merchant: Merchant
    first: int
    last: int
    weight: int = 1


def all_cards(merchant: Merchant, weight: int = 1) -> Target:
    """Any card of the merchant."""
    return Target(merchant, 0, merchant.cards - 1, weight)


def zipf(merchants: Sequence[Merchant], exponent: float, slots: int = 100_000) -> list[Target]:
    """The first merchant has most of the traffic, the k-th 1/k**exponent of what the first has."""
    shares = [1 / rank**exponent for rank in range(1, len(merchants) + 1)]
    whole = sum(shares)
    weights = [max(1, round(share / whole * slots)) for share in shares]
    return [all_cards(m, weight) for m, weight in zip(merchants, weights, strict=True)]


class Flood(Struct, frozen=True):
    """What wrk counted: requests answered, of them not with a 201, and requests without an answer.

    `max_s` is the longest time from sending to the answer.
    """

    stamp: str
    seconds: float
    requests: int
    refused: int
    lost: int
    max_s: float


async def measure(port: int, targets: Sequence[Target], connections: int, seconds: float) -> Run:
    """Redemptions answered with 201 per second; BenchError when anything else was answered."""
    if find_wrk() is None:
        return await _without_wrk(port, targets, connections, seconds)
    flood = await run_wrk(port, targets, connections, seconds)
    if flood.refused or flood.lost:
        raise BenchError(
            f"{flood.refused} of {flood.requests} answers were no 201, {flood.lost} requests lost "
            f"their connection; since it started the server has answered {statuses(port)}"
        )
    # What was under way when wrk stopped may still have been done.
    most = flood.requests + connections
    return Run(flood.stamp, flood.requests / flood.seconds, flood.requests, most)


async def run_wrk(
    port: int,
    targets: Sequence[Target],
    connections: int,
    seconds: float,
    per_s: float | None = None,
) -> Flood:
    """As fast as the answers come, or in an open loop; BenchError where wrk is missing or fails."""
    wrk = find_wrk()
    if wrk is None:
        raise BenchError("this needs wrk: install it")
    stamp = seed.new_stamp()
    lines = [f"{t.merchant.token} {t.first} {t.last} {t.weight}" for t in targets]
    with tempfile.NamedTemporaryFile("w", suffix=".txt", encoding="ascii") as file:
        file.write("\n".join(lines) + "\n")
        file.flush()
        process = await asyncio.create_subprocess_exec(
            *(wrk, "-t", "1", "-c", str(connections), "-d", f"{round(seconds)}s"),
            *("--timeout", "30s", "-s", str(SCRIPT), f"http://127.0.0.1:{port}"),
            *("--", file.name, stamp, *([str(per_s)] if per_s else [])),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        try:
            output = (await process.communicate())[0].decode("utf-8", "replace")
        except BaseException:
            process.kill()
            raise
    found = _FIGURES.search(output)
    if process.returncode != 0 or found is None:
        raise BenchError(f"wrk failed:\n{output[-2000:]}")
    requests, duration_us, refused, lost, max_us = (int(figure) for figure in found.groups())
    return Flood(stamp, duration_us / 1e6, requests, refused, lost, max_us / 1e6)


def statuses(port: int) -> str:
    """The server's own count of answers by status."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        counts = _STATUS.findall(answer.read())
    return ", ".join(f"{labels.decode()}: {float(count):.0f}" for labels, count in counts)


@cache
def find_wrk() -> str | None:
    """The program; without it the load comes from a slower client of our own, and we say so."""
    wrk = shutil.which("wrk")
    if wrk is None:
        print(
            "wrk is not installed: the load comes from one Python process, which uses more of the "
            "machine than wrk; figures over HTTP will be lower",
            file=sys.stderr,
        )
    return wrk


async def _without_wrk(
    port: int, targets: Sequence[Target], connections: int, seconds: float
) -> Run:
    if len(targets) > 1:
        raise BenchError("many merchants at once need wrk: install it")
    (target,) = targets
    requests = client.Requests([target.merchant], (target.first, target.last))
    count, took = await client.closed_loop(port, requests, connections, seconds)
    return Run(requests.stamp, count / took, count, count + connections)
