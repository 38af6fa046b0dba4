"""One connection of the HTTP server without a network: what is fed to it, what it writes."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from litestar.types import ASGIApp, Receive, Scope, Send
from uvicorn import Config
from uvicorn.server import ServerState

from schemas.problems import Problem
from service.kernel.problems import CODES, ProblemError
from service.kernel.server import ClientConnection


class Line(asyncio.Transport):
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        super().__init__({"sockname": ("127.0.0.1", 8321), "peername": ("127.0.0.1", 50_000)})
        self.written = b""
        self.closed = False

    def write(self, data: Any) -> None:
        """Keep it, as long as the line is open."""
        if not self.closed:
            self.written += bytes(data)

    def close(self) -> None:
        """Hang up."""
        self.closed = True

    def is_closing(self) -> bool:
        """Whether either side hung up."""
        return self.closed

    def pause_reading(self) -> None:
        """Nothing more is fed here anyway."""

    def resume_reading(self) -> None:
        """The same."""


async def echo(_scope: Scope, receive: Receive, send: Send) -> None:
    """An application that answers every request with its body."""
    body, more = b"", True
    while more:
        event: Any = await receive()
        if event["type"] == "http.disconnect":
            return
        body, more = body + event["body"], event["more_body"]
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body, "more_body": False})


def connected(application: ASGIApp = echo) -> tuple[ClientConnection, Line]:
    """A connection just made, and its line."""
    config = Config(application, ws="none", lifespan="off", log_config=None, access_log=False)
    line = Line()
    connection = ClientConnection(config, ServerState(), {}, asyncio.get_running_loop())
    connection.connection_made(line)
    return connection, line


def refused(*pieces: bytes, after_s: float = 0.0) -> Callable[[], Awaitable[list[ProblemError]]]:
    """What is answered to these pieces, looked at so long after the connection was made."""

    async def speak() -> list[ProblemError]:
        connection, line = connected()
        began = connection._since or 0.0
        for piece in pieces:
            if not line.closed:
                connection.data_received(piece)
        connection.expire(began + after_s)
        return [problem_of(line.written)] if line.written else []

    return speak


def problem_of(answer: bytes) -> ProblemError:
    """The problem that an answer is; AssertionError when it is none."""
    head, _, body = answer.partition(b"\r\n\r\n")
    problem = msgspec.json.decode(body, type=Problem, strict=True)
    assert head.startswith(b"HTTP/1.1 %d " % problem.status)
    assert b"connection: close" in head
    assert b"content-type: application/problem+json" in head
    assert b"content-length: %d" % len(body) in head
    return ProblemError(CODES[problem.code])
