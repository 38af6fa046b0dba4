"""Requests over a real line: however cut, each is served once, in order, as it was sent."""

import asyncio
import json
from collections.abc import AsyncIterator

import h11
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.http1.wire import GET, LARGE, Served, Wire, chunked, post, served

BODY = b'{"size": 5}'


@pytest.fixture(name="site")
async def _site() -> AsyncIterator[Served]:
    async with served() as site:
        yield site


@pytest.fixture(name="wire")
async def _wire(site: Served) -> Wire:
    return await site.wire()


async def test_a_request_and_the_next_one(wire: Wire) -> None:
    first = await wire.ask(b"GET /cups/a%20b?limit=5&x=%2f HTTP/1.1\r\nHost: x\r\nX-Y: z\r\n\r\n")
    seen = first.seen
    assert (first.status, seen["method"], seen["path"]) == (200, "GET", "/cups/a b")
    assert seen["query"] == "limit=5&x=%2f"
    assert seen["headers"] == [["host", "x"], ["x-y", "z"]]
    assert (seen["body"], seen["whole"]) == ("", True)
    assert first.headers["date"].endswith("GMT")
    assert "connection" not in first.headers
    assert (await wire.ask(post(BODY))).seen["body"] == BODY.decode()


@pytest.mark.parametrize("request_", [post(BODY), chunked(b"ab", b"c" * 40), GET], ids=repr)
async def test_it_may_be_cut_anywhere(wire: Wire, request_: bytes) -> None:
    whole = (await wire.ask(request_)).seen
    for at in range(1, len(request_)):
        await wire.send(request_[:at])
        await asyncio.sleep(0)
        assert (await wire.ask(request_[at:])).seen == whole
    for byte in request_:
        await wire.send(bytes([byte]))
    assert (await wire.answer()).seen == whole


async def test_one_behind_the_other_they_are_served_in_turn(site: Served, wire: Wire) -> None:
    site.toy.go_on.clear()
    await wire.send(b"".join(post(b"%d" % number) for number in range(50)))
    await site.toy.came.wait()
    assert site.toy.begun == 1
    site.toy.go_on.set()
    bodies = [(await wire.answer()).seen["body"] for _ in range(50)]
    assert bodies == [str(number) for number in range(50)]
    assert site.toy.most == 1


async def test_a_crowd_behind_one_request_waits_at_its_client(site: Served, wire: Wire) -> None:
    site.toy.go_on.clear()
    await wire.send(GET)
    await site.toy.came.wait()
    flood = GET * 1_000_000
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1):
            await wire.send(flood)
    (connection,) = site.listener.connections
    assert len(connection._input) < 1_000_000
    assert site.toy.begun == 1


async def test_nothing_is_begun_for_who_takes_no_answers(site: Served, wire: Wire) -> None:
    await wire.send(GET.replace(b"/cups", b"/large") * 5)
    await site.toy.came.wait()
    for _ in range(50):
        await asyncio.sleep(0.01)
    assert site.toy.begun == 1
    for _ in range(5):
        assert len((await wire.answer()).body) == LARGE


async def test_blanks_around_a_value_are_none_of_it(wire: Wire) -> None:
    sent = GET[:-2] + b"X:  a b \t \r\nContent-Length: 2 \r\n\r\nab"
    assert (await wire.ask(sent)).seen["headers"][1:] == [["x", "a b"], ["content-length", "2"]]


async def test_what_follows_chunks_at_once_is_not_served(site: Served, wire: Wire) -> None:
    first = await wire.ask(chunked(b"ab") + GET)
    assert (first.seen["body"], first.headers["connection"]) == ("ab", "close")
    assert await wire.ended() == b""
    assert site.toy.begun == 1


@pytest.mark.parametrize("name", [b"Upgrade", b"UPGRADE", b"upgrade"])
async def test_an_offer_to_upgrade_is_declined_and_the_request_served(
    wire: Wire, name: bytes
) -> None:
    offer = (b"Connection: Upgrade, HTTP2-Settings", b"HTTP2-Settings: AAEAAEAAAAIAAAAB")
    answer = await wire.ask(post(BODY, name + b": h2c", *offer))
    assert (answer.status, answer.seen["body"]) == (200, BODY.decode())
    assert (await wire.ask(post(b"next"))).seen["body"] == "next"
    assert (await wire.ask(post(b"\r\nUpgrade: h2c"))).seen["body"] == "\r\nUpgrade: h2c"


async def test_who_asks_first_is_told_to_send_the_body(site: Served, wire: Wire) -> None:
    head = post(BODY, b"Expect: 100-continue").removesuffix(BODY)
    site.toy.go_on.clear()
    await wire.send(head)
    await site.toy.came.wait()
    site.toy.go_on.set()
    assert (await wire.answer()).status == 100
    assert (await wire.ask(BODY)).seen["body"] == BODY.decode()


async def test_who_asks_first_may_be_answered_without(wire: Wire) -> None:
    head = post(BODY, b"Expect: 100-continue", path=b"/early").removesuffix(BODY)
    answer = await wire.ask(head)
    assert (answer.status, answer.headers["connection"]) == (200, "close")
    assert await wire.ended() == b""


async def test_a_small_rest_is_taken_after_the_answer(wire: Wire) -> None:
    request = post(BODY, path=b"/early")
    answer = await wire.ask(request[:-4])
    assert (answer.status, "connection" in answer.headers) == (200, False)
    assert (await wire.ask(request[-4:] + post(b"next"))).seen["body"] == "next"


