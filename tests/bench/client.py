"""A light HTTP client of our own: open-loop latency, and closed-loop load where wrk is missing.

Open loop: requests are due at fixed times whatever the server does, and a request's latency counts
from the time it was due, so that waiting for a free connection is part of it.
"""

import asyncio
import contextlib
import random
import re
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import cast

from msgspec import Struct

from tests.bench import seed
from tests.bench.figures import BenchError
from tests.bench.seed import Merchant

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_DRAIN_S = 30.0

Answered = Callable[["Connection"], None]


class Connection(asyncio.Protocol):
    """One connection, one request at a time; `answered` is called after each 201."""

    def __init__(self, answered: Answered, broken: Callable[[str], None]) -> None:
        self._answered = answered
        self._broken = broken
        self._buffer = b""
        self._transport: asyncio.Transport | None = None
        self.due = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ready."""
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """A lost line spoils the measurement, unless we closed it."""
        if self._transport is not None:
            self._transport = None
            self._broken(f"connection lost: {exc!r}")

    def send(self, request: bytes, due: float) -> None:
        """Send a request that was due at this time."""
        self.due = due
        if self._transport is not None:
            self._transport.write(request)

    def close(self) -> None:
        """Cut the line."""
        if self._transport is not None:
            transport, self._transport = self._transport, None
            transport.abort()

    def data_received(self, data: bytes) -> None:
        """Look for the end of the answer."""
        self._buffer += data
        head = self._buffer.find(b"\r\n\r\n")
        length = _LENGTH.search(self._buffer, 0, head) if head >= 0 else None
        if length is None or len(self._buffer) < head + 4 + int(length[1]):
            return
        if self._buffer[9:12] != b"201":
            self._broken(self._buffer.decode("utf-8", "replace"))
        self._buffer = b""
        self._answered(self)


class Requests:
    """Redemptions of 1 minor unit from random cards of random merchants, each under its own key."""

    def __init__(self, merchants: Sequence[Merchant], cards: tuple[int, int]) -> None:
        self.stamp = seed.new_stamp()
        self.made = 0
        self._cards = cards
        self._heads = [
            "POST /v1/redemptions HTTP/1.1\r\nHost: localhost\r\n"
            f"Authorization: Bearer {merchant.token}\r\nContent-Type: application/json\r\n"
            for merchant in merchants
        ]

    def next(self) -> bytes:
        """The next request."""
        self.made += 1
        name = f"{self.stamp}-0-{self.made}"
        number = seed.card_number(random.randint(*self._cards))
        body = (
            f'{{"request_no":"{name}","amount":{{"value":1,"currency":"CNY"}},'
            f'"sources":[{{"card_number":"{number}"}}]}}'
        )
        head = f"Idempotency-Key: {name}\r\nContent-Length: {len(body)}\r\n\r\n"
        return (random.choice(self._heads) + head + body).encode("ascii")


class Latency(Struct, frozen=True):
    """What an open loop measured, in seconds; sorted."""

    stamp: str
    latencies: list[float]


async def closed_loop(
    port: int, requests: Requests, connections: int, seconds: float
) -> tuple[int, float]:
    """Each connection sends as soon as it is answered; answers, and the seconds they took."""
    count = 0
    faults: list[str] = []

    def answered(connection: Connection) -> None:
        nonlocal count
        count += 1
        connection.send(requests.next(), 0.0)

    lines = await _connect(port, connections, answered, faults)
    began = time.perf_counter()
    for line in lines:
        line.send(requests.next(), 0.0)
    await asyncio.sleep(seconds)
    done, took = count, time.perf_counter() - began
    for line in lines:
        line.close()
    _require_none(faults)
    return done, took


async def open_loop(
    port: int, requests: Requests, connections: int, per_s: float, seconds: float
) -> Latency:
    """`per_s` requests a second for some seconds, at fixed times."""
    faults: list[str] = []
    latencies: list[float] = []
    waiting: deque[float] = deque()
    total = int(per_s * seconds)
    ended = asyncio.Event()

    def answered(connection: Connection) -> None:
        latencies.append(time.perf_counter() - connection.due)
        if waiting:
            connection.send(requests.next(), waiting.popleft())
        else:
            idle.append(connection)
        if faults or len(latencies) == total:
            ended.set()

    lines = await _connect(port, connections, answered, faults)
    # The longest idle first: the load is on all connections, so on all workers.
    idle = deque(lines)
    began, sent = time.perf_counter(), 0
    while sent < total and not faults:
        while sent < total and began + sent / per_s <= time.perf_counter():
            due = began + sent / per_s
            sent += 1
            if idle:
                idle.popleft().send(requests.next(), due)
            else:
                waiting.append(due)
        await asyncio.sleep(0.001)
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(ended.wait(), _DRAIN_S)
    for line in lines:
        line.close()
    _require_none(faults)
    if len(latencies) < total:
        raise BenchError(f"{total - len(latencies)} of {total} requests got no answer")
    return Latency(requests.stamp, sorted(latencies))


async def _connect(
    port: int, connections: int, answered: Answered, faults: list[str]
) -> list[Connection]:
    loop = asyncio.get_running_loop()
    lines = []
    for _ in range(connections):
        _, line = await loop.create_connection(
            lambda: Connection(answered, faults.append), "127.0.0.1", port
        )
        lines.append(line)
    return lines


def _require_none(faults: list[str]) -> None:
    if faults:
        raise BenchError(f"{len(faults)} answers other than 201, the first:\n{faults[0][:1000]}")
