"""Which kinds of purchase a plan has, and whether AWS sells them."""

from typing import Final

from cdk.aws.capacity import PurchaseKind
from planner.errors import SpecError
from planner.plan.plan import Plan
from provider_catalog.hardware import InstanceType

PURCHASES: Final[tuple[tuple[PurchaseKind, str], ...]] = (
    ("reserved", "reserved_nodes"),
    ("on_demand", "on_demand_nodes"),
    ("spot", "spot_nodes"),
    ("capacity_block", "capacity_block_nodes"),
)


def purchases(plan: Plan) -> dict[PurchaseKind, int]:
    """Nodes by kind of purchase, for the kinds that the plan has."""
    return {kind: nodes for kind, field in PURCHASES if (nodes := getattr(plan.choice.purchase, field))}


def check_purchase(plan: Plan, instance_type: InstanceType) -> None:
    """Refuses a purchase that the instance type is not sold by.

    Raises:
        SpecError: names the kind and what is sold instead.
    """
    purchase, options = plan.choice.purchase, instance_type.purchase_options
    for nodes, option, kind in (
        (purchase.reserved_nodes, "on-demand", "On-Demand Capacity Reservations"),
        (purchase.on_demand_nodes, "on-demand", "on-demand nodes"),
        (purchase.spot_nodes, "spot", "Spot nodes"),
        (purchase.capacity_block_nodes, "capacity-block", "a Capacity Block"),
    ):
        if nodes and option not in options:
            raise SpecError(
                f"{instance_type.name} cannot be bought as {kind}: it is sold as {', '.join(options)}. "
                "Choose another instance type in placement.instance_types"
            )
