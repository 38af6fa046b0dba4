"""API keys: what tills and backends show."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from schemas.common import Id, Instant, Label, Name, Secret

Networks = Annotated[
    Annotated[list[Label], Meta(max_length=32)] | None,
    Meta(
        description="From where it may be used, as CIDR or single addresses. null: from anywhere.",
        examples=[["203.0.113.0/24"]],
    ),
]


class ApiKeyCreate(Struct, forbid_unknown_fields=True, omit_defaults=True):
    """A new key."""

    name: Annotated[Name, Meta(description="What will use it.", examples=["Till 12"])]
    scopes: Annotated[
        list[Label],
        Meta(
            min_length=1,
            max_length=64,
            description="What it may do: permissions, of those you have yourself.",
        ),
    ]
    store_id: Annotated[
        Id | None, Meta(description="A till's store; it acts for no other. null: for all.")
    ] = None
    expires_at: Annotated[
        Instant | None, Meta(description="Good until then. null: until it is revoked.")
    ] = None
    networks: Networks = None
    signed: Annotated[
        bool,
        Meta(
            description="true: each request must be signed (`Kafang-Signature`); the answer has "
            "the `signing_secret`."
        ),
    ] = False


class ApiKeyRotate(Struct, forbid_unknown_fields=True, omit_defaults=True):
    """A key in place of another."""

    overlap_s: Annotated[
        int,
        Meta(ge=0, le=604_800, description="For how many seconds the old one is good still."),
    ] = 86_400


class ApiKey(Struct):
    """A key, without its text."""

    id: str
    name: str
    scopes: Annotated[list[str], Meta(description="What it may do.")]
    store_id: str | None
    networks: Networks
    signed: Annotated[bool, Meta(description="true: each of its requests must be signed.")]
    status: Literal["active", "revoked"]
    expires_at: Annotated[Instant | None, Meta(description="null: it has no end.")]
    rotated_to: Annotated[str | None, Meta(description="The key in its place, if there is one.")]
    last_used_at: Annotated[Instant | None, Meta(description="To the hour; null: never yet.")]
    created_at: Instant
    created_by: Annotated[str | None, Meta(description="The user; null: whoever runs the system.")]


class ApiKeyList(Struct):
    """A page of keys, newest first."""

    data: list[ApiKey]
    next_cursor: str | None


class ApiKeyMade(Struct):
    """A new key; this answer is the only one that shows its text."""

    key: ApiKey
    token: Annotated[Secret, Meta(description="Send it as `Authorization: Bearer …`.")]
    signing_secret: Annotated[
        Secret | None, Meta(description="Sign with it, and never send it; null: nothing is signed.")
    ]
