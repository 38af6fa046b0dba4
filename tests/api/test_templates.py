"""Templates: published once, listed newest first, and every contradiction named at once."""

import json
from typing import Any

import pytest

from service.kernel.embedded import Server
from tests.api import shop
from tests.harness.client import Client
from tests.harness.tenant import TEMPLATE, Tenant


async def test_what_was_published_is_what_is_read(office: Client, tenant: Tenant) -> None:
    wanted = {
        "name": "青禾年卡", "currency": "CNY", "holder": "named",
        "numbering": {"prefix": "66", "digits": 14}, "max_balance": 500_000,
        "drawdown_policy": "pro_rata", "validity": {"type": "after_activation", "period": "P3Y"},
        "stores": {"mode": "exclude", "ids": [tenant.store_ids[1]]},
        "top_up_rules": [{"pay": 30_000, "bonus": 5_000, "bonus_validity": "P1Y6M"}],
        "max_cards": 1_000,
    }  # fmt: skip
    made = await office.post("/v1/card-templates", wanted)
    assert made.status == 201
    assert made.json()["rules"] == wanted
    assert (made.json()["version"], made.json()["status"]) == (1, "published")
    read = await office.get(f"/v1/card-templates/{made.json()['id']}")
    assert read.json() == made.json()


async def test_what_is_left_out_gets_its_default(office: Client, tenant: Tenant) -> None:
    needed = ("name", "currency", "holder", "numbering", "max_balance")
    made = await office.post("/v1/card-templates", {name: TEMPLATE[name] for name in needed})
    rules = made.json()["rules"]
    assert rules["drawdown_policy"] == "bonus_first"
    assert rules["stores"] == {"mode": "all", "ids": []}
    assert (rules["validity"], rules["top_up_rules"], rules["max_cards"]) == (None, [], None)


async def test_the_list_is_newest_first_in_pages(office: Client, tenant: Tenant) -> None:
    made = [await shop.publish(office, name=f"第{number}张") for number in range(4)]
    newest_first = [*reversed(made), tenant.template_id]
    found: list[str] = []
    cursor, page = "", {"next_cursor": "none read yet"}
    for _ in range(4):
        page = (await office.get(f"/v1/card-templates?limit=2{cursor}")).json()
        found += [template["id"] for template in page["data"]]
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert found == newest_first
    assert page["next_cursor"] is None


CONTRADICTIONS: list[tuple[dict[str, Any], list[tuple[str, str]]]] = [
    ({"currency": "USD"}, [("currency_mismatch", "$.currency")]),
    (
        {"numbering": {"prefix": "8800", "digits": 12}},
        [("number_space_too_small", "$.numbering.digits")],
    ),
    (
        {"numbering": {"prefix": "8800", "digits": 13}, "max_cards": 100_001},
        [("number_space_too_small", "$.max_cards")],
    ),
    (
        {"stores": {"mode": "all", "ids": ["sto_" + "0" * 26]}},
        [("store_scope", "$.stores.ids"), ("store_unknown", "$.stores.ids[0]")],
    ),
    (
        {"stores": {"mode": "include", "ids": ["sto_" + "0" * 26]}},
        [("store_unknown", "$.stores.ids[0]")],
    ),
    (
        {"validity": {"type": "after_activation", "period": "P1D1Y"}},
        [("invalid_period", "$.validity.period")],
    ),
    (
        {"top_up_rules": [{"pay": 100, "bonus": 10}, {"pay": 100, "bonus": 20}]},
        [("ladder", "$.top_up_rules")],
    ),
    (
        {"top_up_rules": [{"pay": 100_000_000, "bonus": 1}]},
        [("max_balance_exceeded", "$.top_up_rules[0]")],
    ),
    (
        {"top_up_rules": [{"pay": 1, "bonus": 1, "bonus_validity": "P0D"}]},
        [("invalid_period", "$.top_up_rules[0].bonus_validity")],
    ),
]


@pytest.mark.parametrize(
    ("changes", "wanted"), CONTRADICTIONS, ids=[json.dumps(c) for c, _ in CONTRADICTIONS]
)
async def test_a_template_that_contradicts_itself(
    office: Client, tenant: Tenant, postgres: Server, changes: dict[str, Any],
    wanted: list[tuple[str, str]],
) -> None:  # fmt: skip
    before = await shop.rows(postgres, tenant.merchant_id)
    answer = await office.post("/v1/card-templates", {**TEMPLATE, **changes})
    assert (answer.status, answer.json()["code"]) == (422, "contradiction")
    assert [(r["code"], r["path"]) for r in answer.json()["reasons"]] == wanted
    assert await shop.rows(postgres, tenant.merchant_id) == before


async def test_all_contradictions_come_at_once(office: Client, tenant: Tenant) -> None:
    changes = {
        "currency": "USD",
        "numbering": {"prefix": "88008800", "digits": 12},
        "validity": {"type": "after_activation", "period": "P1D1D"},
    }
    answer = await office.post("/v1/card-templates", {**TEMPLATE, **changes})
    assert shop.reasons(answer) == ["currency_mismatch", "number_space_too_small", "invalid_period"]


async def test_a_till_may_not_publish_nor_read_templates(pos: Client, tenant: Tenant) -> None:
    for answer in (
        await pos.post("/v1/card-templates", TEMPLATE),
        await pos.get("/v1/card-templates"),
        await pos.get(f"/v1/card-templates/{tenant.template_id}"),
    ):
        assert (answer.status, answer.json()["code"]) == (403, "forbidden")
