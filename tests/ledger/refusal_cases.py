"""What provokes each refusal that needs no database: (the function that guards, the codes, how)."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any

import asyncpg
import msgspec
from litestar.exceptions import HTTPException

from schemas.common import Account
from schemas.redemptions import Line, LineRefund, RefundCreate, Source
from schemas.templates import CardTemplateCreate
from service.kernel import errors, exchange, gate, http, http1, paging, routes, validation
from service.kernel.auth import require_scope
from service.kernel.coalescing import Member, OverloadedError
from service.kernel.paging import encode_cursor
from service.kernel.turns import in_turn
from service.ledger import attempts, door, quotes, writer
from service.ledger.batch import Batch
from service.ledger.commands import Freeze, Intent, Issue, Redeem, Refund, Reverse, TopUp, Void
from service.ledger.decide import decide
from service.ledger.snapshot import Snapshot
from service.ledger.state import Card, Counter, Key, Target
from service.ledger.terms import Merchant, Tenant
from service.redemptions import operations as redeeming
from service.reports import operations as reporting
from service.templates import operations as templates
from tests.ledger import pure

Case = tuple[str, str, Callable[[], Any]]
DECISIONS = "service.ledger.decisions"
LATER = pure.START + timedelta(days=400)
HOLDS_100 = pure.card(pure.lot("lot_p", "principal", 100))
EXPIRED = msgspec.structs.replace(HOLDS_100, expires_at=pure.START)
FROZEN = msgspec.structs.replace(HOLDS_100, status="frozen")
CREATED = pure.card(status="created")
SPENT = pure.card(msgspec.structs.replace(pure.lot("lot_p", "principal", 100), remaining=99))
TILL = pure.credential(store_id=pure.FOREIGN_STORE)
NARROW = msgspec.structs.replace(pure.credential("key_2"), scopes=pure.SCOPES - {"reversals:any"})
LINES = [Line("a", "CUT", 1, 20, 20), Line("b", "DYE", 1, 10, 10)]


def redeem(amount: int = 10, currency: str = pure.CURRENCY, **fields: Any) -> Redeem:
    """Take an amount, by number."""
    given = {"lines": [], "by_number": True, "quote_token": None, "expected_payable": None}
    return Redeem("R-1", amount, currency, **{**given, **fields})


def top_up(amount: int = 10, currency: str = pure.CURRENCY) -> TopUp:
    """Cash in."""
    return TopUp(amount, currency, "cash", None)


def refund(amount: int | None = None, currency: str | None = None, **lines: int) -> Refund:
    """Give back an amount, lines, or all."""
    return Refund("rdm_1", amount, currency, lines, None)


def decided(
    intent: Intent, card: Card | None = HOLDS_100, credential: Any = None, **view: Any
) -> Callable[[], Any]:
    """The decision on a view."""
    command = pure.command(intent, credential=credential or pure.credential())
    return lambda: decide(pure.view(card=card, **view), command, pure.ids())


def undone(kind: str = "top_up", credential: Any = None, **fields: Any) -> Callable[[], Any]:
    """A reversal of what a key of the client `key_1` did; `fields` replace the target's."""
    credited: tuple[tuple[str, Account, int], ...] = (("lot_p", "principal", 100),)
    target = Target("opn_1", kind, "accepted", "crd_1", pure.STORE, 100, "key_1", None, credited)
    key = Key(b"t" * 16, b"", "accepted", "opn_1", 201, b"{}", pure.START)
    view = {"target_key": key, "target": target, **fields}
    return decided(Reverse(b"t" * 16, "opn_1", None), credential=credential, **view)


def quoted(payable: int, later: timedelta = timedelta(0)) -> Callable[[], Any]:
    """A redemption with a token for this payable, sent so much later."""
    view = pure.view(card=HOLDS_100)
    token, _ = quotes.token(view, HOLDS_100, redeem(), payable)
    now = pure.START + later
    return lambda: decide(
        pure.view(now, card=HOLDS_100), pure.command(redeem(quote_token=token)), pure.ids()
    )


