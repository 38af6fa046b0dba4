"""A toy application on a real port, and a client that sends whatever bytes it is told to."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

from litestar.types import Receive, Scope, Send
from msgspec import Struct

from service.kernel.listener import Listener, listening
from service.kernel.tls import Certificate
from tests.harness.server import free_port

HOST = "127.0.0.1"
LATE_S = 10.0
LARGE = 20_000_000
GET = b"GET /cups HTTP/1.1\r\nHost: x\r\n\r\n"


class Answered(Struct):
    """An answer as it came over the wire."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def seen(self) -> dict[str, Any]:
        """What the toy saw of the request."""
        seen: dict[str, Any] = json.loads(self.body)
        return seen


class Toy:
    """Answers with what it saw of a request, once it may; `/early` before it reads the body.

    What came `after` the body of a request to `/after` is told.
    """

    def __init__(self) -> None:
        self.begun = 0
        self.ended = 0
        self.most = 0
        self.go_on = asyncio.Event()
        self.go_on.set()
        self.came = asyncio.Event()
        self.after: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve."""
        told = cast(dict[str, Any], scope)
        self.begun += 1
        self.most = max(self.most, self.begun - self.ended)
        self.came.set()
        await self.go_on.wait()
        body, whole = b"", False
        if told["path"] != "/early":
            body, whole = await _body(receive)
        if told["path"] == "/after":
            event = cast(dict[str, Any], await receive())
            self.after.set_result(event["type"])
        self.ended += 1
        if told["path"] == "/broken":
            raise KeyError("broken")
        if told["path"] == "/silent":
            return
        extra = [(b"x-two", b"a\r\nb: c")] if told["path"] == "/two" else []
        seen = {
            "method": told["method"],
            "path": told["path"],
            "query": told["query_string"].decode("latin-1"),
            "headers": [[n.decode("latin-1"), v.decode("latin-1")] for n, v in told["headers"]],
            "body": body.decode("latin-1"),
            "whole": whole,
        }
        data = b"x" * LARGE if told["path"] == "/large" else json.dumps(seen).encode()
        await send({"type": "http.response.start", "status": 200, "headers": extra})
        await send({"type": "http.response.body", "body": data, "more_body": False})


async def _body(receive: Receive) -> tuple[bytes, bool]:
    body = b""
    while True:
        event = cast(dict[str, Any], await receive())
        if event["type"] == "http.disconnect":
            return body, False
        body += event["body"]
        if not event["more_body"]:
            return body, True


class Wire:
    """A client's end of a connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, data: bytes) -> None:
        """Send these bytes."""
        self.writer.write(data)
        await self.writer.drain()

    async def answer(self, *, bodiless: bool = False) -> Answered:
        """The next answer."""
        async with asyncio.timeout(LATE_S):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            first, *lines = head.rstrip("\r\n").split("\r\n")
            headers = {n.lower(): v for n, _, v in (line.partition(": ") for line in lines)}
            length = 0 if bodiless else int(headers.get("content-length", "0"))
            body = await self.reader.readexactly(length)
        return Answered(int(first.split(" ")[1]), headers, body)

    async def ask(self, data: bytes) -> Answered:
        """Send a request, get the answer."""
        await self.send(data)
        return await self.answer()

    async def ended(self) -> bytes:
        """What still comes until the other end closes; a line that is cut ends too."""
        async with asyncio.timeout(LATE_S):
            try:
                return await self.reader.read()
            except ConnectionError:
                return b""

    def drop(self) -> None:
        """Cut the line."""
        self.writer.transport.abort()


class Served(Struct):
    """The toy and where it serves."""

    toy: Toy
    listener: Listener
    port: int
    wires: list[Wire]

    async def wire(self) -> Wire:
        """A new connection."""
        self.wires.append(Wire(*await asyncio.open_connection(HOST, self.port)))
        return self.wires[-1]

    async def empty(self) -> None:
        """Wait until no connection is left."""
        async with asyncio.timeout(LATE_S):
            while self.listener.connections:  # noqa: ASYNC110  # nobody tells
                await asyncio.sleep(0.001)


@asynccontextmanager
async def served(
    connections_max: int = 100, certificate: Certificate | None = None
) -> AsyncIterator[Served]:
    """The toy on a port of its own."""
    toy, port = Toy(), free_port()
    async with listening(toy, HOST, port, connections_max, certificate) as listener:
        site = Served(toy, listener, port, [])
        try:
            yield site
        finally:
            toy.go_on.set()
            for wire in site.wires:
                wire.drop()


def post(body: bytes, *headers: bytes, path: bytes = b"/cups") -> bytes:
    """A POST whose length is told."""
    lines = [b"POST %b HTTP/1.1" % path, b"Host: x", b"Content-Length: %d" % len(body), *headers]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def chunked(*chunks: bytes, trailers: bytes = b"", path: bytes = b"/cups") -> bytes:
    """A POST in chunks."""
    head = b"POST %b HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" % path
    parts = (b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks)
    return head + b"".join(parts) + b"0\r\n" + trailers + b"\r\n"
