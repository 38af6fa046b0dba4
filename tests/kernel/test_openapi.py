"""The contract says what the declared routes take and answer, and nothing else."""

import json
from typing import Annotated, Any, Literal

import msgspec
import pytest
from msgspec import Meta, Struct
from openapi_spec_validator import OpenAPIV31SpecValidator

from service.kernel import problems
from service.kernel.openapi import document
from service.kernel.routes import Route, errors_of


class Cup(Struct, forbid_unknown_fields=True):
    """A cup to fill.

    Its size is in millilitres.
    """

    size: Annotated[int, Meta(ge=1, le=2**53 - 1, description="Millilitres.")]
    note: Annotated[str, Meta(max_length=20)] | None = None


class Filled(Struct):
    """A cup that was filled."""

    id: str
    cup: Cup


class CupQuery(Struct, forbid_unknown_fields=True):
    """Which cups."""

    state: Annotated[Literal["full", "empty"], Meta(description="Their state.")]
    limit: Annotated[int, Meta(ge=1, le=200)] = 50


FILL = Route(
    method="POST",
    path="/v1/shelves/{shelf_id}/cups",
    operation_id="fill_cup",
    summary="Fill a cup",
    description="Fills it.",
    tag="Cups",
    scope="cards:write",
    answers={201: Filled, 200: Filled},
    errors=(problems.PAYLOAD_TOO_LARGE,),
    body=Cup,
    idempotent=True,
    example_path={"shelf_id": "she_1"},
    example_body={"size": 250},
    example_answer=Filled("cup_1", Cup(250)),
)
LIST = Route(
    method="GET",
    path="/v1/shelves/{shelf_id}/cups",
    operation_id="list_cups",
    summary="List cups",
    description="Lists them.",
    tag="Cups",
    scope="cards:read",
    answers={200: Filled},
    errors=(),
    query=CupQuery,
    example_path={"shelf_id": "she_1"},
)
ALIVE = Route(
    method="GET",
    path="/live",
    operation_id="live",
    summary="Is it alive?",
    description="Says so.",
    tag="Health",
    scope="",
    answers={200: Filled},
    errors=(),
)
ROUTES = [FILL, LIST, ALIVE]


@pytest.fixture(name="api", scope="module")
def _api() -> dict[str, Any]:
    return document(ROUTES, "Cups", "1.0", "Cups on shelves.")


def refusals(api: dict[str, Any], route: Route) -> dict[str, Any]:
    """A route's responses by status, references resolved."""
    shared = api["components"]["responses"]
    responses = api["paths"][route.path][route.method.lower()]["responses"]
    return {
        status: shared[answer["$ref"].rpartition("/")[2]] if "$ref" in answer else answer
        for status, answer in responses.items()
    }


def changed(route: Route, **changes: Any) -> Route:
    return msgspec.structs.replace(route, **changes)


def test_it_is_valid(api: dict[str, Any]) -> None:
    OpenAPIV31SpecValidator(api).validate()


def test_a_broken_one_is_not_valid(api: dict[str, Any]) -> None:
    broken = json.loads(json.dumps(api))
    del broken["paths"]["/live"]["get"]["responses"]["200"]["description"]
    assert not OpenAPIV31SpecValidator(broken).is_valid()


def test_it_is_the_same_each_time(api: dict[str, Any]) -> None:
    assert json.dumps(document(ROUTES, "Cups", "1.0", "Cups on shelves.")) == json.dumps(api)


def test_every_reference_leads_somewhere(api: dict[str, Any]) -> None:
    text = json.dumps(api)
    references = {part.split('"')[0] for part in text.split('"$ref": "#/')[1:]}
    assert len(references) > 10
    for reference in references:
        here: Any = api
        for step in reference.split("/"):
            here = here[step]


def test_a_table(api: dict[str, Any]) -> None:
    table = changed(
        LIST, answers={200: str}, media_type="text/csv", answer_headers=("Next-Cursor",),
        example_answer="id\r\ncup_1\r\n",
    )  # fmt: skip
    answer = document([table], "Cups", "1.0", "")["paths"][LIST.path]["get"]["responses"]["200"]
    assert answer["content"] == {
        "text/csv": {"schema": {"type": "string"}, "example": "id\r\ncup_1\r\n"}
    }
    assert answer["headers"].keys() == {"X-Request-Id", "Next-Cursor"}
    assert answer["description"] == LIST.summary


