"""A process of the demo.

Its setup is the first line on stdin; then come customers, and chapters that open one after the
other; the end is closing time.
"""

import asyncio
import signal
import sys
from collections.abc import Awaitable, Callable, Iterator

from msgspec import Struct, field

from tests.demo.desk import Desk, desk, report
from tests.demo.messages import (
    Closed,
    Customer,
    Opens,
    Ready,
    Setup,
    Took,
    Visit,
    decode_order,
    decode_setup,
)


class Shift(Struct):
    """What the people of one process share: their part of the plan, and whom they know."""

    setup: Setup
    customers: dict[int, Customer] = field(default_factory=dict)


Serve = Callable[[Shift, Desk, Visit], Awaitable[None]]
# What a process does first when the one before it died.
Recover = Callable[[Desk], Awaitable[None]]


def work(serve: Serve, people: int, recover: Recover | None = None) -> None:
    """Serve the visits of every chapter that opens, until stdin ends."""
    # Ctrl-C is for the parent, which then ends this process.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    asyncio.run(_work(serve, people, recover))


async def _work(serve: Serve, people: int, recover: Recover | None) -> None:
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    report(Ready())
    shift = Shift(decode_setup(await _line(reader)))
    if recover and shift.setup.unanswered:
        at = desk(shift.setup)
        async with at.line, at.second:
            await recover(at)
    while raw := await _line(reader):
        order = decode_order(raw)
        if isinstance(order, Opens):
            await _chapter(shift, order, serve, people)
        else:
            shift.customers[order.number] = order


async def _line(reader: asyncio.StreamReader) -> bytes:
    """One line; a setup is longer than what a reader takes for one by itself."""
    parts = []
    while True:
        try:
            parts.append(await reader.readuntil(b"\n"))
        except asyncio.LimitOverrunError as overrun:
            parts.append(await reader.readexactly(overrun.consumed))
            continue
        except asyncio.IncompleteReadError as end:
            parts.append(end.partial)
        return b"".join(parts)


async def _chapter(shift: Shift, opens: Opens, serve: Serve, people: int) -> None:
    visits = iter([one for one in shift.setup.visits if one.chapter == opens.chapter])
    async with asyncio.TaskGroup() as group:
        for _ in range(people):
            group.create_task(_serve(shift, opens, visits, serve))
    report(Closed(opens.chapter))


async def _serve(shift: Shift, opens: Opens, visits: Iterator[Visit], serve: Serve) -> None:
    """One person: the next visit at its moment, or at once when that is over."""
    loop = asyncio.get_running_loop()
    begun = loop.time() - opens.elapsed_s
    at = desk(shift.setup)
    async with at.line, at.second:
        for visit in visits:
            await asyncio.sleep(max(0.0, begun + visit.at * opens.seconds - loop.time()))
            report(Took(visit.number))
            at.visit = visit
            await serve(shift, at, visit)
