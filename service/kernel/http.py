"""From HTTP to one call of an operation and back: the only place that knows headers, bodies and status codes.

A route is declared with its body, its answers and every error it can give; the same declaration serves the request and
the contract (`kernel/openapi.py`). Bodies are decoded here, strictly: the framework's own conversion is lenient (it takes
"5" for 5), which a ledger must not be.

Order of checks: path and method, credential (401), scope (403), media type (415), size (413), idempotency key (400),
body (400, all problems at once), then the operation.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Literal, NamedTuple, cast

from litestar import HttpMethod, Request
from litestar.enums import MediaType
from litestar.handlers import HTTPRouteHandler, route as litestar_route
from litestar.response import Response
from litestar.types import Scope
from msgspec import Struct

from schemas.problems import Reason
from service.kernel import problems, tokens, validation
from service.kernel.auth import Credential, require_scope
from service.kernel.ids import new_id
from service.kernel.problems import Code, ProblemError

JSON = "application/json"
KEY_LENGTH = range(8, 129)

Authenticate = Callable[[tokens.Token], Awaitable[Credential | None]]


class Answer(NamedTuple):
    """What goes back: status, exact bytes, and whether they are a replay of an earlier answer."""

    status: int
    body: bytes
    replayed: bool = False
    media_type: str = JSON


class Call(Struct):
    """One authenticated request, as an operation sees it. `state` holds the application's long-lived parts."""

    state: Any
    credential: Credential
    request_id: str
    route: str
    path: Mapping[str, str]
    idempotency_key: str
    query: Any


class Route(Struct, frozen=True):
    """A declared route: what it takes, what it can answer, and the words for whoever integrates it."""

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
    example_body: Any = None
    example_answer: Any = None


COMMON_ERRORS = (
    problems.UNAUTHENTICATED,
    problems.FORBIDDEN,
    problems.INTERNAL_ERROR,
    problems.UNAVAILABLE,
)
BODY_ERRORS = (
    problems.MALFORMED_JSON,
    problems.INVALID_REQUEST,
    problems.PAYLOAD_TOO_LARGE,
    problems.UNSUPPORTED_MEDIA_TYPE,
)
KEY_ERRORS = (problems.KEY_REQUIRED, problems.KEY_INVALID, problems.OUTCOME_UNKNOWN)

Operation = Callable[[Call, Any], Awaitable[Answer]]


def errors_of(declared: Route) -> tuple[Code, ...]:
    """Every error the route can give: its own and those of its shape."""
    codes = COMMON_ERRORS + declared.errors
    if declared.body is not None:
        codes += BODY_ERRORS
    if declared.query is not None:
        codes += (problems.INVALID_REQUEST,)
    if declared.idempotent:
        codes += KEY_ERRORS
    if "{" in declared.path:
        codes += (problems.NOT_FOUND,)
    return tuple(dict.fromkeys(codes))


def handler(declared: Route, operation: Operation) -> HTTPRouteHandler:
    """The framework's handler for a declared route."""

    async def handle(request: Request[Any, Any, Any]) -> Response[bytes]:
        call = await _open(declared, request)
        body = await _body(declared, request) if declared.body is not None else None
        return _response(await operation(call, body), call.request_id)

    path = declared.path.replace("}", ":str}")
    method = cast(HttpMethod, declared.method)
    return litestar_route(
        path,
        http_method=[method],
        status_code=200,
        name=declared.operation_id,
        opt={"declared": declared},
    )(handle)


def request_id_of(scope: Scope) -> str:
    """The id of this request, made on first use."""
    state = scope["state"]
    if "request_id" not in state:
        state["request_id"] = new_id("req")
    return cast(str, state["request_id"])


def problem_response(error: ProblemError, request_id: str) -> Response[bytes]:
    """The answer for an error."""
    headers = {"X-Request-Id": request_id, **error.headers}
    if error.code.status == 503:
        headers.setdefault("Retry-After", "1")
    return Response(
        error.body(request_id),
        status_code=error.code.status,
        headers=headers,
        media_type=problems.MEDIA_TYPE,
    )


def object_id(call: Call, name: str, prefix: str) -> str:
    """A path id; one of the wrong form names nothing and is answered like an absent one."""
    value = call.path[name]
    if not value.startswith(prefix + "_") or len(value) != 30:
        raise ProblemError(problems.NOT_FOUND)
    return value


async def _open(declared: Route, request: Request[Any, Any, Any]) -> Call:
    request_id = request_id_of(request.scope)
    credential = await _credential(request)
    require_scope(credential, declared.scope)
    if declared.body is not None:
        _require_json(request)
    key = _idempotency_key(request) if declared.idempotent else ""
    query = (
        validation.query(request.query_params.multi_items(), declared.query)
        if declared.query
        else None
    )
    if declared.query is None and request.scope["query_string"]:
        raise ProblemError(
            problems.INVALID_REQUEST,
            reasons=[
                Reason("unknown_field", "This route takes no query parameters.", path="$query")
            ],
        )
    return Call(
        request.app.state,
        credential,
        request_id,
        declared.operation_id,
        request.path_params,
        key,
        query,
    )


async def _credential(request: Request[Any, Any, Any]) -> Credential:
    scheme, _, text = request.headers.get("authorization", "").partition(" ")
    token = tokens.parse(text) if scheme.lower() == "bearer" else None
    credential = await request.app.state.authenticate(token) if token else None
    if credential is None:
        raise ProblemError(problems.UNAUTHENTICATED, headers={"WWW-Authenticate": "Bearer"})
    return cast(Credential, credential)


def _require_json(request: Request[Any, Any, Any]) -> None:
    media_type, _, parameters = request.headers.get("content-type", "").partition(";")
    charset = parameters.strip().lower()
    if media_type.strip().lower() != JSON or charset not in (
        "",
        "charset=utf-8",
        'charset="utf-8"',
    ):
        raise ProblemError(problems.UNSUPPORTED_MEDIA_TYPE)


def _idempotency_key(request: Request[Any, Any, Any]) -> str:
    values = request.headers.getall("idempotency-key", [])
    if not values:
        raise ProblemError(problems.KEY_REQUIRED)
    key = values[0]
    if len(values) > 1 or len(key) not in KEY_LENGTH or not key.isascii() or not key.isprintable():
        raise ProblemError(problems.KEY_INVALID)
    return key


async def _body(declared: Route, request: Request[Any, Any, Any]) -> Any:
    return validation.body(await request.body(), declared.body)


def _response(answer: Answer, request_id: str) -> Response[bytes]:
    headers = {"X-Request-Id": request_id}
    if answer.replayed:
        headers["Idempotent-Replayed"] = "true"
    media_type = answer.media_type if answer.status < 400 else problems.MEDIA_TYPE
    return Response(
        answer.body,
        status_code=answer.status,
        headers=headers,
        media_type=media_type or MediaType.JSON,
    )
