"""Approvals: what needs a second person, who may be it, and what they said."""

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from schemas.audit import Actor
from schemas.common import AMOUNT_MAX, Instant, SeenVersion, Total

ApprovalKind = Annotated[
    Literal[
        "api_key.create",
        "authority.change",
        "day.reopen",
        "policy.change",
        "refund",
        "reversal",
        "role.grant",
        "template.publish",
        "user.enable",
        "user.reset",
        "void",
    ],
    Meta(description="What is asked for. `refund`, `reversal` and `void` have an amount."),
]
# The roles that may approve at all (roles.toml).
Decider = Literal["owner", "checker", "finance", "area_manager", "store_manager"]
ApprovalStatus = Annotated[
    Literal["open", "approved", "used", "rejected", "withdrawn", "expired", "void"],
    Meta(
        description="open: somebody must decide. approved: send the request again. used: it was "
        "sent and done. withdrawn: whoever asked gave it up. expired: it was not decided, or not "
        "used, in time. void: the same person asked for something else of the same thing."
    ),
]
Digest = Annotated[
    str,
    Meta(
        min_length=64,
        max_length=64,
        pattern=r"^[0-9a-f]{64}$(?!\n)",
        description="SHA-256 of everything that is asked for. Send back the one you saw.",
    ),
]
Limit = Annotated[int, Meta(ge=0, le=AMOUNT_MAX)]
Note = Annotated[
    Annotated[str, Meta(min_length=1, max_length=200)] | None,
    Meta(description="Why; whoever asked reads it."),
]


class AuthorityRule(Struct, forbid_unknown_fields=True, omit_defaults=True):
    """When a request needs a second person, and who that may be.

    At most one of the three limits; without one the rule always applies. Of the rules that apply,
    the one that wants the most people decides.
    """

    kind: ApprovalKind
    roles: Annotated[
        list[Decider],
        Meta(min_length=1, max_length=5, description="Who may approve: where it happens, or above"),
    ]
    approvers: Annotated[int, Meta(ge=1, le=3, description="How many different people.")] = 1
    amount_above: Annotated[
        Limit | None,
        Meta(description="Applies to more than this at once, in the merchant's minor units."),
    ] = None
    day_amount_above: Annotated[
        Limit | None,
        Meta(description="Applies once an employee passes this on a business day, this included."),
    ] = None
    day_count_above: Annotated[
        Limit | None,
        Meta(description="Applies once an employee does it more often on a business day."),
    ] = None


class Authority(Struct):
    """The rules of a merchant as they are now; version 0: there are none."""

    version: Annotated[int, Meta(description="Raised by every change of the rules.")]
    rules: list[AuthorityRule]


class AuthorityChange(Struct, forbid_unknown_fields=True):
    """Other rules in place of all there are."""

    version: SeenVersion
    rules: Annotated[list[AuthorityRule], Meta(max_length=64)]


class Decision(Struct, forbid_unknown_fields=True, omit_defaults=True):
    """What somebody says of exactly this."""

    digest: Digest
    note: Note = None


class Decided(Struct):
    """What somebody said."""

    user_id: Annotated[str, Meta(description="Who.")]
    approved: Annotated[bool, Meta(description="false: no.")]
    note: Note
    decided_at: Instant


class Approval(Struct):
    """A request that needs a second person."""

    id: str
    kind: ApprovalKind
    status: ApprovalStatus
    actor: Actor
    store_id: Annotated[str | None, Meta(description="Where; null: in the merchant's own office.")]
    subject_id: Annotated[str | None, Meta(description="What it is about, where that exists.")]
    amount: Annotated[Total | None, Meta(description="Of what moves money.")]
    request: Annotated[dict[str, Any], Meta(description="What was asked for, as it was sent.")]
    digest: Digest
    approvers: Annotated[int, Meta(description="How many people must approve.")]
    roles: Annotated[list[str], Meta(description="One of these roles each of them needs.")]
    decisions: list[Decided]
    opened_at: Instant
    expires_at: Annotated[Instant, Meta(description="Until then it is decided, and used.")]


class ApprovalList(Struct):
    """A page of approvals, newest first."""

    data: list[Approval]
    next_cursor: str | None
