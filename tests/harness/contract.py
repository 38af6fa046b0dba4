"""Every answer held against what its route declares: status, code, media type, schema, headers."""

import csv
import json
import re
from collections.abc import Sequence
from io import StringIO
from typing import Any

import msgspec

from schemas.problems import Problem
from service.kernel import problems
from service.kernel.replies import JSON
from service.kernel.routes import Route, errors_of
from tests.harness.client import Response

# What a request gets that reaches no route.
OUTSIDE = {problems.NOT_FOUND.code, problems.METHOD_NOT_ALLOWED.code}

# What the ids in paths begin with; any operation has a receipt, a redemption is one.
ID_PREFIXES = {
    "card_id": "crd",
    "template_id": "tpl",
    "redemption_id": "rdm",
    "operation_id": "rdm",
    "store_id": "sto",
    "node_id": "sto",
    "member_id": "mbr",
    "area_id": "are",
    "user_id": "usr",
    "grant_id": "grt",
    "session_id": "ses",
    "api_key_id": "key",
    "approval_id": "apv",
    "legal_hold_id": "lgh",
    "visit_id": "vis",
}
# A day that any store may have had.
BUSINESS_DATE = "2026-03-01"


def route_of(declared: Sequence[Route], method: str, path: str) -> Route | None:
    """The route that serves a request; a path without a parameter hides one with."""
    found = [route for route in declared if _pattern(route.path).fullmatch(path)]
    fewest = min((route.path.count("{") for route in found), default=0)
    served = (r for r in found if r.method == method and r.path.count("{") == fewest)
    return next(served, None)


def faults(route: Route | None, response: Response) -> list[str]:
    """What of an answer the contract does not say; empty when it is as declared."""
    name = route.operation_id if route else "outside every route"
    found = _problem_faults(route, response) if response.status >= 400 else []
    if response.status < 400 and route is not None:
        found = _answer_faults(route, response)
    if "x-request-id" not in response.headers:
        found.append("has no X-Request-Id")
    return [f"{name}: {response.status} {fault}" for fault in found]


def _answer_faults(route: Route, response: Response) -> list[str]:
    if response.status not in route.answers:
        return ["is not declared"]
    wanted = route.answers[response.status]
    got = response.headers.get("content-type", "")
    if got in route.also:
        return _file(got, response)
    body = _body if route.media_type == JSON else _table
    return _media_type(response, route.media_type) + body(wanted, response)


def _problem_faults(route: Route | None, response: Response) -> list[str]:
    found = _media_type(response, problems.MEDIA_TYPE) + _body(Problem, response)
    if found:
        return found
    problem = msgspec.json.decode(response.body, type=Problem)
    declared = {(code.code, code.status) for code in errors_of(route)} if route else set()
    inside = route is not None and (problem.code, response.status) in declared
    if not inside and not (route is None and problem.code in OUTSIDE):
        found.append(f"{problem.code} is not declared")
    if problem.status != response.status:
        found.append(f"carries the status {problem.status} in its body")
    replayed = response.headers.get("idempotent-replayed") == "true"
    if (problem.request_id == response.headers.get("x-request-id")) == replayed:
        found.append("has another request_id than its header, or is a replay with a new one")
    if problem.code in problems.CODES and problem.retry != problems.CODES[problem.code].retry:
        found.append(f"advises {problem.retry}")
    return found


def _media_type(response: Response, wanted: str) -> list[str]:
    got = response.headers.get("content-type", "")
    return [] if got == wanted else [f"is {got}, not {wanted}"]


def _body(wanted: Any, response: Response) -> list[str]:
    """Decoded strictly and encoded again it must be the same: no field is missing or undeclared."""
    try:
        value = msgspec.json.decode(response.body, type=wanted)
    except (msgspec.ValidationError, msgspec.DecodeError) as error:
        return [f"does not fit {wanted.__name__}: {error}"]
    again = json.loads(msgspec.json.encode(value))
    return [] if again == response.json() else [f"holds more than {wanted.__name__} declares"]


def _table(_wanted: Any, response: Response) -> list[str]:
    """RFC 4180: in UTF-8, every line as long as the first one and ended by CR LF."""
    try:
        text = response.body.decode("utf-8")
        first, *rest = csv.reader(StringIO(text, newline=""), strict=True)
    except (UnicodeDecodeError, ValueError, csv.Error) as error:
        return [f"is no table: {error}"]
    found = [] if text.endswith("\r\n") else ["does not end with a line's end"]
    odd = [row for row in rest if len(row) != len(first)]
    return found + [f"has {len(odd)} lines that are not as long as the first"] * bool(odd)


def _file(media_type: str, response: Response) -> list[str]:
    """It begins and ends as its kind does."""
    marks = {"application/pdf": (b"%PDF-", b"%%EOF\n")}
    first, last = marks.get(media_type, (b"<!doctype html>\n", b"</html>\n"))
    whole = response.body.startswith(first) and response.body.endswith(last)
    return [] if whole else [f"is no {media_type}"]


def _pattern(path: str) -> re.Pattern[str]:
    return re.compile("[^/]+".join(map(re.escape, re.split(r"\{\w+\}", path))))
