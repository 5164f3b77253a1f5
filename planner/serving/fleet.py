"""How many replicas keep a percentile, and how far a fleet may breathe with its demand."""

from collections.abc import Callable
from math import ceil

from planner.engine.candidate import Candidate, NearMiss
from planner.plan.plan import Autoscaling, InferencePerformance
from planner.purchase.mix import demand_fractions
from planner.serving.queueing import FirstToken
from planner.spec import Capacity, ClusterSpec, InferenceWorkload, Slo

MOST_REPLICAS = 1 << 20
LONG_SLOT_WAIT = 0.05
"""Share of requests that find the batch full, from which on the plan says so."""


def replicas_within(first_token: Callable[[int], FirstToken], slo: Slo, at_least: int) -> int | NearMiss:
    """The fewest replicas at which the SLO's percentile of TTFT holds, or the miss.

    More replicas share the arrivals, so that no wait grows: the search doubles, then halves.

    Args:
        first_token: The queues of one replica when the load is shared by so many.
        slo: What has to hold.
        at_least: Replicas that carry the load at the SLO's means.
    """

    def holds(count: int) -> bool:
        return first_token(count).at(slo.percentile) * 1e3 <= slo.ttft_ms

    high = max(1, at_least)
    while not holds(high):
        if high >= MOST_REPLICAS:
            alone_ms = first_token(high).at(slo.percentile) * 1e3
            return NearMiss(
                f"TTFT {slo.percentile} is {alone_ms:.4g} ms with one request in flight, the SLO is {slo.ttft_ms:g} ms",
                alone_ms / slo.ttft_ms,
                fits_memory=True,
            )
        high *= 2
    low = max(1, at_least, high // 2)
    while low < high:
        middle = (low + high) // 2
        if holds(middle):
            high = middle
        else:
            low = middle + 1
    return high


def autoscaling_bounds(nodes: int, gang: int, spare_nodes: int, capacity: Capacity) -> Autoscaling | None:
    """Nodes in use at the quietest and the busiest hour; None where that is the same.

    Args:
        nodes: Of the whole fleet, at the peak.
        gang: Nodes of one replica.
        spare_nodes: Nodes kept beyond the load at every hour.
        capacity: Holds the demand profile.
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
    """Bounds of a serving fleet over the demand of its spec; None for training and for constant demand."""
    if not isinstance(spec.workload, InferenceWorkload):
        return None
    nodes_per_replica = candidate.nodes / candidate.layout.data
    spare_nodes = min(candidate.nodes - candidate.gang, ceil(spec.workload.spare_replicas * nodes_per_replica - 1e-9))
    return autoscaling_bounds(candidate.nodes, candidate.gang, spare_nodes, spec.capacity)


def serving_notes(spec: ClusterSpec, candidate: Candidate, scaling: Autoscaling | None) -> tuple[str, ...]:
    """What a reviewer should know of spare replicas, full batches and scaling."""
    workload, performance = spec.workload, candidate.performance
    if not isinstance(workload, InferenceWorkload) or not isinstance(performance, InferencePerformance):
        return ()
    notes = []
    replicas = candidate.layout.data
    if workload.spare_replicas:
        per_node = max(1, round(replicas / candidate.nodes))
        lost = f"; a node that fails takes {per_node} replicas with it" if per_node > workload.spare_replicas else ""
        notes.append(f"{workload.spare_replicas} of {replicas} replicas are spare (N+{workload.spare_replicas}){lost}")
    queueing = performance.queueing
    if queueing is not None and queueing.slot_wait_probability and queueing.slot_wait_probability > LONG_SLOT_WAIT:
        notes.append(_full_batch(queueing.slot_wait_probability, queueing.ttft_ms["p95"], workload.slo))
    if scaling is not None:
        notes.append(
            f"demand moves between {scaling.min_nodes} and {scaling.max_nodes} nodes ({scaling.mean_nodes:.1f} on"
            f" average), in steps of {scaling.step_nodes}"
        )
    return tuple(notes)


def _full_batch(waits: float, p95_ms: float | None, slo: Slo) -> str:
    found = f"{waits:.0%} of requests find the batch full and wait for a slot"
    found += ": the queue grows" if p95_ms is None else f", TTFT p95 {p95_ms:,.0f} ms"
    if slo.percentile == "mean":
        found += "; the SLO's mean leaves that out, slo.percentile: p95 sizes for it"
    return found
