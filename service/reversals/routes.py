"""Reversal by key over HTTP."""

from schemas.reversals import Reversal, ReversalCreate
from service.approvals import operations as approvals
from service.kernel.http import handler
from service.kernel.problems import UNAVAILABLE, ProblemError
from service.kernel.routes import Answer, Call, Route
from service.ledger import door, reasons
from service.ledger.batch import Settled
from service.ledger.commands import Reverse

TRIES_MAX = 5

CREATE = Route(
    method="POST",
    path="/v1/reversals",
    operation_id="create_reversal",
    tag="Reversals",
    scope="reversals:write",
    summary="Undo by idempotency key (冲正)",
    description="For a till that never got an answer and gives the sale up: undoes what is left of "
    "the operation with this key, or blocks the key if the operation never arrived. "
    "Reversals of another client's key need reversals:any.",
    body=ReversalCreate,
    answers={201: Reversal},
    idempotent=True,
    example_body={
        "idempotency_key": "POS12-20260301-000481-1",
        "reason": "no answer, sale given up",
    },
    errors=(
        approvals.APPROVAL_REQUIRED,
        reasons.REVERSAL_REFUSED,
        reasons.KEY_REUSED,
        reasons.KEY_REVERSED,
        reasons.REQUEST_IN_PROGRESS,
        reasons.STORE_NOT_ALLOWED,
        reasons.UNPROCESSABLE,
        reasons.MERCHANT_SUSPENDED,
    ),
)


async def create(call: Call, body: ReversalCreate) -> Answer:
    """Find what the key did, then undo it.

    It is looked up again when the key's request arrives in between.
    """
    if body.idempotency_key == call.idempotency_key:
        raise ProblemError(reasons.UNPROCESSABLE, "A reversal needs a key of its own.")
    target = door.key_hash(call.state.door_keys, body.idempotency_key)
    for _ in range(TRIES_MAX):
        operation_id, number, store_id = await _locate(call, target)
        if operation_id is not None:
            seen = {"reason": body.reason}  # the key itself is nobody's to see
            await approvals.require_ahead(call, "reversal", seen, operation_id, store_id)
        intent = Reverse(target, operation_id, body.reason)
        settled = await door.attempt(
            call, body, intent, number, store_id or call.credential.only_store(call.scope)
        )
        if isinstance(settled, Settled):
            return Answer(settled.status, settled.body, settled.replayed)
    raise ProblemError(UNAVAILABLE)


async def _locate(call: Call, key_hash: bytes) -> tuple[str | None, str, str | None]:
    """The operation a key led to, its card's number and its store.

    (None, "", None) for a key not seen.
    """
    row = await door.find(call, "ledger.locate_key", key_hash)
    if row is None:
        return None, "", None
    return row["operation_id"], row["card_number"] or "", row["store_id"]


HANDLERS = [handler(CREATE, create)]
