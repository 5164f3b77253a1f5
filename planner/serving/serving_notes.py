"""Notes of a serving plan: spare replicas, full batches and autoscaling."""

from planner.engine.candidate import Candidate
from planner.plan.choice import Autoscaling
from planner.plan.performance import InferencePerformance
from planner.spec import ClusterSpec, InferenceWorkload, Slo

LONG_SLOT_WAIT = 0.05
"""Share of requests that find the batch full at which the plan notes it. Our own choice."""


def serving_notes(spec: ClusterSpec, candidate: Candidate, scaling: Autoscaling | None) -> tuple[str, ...]:
    """Return notes for the reviewer on spare replicas, full batches and autoscaling."""
    workload, performance = spec.workload, candidate.performance
    if not isinstance(workload, InferenceWorkload) or not isinstance(performance, InferencePerformance):
        return ()
    notes = []
    replicas = candidate.layout.data
    if workload.spare_replicas:
        per_node = max(1, round(replicas / candidate.nodes))
        lost = f"; the failure of one node takes down {per_node} replicas" if per_node > workload.spare_replicas else ""
        notes.append(f"{workload.spare_replicas} of {replicas} replicas are spare (N+{workload.spare_replicas}){lost}")
    queueing = performance.queueing
    if queueing is not None and queueing.slot_wait_probability and queueing.slot_wait_probability > LONG_SLOT_WAIT:
        notes.append(_full_batch(queueing.slot_wait_probability, queueing.ttft_ms["p95"], workload.slo))
    if scaling is not None:
        notes.append(
            f"demand varies between {scaling.min_nodes} and {scaling.max_nodes} nodes ({scaling.mean_nodes:.1f} on"
            f" average), in steps of {scaling.step_nodes}"
        )
    return tuple(notes)


def _full_batch(waits: float, p95_ms: float | None, slo: Slo) -> str:
    found = f"{waits:.0%} of requests find the batch full and wait for a slot"
    found += ": the queue grows without end" if p95_ms is None else f", TTFT p95 {p95_ms:,.0f} ms"
    if slo.percentile == "mean":
        found += "; the SLO bounds the mean TTFT without this wait, slo.percentile: p95 includes it"
    return found
