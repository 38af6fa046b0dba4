"""Places in the tree, and who may be given which role there."""

from collections.abc import Iterable

from service.kernel.permissions import ROLES, Grant, Node


def node_of(node_id: str) -> Node:
    """What kind of place an id names, by its prefix."""
    kinds: dict[str, Node] = {"are": "area", "sto": "store"}
    return kinds.get(node_id[:3], "merchant")


def may_give(own: Iterable[Grant], scope: str, role: str, store_id: str | None) -> bool:
    """Whether somebody with these grants may give a role at a store, or (None) above stores.

    One of their own roles must give it, there or in all of the merchant, and a contract allow it.
    """
    return any(
        role in ROLES[grant.role].grants
        and (grant.stores is None or store_id in grant.stores)
        and (grant.contract is None or scope in grant.contract)
        for grant in own
        if grant.role in ROLES
    )
