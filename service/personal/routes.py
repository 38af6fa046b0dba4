"""What is personal of members, over HTTP."""

from schemas.members import Member, NameChange
from schemas.personal import (
    Erase,
    Erasure,
    LegalHold,
    LegalHoldList,
    LegalHoldPlace,
    SubjectAccess,
    SubjectCopy,
    Unmask,
    Unmasked,
)
from service.kernel.http import handler
from service.kernel.ids import example_id
from service.kernel.paging import Paging
from service.kernel.routes import Route
from service.ledger import reasons
from service.personal import operations
from service.personal.operations import UNMASKED_MAX

TAG = "Personal data"
PATH = "/v1/members/{member_id}"
HOLDS = f"{PATH}/legal-holds"
EXAMPLE = {"member_id": example_id("mbr")}
LOOKING = (operations.PERSON_REFUSED, operations.UNMASKED_TOO_OFTEN)

CHANGE_NAME = Route(
    method="POST",
    path=f"{PATH}/name",
    operation_id="change_member_name",
    tag="Members",
    scope="members:write",
    summary="Change a member's name",
    description="Or take it away, with null. It is stored sealed, and shown as its first "
    "character; see `unmask_member`.",
    body=NameChange,
    answers={200: Member},
    errors=(reasons.UNPROCESSABLE, reasons.MERCHANT_SUSPENDED, operations.PERSON_REFUSED),
    example_path=EXAMPLE,
    example_body={"full_name": "张伟", "version": 2},
)
UNMASK = Route(
    method="POST",
    path=f"{PATH}/unmask",
    operation_id="unmask_member",
    tag=TAG,
    scope="personal:read",
    summary="See a member's name or phone",
    description="Only what you ask for, and for a purpose: it goes into the audit trail with your "
    f"name before you see it. {UNMASKED_MAX} an hour are yours.",
    body=Unmask,
    answers={200: Unmasked},
    errors=LOOKING,
    example_path=EXAMPLE,
    example_body={
        "fields": ["phone"],
        "purpose": "refund",
        "note": "call back about the refund of 2 March",
    },
)
COPY = Route(
    method="POST",
    path=f"{PATH}/subject-access",
    operation_id="copy_member_data",
    tag=TAG,
    scope="personal:read",
    summary="Copy for a member all that is known of them",
    description="What they may ask for under 个人信息保护法 art. 45: name and phone, which cards "
    "were theirs, and when somebody looked at them. The statement of each card, with all that "
    "happened to it, is a call of its own. It goes into the audit trail and counts as a look.",
    body=SubjectAccess,
    answers={200: SubjectCopy},
    errors=LOOKING,
    example_path=EXAMPLE,
    example_body={"note": "asked at the counter, identity checked"},
)
ERASE = Route(
    method="POST",
    path=f"{PATH}/erase",
    operation_id="erase_member",
    tag=TAG,
    scope="personal:erase",
    summary="Erase what is known of a member",
    description="Their key is destroyed: name and phone can't be read any more, not in backups "
    "either. What their cards did stays, and says nothing of who they are. While the law wants "
    "a named card's holder kept, or a legal hold is there, it is stored and used for nothing else "
    "(`restricted`), and erased when that is over. There is no way back. Sent again it answers "
    "how it stands.",
    body=Erase,
    answers={200: Erasure},
    errors=(operations.PERSON_REFUSED,),
    example_path=EXAMPLE,
    example_body={"version": 1, "note": "asked for in the app"},
)
PLACE_HOLD = Route(
    method="POST",
    path=HOLDS,
    operation_id="place_legal_hold",
    tag=TAG,
    scope="personal:hold",
    summary="Keep what is known of a member for proceedings",
    description="Nothing of them is erased until every hold is released. A hold counts on its own: "
    "sent twice there are two.",
    body=LegalHoldPlace,
    answers={201: LegalHold},
    errors=(operations.PERSON_REFUSED,),
    example_path=EXAMPLE,
    example_body={"reason": "court order (2026) 沪0101 民初 118"},
)
LIST_HOLDS = Route(
    method="GET",
    path=HOLDS,
    operation_id="list_legal_holds",
    tag=TAG,
    scope="personal:hold",
    summary="Legal holds of a member",
    description="Newest first, those that are released too.",
    query=Paging,
    answers={200: LegalHoldList},
    errors=(),
    example_path=EXAMPLE,
)
RELEASE_HOLD = Route(
    method="POST",
    path=f"{HOLDS}/{{legal_hold_id}}/release",
    operation_id="release_legal_hold",
    tag=TAG,
    scope="personal:hold",
    summary="Release a legal hold",
    description="Whoever asked to be erased meanwhile is erased with the next run of "
    "`python -m service forget`. It takes no body.",
    answers={200: LegalHold},
    errors=(),
    example_path={**EXAMPLE, "legal_hold_id": example_id("lgh")},
)

HANDLERS = [
    handler(CHANGE_NAME, operations.change_name),
    handler(UNMASK, operations.unmask),
    handler(COPY, operations.copy),
    handler(ERASE, operations.erase),
    handler(PLACE_HOLD, operations.place_hold),
    handler(LIST_HOLDS, operations.holds),
    handler(RELEASE_HOLD, operations.release_hold),
]
