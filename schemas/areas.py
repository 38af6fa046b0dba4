"""Areas: parts of a chain between headquarters and stores."""

from typing import Annotated

from msgspec import Meta, Struct

from schemas.common import Id, Instant, Name

ParentId = Annotated[
    Id | None,
    Meta(description="The area it is in; null: directly under headquarters."),
]


class AreaCreate(Struct, forbid_unknown_fields=True, omit_defaults=True):
    """A new area."""

    name: Annotated[Name, Meta(description="Unique at your merchant.", examples=["华东"])]
    parent_id: ParentId = None


class Move(Struct, forbid_unknown_fields=True):
    """Another place in the tree."""

    parent_id: ParentId
    from_parent_id: Annotated[
        Id | None,
        Meta(
            description="Where it is as you saw it: so a request that comes late undoes nobody's "
            "move."
        ),
    ]


class Area(Struct):
    """A part of the chain."""

    id: str
    name: str
    parent_id: ParentId
    created_at: Instant


class AreaList(Struct):
    """All areas, in the order they were made."""

    data: list[Area]
