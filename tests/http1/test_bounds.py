"""What a client may do to a worker over its line, and where it ends."""

import asyncio
import json
import os
import socket
import struct
from collections.abc import AsyncIterator

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from service.kernel import http1, listener
from tests.http1.wire import GET, HOST, LARGE, Served, chunked, post, served

HEAD = b"POST /cups HTTP/1.1\r\nHost: x\r\n"
SOON_S = 0.05


@pytest.fixture(name="site")
async def _site() -> AsyncIterator[Served]:
    async with served() as site:
        yield site


@pytest.fixture(name="impatient")
async def _impatient(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Served]:
    for name in ("IDLE_S", "ARRIVE_S", "LINGER_S"):
        monkeypatch.setattr(http1, name, SOON_S)
    monkeypatch.setattr(listener, "LOOK_EVERY_S", SOON_S)
    async with served() as site:
        yield site


@pytest.mark.parametrize(
    "sent",
    [
        b"hello\r\n\r\n",
        b"GET\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        GET.replace(b"1.1", b"2.0"),
        GET.replace(b"1.1", b"0.9"),
        GET.replace(b"Host: x\r\n", b""),
        GET.replace(b"Host: x", b"Host: x\r\nHost: y"),
        GET.replace(b"Host: x", b"Host : x"),
        GET.replace(b"Host: x", b"Host: x\r\n folded"),
        GET.replace(b"Host: x", b"Host: x\nUpgrade: h2c"),
        GET.replace(b"Host: x", b"Host: x\x00"),
        GET.replace(b"/cups", b"cups"),
        GET.replace(b"/cups", b"*"),
        GET.replace(b"/cups", "/cüps".encode()),
        b"CONNECT cups:443 HTTP/1.1\r\nHost: x\r\n\r\n",
        HEAD + b"Content-Length: -1\r\n\r\n",
        HEAD + b"Content-Length: +1\r\n\r\nx",
        HEAD + b"Content-Length: 1_0\r\n\r\n0123456789",
        HEAD + b"Content-Length: 1, 1\r\n\r\nx",
        HEAD + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
        HEAD + b"Content-Length: 99999999999999999999\r\n\r\n",
        HEAD + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        HEAD + b"Transfer-Encoding: gzip\r\n\r\n",
        HEAD + b"Transfer-Encoding: chunked, gzip\r\n\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: gzip\r\n\r\n0\r\n\r\n",
        HEAD + b"X: " + b"y" * http1.HEAD_MAX_BYTES + b"\r\n\r\n",
        HEAD + b"Y: " + b"y" * http1.HEAD_MAX_BYTES,
        HEAD + b"X: y\r\n" * http1.HEADERS_MAX + b"\r\n",
    ],
    ids=lambda sent: repr(sent[:100])[2:-1],
)
async def test_what_is_no_request_is_told_so_and_reaches_nobody(site: Served, sent: bytes) -> None:
    wire = await site.wire()
    answer = await wire.ask(sent)
    problem = json.loads(answer.body)
    assert (answer.status, problem["code"]) == (400, "invalid_request")
    assert problem["detail"]
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["connection"] == "close"
    assert await wire.ended() == b""
    assert site.toy.begun == 0
    assert (await (await site.wire()).ask(GET)).status == 200


async def test_a_head_as_large_as_allowed(site: Served) -> None:
    wire = await site.wire()
    start = HEAD + b"Content-Length: 0\r\nX: "
    rest = http1.HEAD_MAX_BYTES - len(start) - 4
    assert (await wire.ask(start + b"y" * rest + b"\r\n\r\n")).status == 200
    more = await wire.ask(start + b"y" * (rest + 1) + b"\r\n\r\n")
    assert more.status == 400


async def test_what_is_no_request_waits_for_the_answer_before_it(site: Served) -> None:
    wire = await site.wire()
    site.toy.go_on.clear()
    await wire.send(post(b"ab") + b"hello\r\n\r\n")
    await site.toy.came.wait()
    site.toy.go_on.set()
    assert (await wire.answer()).seen["body"] == "ab"
    assert (await wire.answer()).status == 400
    assert await wire.ended() == b""


