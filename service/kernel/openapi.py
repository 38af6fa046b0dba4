"""The contract: an OpenAPI 3.1 document made from the same declarations that serve the requests."""

import re
from collections.abc import Iterator, Sequence
from inspect import cleandoc
from typing import Any

import msgspec
from msgspec import Struct

from schemas.problems import Outcome, Problem
from service.kernel import problems
from service.kernel.ids import PATTERN
from service.kernel.problems import Code, because
from service.kernel.routes import Route, errors_of

REF = "#/components/schemas/{name}"
SHARED_CODES_MAX = 4
EXAMPLE_REQUEST_ID = "req_0k80m6evi64pjv08or0adqpig5"
EXAMPLE_REASONS = {
    problems.INVALID_REQUEST.code: [
        because(problems.MISSING_FIELD, path="$.amount.currency"),
        because(problems.INVALID_VALUE, "Expected `int`, got `str`.", path="$.amount.value"),
    ],
    problems.FORBIDDEN.code: [
        because(
            problems.SCOPE_MISSING, "The key lacks the scope cards:write.", allowed=["cards:write"]
        )
    ],
}
HEADERS: dict[str, Any] = {
    "X-Request-Id": {
        "description": "The id of this request; quote it when you ask for help.",
        "schema": {"type": "string", "examples": [EXAMPLE_REQUEST_ID]},
    },
    "Idempotent-Replayed": {
        "description": "Present when this is the answer to an earlier request with the same key.",
        "schema": {"type": "string", "enum": ["true"]},
    },
    "Next-Cursor": {
        "description": "Send it as `cursor` to get what follows; absent: there is no more.",
        "schema": {"type": "string"},
    },
    "Content-Security-Policy": {
        "description": "Of a page: it may load nothing and run nothing.",
        "schema": {"type": "string"},
    },
    "Content-Disposition": {
        "description": "Of a page or file: the name to keep it under.",
        "schema": {"type": "string", "examples": ['inline; filename="record.pdf"']},
    },
    "Opening-At": {
        "description": "The period begins after it. UTC, RFC 3339.",
        "schema": {"type": "string", "format": "date-time"},
    },
    "Closing-At": {
        "description": "The period ends with it. UTC, RFC 3339.",
        "schema": {"type": "string", "format": "date-time"},
    },
    "Retry-After": {
        "description": "Seconds to wait before sending again.",
        "schema": {"type": "string", "examples": ["1"]},
    },
    "WWW-Authenticate": {
        "description": "The scheme to use: Bearer.",
        "schema": {"type": "string", "examples": ["Bearer"]},
    },
}
IDEMPOTENCY_KEY: dict[str, Any] = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": True,
    "description": "One new key for each intended effect, stored before you send. After a time-out "
    "or a broken connection send the same request with the same key: it happens once, and the "
    "answer is the first one's. A key is the whole merchant's, for ever: begin it with store and "
    "terminal, so that no two tills make the same.",
    "schema": {
        "type": "string",
        "minLength": 8,
        "maxLength": 128,
        "pattern": "^[!-~][ -~]*[!-~]$",
    },
}
BEARER: dict[str, Any] = {
    "type": "http",
    "scheme": "bearer",
    "description": "An API key (kfk_test_… or kfk_live_…), which names its merchant by itself. "
    "Each operation names the scope it needs. Requests of a key that was made `signed` carry "
    "`Kafang-Signature` besides (quick start for people, 9).",
}
MEMBER: dict[str, Any] = {
    "type": "http",
    "scheme": "bearer",
    "description": "A member's token (kfm_test_… or kfm_live_…), which the merchant's backend "
    "issues with `POST /v1/members/{member_id}/tokens`. It is good for minutes, has no scopes, and "
    "only the operations that say so take it: they show the member's own. What isn't theirs is "
    "answered as if it were not there.",
}


