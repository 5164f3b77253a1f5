"""A serving cluster on AWS whose Spot and on-demand nodes follow a schedule."""

from typing import Any, Final

from planner.plan.choice import Autoscaling, Purchase, ScheduledAction
from planner.plan.plan import Plan
from tests.support.plans import example_plan

OFFICE: Final = (
    ScheduledAction(recurrence="45 7 * * 1-5", nodes=3),
    ScheduledAction(recurrence="0 20 * * 1-5", nodes=0),
)
SCALING: Final = Autoscaling(
    min_nodes=2,
    max_nodes=8,
    mean_nodes=4.2,
    step_nodes=1,
    time_zone="Europe/Berlin",
    schedule={"spot": OFFICE, "on_demand": OFFICE},
)
REPLICAS: Final[dict[str, Any]] = {
    "nodes": 8,
    "multi_node": False,
    "instance_type": "g6.xlarge",
    "gpu": "L4",
    "purchase": Purchase(reserved_nodes=2, spot_nodes=3, on_demand_nodes=3),
}


def scheduled(*, spot: bool = True, **spec: Any) -> Plan:
    """Return a plan with two reserved nodes, and three on Spot and three on demand that run in office hours.

    Args:
        spot: Whether there are Spot nodes.
        spec: Fields of the spec.
    """
    choice, scaling = REPLICAS, SCALING
    if not spot:
        choice = {**REPLICAS, "nodes": 5, "purchase": Purchase(reserved_nodes=2, on_demand_nodes=3)}
        scaling = SCALING.model_copy(update={"max_nodes": 5, "schedule": {"on_demand": OFFICE}})
    return example_plan(spec=spec, **choice).model_copy(update={"autoscaling": scaling})
