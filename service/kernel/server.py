"""One worker's HTTP server: uvicorn, and limits on what an unfinished request may take.

Requests and the application share one thread: a request wakes one thread, not three, which halves
the latency of a half-busy machine (ADR 0012). What never becomes a request (not HTTP, an endless
head, a client that stops in the middle) is answered here, as a problem like any other.
"""

import logging
import socket
import time
from collections.abc import Callable
from typing import Literal

from litestar.types import ASGIApp
from uvicorn import Config, Server
from uvicorn.config import STARTUP_FAILURE
from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

from service.kernel import metrics
from service.kernel.ids import new_id
from service.kernel.problems import Code, ProblemError, define
from service.kernel.replies import problem_reply

BACKLOG = 2048
HEAD_MAX_BYTES = 65_536
# A whole request must have come in this time; the first one since the connection was opened.
REQUEST_PATIENCE_S = 30.0
KEEP_ALIVE_S = 75
# Requests under way when the server is told to end have so long to be answered.
GRACE_S = 8

MALFORMED_HTTP = define(
    "malformed_http",
    400,
    "This is not HTTP",
    "Send HTTP/1.1; use https:// only where TLS is offered.",
)
HEAD_TOO_LARGE = define(
    "head_too_large",
    431,
    "The request's line and headers are too large",
    "Send at most 64 KiB of headers.",
)
REQUEST_INCOMPLETE = define(
    "request_incomplete",
    408,
    "The request did not come whole in time",
    "Nothing happened. Connect anew and send the same key again.",
    "same_key",
)


class ClientConnection(HttpToolsProtocol):
    """A client's connection."""

    patience_s = REQUEST_PATIENCE_S
    # Since when a request is awaited; None when a whole one came and no next one has begun.
    _since: float | None = None
    _coming: Literal["", "head", "body"] = ""
    _head_bytes = 0

    def connection_made(self, transport: object) -> None:
        """A client has connected."""
        super().connection_made(transport)  # type: ignore[arg-type]
        self._since = time.monotonic()

    def data_received(self, data: bytes) -> None:
        """Feed the parser; a head that doesn't end is refused."""
        head_goes_on = self._coming == "head"
        super().data_received(data)
        if head_goes_on and self._coming == "head":
            self._head_bytes += len(data)
            self._require_small_head()

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        self._coming, self._head_bytes = "head", 0
        self._since = self._since or time.monotonic()

    def on_headers_complete(self) -> None:
        """Its head is whole, and the application is called."""
        self._coming = "body"
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """It is whole."""
        self._since, self._coming = None, ""
        super().on_message_complete()

    def _require_small_head(self) -> None:
        if self._head_bytes > HEAD_MAX_BYTES:
            self._refuse(HEAD_TOO_LARGE)

    def expire(self, now: float) -> None:
        """Close when a request has been awaited for too long; say so if it has begun."""
        if self._since is None or now - self._since <= self.patience_s:
            return
        if self._coming:
            self._refuse(REQUEST_INCOMPLETE)
        else:
            self.transport.close()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002  # uvicorn's signature
        """What uvicorn calls when the parser fails."""
        self._refuse(MALFORMED_HTTP)

    def _refuse(self, code: Code) -> None:
        """Answer without the application, and close.

        Only close when the application is at work: the client would take this for its answer.
        """
        cycle: RequestResponseCycle | None = self.cycle
        idle = self._coming != "body" and (cycle is None or cycle.response_complete)
        if idle and not self.transport.is_closing():
            reply = problem_reply(ProblemError(code), new_id("req"))
            lines = [b"%s: %s\r\n" % pair for pair in (*reply.headers, (b"connection", b"close"))]
            self.transport.write(b"".join((STATUS_LINE[reply.status], *lines, b"\r\n", reply.body)))
        metrics.count_refusal(code.code)
        self.transport.close()

    def _unsupported_upgrade_warning(self) -> None:
        """An offer to speak something else is ignored, as HTTP allows; no word in the log."""


class _Server(Server):
    async def on_tick(self, counter: int) -> bool:
        """Ten times a second, by uvicorn; once a second look for requests that don't come."""
        if counter % 10 == 0:
            now = time.monotonic()
            for connection in list(self.server_state.connections):
                if isinstance(connection, ClientConnection):
                    connection.expire(now)
        return await super().on_tick(counter)


def serve(application: str, host: str, port: int) -> None:
    """Serve until SIGTERM or SIGINT, then finish what is under way.

    `application`: `module:factory`. Every worker listens on the port with a socket of its own, and
    the kernel shares out the connections; one that dies takes only its own along. Raises
    SystemExit when the application doesn't start.
    """
    server = server_of(application)
    server.run([_listener(host, port)])
    if not server.started:
        raise SystemExit(STARTUP_FAILURE)


def server_of(
    application: str | Callable[[], ASGIApp], connection: type[ClientConnection] = ClientConnection
) -> Server:
    """The server that calls what the factory makes, over connections of this kind."""
    return _Server(
        Config(
            application,
            factory=True,
            http=connection,
            ws="none",
            lifespan="on",
            log_config=None,
            log_level=logging.WARNING,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            backlog=BACKLOG,
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=GRACE_S,
        )
    )


def _listener(host: str, port: int) -> socket.socket:
    family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    return socket.create_server(
        address[:2],
        family=family,
        backlog=BACKLOG,
        reuse_port=hasattr(socket, "SO_REUSEPORT"),
    )
