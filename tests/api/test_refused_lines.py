"""Who wasn't let do something is in the log: who, from where, why; and nothing that is secret.

ASVS V16.3.1 to V16.3.3.
"""

import json
from time import monotonic
from typing import Any

import pytest

from tests.api import shop
from tests.api.staff import Staff
from tests.harness import people
from tests.harness.client import Client, Response
from tests.harness.server import Server


@pytest.fixture(autouse=True)
async def _new_second(pos: Client) -> None:
    """So many lines a second are written, and the tests before have had theirs."""
    second = int(monotonic())
    while int(monotonic()) == second:
        assert (await pos.get("/health/live")).status == 200


def line_of(server: Server, answer: Response) -> dict[str, Any]:
    """What the log says of a request that was refused."""
    request_id = answer.headers["x-request-id"]
    lines = server.log.read_text("utf-8", "replace").splitlines()
    (found,) = (json.loads(line) for line in lines if request_id in line)
    assert found["event"] == "refused"
    assert found["address"] == "127.0.0.1"
    told: dict[str, Any] = found
    return told


async def test_a_sign_in_that_fails_is_told_of(staff: Staff, server: Server) -> None:
    person = await staff.hired("cashier", staff.tenant.store_ids[0])
    wrong = line_of(server, await staff.sign_in(person, "Seven*Lamps over 2 roofs"))
    assert (wrong["code"], wrong["route"]) == ("sign_in_failed", "sign_in")
    assert (wrong["merchant_id"], wrong["user_id"]) == (staff.tenant.merchant_id, person.user_id)
    stranger = people.Person("", "nobody@qinghe.example", "", "")
    nobody = line_of(server, await staff.sign_in(stranger))
    assert nobody["merchant_id"] == staff.tenant.merchant_id
    assert "user_id" not in nobody
    text = server.log.read_text("utf-8", "replace")
    assert not any(secret in text for secret in (person.email, stranger.email, "Seven*Lamps"))


async def test_who_lacks_a_permission_is_told_of(staff: Staff, server: Server, pos: Client) -> None:
    till = line_of(server, await pos.get("/v1/events"))
    assert (till["code"], till["reasons"]) == ("forbidden", ["scope_missing"])
    assert till["api_key_id"].startswith("key_")
    cashier = await staff.hired("cashier", staff.tenant.store_ids[0])
    async with staff.client_of(cashier.token) as own:
        person = line_of(server, await own.get("/v1/events"))
    assert (person["reasons"], person["user_id"]) == (["permission_missing"], cashier.user_id)


async def test_a_credential_that_isnt_good_is_told_of(staff: Staff, server: Server) -> None:
    async with staff.client_of(f"kfk_test_{'0' * 26}") as stranger:
        refused = line_of(server, await stranger.get("/v1/card-templates"))
    assert (refused["code"], refused["route"]) == ("unauthenticated", "list_card_templates")
    assert "merchant_id" not in refused


async def test_what_may_be_a_try_is_told_of(staff: Staff, server: Server, office: Client) -> None:
    guessed = line_of(server, await office.post("/v1/cards/lookup", {"card_number": "0" * 16}))
    assert (guessed["code"], guessed["reasons"]) == ("card_not_found", [])
    made = {"template_id": staff.tenant.template_id}
    key = shop.new_key()
    assert (await office.post("/v1/cards", made, key)).status == 201
    other = line_of(server, await office.post("/v1/cards", {**made, "activate": True}, key))
    assert other["code"] == "idempotency_key_reused"
    shown = {"token": "kft_test_" + "0" * 32, "password": "Seven*Lamps over 3 roofs"}
    used = line_of(server, await office.post("/v1/tickets/redeem", shown))
    assert used["code"] == "ticket_refused"


async def test_what_cant_be_read_is_told_of_and_hides_nobody(server: Server, pos: Client) -> None:
    """It has lines of its own. Negative control: of one ration thirty bad bodies leave nothing."""
    body = {"card_number": ["4815162342"], "colour": "blue"}
    answers = [await pos.post("/v1/cards/lookup", body) for _ in range(30)]
    found = line_of(server, answers[0])
    assert (found["code"], found["reasons"]) == (
        "invalid_request",
        [reason["code"] for reason in answers[0].json()["reasons"]],
    )
    assert line_of(server, await pos.get("/v1/events"))["code"] == "forbidden"
    text = server.log.read_text("utf-8", "replace")
    assert "4815162342" not in text
    assert "blue" not in text


async def test_what_else_is_refused_is_not(server: Server, pos: Client) -> None:
    answer = await pos.get("/v1/cards/crd_" + "0" * 26)
    assert answer.status == 404
    assert answer.headers["x-request-id"] not in server.log.read_text("utf-8", "replace")
    assert shop.reasons(answer) == []
