"""What can be allowed at all, in one list, and the roles that people have.

Every route declares one of these (`Route.scope`), or doesn't start. An API key carries some of them
as its scopes; a person has those of their roles, each where it was given: in the whole merchant, in
an area with all that is below, in a store. Roles are data: `roles.toml`.
"""

import tomllib
from collections.abc import Iterable
from importlib.resources import files
from typing import Literal

import msgspec
from msgspec import Struct

# Where a role can be had: in the platform's own tenant, and as its visitor, too.
Node = Literal["merchant", "area", "store", "platform", "visit"]


class Permission(Struct, frozen=True):
    """What it allows.

    `guarded` is what moves money, shows what is personal or gives power to others: of a person it
    asks for a second factor. `of`: who may have it; an API key that makes API keys would have no
    end, and never counts as a person.
    """

    text: str
    guarded: bool = False
    of: frozenset[Literal["keys", "people"]] = frozenset(("keys", "people"))


class Role(Struct, frozen=True):
    """What somebody does: where it can be given, what it allows, and whom it may make what.

    `visits`: as what whoever has it at the platform may visit merchants.
    """

    title: str
    at: frozenset[Node]
    permissions: frozenset[str]
    grants: frozenset[str] = frozenset()
    visits: frozenset[str] = frozenset()


_KEYS: frozenset[Literal["keys", "people"]] = frozenset(("keys",))
_PEOPLE: frozenset[Literal["keys", "people"]] = frozenset(("people",))
# What everybody who signed in may: look at who they are, and end it.
SELF = "self"
PERMISSIONS = {
    "approvals:decide": Permission(
        "approve what somebody else asked for, or reject it", guarded=True, of=_PEOPLE
    ),
    "approvals:read": Permission("see what waits for approval, and the rules that ask for it"),
    "audit:read": Permission("read who changed what"),
    "authority:write": Permission(
        "make the rules for what needs approval", guarded=True, of=_PEOPLE
    ),
    "cards:freeze": Permission("freeze and unfreeze cards"),
    "cards:read": Permission("look up cards, their balances and history"),
    "cards:write": Permission("issue and activate cards", guarded=True),
    "days:read": Permission("read what a store's day came to"),
    "days:reopen": Permission("open a closed day again"),
    "days:write": Permission("close a store's day"),
    "events:read": Permission("read the feed of all that happened"),
    "grants:write": Permission("give people roles, and take them", guarded=True, of=_PEOPLE),
    "keys:read": Permission("see which API keys there are", of=_PEOPLE),
    "keys:write": Permission("make, rotate and revoke API keys", guarded=True, of=_PEOPLE),
    "member_tokens:write": Permission("issue tokens for members' apps", of=_KEYS),
    "members:read": Permission("look up members", guarded=True),
    "members:write": Permission("make members, bind cards to them", guarded=True),
    "personal:erase": Permission("erase what is known of a member", guarded=True, of=_PEOPLE),
    "personal:hold": Permission(
        "keep what is known of a member for proceedings", guarded=True, of=_PEOPLE
    ),
    "personal:read": Permission(
        "see members' names and phones, for a purpose", guarded=True, of=_PEOPLE
    ),
    "policies:write": Permission(
        "say what stores may do: redeem, top up, issue, and how much", guarded=True, of=_PEOPLE
    ),
    "redemptions:read": Permission("read redemptions and receipts"),
    "redemptions:write": Permission("redeem cards, and quote what it would cost", guarded=True),
    "refunds:write": Permission("refund and void redemptions", guarded=True),
    "reports:read": Permission("read the reports of the whole merchant"),
    "reversals:any": Permission("reverse what another client did", guarded=True),
    "reversals:write": Permission("reverse a request by its key", guarded=True),
    SELF: Permission("see and manage one's own account", of=_PEOPLE),
    "stores:read": Permission("see stores and areas"),
    "stores:write": Permission("make and move stores and areas", guarded=True),
    "templates:read": Permission("read card templates"),
    "templates:write": Permission("publish card templates"),
    "test_clock:write": Permission("move a test tenant's clock"),
    "top_ups:write": Permission("top up cards", guarded=True),
    "users:read": Permission("see people and their roles", guarded=True, of=_PEOPLE),
    "users:write": Permission("invite people, and let them in no more", guarded=True, of=_PEOPLE),
    "visits:end": Permission("end the platform's visits", guarded=True, of=_PEOPLE),
    "visits:read": Permission("see who of the platform visits, and why", of=_PEOPLE),
    "visits:write": Permission("visit a merchant, for a reason", guarded=True, of=_PEOPLE),
}
ROLES = msgspec.convert(
    tomllib.loads(files("service.kernel").joinpath("roles.toml").read_text("utf-8")),
    dict[str, Role],
)


class Grant(Struct, frozen=True):
    """A role as somebody has it; `stores` None is the whole merchant.

    `contract`: what that of a franchised store allows there; None is all.
    """

    role: str
    stores: frozenset[str] | None
    contract: frozenset[str] | None

    @classmethod
    def read(cls, role: str, stores: list[str] | None, contract: list[str] | None) -> "Grant":
        """As `roles_v1` returns it."""
        return cls(role, _all_or(stores), _all_or(contract))


class Allowed(Struct, frozen=True):
    """What a person may: `stores` has those permissions that aren't for the whole merchant.

    `withheld` is what a second factor would add.
    """

    scopes: frozenset[str]
    stores: dict[str, frozenset[str]]
    withheld: frozenset[str]


def allowed(grants: Iterable[Grant], *, second_factor: bool) -> Allowed:
    """What these grants add up to. A role that isn't known any more allows nothing."""
    reach: dict[str, frozenset[str] | None] = {SELF: None}
    withheld = set()
    for grant in grants:
        for name in _given(grant):
            if PERMISSIONS[name].guarded and not second_factor:
                withheld.add(name)
                continue
            known = reach.get(name, frozenset())
            reach[name] = None if known is None or grant.stores is None else known | grant.stores
    limited = {name: stores for name, stores in reach.items() if stores is not None}
    return Allowed(frozenset(reach), limited, frozenset(withheld - reach.keys()))


def _all_or(names: list[str] | None) -> frozenset[str] | None:
    return None if names is None else frozenset(names)


def _given(grant: Grant) -> frozenset[str]:
    role = ROLES.get(grant.role)
    if role is None:
        return frozenset()
    return role.permissions if grant.contract is None else role.permissions & grant.contract


def may_have(kind: Literal["keys", "people"]) -> list[str]:
    """What an API key or a person may be allowed, by name."""
    return [name for name, permission in PERMISSIONS.items() if kind in permission.of]
