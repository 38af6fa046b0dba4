"""Policies: what stores may do, set at headquarters, in areas and at stores."""

from typing import Annotated

from msgspec import Meta, Struct

from schemas.common import AMOUNT_MAX, SeenVersion

NodeId = Annotated[
    str, Meta(description="Headquarters (your merchant's id), an area or a store.", min_length=30)
]
Locked = Annotated[
    bool, Meta(description="true: nothing below can say otherwise, whatever it said before.")
]
Most = Annotated[
    Annotated[int, Meta(ge=1, le=AMOUNT_MAX)] | None,
    Meta(description="Minor units of the merchant's currency; null: as much as anybody likes."),
]


class Switch(Struct, forbid_unknown_fields=True, omit_defaults=True):
    """Whether something is done there."""

    value: Annotated[bool, Meta(description="false: it is refused with `store_switched_off`.")]
    locked: Locked = False


class Limit(Struct, forbid_unknown_fields=True, omit_defaults=True):
    """How much at once is done there."""

    value: Most
    locked: Locked = False


class PolicyRules(Struct, forbid_unknown_fields=True, omit_defaults=True):
    """What one place says; null: nothing of its own, what is said above it holds."""

    redemptions: Annotated[Switch | None, Meta(description="Cards are redeemed.")] = None
    top_ups: Annotated[Switch | None, Meta(description="Cards are topped up.")] = None
    issues: Annotated[Switch | None, Meta(description="Cards are issued and activated.")] = None
    redemption_max: Annotated[Limit | None, Meta(description="The most in one redemption.")] = None
    top_up_max: Annotated[Limit | None, Meta(description="The most in one top-up.")] = None


class SwitchInForce(Struct, frozen=True):
    """Whether something is done there now, and who says so."""

    value: Annotated[bool, Meta(description="Whether it is done there.")] = True
    node_id: Annotated[str | None, Meta(description="Who says so; null: nobody, it is open.")] = (
        None
    )
    locked: Annotated[bool, Meta(description="true: it can't be changed below that.")] = False


class LimitInForce(Struct, frozen=True):
    """How much at once is done there now, and who says so."""

    value: Most = None
    node_id: Annotated[str | None, Meta(description="Who says so; null: nobody, no limit.")] = None
    locked: Annotated[bool, Meta(description="true: it can't be changed below that.")] = False


class InForce(Struct, frozen=True):
    """What holds at a place, by what it and those above it say."""

    redemptions: SwitchInForce = SwitchInForce()
    top_ups: SwitchInForce = SwitchInForce()
    issues: SwitchInForce = SwitchInForce()
    redemption_max: LimitInForce = LimitInForce()
    top_up_max: LimitInForce = LimitInForce()


class PolicyChange(Struct, forbid_unknown_fields=True):
    """Other rules in place of all that the place had."""

    version: SeenVersion
    rules: Annotated[PolicyRules, Meta(description="All that the place says from now on.")]


class OwnRules(Struct):
    """What one place says itself."""

    node_id: NodeId
    version: Annotated[int, Meta(description="Raised by every change of its own rules; 0: none.")]
    rules: Annotated[PolicyRules, Meta(description="What it says itself.")]


class Policy(OwnRules):
    """What one place says, and what holds there."""

    in_force: InForce


class PolicyList(Struct):
    """The places that say something, in the order of their ids."""

    data: list[OwnRules]
    next_cursor: str | None
