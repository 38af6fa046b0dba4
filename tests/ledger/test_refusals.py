"""Every refusal is provoked alone, and its test sees when its guard is taken out.

`tests/catalogue/refusals.toml` lists the guards as `code @ function`, found in the source by
`guards`: one without a case here, or a case without its guard, fails.
"""

import inspect
from collections.abc import AsyncIterator, Iterable
from typing import Any

import msgspec
import pytest

from schemas.problems import Problem, Reason
from service.kernel import embedded
from service.kernel.problems import CODES, REASONS, ProblemError
from service.ledger.batch import Pending, Settled
from service.ledger.decisions.outcome import Refused, Rejected
from tests.ledger import (
    approval_refusals,
    desk_refusals,
    guards,
    member_refusals,
    people_refusals,
    personal_refusals,
    policy_refusals,
    pure,
    refusal_cases,
    stored_refusals,
    visit_refusals,
)
from tests.ledger.refusal_cases import CASES, FROZEN, decided, redeem
from tests.ledger.rules.kit import Shop, caught, shop
from tests.ledger.test_constraints import CATALOGUE

REFUSALS: list[str] = CATALOGUE["refusals"]["guards"]
STORED = [
    *stored_refusals.CASES,
    *member_refusals.CASES,
    *people_refusals.CASES,
    *visit_refusals.CASES,
    *personal_refusals.CASES,
    *desk_refusals.CASES,
    *approval_refusals.CASES,
    *policy_refusals.CASES,
]
ELSEWHERE: dict[str, str] = CATALOGUE["refusals"]["elsewhere"]


def codes_of(found: Any) -> set[str]:
    """The codes in a refusal of any shape."""
    if isinstance(found, (Rejected, Pending)):
        return codes_of(found.error if isinstance(found, Rejected) else found.settled)
    if isinstance(found, (Refused, ProblemError)):
        return {found.code.code} | codes_of(found.reasons)
    if isinstance(found, Settled) and found.status >= 400:
        problem = msgspec.json.decode(found.body, type=Problem)
        return {problem.code} | codes_of(problem.reasons)
    if isinstance(found, Reason):
        return {found.code}
    if isinstance(found, (list, tuple)) or inspect.isgenerator(found):
        return {code for each in found for code in codes_of(each)}
    return set()


async def provoked(how: Any, *arguments: Any) -> set[str]:
    """The codes that come out, however they come out; another failure is a code of its own."""
    try:
        result = how(*arguments)
        return codes_of(await result if inspect.isawaitable(result) else result)
    except ProblemError as problem:
        return codes_of(problem)
    except Exception as fault:
        return {repr(fault)}


def cases_of(cases: Iterable[Any]) -> list[Any]:
    """One parameter for each guard that a case provokes: the guard, the case, product and twin."""
    return [
        pytest.param(f"{code} @ {place}", codes.split(), how, id=f"{code}@{place}-{number}")
        for number, (place, codes, how) in enumerate(cases)
        for code in codes.split()
        if f"{code} @ {place}" in REFUSALS
    ]


@pytest.mark.parametrize("broken", [False, True], ids=["product", "twin"])
@pytest.mark.parametrize(("guard", "codes", "how"), cases_of(CASES))
async def test_a_refusal_is_provoked(
    guard: str, codes: list[str], how: Any, broken: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if broken:
        guards.take_out(guard, monkeypatch)
    with caught(broken, "refused with"):
        found = await provoked(how)
        assert found == set(codes), f"refused with {found}"


@pytest.fixture(name="merchant", scope="module")
async def _merchant(database: embedded.Server) -> AsyncIterator[Shop]:
    """Somebody to refuse things to."""
    async with shop(database) as merchant:
        yield merchant


@pytest.mark.parametrize("broken", [False, True], ids=["product", "twin"])
@pytest.mark.parametrize(("guard", "codes", "how"), cases_of(STORED))
async def test_a_refusal_that_looks_something_up_is_provoked(
    merchant: Shop,
    guard: str,
    codes: list[str],
    how: Any,
    broken: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if broken:
        guards.take_out(guard, monkeypatch)
    with caught(broken, "refused with"):
        found = await provoked(how, merchant)
        assert found == set(codes), f"refused with {found}"


def test_every_guard_has_its_entry_and_its_case() -> None:
    every: list[Any] = [*CASES, *STORED]
    provoked_here = {f"{code} @ {place}" for place, codes, _ in every for code in codes.split()}
    assert guards.guards() == set(REFUSALS)
    assert set(REFUSALS) <= provoked_here


def test_every_code_has_a_guard() -> None:
    guarded = {guard.split(" @ ")[0] for guard in REFUSALS}
    assert set(CODES) - guarded == set(ELSEWHERE)
    assert set(REASONS) <= guarded
    for code, test in ELSEWHERE.items():
        path, _, name = test.partition("::")
        text = (guards.ROOT / path).read_text("utf-8")
        assert f"def {name}(" in text
        assert code in text


def test_all_reasons_come_at_once() -> None:
    intent = redeem(10, "USD", expected_payable=9, quote_token="AAAA")
    closed = pure.store(pure.FOREIGN_STORE, "closed")
    scope = pure.template(stores={"mode": "include", "ids": [pure.STORE]})
    facts = {"store": closed, "template": scope, "request_no_taken": "rdm_0"}
    expected = (
        "duplicate_request_no card_frozen store_not_in_scope store_closed currency_mismatch"
        " request_no_taken price_moved quote_token_invalid"
    )
    assert codes_of(decided(intent, FROZEN, **facts)()) == set(expected.split())


def test_a_guard_that_is_not_there_can_not_be_taken_out(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(AssertionError, match="nothing to take out"):
        guards.take_out(f"card_frozen @ {refusal_cases.DECISIONS}.redemptions.redeem", monkeypatch)