def test_a_write(api: dict[str, Any]) -> None:
    write = api["paths"]["/v1/shelves/{shelf_id}/cups"]["post"]
    assert write["operationId"] == "fill_cup"
    assert write["security"] == [{"bearer": ["cards:write"]}]
    assert "`cards:write`" in write["description"]
    path, key = write["parameters"]
    assert path["schema"]["pattern"] == "^[a-z]{3}_[0-9a-v]{26}$"
    assert path["example"] == "she_1"
    assert (key["name"], key["in"], key["required"]) == ("Idempotency-Key", "header", True)
    assert key["example"].startswith("fill_cup-"), "no two operations share an example's key"
    body = write["requestBody"]["content"]["application/json"]
    assert body == {"schema": {"$ref": "#/components/schemas/Cup"}, "example": {"size": 250}}
    created = write["responses"]["201"]
    assert created["description"] == "A cup that was filled."
    assert created["headers"].keys() == {"X-Request-Id", "Idempotent-Replayed"}
    assert created["content"]["application/json"]["example"]["cup"]["size"] == 250
    assert write["responses"]["200"]["content"] == created["content"], "it shows the same"


def test_a_schema_is_strict_and_told(api: dict[str, Any]) -> None:
    cup = api["components"]["schemas"]["Cup"]
    assert cup["additionalProperties"] is False
    assert cup["description"] == "A cup to fill.\n\nIts size is in millilitres."
    size = cup["properties"]["size"]
    assert json.dumps(size["maximum"]) == "9007199254740991"
    assert cup["required"] == ["size"]


def test_query_parameters_are_the_fields_of_their_struct(api: dict[str, Any]) -> None:
    _, state, limit = api["paths"]["/v1/shelves/{shelf_id}/cups"]["get"]["parameters"]
    assert (state["name"], state["in"], state["required"]) == ("state", "query", True)
    assert state["description"] == "Their state."
    assert state["schema"] == {"enum": ["empty", "full"]}
    assert (limit["required"], limit["schema"]["default"]) == (False, 50)
    assert "CupQuery" not in api["components"]["schemas"]


def test_every_error_is_listed_by_status(api: dict[str, Any]) -> None:
    for route in ROUTES:
        listed = {
            (int(status), code)
            for status, answer in refusals(api, route).items()
            for code in answer["content"].get(problems.MEDIA_TYPE, {}).get("examples", ())
        }
        assert listed == {(code.status, code.code) for code in errors_of(route)}


def test_an_error_names_its_codes(api: dict[str, Any]) -> None:
    answer = refusals(api, FILL)["503"]
    assert answer["headers"].keys() == {"X-Request-Id", "Retry-After"}
    content = answer["content"]["application/problem+json"]
    assert content["schema"] == {"$ref": "#/components/schemas/Problem"}
    assert answer["x-codes"] == ["unavailable", "overloaded", "outcome_unknown"]
    example = api["components"]["examples"]["outcome_unknown"]["value"]
    assert (example["status"], example["outcome"], example["retry"]) == (503, "unknown", "same_key")
    assert "`unavailable`" in answer["description"]


def test_an_answer_of_many_codes_stays_with_its_route() -> None:
    codes = tuple(problems.Code(f"full_{n}", 409, "Full", "Empty it.", "no") for n in range(5))
    api = document([changed(FILL, errors=codes)], "Cups", "1.0", "")
    assert "`full_4`" in api["paths"][FILL.path]["post"]["responses"]["409"]["description"]


def test_an_open_route_needs_no_credential(api: dict[str, Any]) -> None:
    live = api["paths"]["/live"]["get"]
    assert live["security"] == []
    assert "401" not in live["responses"]
    assert "parameters" not in live


@pytest.mark.parametrize("example", [{"size": 0}, {"size": 1, "colour": "red"}, {}])
def test_an_example_that_its_schema_refuses_is_a_fault(example: Any) -> None:
    with pytest.raises(msgspec.ValidationError):
        document([changed(FILL, example_body=example)], "", "", "")


def test_two_routes_can_not_share_a_name_or_a_place() -> None:
    with pytest.raises(ValueError, match="fill_cup is declared twice"):
        document([FILL, changed(FILL, path="/v1/cups")], "", "", "")
    with pytest.raises(ValueError, match="fill_again is declared twice"):
        document([FILL, changed(FILL, operation_id="fill_again")], "", "", "")


def test_an_answer_in_several_forms_names_each() -> None:
    """The first is the route's own; the others bring an example with their type."""
    drawn = Annotated[str, Meta(description="A drawing.", examples=["<svg/>"])]
    route = msgspec.structs.replace(LIST, also={"image/svg+xml": drawn})
    whole = document([route], "Cups", "1", "Cups.")
    assert list(OpenAPIV31SpecValidator(whole).iter_errors()) == []
    content = whole["paths"][LIST.path]["get"]["responses"]["200"]["content"]
    assert list(content) == ["application/json", "image/svg+xml"]
    assert content["image/svg+xml"]["example"] == "<svg/>"
    assert content["image/svg+xml"]["schema"]["type"] == "string"
