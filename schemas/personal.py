"""What is personal of members: shown for a purpose, copied for themselves, held, erased."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from schemas.common import Instant, Secret
from schemas.members import Binding, Member, MemberVersion

PersonalField = Literal["full_name", "phone"]
Purpose = Literal["contact", "dispute", "identity_check", "legal_duty", "refund"]
Why = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=200,
        description="For whoever reads the audit trail; name nobody here.",
        examples=["customer asked at the counter, case 2026-118"],
    ),
]
HoldReason = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=200,
        description="Which proceedings, for whoever asks later; name nobody here.",
        examples=["court order (2026) 沪0101 民初 118"],
    ),
]


class Unmask(Struct, forbid_unknown_fields=True):
    """What to show, and what for."""

    fields: Annotated[
        list[PersonalField],
        Meta(min_length=1, max_length=2, description="No more than the purpose needs."),
    ]
    purpose: Annotated[
        Purpose,
        Meta(description="Of a member who is restricted only `legal_duty` and `dispute`."),
    ]
    note: Why


class Unmasked(Struct):
    """What was asked for; null where nothing is known, or it wasn't asked for."""

    member_id: Annotated[str, Meta(description="Who was looked at.")]
    full_name: Annotated[Secret | None, Meta(description="As they write it.", examples=["张伟"])]
    phone: Annotated[Secret | None, Meta(description="E.164.", examples=["+8613800138000"])]


class SubjectAccess(Struct, forbid_unknown_fields=True):
    """Why somebody's data is copied."""

    note: Why


class Disclosure(Struct):
    """Somebody looked at what is personal."""

    at: Instant
    by: Annotated[str, Meta(description="user, api_key or operator; never who it was.")]
    purpose: Annotated[str, Meta(description="What for.")]


class SubjectCopy(Struct):
    """All that is known of a person, for themselves (个人信息保护法 art. 45)."""

    member: Member
    full_name: Annotated[Secret | None, Meta(description="As they write it.", examples=["张伟"])]
    phone: Annotated[Secret | None, Meta(description="E.164.", examples=["+8613800138000"])]
    bindings: Annotated[
        list[Binding],
        Meta(
            description="Which cards were theirs, from when to when. What happened to each is in "
            "its statement: `GET /v1/cards/{card_id}/record`."
        ),
    ]
    disclosures: Annotated[
        list[Disclosure],
        Meta(
            description="When somebody looked at their name or phone, and what for; not what was "
            "for a dispute or a legal duty, which the law may want kept from them."
        ),
    ]


class Erase(Struct, forbid_unknown_fields=True):
    """A person wants nothing more to be known of them."""

    version: Annotated[MemberVersion, Meta(description="The member's `version` as you saw it.")]
    note: Why


KeptFor = Literal["registration", "legal_hold"]


class Erasure(Struct):
    """What became of it."""

    member: Member
    kept_for: Annotated[
        list[KeptFor],
        Meta(
            description="Empty: it is erased. registration: the law wants a named card's holder "
            "kept for five years from its last use. legal_hold: see their legal holds. What is "
            "kept is stored, and used for nothing else."
        ),
    ]
    erase_at: Annotated[
        Instant | None,
        Meta(description="When the registration's time is over; null: it is erased, or on hold."),
    ]


class LegalHoldPlace(Struct, forbid_unknown_fields=True):
    """Why what is known of somebody must be kept."""

    reason: HoldReason


class LegalHold(Struct):
    """While it isn't released nothing of the member is erased."""

    id: str
    member_id: Annotated[str, Meta(description="Of whom what is known is kept.")]
    reason: Annotated[str, Meta(description="As it was given.")]
    placed_by: Annotated[str, Meta(description="The user who placed it.")]
    placed_at: Instant
    released_by: Annotated[str | None, Meta(description="Who ended it; null: it holds.")]
    released_at: Annotated[Instant | None, Meta(description="When it ended. UTC, RFC 3339.")]


class LegalHoldList(Struct):
    """A page of a member's holds, newest first."""

    data: list[LegalHold]
    next_cursor: str | None
