"""Members over HTTP: who they are, what is theirs, and their tokens."""

from typing import Any

from schemas.common import EXAMPLE_NUMBER
from schemas.members import (
    Binding,
    CardBind,
    CardUnbind,
    Member,
    MemberCard,
    MemberCardList,
    MemberCreate,
    MemberDetail,
    MemberList,
    MemberLookup,
    MemberToken,
    MemberTokenCreate,
    PhoneChange,
)
from service.kernel import problems
from service.kernel.http import handler
from service.kernel.ids import example_id
from service.kernel.paging import Paging
from service.kernel.routes import Route
from service.ledger import reasons
from service.members import operations
from service.members.rules import CARDS_MAX
from service.personal.operations import PERSON_REFUSED

PATH = "/v1/members/{member_id}"
EXAMPLE = {"member_id": example_id("mbr")}
NEW: dict[str, Any] = {"external_id": "wx-o6_bmjrPTlm6_2sgVt7h", "phone": "13800138000"}

CREATE = Route(
    method="POST",
    path="/v1/members",
    operation_id="create_member",
    tag="Members",
    scope="members:write",
    summary="Make a member",
    description="Somebody who holds cards, known by your own id for them, by their phone, or both. "
    "Whoever is known by all that you give is answered as they are (200), so send it again after "
    "a time-out. Phone and name are stored sealed under a key of this person, and shown masked.",
    body=MemberCreate,
    answers={201: Member, 200: Member},
    errors=(reasons.UNPROCESSABLE, reasons.MERCHANT_SUSPENDED, operations.MEMBER_EXISTS),
    example_body=NEW,
)
LIST = Route(
    method="GET",
    path="/v1/members",
    operation_id="list_members",
    tag="Members",
    scope="members:read",
    summary="List members",
    description="Newest first.",
    query=Paging,
    answers={200: MemberList},
    errors=(),
)
LOOKUP = Route(
    method="POST",
    path="/v1/members/lookup",
    operation_id="look_up_member",
    tag="Members",
    scope="members:read",
    summary="Find a member by phone",
    description="Or by external id. Answers the member with all their cards, so that a till has "
    "both in one call. Phones never go into a URL.",
    body=MemberLookup,
    safe=True,
    answers={200: MemberDetail},
    errors=(reasons.UNPROCESSABLE, problems.NOT_FOUND),
    example_body={"phone": NEW["phone"]},
)
READ = Route(
    method="GET",
    path=PATH,
    operation_id="get_member",
    tag="Members",
    scope="members:read",
    summary="Look at a member",
    description="Who they are to you; of phone and name what a screen may show.",
    for_members=True,
    answers={200: Member},
    errors=(),
    example_path=EXAMPLE,
)
CHANGE_PHONE = Route(
    method="POST",
    path=f"{PATH}/phone",
    operation_id="change_member_phone",
    tag="Members",
    scope="members:write",
    summary="Change a member's phone",
    description="From the answer on the member is found by the new phone alone. A member who has "
    "it already stays as they are, so send it again after a time-out.",
    body=PhoneChange,
    answers={200: Member},
    errors=(
        reasons.UNPROCESSABLE,
        reasons.MERCHANT_SUSPENDED,
        operations.MEMBER_EXISTS,
        operations.MEMBER_REFUSED,
        PERSON_REFUSED,
    ),
    example_path=EXAMPLE,
    example_body={"phone": "13900139000", "version": 1},
)
CARDS = Route(
    method="GET",
    path=f"{PATH}/cards",
    operation_id="list_member_cards",
    tag="Members",
    scope="members:read",
    summary="Cards of a member",
    description="All that are theirs now, with state, balances and lots: what an app shows first. "
    f"A member has {CARDS_MAX} at most.",
    for_members=True,
    answers={200: MemberCardList},
    errors=(),
    example_path=EXAMPLE,
)
BIND = Route(
    method="POST",
    path=f"{PATH}/cards",
    operation_id="bind_card",
    tag="Members",
    scope="members:write",
    summary="Bind a card to a member",
    description="From the answer on it is theirs, and their tokens read it. A card is one member's "
    "at a time; one that is this member's already is answered as it is (200). By number, a card "
    "that isn't active yet is answered like an unknown one.",
    body=CardBind,
    answers={201: MemberCard, 200: MemberCard},
    errors=(
        reasons.CARD_NOT_FOUND,
        reasons.UNPROCESSABLE,
        reasons.MERCHANT_SUSPENDED,
        operations.MEMBER_REFUSED,
        PERSON_REFUSED,
    ),
    example_path=EXAMPLE,
    example_body={"card_number": EXAMPLE_NUMBER},
)
UNBIND = Route(
    method="POST",
    path=f"{PATH}/cards/{{card_id}}/unbind",
    operation_id="unbind_card",
    tag="Members",
    scope="members:write",
    summary="Unbind a card from its member",
    description="From the answer on the member's tokens don't read it any more; that it was theirs "
    "is kept. A binding that is over stays as it is. A card of a template with `holder: named` "
    "stays its holder's.",
    body=CardUnbind,
    answers={200: Binding},
    errors=(reasons.MERCHANT_SUSPENDED, operations.MEMBER_REFUSED),
    example_path={**EXAMPLE, "card_id": example_id("crd", 2)},
    example_body={"binding_no": 1},
)
ISSUE_TOKEN = Route(
    method="POST",
    path=f"{PATH}/tokens",
    operation_id="issue_member_token",
    tag="Members",
    scope="member_tokens:write",
    summary="Issue a token for a member's app",
    description="With it an app reads this member, their cards and statements, and nothing else. "
    "It ends at `expires_at`, with a sign-out, or with the API key it was issued with. It is not "
    "stored: ask for a new one when it is lost.",
    body=MemberTokenCreate,
    answers={201: MemberToken},
    errors=(reasons.MERCHANT_SUSPENDED, PERSON_REFUSED),
    example_path=EXAMPLE,
    example_body={"expires_in_s": 900},
)
SIGN_OUT = Route(
    method="POST",
    path=f"{PATH}/sign-out",
    operation_id="sign_out_member",
    tag="Members",
    scope="member_tokens:write",
    summary="Sign a member out everywhere",
    description="Every token that was issued for the member before this answer ends with it. "
    "Nothing else changes. It takes no body.",
    answers={200: Member},
    errors=(reasons.MERCHANT_SUSPENDED,),
    example_path=EXAMPLE,
)

HANDLERS = [
    handler(CREATE, operations.create),
    handler(LIST, operations.browse),
    handler(LOOKUP, operations.look_up),
    handler(READ, operations.read),
    handler(CHANGE_PHONE, operations.change_phone),
    handler(CARDS, operations.cards),
    handler(BIND, operations.bind),
    handler(UNBIND, operations.unbind),
    handler(ISSUE_TOKEN, operations.issue_token),
    handler(SIGN_OUT, operations.sign_out),
]
