"""Reversal by idempotency key (冲正): what a till sends when it never got an answer."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from schemas.cards import CardAfter
from schemas.common import Instant, Total
from schemas.redemptions import Allocation

ReversalOutcome = Annotated[
    Literal["reversed", "nothing_to_reverse", "blocked"],
    Meta(description="In each case the key has no effect any more, and never will."),
]


class ReversalCreate(Struct, forbid_unknown_fields=True, omit_defaults=True):
    """Undo whatever the operation with this key did; a key not seen yet is blocked for ever."""

    idempotency_key: Annotated[
        str,
        Meta(
            min_length=8,
            max_length=128,
            pattern=r"^[ -~]{8,128}$(?!\n)",
            description="The key of the operation to undo.",
        ),
    ]
    reason: Annotated[str, Meta(min_length=1, max_length=200)] | None = None


class Reversal(Struct):
    """What became of the key, in `outcome`.

    `reversed`: what was left has been undone. `nothing_to_reverse`: the key did nothing, or was
    already undone. `blocked`: the key was never seen and will be refused if it comes.
    """

    id: str
    outcome: ReversalOutcome
    target_id: Annotated[str | None, Meta(description="The operation the key had led to.")]
    amount: Total | None
    allocations: list[Allocation]
    recorded_at: Instant
    card: CardAfter | None
