"""What never becomes a request is answered as a problem, and takes neither memory nor patience."""

import asyncio

import pytest
from litestar.types import Receive, Scope, Send

from service.kernel.server import HEAD_MAX_BYTES, REQUEST_PATIENCE_S
from tests.harness.client import Client
from tests.harness.server import Server
from tests.kernel.wire import Line, connected, problem_of, refused

GET = b"GET /health/live HTTP/1.1\r\nHost: kafang\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: kafang\r\nContent-Length: 2\r\n\r\n"
LATE_S = REQUEST_PATIENCE_S + 1


async def settled(line: Line, condition: str = "") -> bytes:
    """What the line holds once the application had its turns."""
    for _ in range(20):
        await asyncio.sleep(0)
    assert condition.encode() in line.written
    return line.written


async def hung_up(client: Client, piece: bytes, times: int = 10_000) -> bool:
    """Whether the server hangs up while so many pieces are sent."""
    try:
        for _ in range(times):
            await client.send_bytes(piece)
    except ConnectionError:
        return True
    return False


@pytest.mark.parametrize(
    "text",
    [b"\x16\x03\x01\x02\x00\x01", b"hello\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"GET  \r\n\r\n"],
    ids=["TLS", "a word", "another version", "no path"],
)
async def test_what_is_not_http_is_answered(server: Server, text: bytes) -> None:
    async with Client(server.host, server.port) as client:
        await client.send_bytes(text)
        answer = await client.receive()
        assert (answer.status, answer.json()["code"]) == (400, "malformed_http")
        assert answer.json()["outcome"] == "not_applied"
        assert client.local_port is None, "it hangs up"


async def test_a_head_without_end_is_refused(server: Server) -> None:
    async with Client(server.host, server.port) as client:
        await client.send_bytes(GET.removesuffix(b"\r\n") + b"X-Filler: ")
        assert await hung_up(client, b"a" * 8192)
    (found,) = await refused(GET[:-2], b"X: " + b"a" * HEAD_MAX_BYTES)()
    assert found.code.status == 431


async def test_a_large_head_that_ends_is_served(server: Server) -> None:
    async with Client(server.host, server.port) as client:
        filler = {"X-Filler": "a" * (HEAD_MAX_BYTES // 2)}
        answer = await client.request("GET", "/health/live", headers=filler)
        assert answer.status == 200


async def test_a_request_that_does_not_come_whole_ends() -> None:
    assert await refused(GET[:20], after_s=REQUEST_PATIENCE_S - 1)() == []
    (found,) = await refused(GET[:20], after_s=LATE_S)()
    assert found.code.status == 408
    for begun in (b"", POST + b"a"):
        connection, line = connected()
        connection.data_received(begun)
        connection.expire(line_time(connection) + LATE_S)
        assert line.closed
        assert not line.written, (
            "the application may be at work: no answer is better than a wrong one"
        )


async def test_between_requests_no_patience_runs_out() -> None:
    connection, line = connected()
    connection.data_received(GET)
    await settled(line, "200 OK")
    connection.expire(line_time(connection) + 1e9)
    assert not line.closed


def line_time(connection: object) -> float:
    """Since when the connection awaits a request."""
    return getattr(connection, "_since", None) or 0.0


@pytest.mark.parametrize("rest", [b"nonsense\r\n\r\n", b"GET /he"], ids=["not HTTP", "half"])
async def test_no_refusal_overtakes_an_answer(rest: bytes) -> None:
    """Promise: who waits for a redemption never reads "not applied" of something else."""
    go_on = asyncio.Event()

    async def slow(_scope: Scope, _receive: Receive, send: Send) -> None:
        await go_on.wait()
        await send({"type": "http.response.start", "status": 201, "headers": []})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    connection, line = connected(slow)
    connection.data_received(POST + b"{}" + rest)
    await settled(line)
    connection.expire(line_time(connection) + LATE_S)
    assert line.closed
    assert line.written == b""
    go_on.set()


async def test_garbage_after_an_answer_is_answered() -> None:
    connection, line = connected()
    connection.data_received(POST + b"{}")
    before = len(await settled(line, "200 OK"))
    connection.data_received(b"nonsense\r\n\r\n")
    assert problem_of(line.written[before:]).code.code == "malformed_http"


async def test_requests_sent_together_are_answered_in_order(server: Server) -> None:
    async with Client(server.host, server.port) as client:
        nowhere = GET.replace(b"/health/live", b"/nowhere")
        await client.send_bytes(GET + nowhere + GET)
        assert [(await client.receive()).status for _ in range(3)] == [200, 404, 200]


async def test_an_offer_to_upgrade_is_ignored(server: Server) -> None:
    offer = {"Connection": "Upgrade, HTTP2-Settings", "Upgrade": "h2c", "HTTP2-Settings": "AAA"}
    async with Client(server.host, server.port) as client:
        answer = await client.request("GET", "/health/live", headers=offer)
        assert answer.status == 200
        assert "date" in answer.headers
        assert "server" not in answer.headers
    assert "upgrade" not in server.log.read_text("utf-8").lower()
