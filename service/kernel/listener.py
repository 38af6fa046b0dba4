"""Where clients come in: a worker's port, its connections, and their clock."""

import asyncio
import heapq
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email.utils import formatdate

from litestar.types import ASGIApp

from service.kernel import logs
from service.kernel.exchange import Exchange
from service.kernel.http1 import Connection
from service.kernel.tls import Certificate

BACKLOG = 2048
LOOK_EVERY_S = 1.0
# How many are closed at once to make room: to look for the longest idle costs what there are.
ROOM = 64
# What is under way when the worker is told to stop has so long to be answered.
STOP_S = 8.0


class Listener:
    """The connections of one worker, no more than `connections_max`."""

    def __init__(
        self, app: ASGIApp, connections_max: int, certificate: Certificate | None = None
    ) -> None:
        self.app = app
        self.certificate = certificate
        self.scheme = "https" if certificate else "http"
        self.stopping = False
        self.time = asyncio.get_running_loop().time
        self.date = formatdate(usegmt=True).encode()
        self.connections: set[Connection] = set()
        self._connections_max = connections_max
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[None]] = set()

    def came(self, connection: Connection) -> None:
        """A connection; where there is no room, some that are idle go, or else this one."""
        if self.stopping:
            connection.retire()
        elif len(self.connections) >= self._connections_max:
            idle = [other for other in self.connections if other.idle_since is not None]
            few = min(ROOM, 1 + len(idle) // 8)
            for longest in heapq.nsmallest(few, idle, key=_worth):
                longest.abort()
            if not idle:
                connection.abort()
        self.connections.add(connection)

    def went(self, connection: Connection) -> None:
        """It has ended."""
        self.connections.discard(connection)

    def serve(self, exchange: Exchange) -> None:
        """Have a request answered, whether or not its client stays."""
        task = self._loop.create_task(exchange.run())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def look(self) -> None:
        """For ever: close what didn't keep its time, and see whether the certificate is another."""
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            if self.certificate is not None:
                self.certificate.look()
            self.date = formatdate(usegmt=True).encode()
            now = self.time()
            for connection in list(self.connections):
                if connection.due_at <= now:
                    self._expire(connection)

    def _expire(self, connection: Connection) -> None:
        """Whatever is wrong with one, the others are looked at too."""
        try:
            connection.expire()
        except Exception as error:
            logs.log.error("unforeseen", exc_info=error)
            connection.abort()

    async def stop(self) -> None:
        """Answer what is under way, nothing more, and end all connections."""
        self.stopping = True
        for connection in list(self.connections):
            connection.retire()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=STOP_S)
        for connection in list(self.connections):
            connection.close()


def _worth(connection: Connection) -> tuple[bool, float]:
    """Who never sent a whole request goes first, then who has been idle longest."""
    return connection.was_used, connection.idle_since or 0


@asynccontextmanager
async def listening(
    app: ASGIApp,
    host: str,
    port: int,
    connections_max: int,
    certificate: Certificate | None = None,
) -> AsyncIterator[Listener]:
    """Serve on this port, which other processes may share; at the end what is under way is done."""
    loop = asyncio.get_running_loop()
    listener = Listener(app, connections_max, certificate)
    server = await loop.create_server(
        lambda: Connection(listener),
        sock=_socket(host, port),
        backlog=BACKLOG,
        ssl=certificate.context if certificate else None,
    )
    looking = loop.create_task(listener.look())
    try:
        yield listener
    finally:
        server.close()
        await listener.stop()
        looking.cancel()


def _socket(host: str, port: int) -> socket.socket:
    """Bound, and shared with the other workers: the kernel deals connections out to them."""
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    bound = socket.socket(family, kind, protocol)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    bound.bind(address)
    return bound
