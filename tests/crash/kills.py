"""Killing one part of the service, and waiting until the whole works again. Linux: looks at /proc.

What the service must mend by itself: a dead worker (its supervisor), a dead PostgreSQL (its
guardian), and everything that a dead supervisor leaves behind must end. Only the supervisor itself
is started again from here, as an init system would.
"""

import asyncio
import os
import random
import signal
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Literal

import asyncpg
from msgspec import Struct

from service.kernel import database, embedded
from tests.crash.crew import TRANSPORT
from tests.harness import server as servers
from tests.harness.client import Client
from tests.harness.server import Server

# postgres: its first process, and with it all; backend: one connection's process, after which
# PostgreSQL restarts itself.
Kind = Literal["worker", "master", "postgres", "backend"]
KINDS: tuple[Kind, ...] = ("worker", "master", "postgres", "backend")

GONE_DEADLINE_S = 20.0
READY_DEADLINE_S = 60.0
POLL_S = 0.02


class Target(Struct):
    """The service under test; `server` changes when it had to be started again."""

    server: Server
    postgres: embedded.Server
    settings: Mapping[str, str]
    starts: int = 0

    @classmethod
    def of(cls, server: Server, settings: Mapping[str, str]) -> "Target":
        """The target that a fresh server is."""
        return cls(server, server.postgres, settings)


class LeftoverError(AssertionError):
    """Processes of a killed service that did not end by themselves."""


async def victim(target: Target, kind: Kind, rng: random.Random) -> int:
    """Whom to kill."""
    await _until(lambda: bool(_candidates(target, kind)), f"a {kind} to kill")
    return rng.choice(_candidates(target, kind))


def _candidates(target: Target, kind: Kind) -> list[int]:
    if kind == "master":
        return [target.server.process.pid]
    if kind == "worker":
        return target.server.workers()
    postmaster = target.postgres.postmaster_pid
    if postmaster is None or kind == "postgres":
        return [postmaster] if postmaster else []
    return [pid for pid in children(postmaster) if b"kafang_login" in command(pid)]


async def recover(target: Target, kind: Kind, pid: int, tree: set[int]) -> None:
    """Wait until everything works again after `pid` was killed. `tree` is what ran before."""
    tree = tree.union(*map(tree_of, tree))  # what was started since
    if kind == "master":
        await _restart(target, tree)
    elif kind == "worker":
        await _until(lambda: pid not in target.server.workers() and _full(target), "a new worker")
    elif kind == "postgres":
        await _until(lambda: _new_postmaster(target, pid), "a new PostgreSQL")
    else:
        await _until(lambda: not lives(pid), "the end of the backend")
    if target.server.process.poll() is not None:
        await _restart(target, tree)
    await _ready(target)


async def _restart(target: Target, tree: set[int]) -> None:
    """Start the service on the same data and port, once all of the former one is gone."""
    await asyncio.to_thread(target.server.process.wait)
    try:
        await _until(lambda: not any(map(lives, tree)), "", GONE_DEADLINE_S)
    except TimeoutError:
        left = {pid: command(pid)[:80] for pid in tree if lives(pid)}
        raise LeftoverError(
            f"still there {GONE_DEADLINE_S} s after the supervisor: {left}"
        ) from None
    server = target.server
    target.server = await asyncio.to_thread(
        servers.start, server.data_dir, server.port, target.settings
    )
    target.postgres = target.server.postgres
    target.starts += 1


async def _ready(target: Target) -> None:
    """The database takes connections, and the service says that it can work."""
    deadline = time.monotonic() + READY_DEADLINE_S
    async with Client(target.server.host, target.server.port, timeout_s=3.0) as client:
        while True:
            try:
                connection = await asyncpg.connect(target.postgres.owner_dsn, timeout=5)
                await connection.close()
                if (await client.get("/health/ready")).status == 200:
                    return
            except (*database.LOST, *TRANSPORT):
                pass
            if time.monotonic() > deadline:
                raise TimeoutError(f"not ready {READY_DEADLINE_S} s after the kill")
            await asyncio.sleep(POLL_S)


def _full(target: Target) -> bool:
    """All workers are there, or none will come because the supervisor gave up."""
    given_up = target.server.process.poll() is not None
    return given_up or len(target.server.workers()) >= 2


def _new_postmaster(target: Target, old: int) -> bool:
    now = target.postgres.postmaster_pid
    return now is not None and now != old and lives(now)


async def _until(
    condition: Callable[[], bool], what: str, deadline_s: float = READY_DEADLINE_S
) -> None:
    deadline = time.monotonic() + deadline_s
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"gave up after {deadline_s} s waiting for {what}")
        await asyncio.sleep(POLL_S)


def tree_of(root: int) -> set[int]:
    """A process and all its descendants."""
    found, fresh = {root}, {root}
    while fresh:
        fresh = {child for pid in fresh for child in children(pid)} - found
        found |= fresh
    return found


def children(pid: int) -> list[int]:
    """Pids of a process's children."""
    found: list[int] = []
    threads: list[Path] = []
    with suppress(OSError):  # it ended meanwhile
        threads += Path(f"/proc/{pid}/task").iterdir()
    for thread in threads:
        with suppress(OSError):
            found += map(int, (thread / "children").read_text().split())
    return found


def command(pid: int) -> bytes:
    """A process's command line; empty when it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def lives(pid: int) -> bool:
    """Whether a process runs; one that only waits to be reaped does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text("latin-1").rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def kill(pid: int) -> bool:
    """SIGKILL; false when there is no such process any more."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True
