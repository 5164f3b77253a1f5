"""Autoscaling bounds of a serving fleet over its demand."""

from math import ceil

from planner.engine.candidate import Candidate
from planner.plan.choice import Autoscaling
from planner.purchase.mix import demand_fractions
from planner.spec import Capacity, ClusterSpec, InferenceWorkload


def autoscaling_bounds(nodes: int, gang: int, spare_nodes: int, capacity: Capacity) -> Autoscaling | None:
    """Return the nodes in use at the quietest and the busiest hour; None where both are equal.

    Args:
        nodes: Nodes of the whole fleet at peak demand.
        gang: Nodes of one replica.
        spare_nodes: Nodes kept beyond the load at every hour.
        capacity: Capacity section of the spec, with the demand profile.
    """
    fractions = demand_fractions(capacity)
    loaded = nodes - spare_nodes
    hourly = [max(gang, gang * ceil(fraction * loaded / gang - 1e-9)) + spare_nodes for fraction in fractions]
    if min(hourly) == max(hourly):
        return None
    return Autoscaling(
        min_nodes=min(hourly), max_nodes=max(hourly), mean_nodes=sum(hourly) / len(hourly), step_nodes=gang
    )


def autoscaling(spec: ClusterSpec, candidate: Candidate) -> Autoscaling | None:
    """Return the autoscaling bounds of a serving plan; None for training and for constant demand."""
    if not isinstance(spec.workload, InferenceWorkload):
        return None
    nodes_per_replica = candidate.nodes / candidate.layout.data
    spare_nodes = min(candidate.nodes - candidate.gang, ceil(spec.workload.spare_replicas * nodes_per_replica - 1e-9))
    return autoscaling_bounds(candidate.nodes, candidate.gang, spare_nodes, spec.capacity)
