"""Which worker process answered how many requests, from the counts that each keeps in a file of its own.

A Prometheus file of several processes carries its process's pid in its name; the worker has it mapped.
"""

import asyncio
import json
from pathlib import Path

from prometheus_client.mmap_dict import MmapedDict

from tests.harness.server import Server

SHARE_MIN = 0.25
WORKERS = 2
SERVING_S = 30.0
# Workers flush their counts once a second.
FLUSHED_S = 10.0


def answered(server: Server) -> dict[int, int]:
    """Requests answered so far, by the pid of each worker; flushed once a second."""
    return {pid: _count(pid) for pid in server.workers()}


async def all_serving(server: Server) -> dict[int, int]:
    """Wait until every worker counts, which it does once it is open; the counts then."""
    deadline = asyncio.get_running_loop().time() + SERVING_S
    while len(counts := answered(server)) < WORKERS or not all(map(_files, counts)):
        assert asyncio.get_running_loop().time() < deadline, counts
        await asyncio.sleep(0.05)  # polling with a deadline
    return counts


async def require_shared(server: Server, before: dict[int, int], requests: int) -> dict[int, float]:
    """Each worker's share of what was answered since `before`; fails when one had less than a quarter."""
    deadline = asyncio.get_running_loop().time() + FLUSHED_S
    while True:
        since = {pid: count - before.get(pid, 0) for pid, count in answered(server).items()}
        if sum(since.values()) >= requests:
            break
        assert asyncio.get_running_loop().time() < deadline, (since, requests)
        await asyncio.sleep(0.05)  # polling with a deadline
    shares = {pid: count / sum(since.values()) for pid, count in since.items()}
    assert len(shares) >= WORKERS and min(shares.values()) >= SHARE_MIN, shares
    return shares


def _files(pid: int) -> set[str]:
    maps = Path(f"/proc/{pid}/maps").read_text("utf-8").splitlines()
    return {line.split()[-1] for line in maps if line.endswith(f"/counter_{pid}.db")}


def _count(pid: int) -> int:
    found = 0
    for file in _files(pid):
        values = MmapedDict.read_all_values_from_file(file)  # type: ignore[no-untyped-call]
        names = ((json.loads(key)[1], value) for key, value, *_ in values)
        found += int(sum(value for name, value in names if name == "kafang_http_requests_total"))
    return found
