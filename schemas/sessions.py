"""Sessions: signing in, a second factor, and where one is signed in."""

from typing import Annotated

from msgspec import Meta, Struct

from schemas.common import Id, Instant, Secret
from schemas.users import Email, Password, User

Code = Annotated[
    Secret,
    Meta(
        min_length=6,
        max_length=32,
        pattern=r"^[0-9a-zA-Z -]{6,32}$(?!\n)",
        description="Six digits of the authenticator, or a recovery code.",
        examples=["481203"],
    ),
]


class SignIn(Struct, forbid_unknown_fields=True, omit_defaults=True):
    """Who signs in."""

    merchant_id: Annotated[Id, Meta(description="Where they work: your merchant, `mer_…`.")]
    email: Email
    password: Password
    one_time_code: Annotated[
        Code | None, Meta(description="Needed once an authenticator is set up.")
    ] = None
    device_token: Annotated[
        Annotated[Secret, Meta(max_length=200)] | None,
        Meta(
            description="That of an earlier sign-in on this device: whoever tries passwords "
            "elsewhere can't lock it out. What was begun with it before is over.",
        ),
    ] = None


class SessionStarted(Struct):
    """A session; this answer is the only one that shows its token."""

    token: Annotated[Secret, Meta(description="Send it as `Authorization: Bearer …`.")]
    session_id: Annotated[str, Meta(description="By which it can be ended.")]
    user_id: Annotated[str, Meta(description="Who signed in.")]
    second_factor: Annotated[
        bool, Meta(description="false: what moves money or shows people is closed to it.")
    ]
    expires_at: Annotated[Instant, Meta(description="Over then at the latest. UTC, RFC 3339.")]
    device_token: Annotated[Secret, Meta(description="Keep it on this device.")]


class Session(Struct):
    """Where somebody is signed in."""

    id: str
    current: Annotated[bool, Meta(description="Whether it is the one that asks.")]
    second_factor: Annotated[bool, Meta(description="Whether it was begun with one.")]
    device: Annotated[str | None, Meta(description="What the software there says of itself.")]
    address: Annotated[str | None, Meta(description="The network address it came from.")]
    created_at: Instant
    last_used_at: Annotated[Instant, Meta(description="To the minute. UTC, RFC 3339.")]
    expires_at: Instant


class SessionList(Struct):
    """All that go on, newest first."""

    data: list[Session]


class SessionsEnded(Struct):
    """How many sessions ended."""

    ended: Annotated[int, Meta(ge=0, description="How many they were.")]


class Me(Struct):
    """Who one is, and what one may do."""

    user: User
    session_id: Annotated[str, Meta(description="Of the session that asks.")]
    second_factor: Annotated[bool, Meta(description="Whether this session was begun with one.")]
    permissions: Annotated[list[str], Meta(description="What this session may do somewhere.")]
    withheld: Annotated[
        list[str], Meta(description="What it could do too, begun with a second factor.")
    ]


class PasswordChange(Struct, forbid_unknown_fields=True, omit_defaults=True):
    """Another password."""

    current_password: Password
    new_password: Password
    one_time_code: Annotated[
        Code | None, Meta(description="Asked of who has an authenticator, and only of them.")
    ] = None


class PasswordConfirm(Struct, forbid_unknown_fields=True):
    """The password, so that an open screen isn't enough."""

    password: Password


class TotpSecret(Struct):
    """What an authenticator needs; this answer is the only one that shows it."""

    secret: Annotated[Secret, Meta(description="Base 32, to be typed in.")]
    secret_uri: Annotated[Secret, Meta(description="The same for a QR code.")]


class TotpConfirm(Struct, forbid_unknown_fields=True):
    """What the authenticator shows."""

    one_time_code: Code


class RecoveryCodes(Struct):
    """Each stands in for the authenticator once; this answer is the only one that shows them."""

    recovery_codes: Annotated[list[Secret], Meta(description="Print them.")]
