"""The audit trail: who changed what of the configuration, from where and why."""

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from schemas.common import Id, Instant

ActorKind = Literal["user", "api_key", "member", "operator"]
Action = Literal[
    "api_key.created",
    "api_key.refreshed",
    "api_key.revoked",
    "api_key.rotated",
    "approval.approved",
    "approval.opened",
    "approval.rejected",
    "approval.used",
    "approval.withdrawn",
    "authority.changed",
    "card.bound",
    "card.unbound",
    "area.created",
    "area.moved",
    "day.closed",
    "day.reopened",
    "legal_hold.placed",
    "legal_hold.released",
    "member.created",
    "member.erased",
    "member.name_changed",
    "member.phone_changed",
    "member.restricted",
    "member.signed_out",
    "member.subject_access",
    "member.unmasked",
    "merchant.created",
    "policy.changed",
    "role.granted",
    "role.revoked",
    "session.ended",
    "session.started",
    "store.created",
    "store.moved",
    "template.published",
    "test_clock.moved",
    "user.disabled",
    "user.enabled",
    "user.invited",
    "user.password_set",
    "user.reset",
    "user.second_factor_removed",
    "user.second_factor_set",
    "visit.began",
    "visit.ended",
]
Facts = Annotated[
    dict[str, Any] | None,
    Meta(description="Of what was changed, the fields that were. Null: there was nothing."),
]


class Actor(Struct, frozen=True):
    """Who did it: `operator` is whoever runs the system, by the name of their account there."""

    kind: ActorKind
    id: str
    session_id: Annotated[str | None, Meta(description="Of a user: the session it was done in.")]


class AuditEntry(Struct):
    """One change, as it was made. Entries are never changed; the chain of events seals them."""

    id: str
    action: Annotated[Action, Meta(description="What was done.")]
    object_id: Annotated[str | None, Meta(description="What was changed.")]
    actor: Actor
    address: Annotated[str | None, Meta(description="The network address it came from.")]
    request_id: Annotated[str | None, Meta(description="`X-Request-Id` of the answer.")]
    reason: Annotated[str | None, Meta(description="As it was given.")]
    before: Facts
    after: Facts
    recorded_at: Instant


class AuditEntryList(Struct):
    """A page of entries, newest first."""

    data: list[AuditEntry]
    next_cursor: str | None


ObjectId = Annotated[Id, Meta(description="Only what was done to this: a store, a key, a member.")]
ActorId = Annotated[Id, Meta(description="Only what this user or API key did.")]
