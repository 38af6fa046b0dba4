"""Whatever goes wrong becomes a problem: ours, the framework's, and what nobody foresaw."""

import re
from functools import cache
from typing import Any, Literal

import asyncpg
from litestar import Request
from litestar.exceptions import HTTPException
from litestar.response import Response
from litestar.routes import HTTPRoute
from litestar.types import ExceptionHandlersMap, Scope

from schemas.problems import Outcome
from service.kernel import database, logs, metrics, problems, redaction
from service.kernel.problems import Code, ProblemError, because
from service.kernel.replies import Reply, problem_reply, request_id_of

UNMATCHED = "unmatched"  # The route's name in metrics when no route was found.
# What a request does: nothing but look, something under a key, something without one.
Effect = Literal["none", "keyed", "unkeyed"]
# What to do when the database was lost, or too slow, while it was served.
DATABASE_LOST: dict[Effect, str] = {
    "none": "The database didn't answer in time. Nothing was changed; send the same request again.",
    "keyed": "The database was lost meanwhile. Send the same request again, with the same key.",
    "unkeyed": "The database was lost meanwhile. Look whether it was done, then send it again.",
}
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_BY_STATUS: dict[int, Code] = {
    404: problems.NOT_FOUND,
    405: problems.METHOD_NOT_ALLOWED,
    413: problems.PAYLOAD_TOO_LARGE,
    415: problems.UNSUPPORTED_MEDIA_TYPE,
}


def error_reply(error: Exception, scope: Scope, effect: Effect) -> Reply:
    """The answer for any exception; an unforeseen one is logged with its trace, never shown."""
    problem = _problem(error, scope, effect)
    reasons = tuple(dict.fromkeys(reason.code for reason in problem.reasons))
    metrics.count_refusal(problem.code.code, reasons)
    if (trace := scope["state"].get("trace")) is not None:
        trace.refused(problem.code.code, reasons)
    return problem_reply(problem, request_id_of(scope))


def exception_handlers() -> ExceptionHandlersMap:
    """For the framework: what fails outside our routes, an unknown path for one."""
    return {Exception: _respond}


def _respond(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    # It may have been served already, and the answer failed on its way.
    effect: Effect = "none" if request.method in _SAFE_METHODS else "unkeyed"
    reply = error_reply(error, request.scope, effect)
    metrics.count_request(UNMATCHED, reply.status, 0)
    headers = {name.decode(): value.decode() for name, value in reply.headers}
    return Response(reply.body, status_code=reply.status, headers=headers)


def _problem(error: Exception, scope: Scope, effect: Effect) -> ProblemError:
    if isinstance(error, ProblemError):
        return error
    if isinstance(error, HTTPException) and error.status_code < 500:
        return _framework_problem(error, scope)
    # A fault may strike after the commit: only reading surely changed nothing.
    outcome: Outcome = "not_applied" if effect == "none" else "unknown"
    if isinstance(error, database.LOST):
        logs.log.warning("database lost", request_id=request_id_of(scope), error=error)
        return ProblemError(problems.UNAVAILABLE, DATABASE_LOST[effect], outcome=outcome)
    if isinstance(error, asyncpg.DeadlockDetectedError):  # all of it was rolled back
        logs.log.warning("deadlock", request_id=request_id_of(scope), error=error)
        return ProblemError(problems.UNAVAILABLE)
    logs.log.error("unforeseen", request_id=request_id_of(scope), exc_info=error)
    return ProblemError(problems.INTERNAL_ERROR, outcome=outcome)


def _framework_problem(error: HTTPException, scope: Scope) -> ProblemError:
    code = _BY_STATUS.get(error.status_code)
    if code is None:
        return ProblemError(
            problems.INVALID_REQUEST,
            reasons=[because(problems.INVALID_VALUE, redaction.masked(f"{error.detail}."))],
        )
    headers = {"Allow": ", ".join(_allowed(scope))} if code.status == 405 else {}
    return ProblemError(code, headers=headers)


def _allowed(scope: Scope) -> list[str]:
    """The methods of this path; one without a parameter hides those with."""
    found = [
        route
        for route in scope["litestar_app"].routes
        if isinstance(route, HTTPRoute) and _pattern(route.path_format).fullmatch(scope["path"])
    ]
    fewest = min((route.path_format.count("{") for route in found), default=0)
    served = (route for route in found if route.path_format.count("{") == fewest)
    return sorted({method for route in served for method in route.methods})


@cache
def _pattern(path_format: str) -> re.Pattern[str]:
    """`/v1/cards/{card_id}` as an expression that matches its paths."""
    parts = re.split(r"\{[^}]*\}", path_format)
    return re.compile("[^/]+".join(map(re.escape, parts)) + "/?")
