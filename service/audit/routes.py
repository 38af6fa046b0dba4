"""The audit trail over HTTP."""

from schemas.audit import Action, ActorId, AuditEntryList, ObjectId
from service.audit import operations
from service.kernel.http import handler
from service.kernel.paging import Paging
from service.kernel.routes import Route


class EntryQuery(Paging, forbid_unknown_fields=True):
    """Which entries."""

    object_id: ObjectId | None = None
    actor_id: ActorId | None = None
    action: Action | None = None


BROWSE = Route(
    method="GET",
    path="/v1/audit-entries",
    operation_id="list_audit_entries",
    tag="Events and audit",
    scope="audit:read",
    summary="Who changed what",
    description="Every change of the configuration, newest first: what it was, who made it, from "
    "where and why. What moved value is an operation, and in the feed of events.",
    query=EntryQuery,
    answers={200: AuditEntryList},
    errors=(),
)

HANDLERS = [handler(BROWSE, operations.browse)]
