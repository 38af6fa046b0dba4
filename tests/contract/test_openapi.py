"""The committed contract: what the code says, valid, complete, and with examples that hold."""

import copy
import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]
from openapi_spec_validator import OpenAPIV31SpecValidator

from service import app
from tests.contract import flow
from tests.contract.breaking import resolved
from tests.contract.flow import ROUTES
from tests.harness import contract
from tests.harness.client import Client, Response
from tests.harness.server import CONTRACT, ROOT, Server
from tests.harness.tenant import Tenant

COMMITTED = CONTRACT.read_text("utf-8")
DOCUMENT: dict[str, Any] = json.loads(COMMITTED)
OPERATIONS: dict[str, dict[str, Any]] = {
    operation["operationId"]: operation
    for methods in DOCUMENT["paths"].values()
    for operation in methods.values()
}


def faults(schema: dict[str, Any], value: Any) -> list[str]:
    """Why a value does not fit a schema of the document."""
    whole = {**schema, "components": DOCUMENT["components"]}
    return [error.message for error in Draft202012Validator(whole).iter_errors(value)]


def test_the_committed_contract_is_the_generated_one() -> None:
    assert app.openapi_text() == COMMITTED, "openapi/openapi.json is stale: make openapi"


def test_the_command_prints_the_document_and_nothing_else() -> None:
    command = [sys.executable, "-m", "service", "openapi"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, timeout=60, check=True)
    assert done.stdout.decode("utf-8") == COMMITTED
    assert done.stderr == b""


async def test_the_server_serves_it(server: Server) -> None:
    async with Client(server.host, server.port) as client:
        answer = await client.get("/openapi.json")
    assert answer.body.decode("utf-8") == COMMITTED


def test_it_is_valid() -> None:
    assert list(OpenAPIV31SpecValidator(DOCUMENT).iter_errors()) == []


def test_an_invalid_one_is_seen() -> None:
    broken = copy.deepcopy(DOCUMENT)
    broken["paths"]["/v1/cards"]["post"]["responses"] = []
    assert list(OpenAPIV31SpecValidator(broken).iter_errors())


@pytest.mark.parametrize("name", sorted(OPERATIONS))
def test_every_operation_is_explained(name: str) -> None:
    operation = OPERATIONS[name]
    assert operation["summary"]
    assert len(operation["description"]) > len("Needs the scope ``.")
    for status, part in operation["responses"].items():
        answer = resolved(part, DOCUMENT)
        assert answer["description"], status
        assert "X-Request-Id" in answer["headers"], status


@pytest.mark.parametrize("name", sorted(DOCUMENT["components"]["schemas"]))
def test_every_schema_is_explained(name: str) -> None:
    schema = DOCUMENT["components"]["schemas"][name]
    assert schema.get("description"), f"{name} has no docstring"
    unclear = [
        field
        for field, part in schema["properties"].items()
        if "description" not in part and field not in CLEAR and not named(part)
    ]
    assert not unclear, f"{name}: describe {', '.join(unclear)}"


# Fields whose name says all there is to say, given the docstring of their Struct.
CLEAR = frozenset(
    {"id", "name", "data", "next_cursor", "code", "title", "status", "type", "reason", "reasons",
     "currency", "outcome", "created_at", "activated_at", "recorded_at", "published_at", "now",
     "kind", "request_no", "card_number", "template_id", "template_version", "card_id", "store_id",
     "redemption_id", "redemption_status", "lot_id", "line_id", "account", "operation_id",
     "sources", "terminal_id", "operator", "shift", "receipt_no", "tender", "payment_reference"}
)  # fmt: skip


def named(part: dict[str, Any]) -> bool:
    """Whether the field's own type, a described schema, says what it is."""
    options = [part, *part.get("anyOf", []), part.get("items", {})]
    return any("$ref" in option for option in options)


def examples() -> Iterator[tuple[str, str, dict[str, Any], Any]]:
    """(operation, where, schema, example) for each request and answer."""
    for name, operation in OPERATIONS.items():
        parts = {"request": operation["requestBody"]} if "requestBody" in operation else {}
        parts |= {
            status: resolved(part, DOCUMENT) for status, part in operation["responses"].items()
        }
        for where, part in parts.items():
            for media_type, content in part["content"].items():
                form = "" if media_type.endswith("json") else f" {media_type}"
                given = content.get("examples", {"": {"value": content.get("example")}})
                for label, example in given.items():
                    yield (
                        name,
                        f"{where}{form} {label}",
                        content["schema"],
                        resolved(example, DOCUMENT)["value"],
                    )


