"""A light HTTP/1.1 client for loopback: keep-alive, one request at a time, and able to vanish.

It exists because a load or fault test needs to know exactly what was sent and to cut the line at a
chosen moment; a full client library costs ten times the CPU and hides the connection.
"""

import asyncio
import json
from collections.abc import Mapping
from typing import Any

from msgspec import Struct


class Response(Struct, frozen=True):
    """Status, lower-case header names, exact body."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """The body as Python values."""
        return json.loads(self.body)


class Client:
    """One connection, opened on first use and again after it was lost."""

    def __init__(self, host: str, port: int, token: str = "", timeout_s: float = 30.0) -> None:
        self._host = host
        self._port = port
        self._token = token
        self._timeout_s = timeout_s
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def __aenter__(self) -> "Client":
        return self

    async def __aexit__(self, *_: object) -> None:
        self.drop()

    @property
    def local_port(self) -> int | None:
        """Our end of the connection, while there is one."""
        if self._streams is None:
            return None
        port: int = self._streams[1].get_extra_info("sockname")[1]
        return port

    def drop(self) -> None:
        """Cut the connection at once, whatever is under way."""
        if self._streams is not None:
            self._streams[1].transport.abort()
            self._streams = None

    async def get(self, path: str) -> Response:
        """GET."""
        return await self.request("GET", path)

    async def post(self, path: str, body: Any, key: str | None = None) -> Response:
        """POST JSON, under an idempotency key when given."""
        headers = {"Content-Type": "application/json"}
        if key is not None:
            headers["Idempotency-Key"] = key
        data = body if isinstance(body, bytes) else json.dumps(body).encode("utf-8")
        return await self.request("POST", path, data, headers)

    async def post_patiently(self, path: str, body: Any, key: str | None = None) -> Response:
        """The same, and again while it is answered 503: few may wait for the store of keys."""
        for _ in range(1_000):
            answer = await self.post(path, body, key)
            if answer.status != 503:
                return answer
        raise AssertionError(f"{path} is always busy")

    async def request(
        self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> Response:
        """Send and wait for the answer.

        Raises OSError, EOFError or TimeoutError when the line fails.
        """
        try:
            async with asyncio.timeout(self._timeout_s):
                await self.send(method, path, body, headers)
                return await self.receive()
        except BaseException:
            self.drop()
            raise

    async def send(
        self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> None:
        """Only send: the answer may be fetched with `receive`, or the line cut with `drop`."""
        await self.send_bytes(self.encode(method, path, body, headers))

    async def send_bytes(self, data: bytes) -> None:
        """Send these bytes as they are: a part of a request, or what is none."""
        if self._streams is None:
            self._streams = await asyncio.open_connection(self._host, self._port)
        writer = self._streams[1]
        writer.write(data)
        await writer.drain()

    def encode(
        self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> bytes:
        """A request as it goes over the line."""
        lines = [f"{method} {path} HTTP/1.1", f"Host: {self._host}:{self._port}"]
        if self._token:
            lines.append(f"Authorization: Bearer {self._token}")
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        if body or method != "GET":
            lines.append(f"Content-Length: {len(body)}")
        return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body

    async def receive(self) -> Response:
        """The answer to what was sent."""
        assert self._streams is not None
        reader = self._streams[0]
        head = await reader.readuntil(b"\r\n\r\n")
        first, *rest = head.decode("latin-1").split("\r\n")
        fields = [line.partition(":") for line in rest if line]
        headers = {name.lower(): value.strip() for name, _, value in fields}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        if headers.get("connection", "").lower() == "close":
            self.drop()
        return Response(int(first.split(" ")[1]), headers, body)
