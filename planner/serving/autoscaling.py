"""Autoscaling bounds of a serving fleet over its demand."""

from math import ceil

from planner.engine.candidate import Candidate
from planner.errors import SpecError
from planner.plan.choice import Autoscaling
from planner.purchase.mix import Mix, demand_fractions
from planner.spec import Capacity, ClusterSpec, InferenceWorkload
from planner.spec.elasticity import ZONE_HINT


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


def autoscaling(spec: ClusterSpec, candidate: Candidate, mix: Mix) -> Autoscaling | None:
    """Return the autoscaling bounds of a serving plan; None for training and where no node starts or stops.

    Raises:
        SpecError: scheduled actions start and stop the nodes, and the spec names no time zone.
    """
    if not isinstance(spec.workload, InferenceWorkload):
        return None
    if mix.scaler in ("schedule", "nothing"):
        return _scheduled(spec, candidate, mix)
    spare_nodes = candidate.spare_nodes(spec.workload.spare_replicas)
    return autoscaling_bounds(candidate.nodes, candidate.gang, spare_nodes, spec.capacity)


def _scheduled(spec: ClusterSpec, candidate: Candidate, mix: Mix) -> Autoscaling | None:
    """Return the bounds of the schedules, which the nodes of other purchase kinds raise; None without a schedule."""
    if not mix.schedule:
        return None
    scheduled = sum(mix.purchase.nodes_of(kind) for kind in mix.schedule)
    if spec.capacity.time_zone is None:
        raise SpecError(
            f"capacity.time_zone: missing; capacity.demand varies, and scheduled actions start and stop "
            f"{scheduled} of the {candidate.nodes} nodes at its hours, so that the plan must know of which place these "
            f"hours are; {ZONE_HINT}"
        )
    always = candidate.nodes - scheduled
    return Autoscaling(
        # Spot nodes are the first to start and the last to stop, so that both kinds are at their least together.
        min_nodes=always + sum(schedule.least_nodes for schedule in mix.schedule.values()),
        max_nodes=candidate.nodes,
        mean_nodes=always + sum(schedule.mean_nodes for schedule in mix.schedule.values()),
        step_nodes=candidate.gang,
        time_zone=spec.capacity.time_zone,
        schedule={kind: schedule.actions() for kind, schedule in mix.schedule.items()},
    )


def check_bounds_of_fleet(spec: ClusterSpec, candidate: Candidate, mix: Mix) -> None:
    """Check the bounds that a spec gives to its fleet against the plan.

    Raises:
        SpecError: a bound exceeds the nodes of the plan, or nothing would keep it.
    """
    nodes = candidate.nodes
    bounds = {"capacity.min_nodes": spec.capacity.min_nodes, "kubernetes.initial_nodes": spec.kubernetes.initial_nodes}
    for field, given in bounds.items():
        if given is not None and given > nodes:
            raise SpecError(f"{field} is {given}, but the plan has {nodes} nodes; give at most {nodes}")
    if spec.capacity.min_nodes is not None and mix.scaler == "nothing":
        gang = f", because a replica spans {candidate.gang} of them" if candidate.gang > 1 else ""
        raise SpecError(
            f"capacity.min_nodes is {spec.capacity.min_nodes}, but all {nodes} nodes of the plan run at every hour"
            f"{gang}; leave min_nodes out"
        )
