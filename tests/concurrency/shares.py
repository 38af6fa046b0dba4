"""Which worker process answered how many requests, from the counts each keeps in a file of its own.

A Prometheus file of several processes carries its process's pid in its name; the worker has it
mapped. Which worker accepts a connection is the kernel's choice, so a crowd connects again until
no worker has nearly all of it.
"""

import asyncio
import contextlib
import json
import os
from pathlib import Path

from prometheus_client.mmap_dict import MmapedDict

from tests.harness.client import Client
from tests.harness.server import Server

SHARE_MIN = 0.25
# Connections alone are not requests: keep some way off the least share.
CONNECTED_MIN = 0.4
SPREADS_MAX = 50
LISTENING = "0A"
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
    """Each worker's share of the answers since `before`; fails when one had under a quarter."""
    deadline = asyncio.get_running_loop().time() + FLUSHED_S
    while True:
        since = {pid: count - before.get(pid, 0) for pid, count in answered(server).items()}
        if sum(since.values()) >= requests:
            break
        assert asyncio.get_running_loop().time() < deadline, (since, requests)
        await asyncio.sleep(0.05)  # polling with a deadline
    shares = {pid: count / sum(since.values()) for pid, count in since.items()}
    assert len(shares) >= WORKERS, shares
    assert min(shares.values()) >= SHARE_MIN, shares
    return shares


async def spread(server: Server, clients: list[Client]) -> None:
    """Connect the clients so that each worker has its part of them."""
    await asyncio.gather(*(client.get("/health/live") for client in clients))
    least: list[Client] = []
    for _ in range(SPREADS_MAX):
        owners = owners_of_connections(server)
        of_worker: dict[int, list[Client]] = {pid: [] for pid in server.workers()}
        for client in clients:
            of_worker[owners[client.local_port or 0]].append(client)
        least, most = sorted(of_worker.values(), key=len)[:: len(of_worker) - 1]
        if len(least) >= CONNECTED_MIN * len(clients):
            return
        for client in most[: (len(most) - len(least)) // 2]:
            client.drop()
            await client.get("/health/live")
    raise AssertionError(f"one worker accepts nearly nothing: {len(least)} of {len(clients)}")


def owners_of_connections(server: Server) -> dict[int, int]:
    """The worker that holds each accepted connection, by the port of the client's end."""
    held: dict[str, int] = {}
    for pid in server.workers():
        for fd in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):
                held[os.readlink(fd)] = pid
    owners: dict[int, int] = {}
    for line in Path("/proc/net/tcp").read_text("ascii").splitlines()[1:]:
        _, ours, theirs, state, _, _, _, _, _, inode, *_ = line.split()
        if state == LISTENING:
            continue
        pid_of = held.get(f"socket:[{inode}]")
        if int(ours.partition(":")[2], 16) == server.port and pid_of is not None:
            owners[int(theirs.partition(":")[2], 16)] = pid_of
    return owners


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
