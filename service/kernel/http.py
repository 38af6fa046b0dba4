"""From HTTP to one call of an operation and back: the only place that knows headers and bodies.

A route is declared with its body, its answers and every error it can give; the same declaration
serves the request and the contract (`kernel/openapi.py`). Bodies are decoded here, strictly: the
framework's own conversion is lenient (it takes "5" for 5), which a ledger must not be.

Order of checks: path and method, credential and its signature (401), scope (403), media type (415),
size (413), idempotency key (400), query and body (400, all problems at once), then the operation.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from time import perf_counter
from typing import Any, cast
from urllib.parse import parse_qsl

from litestar import HttpMethod, Request
from litestar.handlers import HTTPRouteHandler
from litestar.handlers import route as litestar_route
from litestar.types import ASGIApp, Receive, Scope

from service.kernel import logs, metrics, problems, signing, tracing, validation
from service.kernel.address import address_of
from service.kernel.auth import Credential, closed_to_members, require_network, require_scope
from service.kernel.errors import Effect, error_reply
from service.kernel.permissions import PERMISSIONS
from service.kernel.problems import ProblemError, because
from service.kernel.replies import JSON, Reply, reply, request_id_of
from service.kernel.routes import Answer, Call, Guest, Route

BODY_MAX_BYTES = 2**20
REPLAYED = {"Idempotent-Replayed": "true"}
KEY_LENGTH = range(8, 129)
DEVICE_MAX = 200
# In a request's scope (kernel/gate.py): when it must be answered, by the loop's clock; when it
# came, by perf_counter; the credential it showed, if this worker knew it.
DUE, ARRIVED, KNOWN = "kafang.due", "kafang.arrived", "kafang.known"

Operation = Callable[[Call, Any], Awaitable[Answer]]
GuestOperation = Callable[[Guest, Any], Awaitable[Answer]]
OpenOperation = Callable[[Any], Awaitable[Answer]]
Serve = Callable[[Scope, Receive], Awaitable[Reply]]


def handler(declared: Route, operation: Operation) -> HTTPRouteHandler:
    """The framework's handler for a declared route whose caller shows a credential."""
    if declared.scope not in PERMISSIONS:
        raise ValueError(f"{declared.operation_id}: {declared.scope!r} is no permission")
    if declared.for_members and declared.method != "GET":
        raise ValueError(f"{declared.operation_id} changes something: members only read")

    async def serve(scope: Scope, receive: Receive) -> Reply:
        headers = _headers(scope)
        call = await _known(declared, scope, headers)
        sent = await _signed(call, scope, receive) if call.credential.signed else None
        await _check(declared, scope, headers, call)
        body = None
        if declared.body is not None:
            raw = await _body(receive) if sent is None else sent
            body = validation.body(raw, declared.body)
        scope["state"]["begun"] = True
        return _reply(await operation(call, body), call.request_id)

    return _mounted(declared, serve)


def open_handler(declared: Route, operation: OpenOperation) -> HTTPRouteHandler:
    """For a route that needs no credential; the operation gets the application's state alone."""
    if declared.scope or declared.body is not None or declared.idempotent:
        raise ValueError(f"{declared.operation_id} needs a credential: use handler")

    async def serve(scope: Scope, _receive: Receive) -> Reply:
        return _reply(await operation(scope["litestar_app"].state), request_id_of(scope))

    return _mounted(declared, serve)


def guest_handler(declared: Route, operation: GuestOperation) -> HTTPRouteHandler:
    """For a route with which somebody becomes known: there is a body, and no credential."""
    if not declared.for_guests or declared.idempotent or declared.query:
        raise ValueError(f"{declared.operation_id} isn't for guests: use handler")

    async def serve(scope: Scope, receive: Receive) -> Reply:
        headers = _headers(scope)
        _require_json(headers)
        _require_small(headers)
        body = validation.body(await _body(receive), declared.body)
        device = headers.get(b"user-agent", b"").decode("latin-1")[:DEVICE_MAX] or None
        state = scope["litestar_app"].state
        guest = Guest(state, request_id_of(scope), _address(scope), device)
        scope["state"]["begun"] = True
        return _reply(await operation(guest, body), guest.request_id)

    return _mounted(declared, serve)


