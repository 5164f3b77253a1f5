"""Notes of a serving plan: spare replicas, full batches and autoscaling."""

from planner.engine.candidate import Candidate
from planner.plan.choice import Autoscaling
from planner.plan.performance import InferencePerformance
from planner.sizing.engine_settings import GIB
from planner.spec import ClusterSpec, InferenceWorkload, Slo
from provider_catalog.engine_memory import engine_memory

LONG_SLOT_WAIT = 0.05
"""Share of requests that find the batch full at which the plan notes it. Our own choice."""


def serving_notes(spec: ClusterSpec, candidate: Candidate, scaling: Autoscaling | None) -> tuple[str, ...]:
    """Return notes for the reviewer on spare replicas, full batches and autoscaling."""
    workload, performance = spec.workload, candidate.performance
    if not isinstance(workload, InferenceWorkload) or not isinstance(performance, InferencePerformance):
        return ()
    notes = _engine_notes(spec, performance)
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


def _engine_notes(spec: ClusterSpec, performance: InferencePerformance) -> list[str]:
    """Return notes on an engine version outside of the data, and on CUDA graphs that the engine does not deduct."""
    notes, cache, name = [], performance.cache, spec.serving_engine
    if name != "auto" and spec.engine.version is not None:
        warning = engine_memory(name, spec.engine.version).warning
        notes += [warning] if warning else []
    if cache is not None and cache.outside_bytes_per_gpu:
        notes.append(
            f"{cache.engine} {cache.version} captures CUDA graphs, about {cache.outside_bytes_per_gpu / GIB:.1f} GiB,"
            f" beyond the {cache.memory_setting:.0%} of memory that it counts"
        )
    return notes


def _full_batch(waits: float, p95_ms: float | None, slo: Slo) -> str:
    found = f"{waits:.0%} of requests find the batch full and wait for a slot"
    found += ": the queue grows without end" if p95_ms is None else f", TTFT p95 {p95_ms:,.0f} ms"
    if slo.percentile == "mean":
        found += "; the SLO bounds the mean TTFT without this wait, slo.percentile: p95 includes it"
    return found
