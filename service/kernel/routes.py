"""What a route is: its declaration, the request as its operation sees it, and its answer."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

import msgspec
from msgspec import Struct

from service.kernel import problems, tracing
from service.kernel.auth import Credential
from service.kernel.ids import is_id
from service.kernel.problems import Code, ProblemError
from service.kernel.replies import JSON


class Answer(NamedTuple):
    """What goes back: status, exact bytes, and whether they are a replay of an earlier answer.

    `headers` are those the route declares as its own.
    """

    status: int
    body: bytes
    replayed: bool = False
    media_type: str = JSON
    headers: Mapping[str, str] = MappingProxyType({})


class Call(Struct):
    """One authenticated request, as an operation sees it; `state` is the application's."""

    state: Any
    credential: Credential
    request_id: str
    route: str
    scope: str
    path: Mapping[str, str]
    idempotency_key: str
    query: Any
    trace: tracing.Trace | None = None
    # Where the request came from (kernel/address.py).
    address: str | None = None


class Guest(Struct, frozen=True):
    """One request of somebody who isn't known yet; `state` is the application's.

    `device` is what the caller's software says of itself.
    """

    state: Any
    request_id: str
    address: str | None
    device: str | None


class Route(Struct, frozen=True):
    """A declared route: what it takes, what it can answer, and the words for who integrates it.

    `scope` is the permission it needs. Empty: no credential is needed, see `open_handler` and
    `guest_handler` (kernel/http.py). With `for_members` a member's token is taken too, and the
    operation shows it what is the member's own; else it is refused. `safe` is a POST that changes
    nothing, as every GET. `slow` is what has bounds of its own instead of the time limit that all
    else is answered within. `media_type` is that of a success; `also` are the others it may have
    when it is asked for, each with what it holds. `answer_headers` names the headers of its own
    that a success may have, which `kernel/openapi.py` describes.
    """

    method: Literal["GET", "POST"]
    path: str
    operation_id: str
    summary: str
    description: str
    tag: str
    scope: str
    answers: dict[int, Any]
    errors: tuple[Code, ...]
    body: Any = None
    query: Any = None
    idempotent: bool = False
    safe: bool = False
    slow: bool = False
    for_members: bool = False
    media_type: str = JSON
    also: Mapping[str, Any] = {}
    answer_headers: tuple[str, ...] = ()
    example_path: Mapping[str, str] = {}
    example_body: Any = None
    example_answer: Any = None

    @property
    def for_guests(self) -> bool:
        """Whether somebody becomes known with it: with a body, and without a credential."""
        return not self.scope and self.body is not None


COMMON_ERRORS = (problems.INTERNAL_ERROR, problems.UNAVAILABLE)
# INVALID_REQUEST too: a query parameter that a route doesn't know is refused.
CREDENTIAL_ERRORS = (
    problems.OVERLOADED,
    problems.UNAUTHENTICATED,
    problems.FORBIDDEN,
    problems.INVALID_REQUEST,
)
# Of those without a credential that have a body.
GUEST_ERRORS = (problems.OVERLOADED,)
BODY_ERRORS = (
    problems.MALFORMED_JSON,
    problems.INVALID_REQUEST,
    problems.PAYLOAD_TOO_LARGE,
    problems.UNSUPPORTED_MEDIA_TYPE,
)
KEY_ERRORS = (problems.KEY_REQUIRED, problems.KEY_INVALID, problems.OUTCOME_UNKNOWN)


def errors_of(declared: Route) -> tuple[Code, ...]:
    """Every error the route can give: its own and those of its shape."""
    codes = COMMON_ERRORS + declared.errors
    if declared.scope:
        codes += CREDENTIAL_ERRORS
    elif declared.for_guests:
        codes += GUEST_ERRORS
    if declared.body is not None:
        codes += BODY_ERRORS
    if declared.idempotent:
        codes += KEY_ERRORS
    if "{" in declared.path:
        codes += (problems.NOT_FOUND,)
    return tuple(dict.fromkeys(codes))


def open_route(path: str, operation_id: str, summary: str, description: str, shown: Any) -> Route:
    """The declaration of a GET that needs no credential; `shown` is what its answer holds."""
    return Route(
        method="GET",
        path=path,
        operation_id=operation_id,
        tag="Operations",
        scope="",
        summary=summary,
        description=description,
        answers={200: shown},
        errors=(),
    )


def json_answer(status: int, body: Any) -> Answer:
    """The answer that shows a Struct."""
    return Answer(status, msgspec.json.encode(body))


def object_id(call: Call, name: str, prefix: str = "") -> str:
    """A path id, with this prefix where only one kind will do.

    One of the wrong form names nothing and is answered like an absent one: 404.
    """
    value = call.path[name]
    if not is_id(prefix, value):
        raise ProblemError(problems.NOT_FOUND)
    return value
