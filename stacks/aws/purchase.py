"""Checks of a plan's purchase against what AWS sells."""

from collections.abc import Mapping
from typing import Final

from planner.errors import SpecError
from planner.plan.plan import Plan
from provider_catalog.hardware import InstanceType
from provider_catalog.purchase_kinds import MARKETS, PurchaseKind

PRODUCTS: Final[Mapping[PurchaseKind, str]] = {
    "reserved": "On-Demand Capacity Reservations",
    "on_demand": "on-demand nodes",
    "spot": "Spot nodes",
    "capacity_block": "a Capacity Block",
}
"""AWS's names of the purchase kinds, as messages use them."""


def check_purchase(plan: Plan, instance_type: InstanceType) -> None:
    """Refuses a purchase kind that AWS does not sell for the instance type.

    Raises:
        SpecError: names the kind and the markets in which the type is sold.
    """
    options = instance_type.purchase_options
    for kind in plan.choice.purchase.nodes_by_kind():
        if MARKETS[kind] not in options:
            raise SpecError(
                f"{instance_type.name} cannot be bought as {PRODUCTS[kind]}: it is sold as {', '.join(options)}. "
                "Choose another instance type in placement.instance_types"
            )