def document(routes: Sequence[Route], title: str, version: str, description: str) -> dict[str, Any]:
    """The document for these routes, the same for the same routes.

    Raises ValueError for two routes of one name, or one method and path, and
    msgspec.ValidationError for an example that its own schema refuses.
    """
    references, components = _schemas(routes)
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        methods = paths.setdefault(route.path, {})
        if route.method.lower() in methods or _names(routes).count(route.operation_id) > 1:
            raise ValueError(f"{route.operation_id} is declared twice")
        methods[route.method.lower()] = _operation(route, references, components)
    for query in _queries(routes):
        components.pop(_name(references[query]), None)
    for component in components.values():
        # Generators take a field with a default for one that is always there, and demand it.
        for field in component["properties"].values():
            field.pop("default", None)
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "version": version, "description": description},
        "tags": [{"name": tag} for tag in dict.fromkeys(route.tag for route in routes)],
        "paths": paths,
        "components": {
            "schemas": dict(sorted(components.items())),
            "examples": _problem_examples(routes),
            "responses": _shared_refusals(routes, references),
            "headers": HEADERS,
            "securitySchemes": {"bearer": BEARER, "member": MEMBER},
        },
    }


def _schemas(routes: Sequence[Route]) -> tuple[dict[Any, Any], dict[str, Any]]:
    """The reference of each declared type, and the schemas they name."""
    wanted: dict[Any, None] = {Problem: None}
    for route in routes:
        shown = [*route.answers.values(), *route.also.values()]
        wanted |= dict.fromkeys([route.body, route.query, *shown])
    wanted.pop(None, None)
    references, components = msgspec.json.schema_components(wanted, ref_template=REF)
    for component in components.values():
        if "description" in component:
            component["description"] = cleandoc(component["description"])
    return dict(zip(wanted, references, strict=True)), components


def _operation(
    route: Route, references: dict[Any, Any], components: dict[str, Any]
) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": route.operation_id,
        "tags": [route.tag],
        "summary": route.summary,
        "description": route.description + _needs(route),
        "security": _security(route),
    }
    if route.scope:
        operation["x-scope"] = route.scope
    if parameters := [*_parameters(route, references, components)]:
        operation["parameters"] = parameters
    if route.body is not None:
        content = _content(references[route.body], _example(route.example_body, route.body))
        operation["requestBody"] = {"required": True, "content": {"application/json": content}}
    operation["responses"] = _answers(route, references) | _refusals(route, references)
    return operation


def _needs(route: Route) -> str:
    if not route.scope:
        return ""
    key = f"\n\nTakes an API key with the scope `{route.scope}`"
    return key + (", or a member's token for what is theirs." if route.for_members else ".")


def _security(route: Route) -> list[dict[str, list[str]]]:
    """Each kind of credential that is taken, one of them is enough; none: it is open to all."""
    keys = [{"bearer": [route.scope]}] if route.scope else []
    members: list[dict[str, list[str]]] = [{"member": []}] if route.for_members else []
    return keys + members


def _parameters(
    route: Route, references: dict[Any, Any], components: dict[str, Any]
) -> Iterator[dict[str, Any]]:
    for name in re.findall(r"\{(\w+)\}", route.path):
        schema = {"type": "string"}
        if name.endswith("_id"):
            schema["pattern"] = f"^{PATTERN.pattern}$"
        parameter = {"name": name, "in": "path", "required": True, "schema": schema}
        yield parameter | {"example": route.example_path[name]}
    if route.query is not None:
        query = components[_name(references[route.query])]
        for name, schema in query["properties"].items():
            schema = dict(schema)
            parameter = {"name": name, "in": "query", "required": name in query["required"]}
            if "description" in schema:
                parameter["description"] = schema.pop("description")
            yield parameter | {"schema": schema}
    if route.idempotent:
        # One for each operation: an example key that another operation used would be refused.
        yield IDEMPOTENCY_KEY | {"example": f"{route.operation_id}-20260301-000481"}


def _answers(route: Route, references: dict[Any, Any]) -> dict[str, Any]:
    """The successes; the route's example is that of those that show what the first shows."""
    names = ["X-Request-Id"] + ["Idempotent-Replayed"] * route.idempotent + [*route.answer_headers]
    answers: dict[str, Any] = {}
    shown = next(iter(route.answers.values()))
    for status, wanted in route.answers.items():
        example = _example(route.example_answer, wanted) if wanted == shown else None
        content = _content(references[wanted] if wanted is not None else {}, example)
        answers[str(status)] = {
            "description": _first_line(wanted) or route.summary,
            "headers": _headers(names),
            "content": {route.media_type: content}
            | {
                media_type: _content(references[other], references[other]["examples"][0])
                for media_type, other in route.also.items()
            },
        }
    return answers