@pytest.mark.parametrize("large", [post(b"x" * 30_000_000, path=b"/early"),
                                   chunked(*[b"x" * 60_000] * 500, path=b"/early")],
                         ids=["length", "chunks"])  # fmt: skip
async def test_a_large_rest_ends_the_connection_and_the_answer_arrives(
    wire: Wire, large: bytes
) -> None:
    await wire.send(large)  # all of it, before it looks at the answer
    answer = await wire.answer()
    assert (answer.status, answer.headers["connection"]) == (200, "close")
    assert await wire.ended() == b""


async def test_it_arrives_too_when_reading_had_been_stopped(site: Served, wire: Wire) -> None:
    site.toy.go_on.clear()
    sending = asyncio.create_task(wire.send(post(b"x" * 30_000_000, path=b"/early")))
    await site.toy.came.wait()
    (connection,) = site.listener.connections
    while not connection._paused:  # noqa: ASYNC110  # nobody tells
        await asyncio.sleep(0.001)
    site.toy.go_on.set()
    await sending
    assert (await wire.answer()).headers["connection"] == "close"
    assert await wire.ended() == b""


async def test_who_has_said_all_still_gets_the_answer(site: Served, wire: Wire) -> None:
    site.toy.go_on.clear()
    await wire.send(post(BODY))
    wire.writer.write_eof()
    await site.toy.came.wait()
    site.toy.go_on.set()
    answer = await wire.answer()
    assert (answer.seen["body"], answer.headers["connection"]) == (BODY.decode(), "close")
    assert await wire.ended() == b""


async def test_what_was_asked_whole_is_done_though_its_client_left(
    site: Served, wire: Wire
) -> None:
    site.toy.go_on.clear()
    await wire.send(post(BODY))
    await site.toy.came.wait()
    (task,) = site.listener._tasks
    wire.drop()
    site.toy.go_on.set()
    await task
    assert site.toy.ended == 1


async def test_who_listens_after_the_body_hears_that_the_client_left(
    site: Served, wire: Wire
) -> None:
    await wire.send(post(BODY, path=b"/after"))
    await site.toy.came.wait()
    wire.drop()
    async with asyncio.timeout(10):
        assert await site.toy.after == "http.disconnect"


async def test_head_and_old_clients(site: Served) -> None:
    wire = await site.wire()
    await wire.send(GET.replace(b"GET", b"HEAD"))
    head = await wire.answer(bodiless=True)
    assert int(head.headers["content-length"]) > 0
    assert (await wire.ask(GET)).seen["method"] == "GET"
    old = await site.wire()
    answer = await old.ask(b"GET /cups HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
    assert (answer.status, answer.headers["connection"]) == (200, "close")
    assert await old.ended() == b""
    expecting = await site.wire()
    await expecting.send(
        b"POST /cups HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n"
    )
    assert (await expecting.ask(b"ab")).status == 200
    asked = await site.wire()
    assert (await asked.ask(GET[:-2] + b"Connection: close\r\n\r\n")).status == 200
    assert await asked.ended() == b""


@pytest.mark.parametrize("path", [b"/broken", b"/silent", b"/two"])
async def test_a_failing_application_is_a_500_and_no_silence(wire: Wire, path: bytes) -> None:
    answer = await wire.ask(post(BODY, path=path))
    problem = json.loads(answer.body)
    assert (answer.status, problem["code"], problem["outcome"]) == (
        500,
        "internal_error",
        "unknown",
    )
    assert "x-two" not in answer.headers
    assert (await wire.ask(GET)).status == 200


_TEXT = st.binary(max_size=300)
_NAMES = st.from_regex(r"[A-Za-z][A-Za-z0-9-]{0,20}", fullmatch=True).filter(
    lambda name: (
        name.lower()
        not in (
            "host",
            "content-length",
            "transfer-encoding",
            "connection",
            "upgrade",
            "expect",
            "te",
        )
    )
)
_VALUES = st.from_regex(r"([!-~]([ -~]{0,30}[!-~])?)?", fullmatch=True)


@given(
    headers=st.lists(st.tuples(_NAMES, _VALUES), max_size=20),
    parts=st.lists(_TEXT, max_size=5),
    in_chunks=st.booleans(),
    cuts=st.lists(st.integers(1, 400), max_size=8),
)
@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
async def test_what_another_implementation_writes_is_read_as_it_was_meant(
    site: Served,
    headers: list[tuple[str, str]],
    parts: list[bytes],
    in_chunks: bool,
    cuts: list[int],
) -> None:
    writer = h11.Connection(h11.CLIENT)
    framing = (
        ("Transfer-Encoding", "chunked")
        if in_chunks
        else ("Content-Length", str(len(b"".join(parts))))
    )
    head = h11.Request(method="POST", target="/cups", headers=[("Host", "x"), *headers, framing])
    data = writer.send(head) or b""
    for part in parts:
        data += writer.send(h11.Data(data=part)) or b""
    data += writer.send(h11.EndOfMessage()) or b""
    wire = await site.wire()
    for cut in cuts:
        await wire.send(data[:cut])
        data = data[cut:]
        await asyncio.sleep(0)
    seen = (await wire.ask(data)).seen
    wire.drop()
    assert seen["body"].encode("latin-1") == b"".join(parts)
    assert seen["whole"]
    assert seen["headers"] == [
        [name.lower(), value] for name, value in [("host", "x"), *headers, framing]
    ]
