"""Stores: where cards are sold and redeemed."""

from datetime import time
from typing import Annotated, Literal

from msgspec import Meta, Struct

from schemas.areas import ParentId
from schemas.common import Instant, Label, Name

StoreCode = Annotated[
    Label,
    Meta(description="What you call it, unique at your merchant.", examples=["SH-0417"]),
]
Contract = Annotated[
    Annotated[list[Label], Meta(max_length=64)] | None,
    Meta(
        description="Of a franchisee's store: the permissions that the contract gives to its "
        "people and tills, whatever their roles and keys say. null: the store is your own.",
        examples=[["cards:read", "redemptions:read", "redemptions:write"]],
    ),
]
TimeZone = Annotated[
    str,
    Meta(min_length=1, max_length=64, description="IANA name.", examples=["Asia/Shanghai"]),
]


class StoreCreate(Struct, forbid_unknown_fields=True, omit_defaults=True):
    """A new store."""

    code: StoreCode
    name: Annotated[Name, Meta(examples=["人民广场店"])]
    legal_entity: Annotated[
        Name, Meta(description="The company that sells there.", examples=["星河美发管理有限公司"])
    ]
    time_zone: TimeZone = "Asia/Shanghai"
    day_cutoff: Annotated[
        str,
        Meta(
            pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$(?!\n)",
            description="Local time at which its business day begins.",
            examples=["04:00"],
        ),
    ] = "00:00"
    parent_id: ParentId = None
    contract: Contract = None


class Store(Struct):
    """Where cards are sold and redeemed."""

    id: str
    code: Annotated[str | None, Meta(description="null: it was made where stores have no code.")]
    name: str
    legal_entity: Annotated[str, Meta(description="The company that sells there.")]
    time_zone: Annotated[str, Meta(description="IANA name.")]
    day_cutoff: Annotated[time, Meta(description="Local time its business day begins.")]
    status: Literal["active", "closed"]
    parent_id: ParentId
    contract: Contract
    created_at: Instant


class StoreList(Struct):
    """A page of stores, in the order they were made."""

    data: list[Store]
    next_cursor: str | None
