"""Who calls: the credential behind a request, and what it may do."""

from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType

from msgspec import Struct

from schemas.problems import Reason
from service.kernel.address import is_inside
from service.kernel.permissions import PERMISSIONS
from service.kernel.problems import (
    FORBIDDEN,
    NETWORK_NOT_ALLOWED,
    NOT_FOR_MEMBERS,
    PEOPLE_ONLY,
    PERMISSION_MISSING,
    SCOPE_MISSING,
    SECOND_FACTOR_REQUIRED,
    ProblemError,
    because,
)

NOWHERE: Mapping[str, frozenset[str]] = MappingProxyType({})


class Credential(Struct, frozen=True):
    """As read at the tenant's `epoch`: an API key, a token issued with one, or a user's session.

    `store_id` binds a till's key to its store; None is the merchant's own key. With a `member_id`
    it is a token: it carries no scope of its key's, and is good under `token_generation` alone.
    With a `user_id` it is a session: `scopes` are what that person may do anywhere, and `stores`
    holds for each that isn't meant for the whole merchant the stores it is meant for; `withheld`
    is what they could do had they signed in with a second factor. `networks` is from where an API
    key may be used; None is anywhere. What is sent with a `signed` one must be signed.
    """

    merchant_id: str
    api_key_id: str | None
    secret_hash: bytes
    scopes: frozenset[str]
    store_id: str | None
    expires_at: datetime | None
    epoch: int
    member_id: str | None = None
    token_generation: int = 0
    user_id: str | None = None
    session_id: str | None = None
    stores: Mapping[str, frozenset[str]] = NOWHERE
    withheld: frozenset[str] = frozenset()
    second_factor: bool = False
    networks: tuple[str, ...] | None = None
    signed: bool = False

    @property
    def actor_id(self) -> str:
        """Who acts: the user, or else the API key."""
        actor = self.user_id or self.api_key_id
        assert actor is not None
        return actor

    def limited_to(self, scope: str) -> frozenset[str] | None:
        """The stores it does this for: a till's own, those a person was given; None is all."""
        if self.store_id is not None:
            return frozenset((self.store_id,))
        return self.stores.get(scope)

    def only_store(self, scope: str) -> str | None:
        """The store it does this for where none is named; None: it must be named, or is of none."""
        stores = self.limited_to(scope)
        return next(iter(stores)) if stores is not None and len(stores) == 1 else None

    def acts_for(self, scope: str, store_id: str | None) -> bool:
        """Whether it may do this for a store; None is the merchant's own office.

        A till's key may for its own store only, a person for those they were given, a member never.
        """
        if self.member_id is not None or (self.user_id is not None and scope not in self.scopes):
            return False
        stores = self.limited_to(scope)
        return stores is None or store_id in stores


def closed_to_members() -> ProblemError:
    """The 403 of a route that isn't open to members."""
    return ProblemError(FORBIDDEN, NOT_FOR_MEMBERS.mend, reasons=[because(NOT_FOR_MEMBERS)])


def require_scope(credential: Credential, scope: str) -> None:
    """Raise 403 unless the credential carries the scope."""
    if scope not in credential.scopes:
        raise ProblemError(FORBIDDEN, reasons=[scope_missing(credential, scope)])


def require_network(credential: Credential, address: str | None) -> None:
    """Raise 403 where an API key is used from where it may not."""
    if credential.networks is not None and not is_inside(address, credential.networks):
        raise ProblemError(FORBIDDEN, reasons=[because(NETWORK_NOT_ALLOWED)])


def scope_missing(credential: Credential, scope: str) -> Reason:
    """Why it may not: what it lacks, and for a person how to get it."""
    if credential.user_id is None:
        if "keys" not in PERMISSIONS[scope].of:
            return because(PEOPLE_ONLY)
        return because(SCOPE_MISSING, f"The key lacks the scope {scope}.", allowed=[scope])
    if scope in credential.withheld:
        return because(SECOND_FACTOR_REQUIRED, allowed=[scope])
    text = f"You lack the permission {scope}: none of your roles has it."
    return because(PERMISSION_MISSING, text, allowed=[scope])
