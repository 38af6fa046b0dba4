"""One worker's HTTP server: uvicorn, and limits on what an unfinished request may take.

Requests and the application share one thread: a request wakes one thread, not three, which halves
the latency of a half-busy machine (ADR 0012). What never becomes a request (not HTTP, an endless
head, a client that stops in the middle) is answered here, as a problem like any other.
"""

import logging
import socket
import time

from uvicorn import Config, Server
from uvicorn.config import STARTUP_FAILURE
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from service.kernel import metrics, problems
from service.kernel.ids import new_id
from service.kernel.problems import Code, define
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
    # Since when a request is awaited; None while a whole one is being served.
    _since: float | None = None
    _in_head = False
    _head_bytes = 0

    def connection_made(self, transport: object) -> None:
        """A client has connected."""
        super().connection_made(transport)  # type: ignore[arg-type]
        self._since = time.monotonic()

    def data_received(self, data: bytes) -> None:
        """Feed the parser; a head that doesn't end is refused."""
        head_goes_on = self._in_head
        super().data_received(data)
        if head_goes_on and self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_MAX_BYTES:
                self._refuse(HEAD_TOO_LARGE)

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        self._in_head, self._head_bytes = True, 0
        self._since = self._since or time.monotonic()

    def on_headers_complete(self) -> None:
        """Its head is whole, and the application is called."""
        self._in_head = False
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """It is whole."""
        self._since = None
        super().on_message_complete()

    def expire(self, now: float) -> None:
        """Close if a request has been awaited for too long."""
        if self._since is not None and now - self._since > self.patience_s:
            if self._in_head:
                self._refuse(REQUEST_INCOMPLETE)
            else:  # nothing came, or the application has begun to answer
                self.transport.close()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002  # uvicorn's signature
        """What uvicorn calls when the parser fails."""
        self._refuse(MALFORMED_HTTP)

    def _refuse(self, code: Code) -> None:
        """Answer without the application, and close."""
        if self.transport.is_closing():
            return
        reply = problem_reply(problems.ProblemError(code), new_id("req"))
        lines = [b"%s: %s\r\n" % pair for pair in (*reply.headers, (b"connection", b"close"))]
        self.transport.write(b"".join((STATUS_LINE[reply.status], *lines, b"\r\n", reply.body)))
        self.transport.close()
        metrics.count_refusal(code.code)

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
    config = Config(
        application,
        factory=True,
        http=ClientConnection,
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
    server = _Server(config)
    server.run([_listener(host, port)])
    if not server.started:
        raise SystemExit(STARTUP_FAILURE)


def _listener(host: str, port: int) -> socket.socket:
    family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    return socket.create_server(
        address[:2],
        family=family,
        backlog=BACKLOG,
        reuse_port=hasattr(socket, "SO_REUSEPORT"),
    )
