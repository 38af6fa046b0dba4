"""Taking turns: what is rare and heavy goes one at a time, so that tills find a connection free."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from service.kernel.problems import UNAVAILABLE, ProblemError

PATIENCE_S = 5.0


@asynccontextmanager
async def in_turn(turn: asyncio.Semaphore, told: str) -> AsyncIterator[None]:
    """Wait for a turn of this worker. Raises 503, with `told`, when that takes too long."""
    try:
        await asyncio.wait_for(turn.acquire(), PATIENCE_S)
    except TimeoutError:
        raise ProblemError(UNAVAILABLE, told) from None
    try:
        yield
    finally:
        turn.release()
