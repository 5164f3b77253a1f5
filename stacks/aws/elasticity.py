"""What starts and stops the nodes of a plan: scheduled actions, and the nodes with which node groups are created."""

from collections.abc import Mapping
from typing import Final

from cdk.aws.phases import nodes_to_validate
from cdk.aws.schedules import NodesAt, Schedule
from planner.errors import SpecError
from planner.plan.plan import Plan
from planner.spec.elasticity import ZONE_HINT
from provider_catalog.purchase_kinds import PurchaseKind

EVERY_QUARTER: Final = "0,15,30,45 * * * *"
"""Times at which a node group that was created with fewer nodes is set to all of them."""


def schedules(plan: Plan) -> dict[PurchaseKind, Schedule]:
    """Scheduled actions by purchase kind, as the plan counts them.

    Raises:
        SpecError: the bill counts fewer hours than the nodes would run; the plan was made before nodes were scheduled.
    """
    scaling = plan.autoscaling
    found: dict[PurchaseKind, Schedule] = {}
    if scaling is not None:
        found = {
            kind: Schedule([NodesAt(action.recurrence, action.nodes) for action in actions], scaling.time_zone)
            for kind, actions in scaling.schedule.items()
        }
    for kind, share in plan.cost.usage.running_share.items():
        if share < 1 and kind not in found:
            raise SpecError(
                f"the bill of this plan counts {kind} nodes at {share:.0%} of the hours, and no scheduled action would "
                "stop them: the plan was made by an earlier version. Plan the spec again, with capacity.time_zone; "
                f"{ZONE_HINT}"
            )
    return found


def initial_nodes(plan: Plan, nodes: Mapping[PurchaseKind, int]) -> dict[PurchaseKind, int]:
    """Nodes with which the node group of each purchase kind is created; empty where all start with all of them.

    The group of a Capacity Block is left out: it starts empty, and its nodes start with the block.
    """
    asked = plan.spec.kubernetes.initial_nodes
    held: dict[PurchaseKind, int] = {kind: count for kind, count in nodes.items() if kind != "capacity_block"}
    return {} if asked is None else nodes_to_validate(held, asked)


def filled(nodes: int) -> Schedule:
    """The schedule of a group that is created with fewer nodes than run all the time."""
    return Schedule([NodesAt(EVERY_QUARTER, nodes, only_more=True)])