EXAMPLES = list(examples())


@pytest.mark.parametrize(
    ("schema", "example"), [e[2:] for e in EXAMPLES], ids=[f"{e[0]}-{e[1]}" for e in EXAMPLES]
)
def test_every_request_and_answer_has_an_example_that_fits(
    schema: dict[str, Any], example: Any
) -> None:
    assert example is not None
    assert faults(schema, example) == []


def test_an_example_that_does_not_fit_is_seen() -> None:
    schema = {"$ref": "#/components/schemas/CardLookup"}
    assert faults(schema, {"card_number": 8800}) != []
    assert faults(schema, {"card_number": "8800123412341237", "colour": "red"}) != []
    assert faults({"$ref": "#/components/schemas/Problem"}, {"code": "x"}) != []


async def test_examples_are_what_the_service_answers(server: Server, tenant: Tenant) -> None:
    answered = flow.invented(await flow.walk(server, tenant))
    committed = json.loads(flow.FILE.read_text("utf-8"))
    assert answered.keys() == committed.keys() == ROUTES.keys()
    stale = [name for name in answered if flow.shape(answered[name]) != flow.shape(committed[name])]
    assert not stale, f"{stale}: python -m tests.contract.flow && make openapi"


BAD_ANSWERS = [
    (200, "application/json", b"{}", "is not declared"),
    (201, "text/plain", b"{}", "is text/plain"),
    (201, "application/json", b'{"id":"x"}', "does not fit"),
    (418, "application/problem+json", b"{}", "does not fit"),
    (409, "application/json", b"{}", "is application/json"),
]


@pytest.mark.parametrize(("status", "media_type", "body", "fault"), BAD_ANSWERS)
def test_an_answer_the_contract_does_not_declare_is_seen(
    status: int, media_type: str, body: bytes, fault: str
) -> None:
    headers = {"content-type": media_type, "x-request-id": "req_1"}
    found = contract.faults(ROUTES["issue_card"], Response(status, headers, body))
    assert any(fault in text for text in found), found


@pytest.mark.parametrize(
    ("media_type", "body", "fault"),
    [
        ("application/json", b"a,b\r\n", "is application/json"),
        ("text/csv; charset=utf-8", b"", "is no table"),
        ("text/csv; charset=utf-8", b"\xff\r\n", "is no table"),
        ("text/csv; charset=utf-8", b'a,"b\r\n', "is no table"),
        ("text/csv; charset=utf-8", b"a,b\r\n1,2\r\n3\r\n", "1 lines that are not as long"),
        ("text/csv; charset=utf-8", b"a,b\r\n1,2", "does not end with a line's end"),
    ],
)
def test_a_table_that_is_none_is_seen(media_type: str, body: bytes, fault: str) -> None:
    headers = {"content-type": media_type, "x-request-id": "req_1"}
    found = contract.faults(ROUTES["report_operations"], Response(200, headers, body))
    assert any(fault in text for text in found), found


def test_more_than_was_declared_is_seen() -> None:
    answer = json.loads(flow.FILE.read_text("utf-8"))["issue_card"]
    headers = {"content-type": "application/json", "x-request-id": "req_1"}
    good = Response(201, headers, json.dumps(answer).encode())
    assert contract.faults(ROUTES["issue_card"], good) == []
    more = Response(201, headers, json.dumps({**answer, "pin": "1234"}).encode())
    [fault] = contract.faults(ROUTES["issue_card"], more)
    assert "holds more" in fault
    silent = Response(201, {"content-type": "application/json"}, good.body)
    assert "X-Request-Id" in contract.faults(ROUTES["issue_card"], silent)[0]


@pytest.mark.parametrize(
    ("code", "status", "fault"),
    [("value_of_nothing", 409, "is not declared"), ("card_not_found", 409, "is not declared")],
)
def test_a_problem_its_route_does_not_declare_is_seen(code: str, status: int, fault: str) -> None:
    problem = {
        "type": f"/docs/errors#{code}", "title": "x", "status": status, "code": code, "detail": "x",
        "request_id": "req_1", "outcome": "not_applied", "retry": "no", "reasons": [],
    }  # fmt: skip
    headers = {"content-type": "application/problem+json", "x-request-id": "req_1"}
    answer = Response(status, headers, json.dumps(problem).encode())
    assert any(fault in text for text in contract.faults(ROUTES["move_test_clock"], answer))
