"""Users: the people who work with a merchant's cards."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from schemas.common import SENSITIVE, Instant, Secret
from schemas.roles import RoleAt, RoleGrant

Email = Annotated[
    str,
    Meta(
        min_length=3,
        max_length=254,
        pattern=r"^[^\s@\x00]+@[^\s@\x00]+\.[^\s@\x00]+$(?!\n)",
        description="Not stored: a keyed hash finds the account again. Case doesn't matter.",
        examples=["chen.yu@xinghe.example"],
        extra=SENSITIVE,
    ),
]
Password = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=128,
        description="10 to 128 characters with an upper-case and a lower-case letter, a digit and "
        "a sign, and nothing that many people would think of.",
        examples=["Teal-Heron.49 naps"],
        extra=SENSITIVE,
    ),
]
UserStatus = Annotated[
    Literal["invited", "active", "disabled", "visiting"],
    Meta(
        description="invited: no password yet. disabled: can't sign in. visiting: of the platform, "
        "who is or was here on a visit; not in the list."
    ),
]
OneTimeToken = Annotated[
    Secret,
    Meta(
        min_length=1,
        max_length=100,
        description="Good once: it sets a password. Hand it to that person alone.",
    ),
]


class UserInvite(RoleAt, forbid_unknown_fields=True):
    """Somebody new, with the first role they get."""

    email: Email


class UserVersion(Struct, forbid_unknown_fields=True):
    """The user as you saw them."""

    version: Annotated[
        int,
        Meta(
            ge=1,
            le=2**31 - 1,
            description="The user's `version` as you saw it: so a request that comes late undoes "
            "nobody's change.",
        ),
    ]


class UserReset(Struct, forbid_unknown_fields=True, omit_defaults=True):
    """A way back in for somebody."""

    second_factor: Annotated[
        bool,
        Meta(description="true: their authenticator is lost, too, and they set up another one."),
    ] = False


class User(Struct):
    """Somebody who works here."""

    id: str
    masked_email: Annotated[
        Secret, Meta(description="For screens.", examples=["c***@xinghe.example"])
    ]
    status: UserStatus
    second_factor: Annotated[bool, Meta(description="Whether an authenticator is set up.")]
    roles: list[RoleGrant]
    version: Annotated[int, Meta(ge=1, description="Raised by every change of the account.")]
    created_at: Instant


class UserList(Struct):
    """A page of users, newest first."""

    data: list[User]
    next_cursor: str | None


class UserTicket(Struct):
    """With it a person sets their password; this answer is the only one that shows it."""

    user: User
    token: OneTimeToken
    expires_at: Instant


class TicketRedeem(Struct, forbid_unknown_fields=True):
    """The password somebody chose."""

    token: OneTimeToken
    password: Password


class TicketRedeemed(Struct):
    """Sign in now."""

    merchant_id: Annotated[str, Meta(description="Sign in with it.")]
    user_id: Annotated[str, Meta(description="Whose password it is.")]
