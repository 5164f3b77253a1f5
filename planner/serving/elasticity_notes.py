"""Notes of a serving plan on what starts and stops its nodes as the demand varies."""

from typing import Final

from planner.plan.choice import Autoscaling
from planner.purchase.mix import Mix, demand_fractions
from planner.purchase.schedule import LEAD_MIN, WEEK_HOURS
from planner.spec import ClusterSpec, InferenceWorkload
from provider_catalog.purchase_kinds import slug

IDLE_MIN: Final = 10
"""Idle minutes after which ParallelCluster stops a node (`ScaledownIdletime` of its configuration)."""


def elasticity_notes(spec: ClusterSpec, nodes: int, mix: Mix, scaling: Autoscaling | None) -> tuple[str, ...]:
    """Return notes that say which resources make the running hours of the bill true; empty at a constant demand."""
    fractions = demand_fractions(spec.capacity)
    if not isinstance(spec.workload, InferenceWorkload) or min(fractions) == max(fractions):
        return ()
    if mix.scaler == "schedule" and scaling is not None:
        return tuple(_scheduled(spec, mix, len(fractions)))
    if mix.scaler == "nothing" and (mix.purchase.on_demand_nodes or mix.purchase.spot_nodes):
        return (
            f"a replica spans several nodes, which an Auto Scaling group cannot start and stop together: all {nodes} "
            "nodes run at every hour, and the bill counts them at every hour",
        )
    if mix.scaler == "jobs" and mix.purchase.reserved_nodes < nodes:
        return (
            "Slurm starts nodes that are not reserved when a job needs them and stops them after "
            f"{IDLE_MIN} idle minutes; the bill assumes that the jobs follow capacity.demand",
        )
    return ()


def _scheduled(spec: ClusterSpec, mix: Mix, hours: int) -> list[str]:
    running = " and ".join(
        f"{schedule.mean_nodes:.1f} of {mix.purchase.nodes_of(kind)} {slug(kind)} nodes"
        for kind, schedule in mix.schedule.items()
    )
    notes = [
        f"scheduled actions at the hours of {spec.capacity.time_zone} run {running} on average, and the bill counts "
        f"these; nodes start {LEAD_MIN} minutes before the hour that needs them"
    ]
    if hours > WEEK_HOURS:
        notes.append(
            "scheduled actions recur by the week: an hour of the week runs the nodes of its highest demand in the year"
        )
    if spec.orchestrator == "kubernetes":
        notes.append(
            "the Cluster Autoscaler adds nodes beyond the schedule for pods that wait, up to the nodes of the plan; "
            "the bill does not count these hours"
        )
    return notes
