"""What the chain sells, and the baskets that its customers fill. All invented."""

from random import Random
from typing import Any

from msgspec import Struct

ZONE = "Asia/Shanghai"


class Ware(Struct, frozen=True):
    """A service of the salon; list price in fen."""

    name: str
    price: int
    category: str


WARES = {
    "CUT": Ware("洗剪吹", 9_800, "hair"),
    "WASH": Ware("头皮护理", 3_800, "hair"),
    "DYE": Ware("染发", 38_800, "colour"),
    "PERM": Ware("烫发", 46_800, "colour"),
}


def basket(luck: Random) -> list[dict[str, Any]]:
    """One to three services, some at a discount."""
    skus = luck.sample(sorted(WARES), k=luck.choices((1, 2, 3), (6, 3, 1))[0])
    return [
        basket_line(str(place), sku, 1, luck.choice((0, 0, 10, 20)))
        for place, sku in enumerate(skus, 1)
    ]


def basket_line(line_id: str, sku: str, quantity: int, percent_off: int) -> dict[str, Any]:
    """A line that adds up."""
    list_price, category = WARES[sku].price, WARES[sku].category
    discount = list_price * quantity * percent_off // 100
    return {
        "line_id": line_id,
        "sku": sku,
        "quantity": quantity,
        "list_price": list_price,
        "discount": discount,
        "total": list_price * quantity - discount,
        "category": category,
    }
