"""A change of the contract that would break a client fails the build until the version says so."""

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.contract.breaking import RELEASED, breaks
from tests.harness.server import CONTRACT

Document = dict[str, Any]
Change = Callable[[Document], object]
NOW: Document = json.loads(CONTRACT.read_text("utf-8"))


def schema(document: Document, name: str) -> Any:
    """A named schema."""
    return document["components"]["schemas"][name]


def operation(document: Document, method: str, path: str) -> Any:
    """An operation."""
    return document["paths"][path][method]


def field(document: Document, name: str, of: str) -> Any:
    """A field of a named schema."""
    return schema(document, of)["properties"][name]


BREAKING: dict[str, tuple[Change, str]] = {
    "a route is gone": (
        lambda d: d["paths"].pop("/v1/reversals"), "POST /v1/reversals is gone",
    ),
    "a method is renamed": (
        lambda d: operation(d, "post", "/v1/cards").update(operationId="make_card"),
        "is called make_card",
    ),
    "another scope is needed": (
        lambda d: operation(d, "post", "/v1/cards").update({"x-scope": "cards:issue"}),
        "needs the scope cards:issue",
    ),
    "a success is gone": (
        lambda d: operation(d, "post", "/v1/cards")["responses"].pop("201"), "201 is gone",
    ),
    "a body is wanted": (
        lambda d: operation(d, "get", "/v1/cards/{card_id}").update(
            requestBody=operation(d, "post", "/v1/cards")["requestBody"]
        ),
        "wants a body",
    ),
    "a parameter is required": (
        lambda d: operation(d, "get", "/v1/redemptions")["parameters"][1].update(required=True),
        "query store_id is required now",
    ),
    "a parameter is new and required": (
        lambda d: operation(d, "get", "/v1/card-templates")["parameters"].append(
            {"name": "status", "in": "query", "required": True, "schema": {"type": "string"}}
        ),
        "query status is required and new",
    ),
    "a parameter is gone": (
        lambda d: operation(d, "get", "/v1/redemptions")["parameters"].pop(1),
        "query store_id is gone",
    ),
    "a field is required": (
        lambda d: schema(d, "TopUpCreate")["required"].append("store_id"),
        "body.store_id is required now",
    ),
    "a field is taken no more": (
        lambda d: schema(d, "TopUpCreate")["properties"].pop("payment_reference"),
        "body.payment_reference is taken no more",
    ),
    "a value is taken no more": (
        lambda d: field(d, "tender", "TopUpCreate")["enum"].remove("cash"),
        "body.tender takes fewer values",
    ),
    "null is taken no more": (
        lambda d: field(d, "reason", "CardAction")["anyOf"].pop(),
        "body.reason takes no null any more",
    ),
    "a bound is narrower": (
        lambda d: field(d, "value", "Amount").update(maximum=10**6), "maximum is smaller",
    ),
    "a list must be longer": (
        lambda d: field(d, "sources", "RedemptionCreate").update(minItems=2),
        "minItems is greater",
    ),
    "another pattern": (
        lambda d: field(d, "request_no", "RedemptionCreate").update(pattern="^[0-9]+$"),
        "another pattern",
    ),
    "an item asks for more": (
        lambda d: schema(d, "Line")["required"].append("category"),
        "body.lines[].category is required now",
    ),
    "a field of an answer may be missing": (
        lambda d: schema(d, "Redemption")["required"].remove("refunded"),
        "201.refunded may be missing now",
    ),
    "a field of an answer may be null": (
        lambda d: field(d, "request_no", "Redemption").update(type=["string", "null"]),
        "201.request_no may be null now",
    ),
    "an item of an answer lacks a field": (
        lambda d: schema(d, "Allocation")["required"].remove("lot_id"),
        "201.allocations[].lot_id may be missing now",
    ),
}  # fmt: skip
HARMLESS: dict[str, Change] = {
    "nothing": lambda _: None,
    "a route more": lambda d: d["paths"].update({"/v1/news": d["paths"]["/health/live"]}),
    "a field more that may be sent": lambda d: schema(d, "TopUpCreate")["properties"].update(
        campaign={"type": "string"}
    ),
    "a field more in an answer": lambda d: (
        schema(d, "Redemption")["properties"].update(points={"type": "integer"}),
        schema(d, "Redemption")["required"].append("points"),
    ),
    "a field asked for no more": lambda d: schema(d, "TopUpCreate")["required"].remove("tender"),
    "a value more": lambda d: field(d, "tender", "TopUpCreate")["enum"].append("unionpay"),
    "a wider bound": lambda d: field(d, "reason", "CardAction")["anyOf"][0].update(maxLength=500),
    "other words": lambda d: schema(d, "Redemption").update(description="Something else."),
}


def test_the_contract_breaks_no_client_of_the_released_one() -> None:
    """Or the version says so: before 1.0 a greater minor version may break, then a major one."""
    released: Document = json.loads(RELEASED.read_text("utf-8"))
    versions = [tuple(map(int, d["info"]["version"].split("."))) for d in (released, NOW)]
    parts = 2 if versions[1][0] == 0 else 1
    assert versions[1][:parts] > versions[0][:parts] or breaks(released, NOW) == []


@pytest.mark.parametrize("name", BREAKING)
def test_a_breaking_change_is_found(name: str) -> None:
    change, expected = BREAKING[name]
    changed = copy.deepcopy(NOW)
    change(changed)
    found = breaks(NOW, changed)
    assert any(expected in text for text in found), found


@pytest.mark.parametrize("name", HARMLESS)
def test_a_harmless_change_is_let_pass(name: str) -> None:
    changed = copy.deepcopy(NOW)
    HARMLESS[name](changed)
    assert breaks(NOW, changed) == []
