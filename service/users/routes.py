"""People over HTTP: who works here, as what, and oneself."""

from schemas.roles import RoleAt, RoleList
from schemas.sessions import Me, PasswordChange, SessionsEnded
from schemas.users import (
    TicketRedeem,
    TicketRedeemed,
    User,
    UserInvite,
    UserList,
    UserReset,
    UserTicket,
    UserVersion,
)
from service.approvals.operations import APPROVAL_REQUIRED
from service.kernel.http import guest_handler, handler
from service.kernel.ids import example_id
from service.kernel.paging import Paging
from service.kernel.permissions import SELF
from service.kernel.routes import Route
from service.ledger import reasons
from service.sessions.operations import SIGN_IN_DELAYED
from service.users import me, operations

PATH = "/v1/users/{user_id}"
TAG = "People"
EXAMPLE = {"user_id": example_id("usr")}
CHANGES = (
    reasons.MERCHANT_SUSPENDED,
    operations.USER_REFUSED,
    operations.BEYOND_REACH,
)

INVITE = Route(
    method="POST",
    path="/v1/users",
    operation_id="invite_user",
    tag=TAG,
    scope="users:write",
    summary="Invite somebody",
    description="Makes an account with a first role, and a token with which that person sets a "
    "password: hand it to them, it is good once and for a week. What you may give are the roles "
    "that yours name (`GET /v1/roles`), where yours reach.",
    body=UserInvite,
    answers={201: UserTicket},
    errors=(
        APPROVAL_REQUIRED,
        reasons.UNPROCESSABLE,
        reasons.MERCHANT_SUSPENDED,
        operations.USER_EXISTS,
        operations.BEYOND_REACH,
    ),
    example_body={
        "email": "chen.yu@xinghe.example",
        "role": "store_manager",
        "node_id": example_id("sto"),
    },
)
LIST = Route(
    method="GET",
    path="/v1/users",
    operation_id="list_users",
    tag=TAG,
    scope="users:read",
    summary="List people",
    description="Newest first. Whoever is responsible for some stores sees those who have a role "
    "at one of them.",
    query=Paging,
    answers={200: UserList},
    errors=(),
)
READ = Route(
    method="GET",
    path=PATH,
    operation_id="get_user",
    tag=TAG,
    scope="users:read",
    summary="Look at somebody",
    description="Their roles, and whether they can sign in.",
    answers={200: User},
    errors=(),
    example_path=EXAMPLE,
)
GIVE = Route(
    method="POST",
    path=f"{PATH}/roles",
    operation_id="give_role",
    tag=TAG,
    scope="grants:write",
    summary="Give somebody a role",
    description="From the answer on they may do what it allows, in sessions that go on, too. A "
    "role they have there already stays as it is (200).",
    body=RoleAt,
    answers={201: User, 200: User},
    errors=(*CHANGES, reasons.UNPROCESSABLE, APPROVAL_REQUIRED),
    example_path=EXAMPLE,
    example_body={"role": "cashier", "node_id": example_id("sto")},
)
TAKE = Route(
    method="POST",
    path=f"{PATH}/roles/{{grant_id}}/revoke",
    operation_id="revoke_role",
    tag=TAG,
    scope="grants:write",
    summary="Take a role from somebody",
    description="Nothing that is sent after the answer is allowed by it. A role that they don't "
    "have any more stays so. It takes no body.",
    answers={200: User},
    errors=CHANGES,
    example_path={**EXAMPLE, "grant_id": example_id("grt")},
)
DISABLE = Route(
    method="POST",
    path=f"{PATH}/disable",
    operation_id="disable_user",
    tag=TAG,
    scope="users:write",
    summary="Let somebody in no more",
    description="Every session they have is over with the answer. Their roles are kept.",
    body=UserVersion,
    answers={200: User},
    errors=CHANGES,
    example_path=EXAMPLE,
    example_body={"version": 1},
)
ENABLE = Route(
    method="POST",
    path=f"{PATH}/enable",
    operation_id="enable_user",
    tag=TAG,
    scope="users:write",
    summary="Let somebody in again",
    description="With the password and the roles that they had.",
    body=UserVersion,
    answers={200: User},
    errors=(*CHANGES, APPROVAL_REQUIRED),
    example_path=EXAMPLE,
    example_body={"version": 2},
)
RESET = Route(
    method="POST",
    path=f"{PATH}/reset",
    operation_id="reset_user",
    tag=TAG,
    scope="users:write",
    summary="Help somebody in who lost their password",
    description="A token with which they set another one: good once, and for an hour (a new "
    "invitation: for a week). Those given before are good no more. With `second_factor` their "
    "authenticator isn't asked for any more, and all their sessions are over.",
    body=UserReset,
    answers={201: UserTicket},
    errors=(*CHANGES, APPROVAL_REQUIRED),
    example_path=EXAMPLE,
    example_body={"second_factor": False},
)
REDEEM = Route(
    method="POST",
    path="/v1/tickets/redeem",
    operation_id="redeem_ticket",
    tag=TAG,
    scope="",
    summary="Set a password",
    description="With the token of an invitation or a reset. Every session of that person is over; "
    "sign in with `POST /v1/sessions`.",
    body=TicketRedeem,
    answers={200: TicketRedeemed},
    errors=(reasons.UNPROCESSABLE, operations.TICKET_REFUSED),
    example_body={"token": "kft_test_…", "password": "Teal-Heron.49 naps"},
)
ROLES = Route(
    method="GET",
    path="/v1/roles",
    operation_id="list_roles",
    tag=TAG,
    scope=SELF,
    summary="List roles",
    description="What each allows, where it can be given, and whom it may make what.",
    answers={200: RoleList},
    errors=(),
)
ME = Route(
    method="GET",
    path="/v1/me",
    operation_id="get_me",
    tag=TAG,
    scope=SELF,
    summary="Look at yourself",
    description="Your roles, and what this session may do.",
    answers={200: Me},
    errors=(),
)
CHANGE_PASSWORD = Route(
    method="POST",
    path="/v1/me/password",
    operation_id="change_password",
    tag=TAG,
    scope=SELF,
    summary="Change your password",
    description="Every other session of yours is over. Whoever has an authenticator gives a code "
    "of it, too.",
    body=PasswordChange,
    answers={200: SessionsEnded},
    errors=(reasons.UNPROCESSABLE, SIGN_IN_DELAYED),
    example_body={
        "current_password": "Teal-Heron.49 naps",
        "new_password": "Nine+Kettles 7 under ice",
    },
)

HANDLERS = [
    handler(INVITE, operations.invite),
    handler(LIST, operations.browse),
    handler(READ, operations.read),
    handler(GIVE, operations.give),
    handler(TAKE, operations.take),
    handler(DISABLE, operations.disable),
    handler(ENABLE, operations.enable),
    handler(RESET, operations.reset),
    guest_handler(REDEEM, operations.redeem),
    handler(ROLES, operations.roles),
    handler(ME, me.read),
    handler(CHANGE_PASSWORD, me.change_password),
]
