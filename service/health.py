"""What an operator asks: is it alive, can it work, what does it count, what is the contract?"""

import asyncio
from typing import Any, Literal

import msgspec
from msgspec import Struct

from service.kernel import metrics
from service.kernel.http import Answer, Route, open_handler
from service.kernel.problems import UNAVAILABLE, ProblemError
from service.kernel.sql import SQL

READY_TIMEOUT_S = 2.0


class Health(Struct):
    """`ok`, or the answer is a problem."""

    status: Literal["ok"]


def _route(path: str, operation_id: str, summary: str, description: str) -> Route:
    return Route(
        method="GET",
        path=path,
        operation_id=operation_id,
        tag="Operations",
        scope="",
        summary=summary,
        description=description,
        answers={200: Health},
        errors=(),
    )


async def live(_: Any) -> Answer:
    """The process answers."""
    return Answer(200, msgspec.json.encode(Health("ok")))


async def ready(state: Any) -> Answer:
    """The database answers: traffic may come."""
    try:
        async with asyncio.timeout(READY_TIMEOUT_S), state.pool.acquire() as connection:
            await connection.fetchval(SQL["startup.ping"])
    except Exception:
        raise ProblemError(UNAVAILABLE, "The database does not answer.") from None
    return Answer(200, msgspec.json.encode(Health("ok")))


async def counts(_: Any) -> Answer:
    """Prometheus text of all workers."""
    body, media_type = metrics.exposition()
    return Answer(200, body, media_type=media_type)


async def contract(state: Any) -> Answer:
    """The OpenAPI document."""
    return Answer(200, state.openapi)


HANDLERS = [
    open_handler(
        _route(
            "/health/live", "live", "Is the process alive?", "For a supervisor that restarts it."
        ),
        live,
    ),
    open_handler(_route("/health/ready", "ready", "Can it serve?", "For a load balancer."), ready),
]
# Not part of the contract: their answers are not JSON of ours.
UNDOCUMENTED = [
    open_handler(_route("/metrics", "metrics", "Metrics", "Prometheus text."), counts),
    open_handler(_route("/openapi.json", "openapi", "Contract", "This document."), contract),
]
