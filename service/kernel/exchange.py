"""A request and its answer, as ASGI sees them, on a connection of `kernel/http1.py`."""

import asyncio
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, cast

from litestar.types import HTTPScope, Message

from service.kernel import logs, problems
from service.kernel.ids import new_id
from service.kernel.problems import ProblemError
from service.kernel.replies import problem_reply

if TYPE_CHECKING:
    from service.kernel.http1 import Connection

# How much of a body may have come before it is asked for.
AHEAD_MAX_BYTES = 65_536
_STATUS_LINES = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus
}
_BODILESS = frozenset({204, 304})


class Exchange:
    """A request and its answer, as ASGI sees them."""

    def __init__(
        self, connection: "Connection", scope: HTTPScope, keep_alive: bool, expects: bool
    ) -> None:
        self.scope = scope
        # Whether the request has come whole, and whether its rest will never come.
        self.arrived = self.broken = False
        # Whether it has been answered, and whether that ends the connection.
        self.answered = False
        self.closes = not keep_alive
        # How many bytes came since there was something of the body among them.
        self.idle_bytes = 0
        self._connection = connection
        self._expects = expects
        self._body = bytearray()
        self._told_end = False
        self._waiter: asyncio.Future[None] | None = None
        self._status = 0
        self._answer_headers: list[tuple[bytes, bytes]] = []

    @property
    def is_ahead(self) -> bool:
        """Whether enough of the body has come for now."""
        return len(self._body) > AHEAD_MAX_BYTES

    def take(self, body: bytes) -> None:
        """A part of the body, which nobody wants once there is an answer."""
        self.idle_bytes = 0
        if not self.answered:
            self._body += body
            self.wake()

    def wake(self) -> None:
        """Something happened that the application may be waiting for."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def receive(self) -> dict[str, Any]:
        """The next part of the body, or that there will be none."""
        if self._expects:
            self._expects = False
            if not self.arrived:
                self._connection.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        while not self.broken:
            if self._body or (self.arrived and not self._told_end):
                body, self._body = bytes(self._body), bytearray()
                self._told_end = self.arrived
                event = {"type": "http.request", "body": body, "more_body": not self.arrived}
                self._connection.resume()  # more may have come after this
                return event
            ended = self._told_end and self._connection.is_last
            if ended or self.answered or self._connection.transport is None:
                break
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        """The head of the answer, and then its body, in one piece."""
        event = cast(dict[str, Any], message)
        if event["type"] == "http.response.start":
            self._status, self._answer_headers = event["status"], list(event["headers"])
            return
        if not self._status or self.answered or event.get("more_body", False):
            raise RuntimeError("an answer is a head and one body")
        body = event.get("body", b"")
        if self._status not in _BODILESS and not _has_length(self._answer_headers):
            self._answer_headers.append((b"content-length", b"%d" % len(body)))
        connection = self._connection
        expected = self._expects and not self.arrived  # its client waits for our word to send it
        self.closes = (
            self.closes
            or connection.is_last
            or expected
            or (not self.arrived and connection.has_much_to_come)
        )
        head = head_of(self._status, self._answer_headers, connection.listener.date, self.closes)
        connection.write(head if self.scope["method"] == "HEAD" else head + body)
        self.answered = True
        self._body.clear()
        connection.finish()
        if not connection.is_last:
            connection.resume()

    async def run(self) -> None:
        """Have it answered; also when the application fails."""
        try:
            await self._connection.listener.app(
                self.scope, cast(Any, self.receive), cast(Any, self.send)
            )
            if not self.answered:
                raise RuntimeError("the application gave no answer")
        except Exception as error:
            logs.log.error("unforeseen", exc_info=error)
            if self.answered:
                return
            answer = problem_reply(fault(), new_id("req"))
            self._status = 0
            await answer(self.scope, cast(Any, self.receive), cast(Any, self.send))


def fault() -> ProblemError:
    """What is told when the application gave no answer."""
    return ProblemError(problems.INTERNAL_ERROR, outcome="unknown")


def head_of(status: int, headers: list[tuple[bytes, bytes]], date: bytes, closes: bool) -> bytes:
    """The head of an answer. Raises RuntimeError when a header would be two."""
    lines = [_STATUS_LINES[status], b"date: ", date, b"\r\n"]
    for name, value in headers:
        lines += (name, b": ", value, b"\r\n")
    lines.append(b"connection: close\r\n\r\n" if closes else b"\r\n")
    head = b"".join(lines)
    if head.count(b"\n") != len(headers) + 3 + closes:
        raise RuntimeError("a header holds a line break")
    return head


def _has_length(headers: list[tuple[bytes, bytes]]) -> bool:
    return any(name == b"content-length" for name, _ in headers)
