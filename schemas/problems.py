"""The one shape of every error: problem+json (RFC 9457), a stable code and all reasons at once."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

Outcome = Literal["not_applied", "unknown"]
Retry = Literal["same_key", "new_key", "no"]


class Reason(Struct, forbid_unknown_fields=True, omit_defaults=True):
    """One thing that stands in the way, and how to mend it."""

    code: Annotated[
        str, Meta(description="Stable, machine-readable.", examples=["insufficient_balance"])
    ]
    message: Annotated[str, Meta(description="What is wrong and how to mend it, for a person.")]
    path: Annotated[
        str | None,
        Meta(description="JSON path of the field in the request.", examples=["$.amount.value"]),
    ] = None
    card_id: Annotated[str | None, Meta(description="The card the reason is about.")] = None
    missing_minor: Annotated[
        int | None, Meta(description="What is short or too much, in minor units.")
    ] = None
    existing_id: Annotated[str | None, Meta(description="The resource that is already there.")] = (
        None
    )
    allowed: Annotated[list[str] | None, Meta(description="What would be accepted instead.")] = None


class Problem(Struct, forbid_unknown_fields=True):
    """Every answer that is not a success."""

    type: Annotated[str, Meta(description="URI reference that names the code.")]
    title: str
    status: Annotated[int, Meta(ge=400, le=599)]
    code: Annotated[str, Meta(description="Stable, machine-readable; the one to switch on.")]
    detail: Annotated[str, Meta(description="What happened and how to mend it.")]
    request_id: Annotated[str, Meta(description="Quote it when you ask for help.")]
    outcome: Annotated[
        Outcome,
        Meta(
            description="not_applied: this request did nothing. An earlier one under the same key "
            "may have: where one was left without an answer, only the answer to that request, sent "
            "again as it was, tells. unknown: it may have happened; send the same key again."
        ),
    ]
    retry: Annotated[
        Retry,
        Meta(
            description="same_key: send again as it is. new_key: mend, then a new key. "
            "no: sending again won't help."
        ),
    ]
    reasons: list[Reason]
