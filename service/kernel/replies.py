"""Answers that send themselves: bytes and headers as they leave, with nothing left to render.

The framework's own response object costs a request as much as its routing; one of our answers is
always finished bytes, so none is needed.
"""

from collections.abc import Mapping
from typing import cast

from litestar.types import Receive, Scope, Send

from service.kernel import problems
from service.kernel.ids import new_id
from service.kernel.problems import ProblemError

JSON = "application/json"

# Answers hold card data and keys: no cache may keep them, no browser may guess what they are.
FIXED = [(b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff")]


class Reply:
    """An answer, as ASGI sends it."""

    __slots__ = ("body", "headers", "status")

    def __init__(self, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body

    async def __call__(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        """Send it."""
        await send({"type": "http.response.start", "status": self.status, "headers": self.headers})
        await send({"type": "http.response.body", "body": self.body, "more_body": False})


def reply(
    status: int,
    body: bytes,
    request_id: str,
    media_type: str = JSON,
    extra: Mapping[str, str] | None = None,
) -> Reply:
    """The answer with these bytes; header names in `extra` may have any case."""
    headers = [
        (b"content-type", media_type.encode()),
        (b"content-length", b"%d" % len(body)),
        (b"x-request-id", request_id.encode()),
        *FIXED,
    ]
    if extra:
        headers += [(name.lower().encode(), value.encode()) for name, value in extra.items()]
    return Reply(status, headers, body)


def problem_reply(error: ProblemError, request_id: str) -> Reply:
    """The answer for an error."""
    extra = error.headers
    if error.code.status == 503:
        extra = {"Retry-After": "1", **extra}
    body = error.body(request_id)
    return reply(error.code.status, body, request_id, problems.MEDIA_TYPE, extra)


def request_id_of(scope: Scope) -> str:
    """The id of this request, made on first use."""
    state = scope["state"]
    if "request_id" not in state:
        state["request_id"] = new_id("req")
    return cast(str, state["request_id"])