def _mounted(declared: Route, serve: Serve) -> HTTPRouteHandler:
    """Serve every request of a route: errors become answers, and each answer is counted."""

    async def answer(scope: Scope, receive: Receive) -> Reply:
        started = perf_counter()
        told = cast(Mapping[str, Any], scope)
        limit = asyncio.timeout_at(None if declared.slow else told.get(DUE))
        waited = started - told.get(ARRIVED, started)
        if tracing.source is not None:
            scope["state"]["trace"] = tracing.source.begin(
                declared.method, declared.path, declared.operation_id, scope["headers"]
            )
        try:
            async with limit:
                reply = await serve(scope, receive)
        except Exception as error:
            late = _too_late(declared, scope) if limit.expired() else error
            reply = error_reply(late, scope, _effect(declared))
            if isinstance(late, ProblemError) and late.code.is_told:
                _tell_refused(declared, scope, late)
        with suppress(Exception):  # what is done is answered, also when it can't be logged
            _record(declared, scope, reply.status, waited + perf_counter() - started)
        return reply

    async def handle(request: Request[Any, Any, Any]) -> ASGIApp:
        return await answer(request.scope, request.receive)

    return litestar_route(
        declared.path.replace("}", ":str}"),
        http_method=[cast(HttpMethod, declared.method)],
        status_code=200,
        name=declared.operation_id,
        opt={"declared": declared, "answer": answer},
    )(handle)


def _tell_refused(declared: Route, scope: Scope, problem: ProblemError) -> None:
    """A line for whoever looks after the system."""
    with suppress(Exception):  # what is refused is refused, also when it can't be logged
        logs.log_refused(
            problem.code,
            [reason.code for reason in problem.reasons],
            declared.operation_id,
            request_id_of(scope),
            _address(scope),
            scope["state"].get("credential"),
            **problem.known,
        )


def _too_late(declared: Route, scope: Scope) -> ProblemError:
    """What is told when the time is over in which everything is answered."""
    if "begun" not in scope["state"]:
        return ProblemError(problems.UNAVAILABLE, "The request took too long to arrive.")
    effect = _effect(declared)
    if effect == "keyed":
        return ProblemError(problems.OUTCOME_UNKNOWN, outcome="unknown")
    if effect == "unkeyed":
        text = "It took too long. Look whether it was done, then send it again."
        return ProblemError(problems.UNAVAILABLE, text, outcome="unknown")
    return ProblemError(problems.UNAVAILABLE, "It took too long; send the same request again.")


def _effect(declared: Route) -> Effect:
    if declared.safe or declared.method == "GET":
        return "none"
    return "keyed" if declared.idempotent else "unkeyed"


def _record(declared: Route, scope: Scope, status: int, seconds: float) -> None:
    metrics.count_request(declared.operation_id, status, seconds)
    credential = scope["state"].get("credential")
    request_id = request_id_of(scope)
    trace = scope["state"].get("trace")
    if trace is not None:
        trace.end(status, request_id, credential.merchant_id if credential else None)
    logs.log_request(
        declared.method,
        declared.operation_id,
        status,
        seconds,
        request_id,
        credential,
        trace.trace_id if trace is not None else None,
    )


def _headers(scope: Scope) -> dict[bytes, bytes]:
    """Headers by lower-case name; one sent twice is joined by a line break, which none may hold."""
    headers: dict[bytes, bytes] = {}
    for name, value in scope["headers"]:
        headers[name] = headers[name] + b"\n" + value if name in headers else value
    return headers


async def _known(declared: Route, scope: Scope, headers: dict[bytes, bytes]) -> Call:
    """Who calls, and from where they may."""
    state = scope["litestar_app"].state
    request_id = request_id_of(scope)
    known = cast(Mapping[str, Any], scope).get(KNOWN)
    credential = known or await _credential(state, headers)
    scope["state"]["credential"] = credential
    await state.use(credential)
    call = Call(
        state,
        credential,
        request_id,
        declared.operation_id,
        declared.scope,
        scope["path_params"],
        "",
        None,
        scope["state"].get("trace"),
        _address(scope),
    )
    require_network(credential, call.address)
    return call


async def _signed(call: Call, scope: Scope, receive: Receive) -> bytes:
    """The body of a request whose key signs what it sends; nothing else is looked at before."""
    told = cast(Mapping[str, Any], scope)
    query = told["query_string"]
    target = told["raw_path"] + (b"?" + query if query else b"")
    given = [value for name, value in told["headers"] if name == signing.HEADER]
    signature = b"\n".join(given) if given else None
    sent = signing.Sent(told["method"], target, await _body(receive), signature)
    await call.state.signatures.require(call.credential, sent)
    return sent.body