DECIDED: list[Case] = [
    ("movement.state_reasons", "operation_refused card_not_active", decided(top_up(), CREATED)),
    ("movement.state_reasons", "redemption_refused card_frozen", decided(redeem(), FROZEN)),
    ("movement.state_reasons", "redemption_refused card_expired", decided(redeem(), EXPIRED)),
    ("redemptions.redeem", "card_not_found", decided(redeem(), None)),
    ("redemptions.redeem", "card_not_found", decided(redeem(), CREATED)),
    ("redemptions.redeem", "redemption_refused card_frozen", decided(redeem(), FROZEN)),
    ("redemptions.redeem", "duplicate_request_no request_no_taken",
     decided(redeem(), request_no_taken="rdm_0")),
    ("redemptions._reasons", "duplicate_request_no request_no_taken",
     decided(redeem(), request_no_taken="rdm_0")),
    ("redemptions._reasons", "redemption_refused currency_mismatch",
     decided(redeem(currency="USD"))),
    ("redemptions._reasons", "redemption_refused insufficient_balance", decided(redeem(101))),
    ("redemptions._reasons", "redemption_refused price_moved", decided(redeem(expected_payable=9))),
    ("redemptions._reasons", "redemption_refused store_not_in_scope", decided(
        redeem(), template=pure.template(stores={"mode": "exclude", "ids": [pure.STORE]}))),
    ("stores.store_problem", "contradiction store_unknown", decided(redeem(), store=None)),
    ("stores.store_reasons", "redemption_refused store_closed",
     decided(redeem(), store=pure.store(status="closed"))),
    ("top_ups.top_up", "card_not_found", decided(top_up(), None)),
    ("top_ups.top_up", "operation_refused card_frozen", decided(top_up(), FROZEN)),
    ("top_ups._reasons", "operation_refused currency_mismatch", decided(top_up(currency="USD"))),
    ("top_ups._reasons", "operation_refused max_balance_exceeded", decided(top_up(99_901))),
    ("cards._move", "card_not_found", decided(Freeze(None), None)),
    ("cards._move", "operation_refused transition_not_allowed", decided(Freeze(None), FROZEN)),
    ("cards.issue", "not_found", decided(Issue("tpl_1", "crd_9", "8800", True), template=None)),
    ("cards.issue", "operation_refused issue_limit_reached", decided(
        Issue("tpl_1", "crd_9", "8800", True), counter=Counter(5, 5))),
    ("refunds._problem", "not_found", decided(refund())),
    ("refunds._problem", "store_not_allowed",
     decided(refund(), credential=TILL, redemption=pure.redemption())),
    ("refunds.refund", "refund_refused refund_exceeds_left",
     decided(refund(31), redemption=pure.redemption())),
    ("refunds._refund_reasons", "refund_refused refund_exceeds_left", decided(
        refund(21), redemption=pure.redemption(refunded=10, status="partly_refunded"))),
    ("refunds._refund_reasons", "refund_refused currency_mismatch", decided(
        refund(5, "USD"), redemption=pure.redemption())),
    ("refunds._refund_reasons", "refund_refused redemption_closed", decided(
        refund(), redemption=pure.redemption(refunded=30, status="refunded"))),
    ("refunds._refund_reasons", "refund_refused line_unknown", decided(
        refund(x=5), redemption=pure.redemption(lines=LINES))),
    ("refunds._refund_reasons", "refund_refused line_refund_exceeds_left", decided(
        refund(a=11), redemption=pure.redemption(lines=LINES, refunded_lines={"a": 10}))),
    ("refunds.void", "refund_refused redemption_closed", decided(
        Void("rdm_1", None), redemption=pure.redemption(refunded=30, status="voided"))),
    ("refunds.void", "refund_refused void_after_refund", decided(
        Void("rdm_1", None), redemption=pure.redemption(refunded=3, status="partly_refunded"))),
    ("refunds.void", "refund_refused void_window_closed", decided(
        Void("rdm_1", None), redemption=pure.redemption(), business_date=LATER.date())),
    ("reversals._problem", "forbidden other_clients_key",
     undone(credential=NARROW)),
    ("reversals._problem", "store_not_allowed",
     undone(credential=pure.credential("key_1", pure.FOREIGN_STORE))),
    ("reversals.reverse", "reversal_refused not_reversible", undone("freeze")),
    ("reversals._top_up", "reversal_refused value_already_spent", undone(card=SPENT)),
]  # fmt: skip
QUOTED: list[Case] = [
    ("service.ledger.quotes.reasons", "redemption_refused quote_token_invalid",
     decided(redeem(quote_token="AAAA"))),
    ("service.ledger.quotes.reasons", "redemption_refused quote_token_expired",
     quoted(10, quotes.LIFETIME)),
    ("service.ledger.quotes.reasons", "redemption_refused price_moved", quoted(9)),
]  # fmt: skip


