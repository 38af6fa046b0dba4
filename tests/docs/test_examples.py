"""What `/docs` offers to try out works as it stands, with the key that `make run` leaves behind."""

from typing import Any

from service import app
from tests.harness import people
from tests.harness import server as servers
from tests.harness.client import Client

ROUTES = {route.operation_id: route for route in app.declared()}
# For whoever signed in, and for signing in: their examples run in tests/contract/flow.py.
FOR_PEOPLE = {
    name
    for name, route in ROUTES.items()
    if people.is_for_people(route) or (not route.scope and route.body is not None)
}
# Nothing waits at the demo merchant, which has no rules: tests/contract/flow.py has something.
ELSEWHERE = FOR_PEOPLE | {"get_approval"}


def request_of(operation: dict[str, Any], path: str) -> tuple[str, Any, str | None]:
    """Path with its query, body and idempotency key, from an operation's examples alone."""
    query, key = [], None
    for parameter in operation.get("parameters", ()):
        example = parameter.get("example", *parameter["schema"].get("examples", [None])[:1])
        if parameter["in"] == "path":
            path = path.replace(f"{{{parameter['name']}}}", example)
        elif parameter["in"] == "header":
            key = example
        elif example is not None:
            query.append(f"{parameter['name']}={example}")
    body = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    return path + "?" * bool(query) + "&".join(query), body.get("example"), key


async def test_CAP_G2_every_example_runs_against_the_demo_tenant() -> None:
    with servers.running() as server:
        token = server.demo()["merchant_key"]
        async with Client(server.host, server.port, token) as client:
            contract = (await client.get("/docs/openapi.json")).json()
            answered = []
            for path, methods in contract["paths"].items():
                for method, operation in methods.items():
                    place, body, key = request_of(operation, path)
                    name = operation["operationId"]
                    if name in ELSEWHERE:
                        continue
                    if method == "get":
                        answer = await client.get(place)
                    else:
                        answer = await client.post(place, body, key)
                    assert answer.status < 300, f"{name}: {answer.status} {answer.body!r}"
                    assert "idempotent-replayed" not in answer.headers, name
                    answered.append(name)
        assert sorted(answered) == sorted(set(ROUTES) - ELSEWHERE)