@pytest.mark.parametrize("rest", [b"zz\r\n", b"-1\r\n", b"2\r\nabc", b"fffffffffffffffff\r\n"])
async def test_a_body_that_breaks_off_reaches_the_application_as_broken(
    site: Served, rest: bytes
) -> None:
    wire = await site.wire()
    answer = await wire.ask(HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n" + rest)
    assert (answer.seen["whole"], answer.headers["connection"]) == (False, "close")
    assert await wire.ended() == b""


async def test_trailers_are_left_alone_and_have_an_end(site: Served) -> None:
    wire = await site.wire()
    seen = (await wire.ask(chunked(b"ab", trailers=b"Host: y\r\nX: y\r\n"))).seen
    assert (seen["body"], dict(seen["headers"])["host"]) == ("ab", "x")
    await wire.send(chunked(b"ab", trailers=b"X: " + b"y" * 500_000 + b"\r\n"))
    assert (await wire.answer()).seen["whole"] is False
    assert await wire.ended() == b""


async def test_a_body_is_taken_no_faster_than_it_is_asked_for(site: Served) -> None:
    site.toy.go_on.clear()
    wire = await site.wire()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1):
            await wire.send(post(b"x" * 30_000_000))
    (connection,) = site.listener.connections
    exchange = connection._exchange
    assert exchange is not None
    assert len(exchange._body) + len(connection._input) < 1_000_000
    site.toy.go_on.set()
    await wire.writer.drain()
    assert len((await wire.answer()).seen["body"]) == 30_000_000


@pytest.mark.parametrize("sent", [b"", GET], ids=["never used", "used once"])
async def test_an_idle_line_is_closed(impatient: Served, sent: bytes) -> None:
    wire = await impatient.wire()
    if sent:
        assert (await wire.ask(sent)).status == 200
    assert await wire.ended() == b""


async def test_a_head_that_does_not_come_is_told(
    impatient: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http1, "IDLE_S", 1000)
    wire = await impatient.wire()
    assert (await wire.ask(GET[:-3])).status == 400
    assert await wire.ended() == b""
    assert impatient.toy.begun == 0


async def test_a_body_that_does_not_come_ends_for_the_application(impatient: Served) -> None:
    wire = await impatient.wire()
    answer = await wire.ask(post(b"abcd")[:-1])
    assert (answer.seen["body"], answer.seen["whole"]) == ("abc", False)
    assert await wire.ended() == b""


async def test_who_does_not_take_an_answer_is_cut_off(impatient: Served) -> None:
    wire = await impatient.wire()
    await wire.send(GET.replace(b"/cups", b"/large"))
    await impatient.toy.came.wait()
    await impatient.empty()


async def test_who_takes_it_slowly_gets_all_of_it(
    impatient: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http1, "ARRIVE_S", 0.5)
    monkeypatch.setattr(http1, "IDLE_S", 10)
    wire, got = await impatient.wire(), 0
    await wire.send(GET.replace(b"/cups", b"/large"))
    await wire.reader.readuntil(b"\r\n\r\n")
    while got < LARGE:
        async with asyncio.timeout(10):
            got += len(await wire.reader.readexactly(min(1_000_000, LARGE - got)))
        await asyncio.sleep(SOON_S)
    assert (await wire.ask(GET)).status == 200


async def test_who_goes_on_sending_is_cut_off_at_last(impatient: Served) -> None:
    wire = await impatient.wire()
    assert (await wire.ask(b"hello\r\n\r\n")).status == 400
    async with asyncio.timeout(10):
        while impatient.listener.connections:
            await wire.send(b"still here\r\n")
            await asyncio.sleep(SOON_S)


async def test_a_request_that_takes_long_is_left_in_peace(impatient: Served) -> None:
    impatient.toy.go_on.clear()
    wire, looks = await impatient.wire(), 0
    await wire.send(post(b"ab"))
    await impatient.toy.came.wait()
    while looks < 5:
        await asyncio.sleep(SOON_S)
        looks += 1
    impatient.toy.go_on.set()
    assert (await wire.answer()).seen["body"] == "ab"


