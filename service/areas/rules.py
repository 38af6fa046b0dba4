"""The tree of a merchant: headquarters, areas within areas, stores. Pure."""

from collections.abc import Mapping

from schemas.problems import Reason
from service.kernel.problems import because, define_reason

# With headquarters above and stores below, five levels.
LEVELS_MAX = 3
AREAS_MAX = 1_000

AREA_UNKNOWN = define_reason("area_unknown", "Your merchant has no such area.")
AREA_TOO_DEEP = define_reason(
    "area_too_deep", f"Areas can be {LEVELS_MAX} deep. Choose one that is higher up."
)
AREA_IN_ITSELF = define_reason(
    "area_in_itself", "An area can't be in itself, nor in one inside it."
)

# Each area with the one that it is in; None: directly under headquarters.
Parents = Mapping[str, str | None]


def why_not(parents: Parents, area_id: str | None, parent_id: str | None) -> Reason | None:
    """Why an area can't be there; with None for it, why a store can't, or an area that is new."""
    path = "$.parent_id"
    if parent_id is not None and parent_id not in parents:
        return because(AREA_UNKNOWN, path=path)
    above = ancestors(parents, parent_id)
    if area_id is not None and area_id in above:
        return because(AREA_IN_ITSELF, path=path)
    if area_id is not None and len(above) + height(parents, area_id) > LEVELS_MAX:
        return because(AREA_TOO_DEEP, path=path)
    return None


def ancestors(parents: Parents, area_id: str | None) -> list[str]:
    """An area and all that it is in, from the inside out."""
    found: list[str] = []
    while area_id is not None:
        found.append(area_id)
        area_id = parents[area_id]
    return found


def height(parents: Parents, area_id: str) -> int:
    """How many levels an area has, itself included."""
    inside = [child for child, parent in parents.items() if parent == area_id]
    return 1 + max((height(parents, child) for child in inside), default=0)