def _by_status(route: Route) -> dict[int, list[Code]]:
    by_status: dict[int, list[Code]] = {}
    for code in errors_of(route):
        by_status.setdefault(code.status, []).append(code)
    return dict(sorted(by_status.items()))


def _refusals(route: Route, references: dict[Any, Any]) -> dict[str, Any]:
    """The problems, grouped by status, each code with its meaning and an example."""
    return {
        str(status): {"$ref": f"#/components/responses/{_shared_name(codes)}"}
        if len(codes) <= SHARED_CODES_MAX
        else _refusal(status, codes, references)
        for status, codes in _by_status(route).items()
    }


def _shared_refusals(routes: Sequence[Route], references: dict[Any, Any]) -> dict[str, Any]:
    """The answers with few codes: many routes give the same, so they are written once."""
    groups = [group for route in routes for group in _by_status(route).items()]
    shared = {
        _shared_name(codes): _refusal(status, codes, references)
        for status, codes in groups
        if len(codes) <= SHARED_CODES_MAX
    }
    return dict(sorted(shared.items()))


def _shared_name(codes: list[Code]) -> str:
    return ".".join(code.code for code in codes)


def _refusal(status: int, codes: list[Code], references: dict[Any, Any]) -> dict[str, Any]:
    names = ["X-Request-Id"]
    names += ["WWW-Authenticate"] * (status == 401) + ["Retry-After"] * (status == 503)
    return {
        "description": "\n".join(
            f"- `{code.code}`: {code.title}. {code.mend} Retry: {code.retry}." for code in codes
        ),
        "x-codes": [code.code for code in codes],
        "headers": _headers(names),
        "content": {
            problems.MEDIA_TYPE: {
                # One schema for all: a client made from the contract has one type for problems.
                "schema": references[Problem],
                "examples": {
                    code.code: {"$ref": f"#/components/examples/{code.code}"} for code in codes
                },
            }
        },
    }


def _problem_examples(routes: Sequence[Route]) -> dict[str, Any]:
    """One answer for each code that any route can give."""
    codes = {code.code: code for route in routes for code in errors_of(route)}
    return {
        name: {"summary": code.title, "value": msgspec.json.decode(_problem_body(code))}
        for name, code in sorted(codes.items())
    }


def _problem_body(code: Code) -> bytes:
    outcome: Outcome = "unknown" if code is problems.OUTCOME_UNKNOWN else "not_applied"
    reasons = EXAMPLE_REASONS.get(code.code, [])
    return problems.render(code, EXAMPLE_REQUEST_ID, code.mend, reasons, outcome)


def _example(value: Any, wanted: Any) -> Any:
    """The example as JSON, after its own schema took it."""
    if value is None:
        return None
    plain = msgspec.to_builtins(value)
    msgspec.convert(plain, wanted)
    return plain


def _content(schema: dict[str, Any], example: Any) -> dict[str, Any]:
    return {"schema": schema} | ({} if example is None else {"example": example})


def _headers(names: list[str]) -> dict[str, Any]:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def _queries(routes: Sequence[Route]) -> set[Any]:
    """Types that are query parameters only: their fields are listed, they need no schema."""
    others = {kind for route in routes for kind in (route.body, *route.answers.values())}
    return {route.query for route in routes} - others - {None}


def _names(routes: Sequence[Route]) -> list[str]:
    return [route.operation_id for route in routes]


def _name(reference: dict[str, Any]) -> str:
    return str(reference["$ref"]).rpartition("/")[2]


def _first_line(wanted: Any) -> str:
    """What a Struct says of itself; the words of a plain type are Python's."""
    told = wanted.__doc__ if isinstance(wanted, type) and issubclass(wanted, Struct) else None
    return cleandoc(told or "").partition("\n")[0]
