"""What an operator asks: is it alive, can it work, what does it count, what is the contract?"""

import asyncio
from typing import Any, Literal

from msgspec import Struct

from service.kernel import database, metrics
from service.kernel.http import open_handler
from service.kernel.problems import UNAVAILABLE, ProblemError
from service.kernel.routes import Answer, json_answer, open_route
from service.kernel.sql import SQL

READY_TIMEOUT_S = 2.0
# What must be answered above all when there is too much to do.
PATHS = ("/health/live", "/health/ready", "/metrics")


class Health(Struct):
    """`ok`, or the answer is a problem."""

    status: Literal["ok"]


async def live(_: Any) -> Answer:
    """The process answers."""
    return json_answer(200, Health("ok"))


async def ready(state: Any) -> Answer:
    """The database answers: traffic may come."""
    try:
        async with asyncio.timeout(READY_TIMEOUT_S), database.borrowed(state.pool) as connection:
            await connection.fetchval(SQL["startup.ping"])
    except Exception:
        raise ProblemError(UNAVAILABLE, "The database does not answer.") from None
    return json_answer(200, Health("ok"))


async def counts(_: Any) -> Answer:
    """Prometheus text of all workers."""
    body, media_type = metrics.exposition()
    return Answer(200, body, media_type=media_type)


async def contract(state: Any) -> Answer:
    """The OpenAPI document."""
    return Answer(200, state.openapi)


HANDLERS = [
    open_handler(
        open_route(
            "/health/live",
            "live",
            "Is the process alive?",
            "For a supervisor that restarts it.",
            Health,
        ),
        live,
    ),
    open_handler(
        open_route("/health/ready", "ready", "Can it serve?", "For a load balancer.", Health),
        ready,
    ),
]
# Not part of the contract: their answers are not JSON of ours.
UNDOCUMENTED = [
    open_handler(open_route("/metrics", "metrics", "Metrics", "Prometheus text.", None), counts),
    open_handler(
        open_route("/openapi.json", "openapi", "Contract", "This document.", None), contract
    ),
]
