"""The sequencer: gives every committed operation its number, and seals it into the chain.

    post_v2 ─► unsequenced ─► sequence_v1 ─► segment ─► GET /v1/events
                                       └──► chain_head ─► anchors

One process of all does it, whoever has the lock; when it ends, another one has it within a second.
The writer never waits for it, and no hot row is shared (rule 12 of the writer, design section 3).
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from time import perf_counter

import asyncpg

from service.events.anchors import Anchors
from service.kernel import metrics
from service.kernel.database import LOST, Connection
from service.kernel.sql import SQL

log = logging.getLogger(__name__)

LOCK_KEY = 7_203_511_846_022  # any number, the same in every version of Kafang
# How often it looks: each look costs every busy merchant a segment, and this is how far the feed is
# behind. Who doesn't lead looks whether it may as often.
PACE_S = 0.35
# Merchants whose chains are held at once: whoever audits something waits for them.
MERCHANTS_MAX = 16
# Operations of a merchant that one call numbers (sequence_v1).
PART = 250
# How much longer than a call took nothing is numbered after it: numbering in one go what came in
# PACE_S keeps the tills waiting. Once something has waited for BEHIND_S, there is no rest.
RESTS = 2.0
BEHIND_S = 0.6


class Sequencer:
    """A worker's: it leads, or waits to."""

    def __init__(
        self, connect: Callable[[], Awaitable[Connection]], anchors: Anchors, pace_s: float = PACE_S
    ) -> None:
        self._connect = connect
        self._anchors = anchors
        self._pace_s = pace_s

    async def run(self) -> None:
        """Lead whenever nobody else does, until cancelled."""
        while True:
            try:
                await self._lead()
            except (*LOST, asyncpg.PostgresError) as error:
                log.warning("the sequencer begins again: %s", type(error).__name__)
            await asyncio.sleep(self._pace_s)

    async def _lead(self) -> None:
        connection = await self._connect()
        try:
            leads = False
            while True:
                if leads:
                    await self._anchors.keep(connection)
                    await number(connection)
                elif await connection.fetchval(SQL["chain.lead"], LOCK_KEY):
                    leads = True
                    log.info("this worker numbers events")
                    await number(connection, begin_chains=True)
                await asyncio.sleep(self._pace_s)
        finally:
            metrics.set_unsequenced(0.0)
            connection.terminate()


async def number(connection: Connection, *, begin_chains: bool = False) -> int:
    """Number all that waits; how many operations that were.

    With `begin_chains` also what was posted before there were chains.
    """
    merchants, waiting_s = await connection.fetchrow(SQL["chain.waiting"], begin_chains) or ([], 0)
    metrics.set_unsequenced(waiting_s or 0.0)
    hurry_at = perf_counter() + BEHIND_S - (waiting_s or 0.0)
    count = 0
    for start in range(0, len(merchants), MERCHANTS_MAX):
        part = PART
        while part >= PART:
            began = perf_counter()
            part = await _sequence(connection, merchants[start : start + MERCHANTS_MAX])
            count += part
            ended = perf_counter()
            if ended < hurry_at:
                await asyncio.sleep(RESTS * (ended - began))
    metrics.count_sequenced(count)
    return count


async def _sequence(connection: Connection, merchants: list[str]) -> int:
    """Number for these merchants; one that can't be numbered now doesn't stop the others."""
    try:
        return int(await connection.fetchval(SQL["chain.sequence"], merchants))
    except LOST:
        raise
    except asyncpg.PostgresError as error:
        log.warning("a merchant's events are not numbered: %s", type(error).__name__)
        if len(merchants) == 1:
            return 0
        return sum([await _sequence(connection, [merchant]) for merchant in merchants])
