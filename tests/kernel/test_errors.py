"""Whatever goes wrong is a problem that says how to mend it, and is counted."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from service.kernel import http, logs, metrics, replies
from tests.kernel.cups import CUP_ID, FILL, TILL_KEY, cup_client, post, problem


@pytest.fixture(name="client", scope="module")
async def _client() -> AsyncIterator[httpx.AsyncClient]:
    async with cup_client() as client:
        yield client


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/nowhere", 404, "not_found"),
        ("/v1/cups/cup_1", 404, "not_found"),
        ("/v1/cups/%00/fill/more", 404, "not_found"),
    ],
)
async def test_an_unknown_path(
    client: httpx.AsyncClient, path: str, status: int, code: str
) -> None:
    got = problem(await client.get(path))
    assert (got.status, got.code, got.outcome) == (status, code, "not_applied")


@pytest.mark.parametrize(
    "cup_id",
    ["cup_1", "crd_" + CUP_ID[4:], "cup_%00" + CUP_ID[5:], CUP_ID + "%0A", CUP_ID[:-1] + "z"],
    ids=["short", "another kind", "a NUL", "a line break", "another letter"],
)
async def test_an_id_of_the_wrong_form_names_nothing(
    client: httpx.AsyncClient, cup_id: str
) -> None:
    headers = {"content-type": "application/json", "idempotency-key": "key-00000001"}
    response = await client.post(f"/v1/cups/{cup_id}/fill", content=b'{"size": 1}', headers=headers)
    assert problem(response).code == "not_found"


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("DELETE", FILL, "OPTIONS, POST"),
        ("GET", FILL, "OPTIONS, POST"),
        ("POST", "/v1/cups", "GET, OPTIONS"),
        ("PUT", "/live", "GET, OPTIONS"),
    ],
    ids=["DELETE", "GET", "POST", "PUT"],
)
async def test_a_wrong_method_names_the_right_ones(
    client: httpx.AsyncClient, method: str, path: str, allow: str
) -> None:
    response = await client.request(method, path)
    assert problem(response).code == "method_not_allowed"
    assert response.headers["allow"] == allow


class Stream:
    """A body of 10 MB in 64 kB pieces that counts how many were taken."""

    def __init__(self) -> None:
        self.taken = 0

    async def pieces(self) -> AsyncIterator[bytes]:
        for _ in range(160):
            self.taken += 1
            yield b" " * 65536


async def test_a_large_body_is_not_read(client: httpx.AsyncClient) -> None:
    stream = Stream()
    got = problem(await post(client, stream.pieces(), content_length=str(10 * 2**20)))
    assert (got.status, got.code) == (413, "payload_too_large")
    assert stream.taken == 0


async def test_a_large_body_without_length_is_read_up_to_the_limit(
    client: httpx.AsyncClient,
) -> None:
    stream = Stream()
    assert problem(await post(client, stream.pieces())).code == "payload_too_large"
    assert stream.taken == http.BODY_MAX_BYTES // 65536 + 1


async def test_a_body_of_the_limit_is_taken(client: httpx.AsyncClient) -> None:
    body = b'{"size": 5}'
    response = await post(client, body + b" " * (http.BODY_MAX_BYTES - len(body)))
    assert response.status_code == 201


async def test_a_problem_of_the_operation(client: httpx.AsyncClient) -> None:
    response = await post(client, b'{"size": 5, "note": "full"}')
    assert problem(response).code == "unavailable"
    assert response.headers["retry-after"] == "1"


@pytest.mark.usefixtures("logging_as_before")
async def test_a_fault_is_logged_by_its_place_and_never_shown(
    client: httpx.AsyncClient, capsys: pytest.CaptureFixture[str]
) -> None:
    logs.configure("info")
    got = problem(await post(client, b'{"size": 5, "note": "fault"}'))
    assert (got.status, got.code, got.retry) == (500, "internal_error", "same_key")
    assert got.outcome == "unknown"
    first, second = capsys.readouterr().err.splitlines()
    assert "in fill" in first
    assert "RuntimeError" in first
    for line in (first, second):
        assert got.request_id in line
        # What the program says in its own line is shown; the text of the error is not.
        assert "canary: the tap broke" not in line.replace('RuntimeError(\\"canary: the tap', "")


async def test_a_lost_database_is_no_fault(client: httpx.AsyncClient) -> None:
    got = problem(await post(client, b'{"size": 5, "note": "lost"}'))
    assert (got.status, got.code, got.retry) == (503, "unavailable", "same_key")
    assert got.outcome == "unknown", "it may have been lost during the commit"


async def test_a_look_up_that_loses_the_database_has_changed_nothing(
    client: httpx.AsyncClient,
) -> None:
    """Whoever only asked needs no key, and need not fear for the outcome."""
    got = problem(await client.post("/v1/cups/find", json={"size": 5}))
    assert (got.status, got.code, got.outcome) == (503, "unavailable", "not_applied")
    assert got.detail
    assert "key" not in got.detail


async def test_what_is_done_is_answered_also_when_it_cannot_be_logged(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise BrokenPipeError("canary: stderr is gone")

    monkeypatch.setattr("service.kernel.logs.log_request", broken)
    assert (await post(client)).status_code == 201


async def test_a_fault_on_the_way_back_does_not_say_that_nothing_was_done(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The framework answers then, and can't know what was done."""
    send, calls = replies.Reply.__call__, []

    async def once(self: replies.Reply, *rest: Any) -> None:
        calls.append(self.status)
        if len(calls) == 1:
            raise BrokenPipeError("canary: the answer is gone")
        await send(self, *rest)

    monkeypatch.setattr(replies.Reply, "__call__", once)
    got = problem(await post(client))
    assert calls[0] == 201
    assert (got.status, got.outcome) == (503, "unknown")


async def test_a_fault_while_reading_has_changed_nothing(client: httpx.AsyncClient) -> None:
    got = problem(await client.get("/v1/cups/broken"))
    assert (got.code, got.outcome) == ("internal_error", "not_applied")


async def test_a_bad_host_is_a_problem(client: httpx.AsyncClient) -> None:
    assert problem(await client.get("/live", headers={"host": "a b"})).status == 400


async def test_a_client_that_leaves_is_no_fault(client: httpx.AsyncClient) -> None:
    sent: list[Any] = []
    headers = {
        "host": "cups",
        "authorization": f"Bearer {TILL_KEY}",
        "content-type": "application/json",
        "idempotency-key": "key-00000001",
    }
    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": FILL,
        "query_string": b"",
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
    }

    async def receive() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    async def send(event: Any) -> None:
        sent.append(event)

    transport = client._transport
    assert isinstance(transport, httpx.ASGITransport)
    await transport.app(scope, receive, send)
    assert sent[0]["status"] == 400


async def test_every_answer_is_counted(client: httpx.AsyncClient) -> None:
    def counted(label: str) -> float:
        text = metrics.exposition()[0].decode()
        return sum(float(line.rpartition(" ")[2]) for line in text.splitlines() if label in line)

    labels = [
        'kafang_http_requests_total{route="fill_cup",status="201"}',
        'kafang_http_requests_total{route="fill_cup",status="415"}',
        'kafang_http_requests_total{route="unmatched",status="404"}',
        'kafang_refusals_total{code="unsupported_media_type"}',
        'kafang_http_request_seconds_count{route="fill_cup"}',
    ]
    before = [counted(label) for label in labels]
    await post(client)
    await post(client, content_type="text/plain")
    await client.get("/nowhere")
    after = [counted(label) for label in labels]
    assert [b - a for a, b in zip(before, after, strict=True)] == [1, 1, 1, 1, 2]
