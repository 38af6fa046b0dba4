"""Cards over HTTP: issue, look up, activate, freeze, unfreeze, statement."""

from schemas.cards import (
    Card,
    CardAction,
    CardCreate,
    CardDetail,
    CardLookup,
    IssuedCard,
    Statement,
)
from schemas.common import EXAMPLE_NUMBER
from service.cards import operations
from service.kernel import problems
from service.kernel.http import handler
from service.kernel.ids import example_id
from service.kernel.paging import Paging
from service.kernel.routes import Route
from service.ledger import reasons

WRITE_ERRORS = (
    problems.NOT_FOUND,
    reasons.OPERATION_REFUSED,
    reasons.KEY_REUSED,
    reasons.KEY_REVERSED,
    reasons.REQUEST_IN_PROGRESS,
    reasons.MERCHANT_SUSPENDED,
    reasons.STORE_NOT_ALLOWED,
    reasons.UNPROCESSABLE,
)


ISSUE = Route(
    method="POST",
    path="/v1/cards",
    operation_id="issue_card",
    tag="Cards",
    scope="cards:write",
    summary="Issue a card",
    description="Makes one card of a published template; the number comes from the server. This "
    "answer, and its replay, are the only ones that show the whole number.",
    body=CardCreate,
    answers={201: IssuedCard},
    idempotent=True,
    errors=WRITE_ERRORS,
    example_body={"template_id": example_id("tpl"), "activate": True},
)
LOOKUP = Route(
    method="POST",
    path="/v1/cards/lookup",
    operation_id="look_up_card",
    tag="Cards",
    scope="cards:read",
    summary="Find a card by its number",
    description="Numbers never go into a URL. A card that isn't active yet is "
    "answered like an unknown number.",
    body=CardLookup,
    safe=True,
    answers={200: CardDetail},
    errors=(reasons.CARD_NOT_FOUND,),
    example_body={"card_number": EXAMPLE_NUMBER},
)
READ = Route(
    method="GET",
    path="/v1/cards/{card_id}",
    operation_id="get_card",
    tag="Cards",
    scope="cards:read",
    summary="Look at a card",
    description="State, balances that can be spent now, and the lots they are made of.",
    for_members=True,
    answers={200: CardDetail},
    errors=(),
    example_path={"card_id": example_id("crd")},
)
STATEMENT = Route(
    method="GET",
    path="/v1/cards/{card_id}/statement",
    operation_id="get_statement",
    tag="Cards",
    scope="cards:read",
    summary="Statement of a card",
    description="Every change, oldest first, by version without gap, with the balances after. "
    "Where another member had the card before, a member's token is shown what came since it is "
    "theirs.",
    for_members=True,
    query=Paging,
    answers={200: Statement},
    errors=(),
    example_path={"card_id": example_id("crd")},
)


def _action(name: str, summary: str, description: str, scope: str, example: str) -> Route:
    return Route(
        method="POST",
        path=f"/v1/cards/{{card_id}}/{name}",
        operation_id=f"{name}_card",
        tag="Cards",
        scope=scope,
        summary=summary,
        description=description,
        body=CardAction,
        answers={200: Card},
        idempotent=True,
        errors=WRITE_ERRORS,
        example_path={"card_id": example},
        example_body={"reason": "asked by the holder"},
    )


ACTIVATE = _action(
    "activate",
    "Activate a card",
    "created → active; a validity after activation starts.",
    "cards:write",
    example_id("crd", 1),
)
FREEZE = _action(
    "freeze",
    "Freeze a card",
    "active → frozen: nothing sent after the answer is accepted. Refunds still land.",
    "cards:freeze",
    example_id("crd"),
)
UNFREEZE = _action(
    "unfreeze", "Unfreeze a card", "frozen → active.", "cards:freeze", example_id("crd")
)

HANDLERS = [
    handler(ISSUE, operations.issue),
    handler(LOOKUP, operations.look_up),
    handler(READ, operations.read),
    handler(STATEMENT, operations.statement),
    handler(ACTIVATE, operations.activate),
    handler(FREEZE, operations.freeze),
    handler(UNFREEZE, operations.unfreeze),
]