async def test_who_left_before_being_met_is_forgotten(
    site: Served, caplog: pytest.LogCaptureFixture
) -> None:
    def files() -> int:
        return len(os.listdir("/proc/self/fd"))

    assert (await (await site.wire()).ask(GET)).status == 200
    before = files()
    for _ in range(100):  # the loop that would accept them is kept from it
        with socket.create_connection((HOST, site.port)) as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    async with asyncio.timeout(10):
        assert (await (await site.wire()).ask(GET)).status == 200
        while files() > before + 2:  # noqa: ASYNC110  # nobody tells
            await asyncio.sleep(0.01)
    assert len(site.listener.connections) == 2
    assert not caplog.records


async def test_strangers_push_out_no_till() -> None:
    async with served(connections_max=16) as site:
        tills = [await site.wire() for _ in range(12)]
        for till in tills:
            assert (await till.ask(GET)).status == 200
        for _ in range(40):
            await (await site.wire()).send(b"G")
        for till in tills:
            assert (await till.ask(GET)).status == 200
        assert (await (await site.wire()).ask(GET)).status == 200


async def test_a_full_worker_turns_newcomers_away() -> None:
    async with served(connections_max=4) as site:
        site.toy.go_on.clear()
        busy = [await site.wire() for _ in range(4)]
        for wire in busy:
            await wire.send(GET)
        while site.toy.begun < 4:  # noqa: ASYNC110  # nobody tells
            await asyncio.sleep(0.001)
        assert await (await site.wire()).ended() == b""
        site.toy.go_on.set()
        assert [(await wire.answer()).status for wire in busy] == [200] * 4


async def test_who_comes_while_it_stops_is_not_served(site: Served) -> None:
    site.listener.stopping = True
    wire = await site.wire()
    await wire.send(GET)
    assert await wire.ended() == b""
    assert site.toy.begun == 0


async def test_where_all_places_are_taken_the_longest_idle_go() -> None:
    async with served(connections_max=8) as site:
        site.toy.go_on.clear()
        busy = await site.wire()
        await busy.send(GET)
        await site.toy.came.wait()
        idle = []
        for _ in range(8):
            idle.append(await site.wire())
            await asyncio.sleep(0.002)  # the loop's clock counts milliseconds
        assert await idle[0].ended() == b""
        site.toy.go_on.set()
        assert (await busy.answer()).status == 200
        assert (await idle[-1].ask(GET)).status == 200
        assert len(site.listener.connections) <= 8


async def test_at_the_end_what_is_under_way_is_answered_and_nothing_begun() -> None:
    async with served() as site:
        site.toy.go_on.clear()
        busy, idle, partial = [await site.wire() for _ in range(3)]
        await busy.send(post(b"ab") + GET)
        await site.toy.came.wait()
        await partial.send(GET[:-5])
        ending = asyncio.create_task(site.listener.stop())
        assert await idle.ended() == b""
        assert await partial.ended() == b""
        site.toy.go_on.set()
        answer = await busy.answer()
        assert (answer.seen["body"], answer.headers["connection"]) == ("ab", "close")
        assert await busy.ended() == b""
        await ending
        assert site.toy.begun == 1


_PIECES = st.one_of(
    st.binary(max_size=40),
    st.sampled_from(
        [GET, post(b"ab"), chunked(b"ab", b"c"), HEAD, b"\r\n", b"\r\n\r\n", b"0\r\n\r\n", b"2\r\n",
         b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n", b"Expect: 100-continue\r\n",
         b"Connection: Upgrade\r\nUpgrade: h2c\r\n", b"Connection: close\r\n",
         b"HEAD /early HTTP/1.1\r\n"]
    ),
)  # fmt: skip


@given(pieces=st.lists(_PIECES, max_size=12), vanish=st.booleans())
@example(pieces=[post(b"ab")[:-1]], vanish=True)
@settings(
    max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
async def test_whatever_is_sent_the_worker_goes_on(
    site: Served, caplog: pytest.LogCaptureFixture, pieces: list[bytes], vanish: bool
) -> None:
    wire = await site.wire()
    try:
        for piece in pieces:
            await wire.send(piece)
            await asyncio.sleep(0)
        if vanish:
            wire.drop()
        else:
            wire.writer.write_eof()
            await wire.ended()
    except OSError:  # it was cut off before it had said all
        pass
    finally:
        wire.drop()
    other = await site.wire()
    assert (await other.ask(GET)).status == 200
    other.drop()
    await site.empty()
    assert site.toy.begun == site.toy.ended
    assert not caplog.records
