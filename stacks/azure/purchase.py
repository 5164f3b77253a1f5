"""Checks of a plan's purchase against what Azure sells."""

from planner.errors import SpecError
from planner.plan.plan import Plan
from provider_catalog.purchase_kinds import slug


def check_purchase(plan: Plan) -> None:
    """Refuses a mix that would split a gang: every purchase kind is a scale set, and InfiniBand ends at its edge.

    Reserved gangs are refused where their scale set is made (rule Z2).

    Raises:
        SpecError: the nodes of a kind hold no whole number of gangs (rule Z1), or Azure does not sell the kind.
    """
    nodes_by_kind = plan.choice.purchase.nodes_by_kind()
    if "capacity_block" in nodes_by_kind:
        raise SpecError("capacity.block: Azure sells no Capacity Blocks; remove capacity.block")
    if not plan.choice.multi_node or "reserved" in nodes_by_kind:
        return
    gang = plan.gang_nodes
    for kind, nodes in nodes_by_kind.items():
        if nodes % gang:
            raise SpecError(
                f"capacity: {nodes} {slug(kind)} nodes cannot be divided into gangs of {gang} nodes: on Azure, Spot "
                "and on-demand nodes are different scale sets, and InfiniBand does not reach from one scale set to "
                "another. Set capacity.interruption to never, or buy all nodes as Spot"
            )
