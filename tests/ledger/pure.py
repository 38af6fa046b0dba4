"""Views and commands made by hand: what `decide` is tested on, without a database."""

from datetime import UTC, datetime, time
from itertools import count
from typing import Any

import msgspec

from schemas.common import Account
from schemas.policies import InForce
from schemas.templates import CardTemplateCreate
from service.kernel.auth import Credential
from service.ledger.commands import Command, Intent
from service.ledger.decisions.outcome import NewId
from service.ledger.state import Card, Lot, Redemption, StoreTerms, TemplateTerms, View
from service.rules import policies
from service.rules.ladder import Step
from service.rules.periods import business_date

CURRENCY, ZONE = "CNY", "Asia/Shanghai"
START = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)
STORE, CLOSED_STORE, FOREIGN_STORE = (f"sto_{number:026d}" for number in (1, 2, 3))
SCOPES = frozenset({"cards:write", "redemptions:write", "reversals:any"})


def ids() -> NewId:
    """Time-sortable ids as the product makes them, but the same in every run."""
    numbers = count(1)
    return lambda prefix: f"{prefix}_{next(numbers):026d}"


def credential(api_key_id: str = "key_1", store_id: str | None = None) -> Credential:
    """Who calls."""
    return Credential("mer_1", api_key_id, b"s" * 32, SCOPES, store_id, None, 1)


def command(intent: Intent, number: str = "", **fields: Any) -> Command:
    """A command of the merchant's key at the open store."""
    given: dict[str, Any] = {
        "intent": intent,
        "credential": credential(),
        "scope": "redemptions:write",
        "card_number": number,
        "store_id": STORE,
        "till": None,
        "key_hash": b"k" * 16,
        "fingerprint": b"f" * 16,
        "request_id": "req_1",
    }
    return Command(**{**given, **fields})


def store(
    store_id: str = STORE, status: str = "active", policy: InForce = policies.OPEN
) -> StoreTerms:
    """A store whose day begins at four."""
    return StoreTerms(store_id, "青禾美发管理有限公司", ZONE, time(4), status, None, policy)


def template(template_id: str = "tpl_1", **rules: Any) -> TemplateTerms:
    """A published template; `rules` replace what is said here."""
    body = {
        "name": "金卡",
        "currency": CURRENCY,
        "holder": "named",
        "numbering": {"prefix": "8800", "digits": 16},
        "max_balance": 100_000,
        **rules,
    }
    parsed = msgspec.convert(body, CardTemplateCreate)
    steps = tuple(Step(step.pay, step.bonus, step.bonus_validity) for step in parsed.top_up_rules)
    return TemplateTerms(template_id, 1, parsed, frozenset(parsed.stores.ids), steps)


def lot(lot_id: str, account: Account, remaining: int, expires_at: datetime | None = None) -> Lot:
    """A lot that nothing was taken from."""
    on = expires_at.date() if expires_at else None
    return Lot(lot_id, account, remaining, remaining, expires_at, on)


def card(*lots: Lot, **fields: Any) -> Card:
    """An active card that holds these lots."""
    given: dict[str, Any] = {
        "card_id": "crd_1",
        "card_number": "8800000000000001",
        "template_id": "tpl_1",
        "template_version": 1,
        "currency": CURRENCY,
        "status": "active",
        "version": 2,
        "principal": sum(each.remaining for each in lots if each.account == "principal"),
        "bonus": sum(each.remaining for each in lots if each.account == "bonus"),
        "activated_at": START,
        "expires_at": None,
        "expires_on": None,
        "last_operation_at": START,
        "created_at": START,
        "lots": lots,
    }
    return Card(**{**given, **fields})


def redemption(**fields: Any) -> Redemption:
    """A captured redemption of 30: 10 bonus and 20 principal."""
    given: dict[str, Any] = {
        "redemption_id": "rdm_1",
        "card_id": "crd_1",
        "store_id": STORE,
        "request_no": "R-1",
        "status": "captured",
        "version": 1,
        "currency": CURRENCY,
        "amount": 30,
        "refunded": 0,
        "lines": [],
        "refunded_lines": {},
        "decided_at": START,
        "business_date": business_date(START, ZONE, time(4)),
        "allocation": (("lot_b", "bonus", 10), ("lot_p", "principal", 20)),
    }
    return Redemption(**{**given, **fields})


def view(now: datetime = START, **fields: Any) -> View:
    """What a command depends on: an open store, a template, and nothing else but what is named."""
    given: dict[str, Any] = {
        "now": now,
        "business_date": business_date(now, ZONE, time(4)),
        "time_zone": ZONE,
        "quote_key": b"q" * 32,
        "template": template(),
        "store": store(),
        "card": None,
        "request_no_taken": None,
        "redemption": None,
        "target_key": None,
        "target": None,
        "counter": None,
    }
    return View(**{**given, **fields})
