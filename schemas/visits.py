"""Visits: the platform's people at a merchant, for a reason and for an hour."""

from typing import Annotated

from msgspec import Meta, Struct

from schemas.common import Id, Instant, Secret
from schemas.roles import VisitingRole

Reason = Annotated[
    str,
    Meta(
        min_length=10,
        max_length=200,
        description="Why, as the merchant will read it: a ticket, a case, what they asked for. No "
        "names, no phones.",
        examples=["工单 20481：核对重复扣款"],
    ),
]


class VisitBegin(Struct, forbid_unknown_fields=True):
    """Whom to visit, as what, and why."""

    merchant_id: Annotated[Id, Meta(description="The merchant, `mer_…`.")]
    role: Annotated[
        VisitingRole, Meta(description="As what; `visits` of your roles in `GET /v1/roles`.")
    ]
    reason: Reason


class Visit(Struct):
    """A visit, as both the platform and the merchant see it."""

    id: str
    merchant_id: Annotated[str, Meta(description="Who is visited.")]
    user_id: Annotated[str, Meta(description="Who visits: the actor in the merchant's trail.")]
    masked_email: Annotated[
        Secret, Meta(description="For screens.", examples=["g***@kafang.example"])
    ]
    role: Annotated[VisitingRole, Meta(description="As what.")]
    reason: Reason
    began_at: Instant
    ends_at: Annotated[Instant, Meta(description="Over then at the latest. UTC, RFC 3339.")]
    ended_at: Annotated[Instant | None, Meta(description="null: nobody ended it before that.")]
    ended_by: Annotated[str | None, Meta(description="The user who did; the visitor's own, too.")]


class VisitBegun(Struct):
    """A visit; this answer is the only one that shows its token."""

    visit: Visit
    session_id: Annotated[str, Meta(description="At the merchant.")]
    token: Annotated[
        Secret,
        Meta(description="Send it as `Authorization: Bearer …`: it is good at that merchant."),
    ]


class VisitList(Struct):
    """A page of visits, newest first."""

    data: list[Visit]
    next_cursor: str | None
