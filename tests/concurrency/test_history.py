"""The checker of histories is worth what it catches: each tampering is named."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from tests.concurrency.history import check
from tests.concurrency.journal import Event, Fact, History, Leg, declared_answers

CARD = "crd_one"
DECLARED = declared_answers()


def _card(version: int, total: int) -> dict[str, Any]:
    balances = {"principal": total, "bonus": 0, "total": total, "currency": "CNY"}
    return {"card_id": CARD, "version": version, "balances": balances}


def _leg(version: int, operation_id: str, kind: str, delta: int, total: int) -> Leg:
    status = "frozen" if kind == "freeze" else "active"
    return Leg(CARD, version, operation_id, kind, status, delta, 0, total, 0)


def _body(value: Any) -> bytes:
    return json.dumps(value).encode()


def _sale(key: str, at: float, version: int, total: int, replayed: bool = False) -> Event:
    body = _body({"id": f"rdm_{key}", "card": _card(version, total)})
    return Event("create_redemption", key, CARD, 30, at, at + 1, 201, body, replayed)


def _refusal(key: str, at: float, operation: str, amount: int, reasons: list[Any]) -> Event:
    code = "refund_refused" if operation == "create_refund" else "redemption_refused"
    problem = {"code": code, "outcome": "not_applied", "retry": "new_key", "reasons": reasons}
    return Event(operation, key, CARD, amount, at, at + 1, 409, _body(problem), False)


def _read(at: float, version: int, total: int) -> Event:
    card = _card(version, total) | {"id": CARD, "status": "active"}
    return Event("get_card", "", CARD, 0, at, at + 1, 200, _body(card), False)


def whole() -> History:
    """Sales of 30 on 80, one sent twice and one lost, a refund, refusals and reads."""
    refund_body = _body({"id": "rfd_c", "card": _card(5, 50)})
    short = [{"code": "insufficient_balance", "missing_minor": 10}]
    much = [{"code": "refund_exceeds_left", "missing_minor": 5}]
    events = [
        _sale("a", 10, 3, 50),
        _sale("a", 12, 3, 50, replayed=True),
        _read(14, 3, 50),
        _sale("b", 16, 4, 20),
        _read(18, 4, 20),
        _refusal("short", 20, "create_redemption", 30, short),
        Event("create_refund", "c", CARD, 30, 22, 23, 201, refund_body, False),
        _refusal("much", 24, "create_refund", 35, much),
        Event("create_redemption", "lost", CARD, 30, 26, 27, 0, b"", False),
        _read(28, 5, 50),
    ]
    facts = {
        "a": Fact("accepted", "rdm_a", events[0].body, CARD, None, 30, 2),
        "b": Fact("accepted", "rdm_b", events[3].body, CARD, None, 30, 3),
        "short": Fact("refused", "rdm_short", events[5].body, CARD, None, 30, 4),
        "c": Fact("accepted", "rfd_c", refund_body, CARD, "rdm_b", 30, 4),
        "much": Fact("refused", "rfd_much", events[7].body, CARD, "rdm_a", 35, 5),
    }
    legs = [
        _leg(1, "opn_issue", "issue", 0, 0),
        _leg(2, "opn_paid", "top_up", 80, 80),
        _leg(3, "rdm_a", "redeem", -30, 50),
        _leg(4, "rdm_b", "redeem", -30, 20),
        _leg(5, "rfd_c", "refund", 30, 50),
    ]
    return History(events, legs, facts, {"opn_issue", "opn_paid"})


def _event(index: int, **fields: Any) -> Callable[[History], object]:
    def tamper(history: History) -> None:
        history.events[index] = replace(history.events[index], **fields)

    return tamper


def _stored(index: int, key: str, **fields: Any) -> Callable[[History], object]:
    """Tamper with an answer and with its stored copy alike, so that bytes still agree."""

    def tamper(history: History) -> None:
        body = _body(history.events[index].answer | fields)
        for place, event in enumerate(history.events):
            if event.key == key:
                history.events[place] = replace(event, body=body)
        history.facts[key] = replace(history.facts[key], answer=body)

    return tamper


def _fact(key: str, **fields: Any) -> Callable[[History], object]:
    def tamper(history: History) -> None:
        history.facts[key] = replace(history.facts[key], **fields)

    return tamper


def _legs(change: Callable[[list[Leg]], object]) -> Callable[[History], object]:
    return lambda history: change(history.legs)


def _problem(code: str, outcome: str = "not_applied", retry: str = "new_key") -> bytes:
    return _body({"code": code, "outcome": outcome, "retry": retry, "reasons": []})


TAMPERINGS: list[tuple[str, str, Callable[[History], object]]] = [
    ("ok, but gone", "H1 answered ok", lambda h: h.facts.pop("a")),
    ("ok, but refused", "H1 answered ok", _fact("a", outcome="refused")),
    (
        "applied twice",
        "H1 more than",
        _legs(lambda x: x.append(_leg(6, "rdm_a", "redeem", -30, 20))),
    ),
    ("applied by nobody", "H1 an effect of nobody", lambda h: h.foreign.clear()),
    ("another operation", "H1 the answer names", _stored(0, "a", id="rdm_z")),
    ("another version", "H1 the answer's version", _stored(0, "a", card=_card(4, 20))),
    ("other balances", "H4 other balances", _stored(0, "a", card=_card(3, 49))),
    ("a hidden effect", "H1 an effect that the answer", _stored(0, "a", card=None)),
    ("no, with an effect", "H2 answered no", _fact("short", operation_id="rdm_b")),
    ("no, not recorded", "H2 a refusal that is not", lambda h: h.facts.pop("short")),
    (
        "blocked, without a tombstone",
        "H2 reversed before arrival",
        _event(5, body=_problem("reversed_before_arrival")),
    ),
    ("refused too early", "H4 refused for", _fact("short", decided_version=3)),
    ("refused in the past", "H5 a read", _event(5, invoked_at=30.0, returned_at=31.0)),
    ("refused on no state", "H4 a refusal decided", _fact("short", decided_version=9)),
    ("refused for another reason", "H4 refused for", _event(5, amount=45)),
    ("refunded too little", "H4 refused for", _event(7, amount=30)),
    ("a gap", "H4 a gap", _legs(lambda legs: legs.pop(2))),
    ("a fork", "H4 two legs", _legs(lambda x: x.append(_leg(5, "rdm_b", "redeem", -30, 20)))),
    (
        "value from nowhere",
        "H4 balances of",
        _legs(lambda x: x.__setitem__(4, replace(x[4], principal=51))),
    ),
    (
        "spent while frozen",
        "H4 redeem on a card",
        _legs(lambda x: x.__setitem__(3, replace(x[3], status="frozen"))),
    ),
    ("out of real time", "H4 a write out", _event(3, invoked_at=1.0, returned_at=2.0)),
    ("a stale read", "H5 a read", _event(9, body=_read(0, 4, 20).body)),
    ("a read of the future", "H5 a read", _event(2, body=_read(0, 4, 20).body)),
    ("a read of nothing", "H4 no such version", _event(2, body=_read(0, 8, 20).body)),
    ("a wrong read", "H4 other balances", _event(2, body=_read(0, 3, 51).body)),
    (
        "replay in other bytes",
        "H7 answers differ",
        _event(1, body=_sale("a", 0, 3, 50).body + b" "),
    ),
    ("two first answers", "H7 2 answers", _event(1, replayed=False)),
    ("no first answer", "H7 0 answers", _event(0, replayed=True)),
    ("not what is stored", "H7 an answer that", _fact("b", answer=b"{}")),
    ("an undeclared answer", "H8", _event(5, status=418, body=_problem("teapot"))),
    ("a code of another route", "H8", _event(5, body=_problem("refund_refused"))),
]


def test_a_whole_history_is_explained() -> None:
    """The checker has nothing against what is right, an unknown outcome included."""
    assert check(whole(), DECLARED) == []


def test_an_unknown_outcome_may_have_happened() -> None:
    """INV-H3: none or one effect, whichever the tables say."""
    history = whole()
    history.legs.append(_leg(6, "rdm_lost", "redeem", -30, 20))
    history.facts["lost"] = Fact("accepted", "rdm_lost", b"{}", CARD, None, 30, 5)
    assert check(history, DECLARED) == []


@pytest.mark.parametrize(
    ("expected", "tamper"), [row[1:] for row in TAMPERINGS], ids=[row[0] for row in TAMPERINGS]
)
def test_each_tampering_is_named(expected: str, tamper: Callable[[History], object]) -> None:
    """Negative controls of the checker, one for each thing it looks at."""
    history = whole()
    tamper(history)
    found = check(history, DECLARED)
    assert any(text.startswith(expected) for text in found), found
