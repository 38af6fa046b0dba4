"""Who calls: the credential behind a request, and what it may do."""

from datetime import datetime

from msgspec import Struct

from schemas.problems import Reason
from service.kernel.problems import FORBIDDEN, SCOPE_MISSING, ProblemError, because


class Credential(Struct, frozen=True):
    """An API key as read at the tenant's `epoch`.

    `store_id` binds a till's key to its store; None is the merchant's own key.
    """

    merchant_id: str
    api_key_id: str
    secret_hash: bytes
    scopes: frozenset[str]
    store_id: str | None
    expires_at: datetime | None
    epoch: int

    def acts_for(self, store_id: str | None) -> bool:
        """Whether it may act for this store: a till's key may for its own only."""
        return self.store_id in (None, store_id)


def require_scope(credential: Credential, scope: str) -> None:
    """Raise 403 unless the credential carries the scope."""
    if scope not in credential.scopes:
        raise ProblemError(FORBIDDEN, reasons=[scope_missing(scope)])


def scope_missing(scope: str) -> Reason:
    """Why a key may not: it lacks this scope."""
    return because(SCOPE_MISSING, f"The key lacks the scope {scope}.", allowed=[scope])
