"""Sessions over HTTP."""

from schemas.sessions import (
    PasswordConfirm,
    RecoveryCodes,
    SessionList,
    SessionsEnded,
    SessionStarted,
    SignIn,
    TotpConfirm,
    TotpSecret,
)
from service.kernel.http import guest_handler, handler
from service.kernel.ids import example_id
from service.kernel.permissions import SELF
from service.kernel.routes import Route
from service.ledger import reasons
from service.sessions import operations

TAG = "People"

SIGN_IN = Route(
    method="POST",
    path="/v1/sessions",
    operation_id="sign_in",
    tag=TAG,
    scope="",
    summary="Sign in",
    description="Answers a token that is good like an API key: `Authorization: Bearer …`. It is "
    "over when nobody uses it for half an hour, and after half a day. With an authenticator set up "
    "send its `one_time_code`, too; without one your roles' permissions that move money or show "
    "people are withheld.",
    body=SignIn,
    answers={201: SessionStarted},
    errors=(
        operations.SIGN_IN_FAILED,
        operations.SECOND_FACTOR_NEEDED,
        operations.SIGN_IN_DELAYED,
    ),
    example_body={
        "merchant_id": example_id("mer"),
        "email": "chen.yu@xinghe.example",
        "password": "Teal-Heron.49 naps",
    },
)
LIST = Route(
    method="GET",
    path="/v1/me/sessions",
    operation_id="list_sessions",
    tag=TAG,
    scope=SELF,
    summary="See where you are signed in",
    description="Every device and when it was used last.",
    answers={200: SessionList},
    errors=(),
)
END = Route(
    method="POST",
    path="/v1/me/sessions/{session_id}/end",
    operation_id="end_session",
    tag=TAG,
    scope=SELF,
    summary="End one of your sessions",
    description="Nothing that is sent with it after the answer is accepted. It takes no body.",
    answers={200: SessionsEnded},
    errors=(),
    example_path={"session_id": example_id("ses")},
)
SIGN_OUT = Route(
    method="POST",
    path="/v1/me/sign-out",
    operation_id="sign_out",
    tag=TAG,
    scope=SELF,
    summary="Sign out everywhere",
    description="Every session of yours is over with the answer, this one too. It takes no body.",
    answers={200: SessionsEnded},
    errors=(),
)
BEGIN_TOTP = Route(
    method="POST",
    path="/v1/me/totp",
    operation_id="begin_totp",
    tag=TAG,
    scope=SELF,
    summary="Set up an authenticator",
    description="Answers a secret for the app (TOTP: six digits, 30 seconds, SHA-1). It counts "
    "once you have confirmed a code of it; until then ask as often as you like.",
    body=PasswordConfirm,
    answers={201: TotpSecret},
    errors=(
        reasons.UNPROCESSABLE,
        operations.SECOND_FACTOR_REFUSED,
        operations.SIGN_IN_DELAYED,
    ),
    example_body={"password": "Teal-Heron.49 naps"},
)
CONFIRM_TOTP = Route(
    method="POST",
    path="/v1/me/totp/confirm",
    operation_id="confirm_totp",
    tag=TAG,
    scope=SELF,
    summary="Confirm your authenticator",
    description="From the answer on signing in needs a code. It shows ten recovery codes, each "
    "good once in place of one: print them. All your sessions are over: sign in anew.",
    body=TotpConfirm,
    answers={200: RecoveryCodes},
    errors=(
        reasons.UNPROCESSABLE,
        operations.SECOND_FACTOR_REFUSED,
    ),
    example_body={"one_time_code": "481203"},
)

HANDLERS = [
    guest_handler(SIGN_IN, operations.sign_in),
    handler(LIST, operations.browse),
    handler(END, operations.end),
    handler(SIGN_OUT, operations.sign_out),
    handler(BEGIN_TOTP, operations.begin_totp),
    handler(CONFIRM_TOTP, operations.confirm_totp),
]
