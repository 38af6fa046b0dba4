"""Members: who holds cards, what is theirs, and the tokens with which they read it themselves."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from schemas.cards import CardDetail
from schemas.common import SENSITIVE, CardNumber, Id, Instant, Secret

ExternalId = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=64,
        pattern=r"^[!-~]{1,64}$(?!\n)",
        examples=["wx-o6_bmjrPTlm6_2sgVt7h"],
    ),
]
Phone = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=32,
        examples=["13800138000", "+447911123456"],
        extra=SENSITIVE,
    ),
]
PersonName = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=64,
        examples=["张伟"],
        extra=SENSITIVE,
    ),
]
OF_EXTERNAL_ID = Meta(
    description="What your own backend calls this person, one each; printable ASCII without "
    "blanks. It is stored as it is: don't send a phone number here."
)
OF_PHONE = Meta(
    description="A number of the Chinese mainland as its 11 digits, any number with + and its "
    "country code. It is stored sealed under a key of this person alone, and shown masked."
)
OF_NAME = Meta(
    description="As the person writes it. Stored sealed under a key of theirs alone, and shown as "
    "its first character. Give it only where you need it, as for cards in a name."
)
MemberStatus = Literal["active", "restricted", "erased"]
MemberVersion = Annotated[
    int, Meta(ge=1, le=2**31 - 1, description="Raised by every change of the phone or name.")
]
BindingNo = Annotated[
    int,
    Meta(ge=1, le=2**31 - 1, description="The card's bindings in their order; the first has 1."),
]


class MemberCreate(Struct, forbid_unknown_fields=True, omit_defaults=True):
    """Who holds cards: give an external id, a phone, or both."""

    external_id: Annotated[ExternalId | None, OF_EXTERNAL_ID] = None
    phone: Annotated[Phone | None, OF_PHONE] = None
    full_name: Annotated[PersonName | None, OF_NAME] = None


class MemberLookup(Struct, forbid_unknown_fields=True, omit_defaults=True):
    """Find a member by external id or phone, one of them (phones never go into a URL)."""

    external_id: Annotated[ExternalId | None, OF_EXTERNAL_ID] = None
    phone: Annotated[Phone | None, OF_PHONE] = None


class PhoneChange(Struct, forbid_unknown_fields=True):
    """Another phone for a member."""

    phone: Annotated[Phone, OF_PHONE]
    version: Annotated[
        MemberVersion,
        Meta(
            description="The member's `version` as you saw it. If the phone was changed since "
            "then, nothing happens: so a request that comes late undoes nobody's change."
        ),
    ]


class NameChange(Struct, forbid_unknown_fields=True):
    """Another name for a member."""

    full_name: Annotated[PersonName | None, Meta(description="null: none is known any more.")]
    version: Annotated[MemberVersion, Meta(description="The member's `version` as you saw it.")]


class CardBind(Struct, forbid_unknown_fields=True, omit_defaults=True):
    """A card that becomes a member's: name it by number or by id, one of them."""

    card_number: CardNumber | None = None
    card_id: Id | None = None


class CardUnbind(Struct, forbid_unknown_fields=True):
    """The end of a binding."""

    binding_no: Annotated[
        BindingNo,
        Meta(
            description="Of the member's card as you saw it: so a request that comes late doesn't "
            "end a later binding."
        ),
    ]


class MemberTokenCreate(Struct, forbid_unknown_fields=True, omit_defaults=True):
    """A token for one member."""

    expires_in_s: Annotated[
        int,
        Meta(
            ge=60,
            le=3_600,
            description="For how many seconds it is good, by the real clock, also where a test "
            "tenant's clock was moved. 900 if left out.",
        ),
    ] = 900


class Member(Struct):
    """A holder of cards."""

    id: str
    external_id: Annotated[str | None, Meta(description="What your backend calls them.")]
    masked_phone: Annotated[
        Secret | None,
        Meta(description="For screens; null: no phone is known.", examples=["138****8000"]),
    ]
    masked_name: Annotated[
        Secret | None, Meta(description="For screens; null: no name is known.", examples=["张*"])
    ]
    status: Annotated[
        MemberStatus,
        Meta(
            description="restricted: they want to be forgotten, and what is known is only stored "
            "while it must be. erased: nothing is known but the id."
        ),
    ]
    version: MemberVersion
    created_at: Instant


class MemberList(Struct):
    """Members, newest first."""

    data: list[Member]
    next_cursor: str | None


class MemberCard(CardDetail, kw_only=True):
    """A card that is a member's now."""

    binding_no: BindingNo
    bound_at: Annotated[Instant, Meta(description="Since when it is theirs. UTC, RFC 3339.")]


class MemberCardList(Struct):
    """All cards that are a member's now, in the order they became theirs."""

    data: list[MemberCard]


class MemberDetail(Member, kw_only=True):
    """A member with all their cards."""

    cards: Annotated[list[MemberCard], Meta(description="In the order they became theirs.")]


class Binding(Struct):
    """From when to when a card was a member's."""

    card_id: str
    member_id: Annotated[str, Meta(description="Whose it is, or was.")]
    binding_no: BindingNo
    bound_at: Annotated[Instant, Meta(description="When it began. UTC, RFC 3339.")]
    unbound_at: Annotated[
        Instant | None, Meta(description="When it ended; null: it goes on. UTC, RFC 3339.")
    ]


class MemberToken(Struct):
    """A token of one member; this answer is the only one that shows it."""

    token: Annotated[
        Secret, Meta(description="Send it as `Authorization: Bearer …`; less than 300 characters.")
    ]
    expires_at: Annotated[Instant, Meta(description="Good until then. UTC, RFC 3339.")]
    member_id: Annotated[str, Meta(description="Who reads with it, and what is theirs alone.")]