async def _check(declared: Route, scope: Scope, headers: dict[bytes, bytes], call: Call) -> None:
    """All but the body, in the order given on top."""
    await _require_allowed(declared, call)
    if declared.body is not None:
        _require_json(headers)
        _require_small(headers)
    if declared.idempotent:
        call.idempotency_key = _idempotency_key(headers)
    call.query = _query(declared, scope["query_string"])


def _address(scope: Scope) -> str | None:
    return address_of(scope, scope["litestar_app"].state.get("trusted_proxies", 0))


async def _credential(state: Any, headers: dict[bytes, bytes]) -> Credential:
    scheme, _, text = headers.get(b"authorization", b"").decode("latin-1").partition(" ")
    credential = await state.authenticate(text) if scheme.lower() == "bearer" else None
    if credential is None:
        raise ProblemError(problems.UNAUTHENTICATED, headers={"WWW-Authenticate": "Bearer"})
    return cast(Credential, credential)


async def _require_allowed(declared: Route, call: Call) -> None:
    """Raise 403 where the key lacks the scope, and for a member's token unless the route is open.

    Where people may act is read with each of their requests: what they may do at one store is no
    hint of another. One that is good no more is answered 401 here as anywhere: what is closed to it
    doesn't look.
    """
    if call.credential.member_id is None:
        is_person, lacks = call.credential.user_id, declared.scope not in call.credential.scopes
        if is_person or lacks:  # it may have been given more meanwhile
            call.credential = await call.state.renew(call.credential)
        require_scope(call.credential, declared.scope)
    elif not declared.for_members:
        await call.state.confirm(call)
        raise closed_to_members()


def _require_json(headers: dict[bytes, bytes]) -> None:
    text = headers.get(b"content-type", b"").decode("latin-1").lower()
    media_type, _, parameters = text.partition(";")
    charset = parameters.strip()
    if media_type.strip() != JSON or charset not in ("", "charset=utf-8", 'charset="utf-8"'):
        raise ProblemError(problems.UNSUPPORTED_MEDIA_TYPE)


def _require_small(headers: dict[bytes, bytes]) -> None:
    length = _content_length(headers)
    if length is not None and length > BODY_MAX_BYTES:
        raise ProblemError(problems.PAYLOAD_TOO_LARGE)


def _content_length(headers: dict[bytes, bytes]) -> int | None:
    length = headers.get(b"content-length", b"")
    return int(length[:20]) if length.isdigit() else None


def _idempotency_key(headers: dict[bytes, bytes]) -> str:
    value = headers.get(b"idempotency-key")
    if value is None:
        raise ProblemError(problems.KEY_REQUIRED)
    key = value.decode("latin-1")
    if len(key) not in KEY_LENGTH or not key.isascii() or not key.isprintable():
        raise ProblemError(problems.KEY_INVALID)
    return key


def _query(declared: Route, raw: bytes) -> Any:
    if declared.query is not None:
        pairs = parse_qsl(raw.decode("latin-1"), keep_blank_values=True)
        return validation.query(pairs, declared.query)
    if raw:
        text = "This route takes no query parameters."
        reason = because(problems.UNKNOWN_FIELD, text, path="$query")
        raise ProblemError(problems.INVALID_REQUEST, reasons=[reason])
    return None


async def _body(receive: Receive) -> bytes:
    """The body; reading stops at the limit, so that no caller fills the memory."""
    body = bytearray()
    while True:
        event = await receive()
        if event["type"] != "http.request":
            raise ProblemError(problems.MALFORMED_JSON, "The body ended before its end.")
        body += event["body"]
        if len(body) > BODY_MAX_BYTES:
            raise ProblemError(problems.PAYLOAD_TOO_LARGE)
        if not event.get("more_body", False):
            return bytes(body)


def _reply(answer: Answer, request_id: str) -> Reply:
    media_type = answer.media_type if answer.status < 400 else problems.MEDIA_TYPE
    extra = REPLAYED if answer.replayed else answer.headers
    return reply(answer.status, answer.body, request_id, media_type, extra)