def folded(keys: dict[bytes, Key] | None = None, *, twice: bool = False, **tenant: Any) -> Any:
    """What a batch in memory answers to a redemption; `twice`: the second time, another body."""
    credential = pure.credential()
    known = {"credentials": {credential.secret_hash: credential}, "status": "active", **tenant}
    merchant = Merchant(
        "mer_1", "test", known["status"], pure.CURRENCY, pure.ZONE, 1, None, pure.START
    )
    terms = Tenant(
        merchant, known["credentials"], {pure.STORE: pure.store()}, {("tpl_1", 1): pure.template()}
    )
    cards = {HOLDS_100.card_number: HOLDS_100}
    state = Snapshot(1, pure.START, pure.START, cards, keys or {}, {}, {}, {}, {})
    batch = Batch(terms, state, b"q" * 32, pure.ids())
    scope = known.get("scope", "redemptions:write")
    command = pure.command(redeem(), HOLDS_100.card_number, scope=scope)
    if twice:
        batch.decide(command)
        command = msgspec.structs.replace(command, fingerprint=b"g" * 16)
    return batch.decide(command)


def used(outcome: str) -> dict[bytes, Key]:
    """The command's key, used before with another body."""
    return {b"k" * 16: Key(b"k" * 16, b"g" * 16, outcome, None, 201, b"{}", pure.START)}


BATCH = "service.ledger.batch"
BATCHED: list[Case] = [
    (f"{BATCH}.Batch._replay", "idempotency_key_reused", lambda: folded(twice=True)),
    (f"{BATCH}.replay", "idempotency_key_reused", lambda: folded(used("accepted"))),
    (f"{BATCH}.replay", "reversed_before_arrival", lambda: folded(used("tombstone"))),
    (f"{BATCH}.Batch.authorize", "unauthenticated", lambda: folded(credentials={})),
    (
        f"{BATCH}.Batch.authorize",
        "forbidden scope_missing",
        lambda: folded(scope="refunds:write"),
    ),
    (f"{BATCH}.Batch.authorize", "merchant_suspended", lambda: folded(status="suspended")),
]


def template(**rules: Any) -> Callable[[], Any]:
    """What contradicts itself in a template of a merchant with one known store."""
    body = {"name": "金卡", "currency": pure.CURRENCY, "holder": "named", "max_balance": 100}
    body |= {"numbering": {"prefix": "8800", "digits": 16}, **rules}
    read = msgspec.convert(body, CardTemplateCreate)
    return lambda: templates._contradictions(read, pure.CURRENCY, {pure.STORE})


T = "service.templates.operations"
WHOLE = [{"pay": 10, "bonus": 1}, {"pay": 10, "bonus": 1}]
TEMPLATES: list[Case] = [
    (f"{T}._contradictions", "currency_mismatch", template(currency="USD")),
    (f"{T}._contradictions", "number_space_too_small",
     template(numbering={"prefix": "8800", "digits": 12})),
    (f"{T}._contradictions", "number_space_too_small",
     template(numbering={"prefix": "8800", "digits": 13}, max_cards=10**6)),
    (f"{T}._contradictions", "store_scope", template(stores={"mode": "all", "ids": [pure.STORE]})),
    (f"{T}._contradictions", "store_unknown",
     template(stores={"mode": "include", "ids": [pure.FOREIGN_STORE]})),
    (f"{T}._contradictions", "max_balance_exceeded",
     template(top_up_rules=[{"pay": 100, "bonus": 1}])),
    (f"{T}._contradictions", "ladder", template(top_up_rules=WHOLE)),
    (f"{T}._period", "invalid_period",
     template(validity={"type": "after_activation", "period": "P0D"})),
]  # fmt: skip


def given_back(*line_ids: str, amount: bool = False) -> Callable[[], Any]:
    """A refund whose body contradicts itself; it is never looked up."""
    lines = [LineRefund(line_id, 1) for line_id in line_ids]
    whole = {"value": 1, "currency": pure.CURRENCY} if amount else None
    body = msgspec.convert({"amount": whole, "lines": lines}, RefundCreate, from_attributes=True)
    return lambda: redeeming.refund(None, body)  # type: ignore[arg-type]


