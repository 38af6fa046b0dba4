"""What holds at a place of the tree, by what is said from headquarters down to it. Pure (S3-16).

Whoever is nearer says it, unless somebody above has locked it.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Literal

import msgspec
from msgspec.structs import fields

from schemas.policies import InForce, LimitInForce, PolicyRules, SwitchInForce
from schemas.problems import Reason
from service.kernel.problems import because, define_reason

# Each place on the way down that says something, with what it says.
Path = Sequence[tuple[str, PolicyRules]]
Kind = Literal["redemption", "top_up", "issue"]

_RULES = msgspec.json.Decoder(PolicyRules)
NAMES = tuple(field.name for field in fields(PolicyRules))
OPEN = InForce()

POLICY_LOCKED = define_reason(
    "policy_locked", "The place in existing_id has locked it. Ask whoever is responsible there."
)
SWITCHED_OFF = define_reason(
    "store_switched_off",
    "This isn't done at this store now. GET /v1/policies/{store_id} says who switched it off.",
)
ABOVE_LIMIT = define_reason(
    "store_limit_exceeded",
    "It is more than this store does at once; missing_minor is the excess.",
)


def stored(text: str) -> PolicyRules:
    """Rules as they are kept: JSON."""
    return _RULES.decode(text)


def in_force(path: Path) -> InForce:
    """What holds at the end of the path."""
    if not path:
        return OPEN
    return InForce(**{name: _in_force(path, name) for name in NAMES})


def _in_force(path: Path, name: str) -> Any:
    kind = LimitInForce if name.endswith("_max") else SwitchInForce
    found: Any = kind()
    for node_id, rules in path:
        said = getattr(rules, name)
        if said is not None:
            found = kind(said.value, node_id, said.locked)
            if said.locked:
                break
    return found


def locked(above: Path, now: PolicyRules, rules: PolicyRules) -> Iterator[Reason]:
    """What of these can't be said below that path in place of what is said now.

    What stays as it is may, so that it holds again once it is unlocked.
    """
    held = in_force(above)
    for name in NAMES:
        by = getattr(held, name)
        if by.locked and getattr(rules, name) != getattr(now, name):
            yield because(POLICY_LOCKED, path=f"$.rules.{name}", existing_id=by.node_id)


def locks(rules: PolicyRules) -> set[str]:
    """What of these is locked."""
    return {name for name in NAMES if (said := getattr(rules, name)) is not None and said.locked}


def refusals(policy: InForce, kind: Kind, amount: int = 0) -> list[Reason]:
    """Why a store doesn't do this, of so many minor units."""
    if policy is OPEN:
        return []
    reasons = []
    if not getattr(policy, f"{kind}s").value:
        reasons.append(because(SWITCHED_OFF))
    most = getattr(policy, f"{kind}_max").value if kind != "issue" else None
    if most is not None and amount > most:
        reasons.append(because(ABOVE_LIMIT, missing_minor=amount - most))
    return reasons
