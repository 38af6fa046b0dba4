"""Who calls: the credential behind a request, and what it may do."""

from datetime import datetime

from msgspec import Struct

from schemas.problems import Reason
from service.kernel.problems import (
    FORBIDDEN,
    NOT_FOR_MEMBERS,
    SCOPE_MISSING,
    ProblemError,
    because,
)


class Credential(Struct, frozen=True):
    """An API key as read at the tenant's `epoch`, or a member's token issued with it.

    `store_id` binds a till's key to its store; None is the merchant's own key. With a `member_id`
    it is a token: it carries no scope of its key's, and is good under `token_generation` alone.
    """

    merchant_id: str
    api_key_id: str
    secret_hash: bytes
    scopes: frozenset[str]
    store_id: str | None
    expires_at: datetime | None
    epoch: int
    member_id: str | None = None
    token_generation: int = 0

    def acts_for(self, store_id: str | None) -> bool:
        """Whether it may act for this store: a till's key may for its own only, a member never."""
        return self.member_id is None and self.store_id in (None, store_id)


def closed_to_members() -> ProblemError:
    """The 403 of a route that isn't open to members."""
    return ProblemError(FORBIDDEN, NOT_FOR_MEMBERS.mend, reasons=[because(NOT_FOR_MEMBERS)])


def require_scope(credential: Credential, scope: str) -> None:
    """Raise 403 unless the API key carries the scope."""
    if scope not in credential.scopes:
        raise ProblemError(FORBIDDEN, reasons=[scope_missing(scope)])


def scope_missing(scope: str) -> Reason:
    """Why a key may not: it lacks this scope."""
    return because(SCOPE_MISSING, f"The key lacks the scope {scope}.", allowed=[scope])