def asked_by(credential: Any) -> Any:
    """A request to redeem."""
    return SimpleNamespace(credential=credential, scope="redemptions:write")


R = "service.redemptions.operations"
OPERATIONS: list[Case] = [
    (f"{R}._card", "contradiction source_ambiguous",
     lambda: redeeming._card(None, Source())),  # type: ignore[arg-type]
    (f"{R}._contradiction", "contradiction duplicate_line", given_back("a", "a")),
    (f"{R}.refund", "contradiction amount_and_lines", given_back("a", amount=True)),
    (f"{R}.refund", "contradiction duplicate_line", given_back("a", "a")),
    (f"{R}._require_sound", "contradiction basket_contradiction",
     lambda: redeeming._require_sound(LINES, 31)),
    ("service.ledger.door._unnamed", "contradiction store_required",
     lambda: door.store_of(asked_by(pure.credential()), None)),
    ("service.ledger.door.store_if_any", "store_not_allowed store_mismatch",
     lambda: door.store_if_any(asked_by(TILL), pure.STORE)),
]  # fmt: skip


BACKWARDS: Any = SimpleNamespace(query=SimpleNamespace(opening_at=LATER, closing_at=pure.START))


def resumed(opening_at: datetime) -> Any:
    """A call that goes on with an export of the period from the start, and names this opening."""
    place = reporting._Place(pure.START, LATER, pure.START, "opn_" + "0" * 26)
    query = SimpleNamespace(cursor=encode_cursor(place), opening_at=opening_at, closing_at=None)
    return SimpleNamespace(query=query)


async def no_turn() -> None:
    """Another report is being made."""
    raise TimeoutError


async def no_place(_tenant: str) -> bool:
    return False


SHUT: Any = SimpleNamespace(wait=no_place)
BUSY: Any = SimpleNamespace(acquire=no_turn, release=lambda: None)
RP = "service.reports.operations"
REPORTS: list[Case] = [
    (f"{RP}._period", "invalid_request period_backwards",
     lambda: reporting._period(BACKWARDS, LATER)),
    (f"{RP}._past", "invalid_request instant_out_of_range",
     lambda: reporting._past(LATER, pure.START, "as_of")),
    (f"{RP}._place", "invalid_request invalid_value",
     lambda: reporting._place(resumed(LATER), LATER)),
    ("service.kernel.gate._wait", "overloaded", lambda: gate._wait(SHUT, "mer_1")),
    ("service.kernel.turns.in_turn", "unavailable", lambda: in_turn(BUSY, "busy").__aenter__()),
]  # fmt: skip


class Cup(msgspec.Struct, forbid_unknown_fields=True):
    """A body of the kernel's cases."""

    size: int
    note: str | None = None


def read_body(*events: dict[str, Any]) -> Callable[[], Awaitable[bytes]]:
    """A body that comes in these events."""
    waiting = list(events)

    async def receive() -> Any:
        return waiting.pop(0) if waiting else {"type": "http.request", "body": b""}

    return lambda: http._body(receive)


def isolated(error: Exception) -> Callable[[], Any]:
    """What a member is answered that fails alone."""

    async def run() -> Any:
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        member: Member[Any, Any] = Member(pure.command(redeem()), answer)
        await writer.Writer._isolate(SimpleNamespace(), 0, "mer_1", [member], error, 0.0)  # type: ignore[arg-type]
        return await asyncio.wait_for(answer, 1)

    return run


def last_word(*, sent: bool) -> Callable[[], Any]:
    """What a member is told that nobody answered."""
    return lambda: attempts.last_word(SimpleNamespace(sent=sent))  # type: ignore[arg-type]


async def overloaded(*_: Any) -> Any:
    """A queue that is full."""
    raise OverloadedError


