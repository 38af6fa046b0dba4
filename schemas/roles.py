"""Roles: what people do, and what it lets them do."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from schemas.common import Id, Instant

Role = Literal[
    "owner",
    "template_designer",
    "checker",
    "finance",
    "area_manager",
    "store_manager",
    "cashier",
    "developer",
    "auditor",
    "platform_admin",
    "platform_reviewer",
    "platform_senior_reviewer",
    "platform_finance",
    "platform_compliance",
    "platform_support",
]
VisitingRole = Literal[
    "visiting_admin",
    "visiting_reviewer",
    "visiting_senior_reviewer",
    "visiting_finance",
    "visiting_compliance",
    "visiting_support",
]
NodeId = Annotated[
    Id,
    Meta(
        description="Where: your merchant (`mer_…`), an area with all that is below, or a store.",
        examples=["sto_06f2k9v3c0a1b2c3d4e5f6g7h8"],
    ),
]


class RoleAt(Struct, forbid_unknown_fields=True):
    """A role at a place."""

    role: Annotated[Role, Meta(description="As what; see `GET /v1/roles`.")]
    node_id: NodeId


class RoleGrant(Struct):
    """A role that somebody has, where, and since when."""

    id: str
    role: Annotated[str, Meta(description="As what they act there.")]
    node_id: NodeId
    granted_at: Instant
    granted_by: Annotated[str, Meta(description="The user, or the operator's account.")]


class RoleDetail(Struct):
    """What a role is."""

    role: Annotated[str, Meta(description="Its name in requests.")]
    title: str
    at: Annotated[
        list[Literal["merchant", "area", "store", "platform", "visit"]],
        Meta(
            description="Where it can be given. platform: to those who look after merchants. "
            "visit: by nobody, it is had for as long as one of them visits a merchant."
        ),
    ]
    permissions: Annotated[list[str], Meta(description="What it allows there and below.")]
    second_factor: Annotated[
        list[str],
        Meta(description="Those of them that need a sign-in with a second factor."),
    ]
    grants: Annotated[
        list[str], Meta(description="The roles that whoever has it may give, there and below.")
    ]
    visits: Annotated[list[str], Meta(description="As what whoever has it may visit a merchant.")]


class RoleList(Struct):
    """All roles."""

    data: list[RoleDetail]
