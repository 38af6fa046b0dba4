"""A process of the demo.

Its setup is the first line on stdin, customers are the lines after it, the end is closing time.
"""

import asyncio
import itertools
import signal
import sys
from collections.abc import Awaitable, Callable, Iterator
from random import Random

from msgspec import Struct, field

from tests.demo.desk import Desk, desk, report
from tests.demo.messages import Customer, Ready, Setup, decode_customer, decode_setup

THINK_MEAN_S = 0.02


class Shift(Struct):
    """What the people of one process share."""

    setup: Setup
    visits: Iterator[int] = field(default_factory=itertools.count)
    customers: list[Customer] = field(default_factory=list)
    somebody_came: asyncio.Event = field(default_factory=asyncio.Event)
    closed: asyncio.Event = field(default_factory=asyncio.Event)


# One visit: its dice follow from seed, process and number; whom it meets is up to timing.
Visit = Callable[[Shift, Desk, int], Awaitable[None]]


def work(visit: Visit, people: int) -> None:
    """Serve visits until stdin ends; each person finishes the visit under way."""
    # Ctrl-C is for the parent, which then closes stdin.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    asyncio.run(_work(visit, people))


async def _work(visit: Visit, people: int) -> None:
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    report(Ready())
    shift = Shift(decode_setup(await reader.readline()))
    async with asyncio.TaskGroup() as group:
        group.create_task(_listen(shift, reader))
        for _ in range(people):
            group.create_task(_serve(shift, visit))


async def _listen(shift: Shift, reader: asyncio.StreamReader) -> None:
    while line := await reader.readline():
        shift.customers.append(decode_customer(line))
        shift.somebody_came.set()
    shift.closed.set()
    shift.somebody_came.set()


async def _serve(shift: Shift, visit: Visit) -> None:
    at = desk(shift.setup)
    async with at.line, at.second:
        while not shift.closed.is_set():
            number = next(shift.visits)
            at.luck = Random(f"{shift.setup.seed}/{shift.setup.role}/{number}")
            pause_s = at.luck.expovariate(1 / THINK_MEAN_S)
            await visit(shift, at, number)
            await asyncio.sleep(min(pause_s, 5 * THINK_MEAN_S))