WRITE: Any = SimpleNamespace(safe=False, method="POST", idempotent=True)
BEGUN: Any = {"state": {"begun": True}}
NOT_BEGUN: Any = {"state": {}}
FULL: Any = SimpleNamespace(_lanes=SimpleNamespace(submit=overloaded))
NO_QUERY: Any = SimpleNamespace(query=None)
PATH: Any = SimpleNamespace(path={"card_id": "crd_1"})
POST: Any = {"method": "POST", "state": {}, "headers": []}
K = "service.kernel"
W = "service.ledger.writer"
KERNEL: list[Case] = [
    (f"{K}.auth.require_scope", "forbidden scope_missing",
     lambda: require_scope(TILL, "audit:read")),
    (f"{K}.auth.scope_missing", "forbidden scope_missing",
     lambda: require_scope(TILL, "audit:read")),
    (f"{K}.exchange.fault", "internal_error", exchange.fault),
    (f"{K}.http1.refusal", "invalid_request", lambda: http1.refusal("This is no request.")),
    (f"{K}.http._body", "malformed_json", read_body({"type": "http.disconnect"})),
    (f"{K}.http._body", "payload_too_large", read_body(
        {"type": "http.request", "body": b"x" * (http.BODY_MAX_BYTES + 1)})),
    (f"{K}.http._credential", "unauthenticated", lambda: http._credential(None, {})),
    (f"{K}.http._idempotency_key", "idempotency_key_required", lambda: http._idempotency_key({})),
    (f"{K}.http._idempotency_key", "idempotency_key_invalid", lambda: http._idempotency_key(
        {b"idempotency-key": b"short"})),
    (f"{K}.http._query", "invalid_request unknown_field", lambda: http._query(NO_QUERY, b"x=1")),
    (f"{K}.http._require_json", "unsupported_media_type", lambda: http._require_json({})),
    (f"{K}.http._require_small", "payload_too_large", lambda: http._require_small(
        {b"content-length": b"9999999"})),
    (f"{K}.http._too_late", "outcome_unknown",
     lambda: http._too_late(WRITE, BEGUN)),
    (f"{K}.http._too_late", "unavailable", lambda: http._too_late(WRITE, NOT_BEGUN)),
    (f"{K}.routes.object_id", "not_found", lambda: routes.object_id(PATH, "card_id", "crd")),
    (f"{K}.errors._framework_problem", "invalid_request invalid_value", lambda: errors._problem(
        HTTPException("no", status_code=400), POST, "keyed")),
    (f"{K}.errors._problem", "internal_error", lambda: errors._problem(
        RuntimeError("x"), POST, "keyed")),
    (f"{K}.errors._problem", "unavailable", lambda: errors._problem(
        ConnectionResetError(), POST, "keyed")),
    (f"{K}.paging.refusal", "invalid_request invalid_value",
     lambda: paging.decode_cursor("!", int)),
    (f"{K}.validation._malformed", "malformed_json", lambda: validation.body(b"{", Cup)),
    (f"{K}.validation._invalid", "invalid_request invalid_value",
     lambda: validation.body(b'{"size": "5"}', Cup)),
    (f"{K}.validation._reason", "invalid_request invalid_value",
     lambda: validation.body(b'{"size": "5"}', Cup)),
    (f"{K}.validation._unknown", "invalid_request unknown_field", lambda: validation.body(
        b'{"size": 5, "hue": 1}', Cup)),
    (f"{K}.validation._walk_fields", "invalid_request missing_field",
     lambda: validation.body(b"{}", Cup)),
    (f"{K}.validation._nul", "invalid_request nul_character", lambda: validation.body(
        b'{"size": 5, "note": "\\u0000"}', Cup)),
    (f"{K}.validation.body", "invalid_request nul_character", lambda: validation.body(
        b'{"size": 5, "note": "\\u0000"}', Cup)),
    (f"{K}.validation.query", "invalid_request repeated_field", lambda: validation.query(
        [("size", "5"), ("size", "5")], Cup)),
    (f"{W}.Writer._isolate", "internal_error", isolated(RuntimeError("x"))),
    (f"{W}.Writer._isolate", "request_in_progress", isolated(asyncpg.LockNotAvailableError())),
    (f"{W}.Writer.submit", "unavailable",
     lambda: writer.Writer.submit(FULL, pure.command(redeem()))),
    ("service.ledger.attempts.last_word", "outcome_unknown", last_word(sent=True)),
    ("service.ledger.attempts.last_word", "unavailable", last_word(sent=False)),
]  # fmt: skip
CASES: list[Case] = [
    *((f"{DECISIONS}.{place}", codes, how) for place, codes, how in DECIDED),
    *QUOTED,
    *BATCHED,
    *TEMPLATES,
    *OPERATIONS,
    *REPORTS,
    *KERNEL,
]
