"""Parts of a plan's report about serving: SLO against prediction, queueing, software."""

from collections.abc import Iterator, Mapping
from typing import Final

from rich.table import Table

from llmcluster.reports.serving_parts import PART_NAMES
from llmcluster.reports.tables import report_table
from planner.plan.choice import SoftwareRequirement
from planner.plan.layout import MemoryPerGpu
from planner.plan.performance import CacheCapacity, InferencePerformance
from planner.plan.plan import Plan
from planner.serving.slo import SloLine, slo_lines
from planner.spec import InferenceWorkload

GIB: Final = 2**30
SMALLEST_SHOWN_GIB: Final = 0.05
"""Parts below are left out of a line, because they would be shown as 0.0; the JSON has them."""


def slo_table(plan: Plan) -> Table | None:
    """Returns SLO, prediction and slack; None for training."""
    performance, workload = plan.performance, plan.spec.workload
    if not isinstance(performance, InferencePerformance) or not isinstance(workload, InferenceWorkload):
        return None
    title = f"SLO against prediction {operating_point(performance)} (ms)"
    rows = [_cells(line, performance) for line in slo_lines(performance, workload.slo)]
    return report_table(("latency", "SLO", "predicted", "slack", ""), rows, texts=(0, 4), title=title)


def serving_facts(plan: Plan) -> Iterator[tuple[str, str]]:
    """Yields label and text of memory, KV cache, queueing, software and autoscaling."""
    performance = plan.performance
    if isinstance(performance, InferencePerformance) and performance.cache is not None:
        yield "memory", _ledger(plan.memory_per_gpu, performance.cache)
        yield "KV cache", cache_line(performance.cache, plan.spec.workload)
    if isinstance(performance, InferencePerformance) and performance.queueing is not None:
        queueing = performance.queueing
        tail = ", ".join(
            f"{name} {milliseconds:,.0f} ms"
            for name in ("mean", "p50", "p95", "p99")
            if (milliseconds := queueing.ttft_ms[name]) is not None
        )
        waits = "" if queueing.slots is None else " with the wait for a batch slot"
        ttft = f"TTFT {operating_point(performance)}{waits}: {tail}" if tail else "the queue grows without end"
        slots = "" if queueing.slot_load is None else f", {queueing.slot_load:.0%} of the batch slots taken"
        yield "queueing", f"{ttft}; prefill busy {queueing.prefill_load:.0%} of the time{slots}"
    if plan.software is not None:
        yield "software", software_line(plan.software)
    if plan.autoscaling is not None:
        scaling = plan.autoscaling
        yield (
            "autoscaling",
            f"{scaling.min_nodes} to {scaling.max_nodes} nodes, {scaling.mean_nodes:.1f} on average",
        )


def _ledger(memory: MemoryPerGpu, cache: CacheCapacity) -> str:
    """Returns the parts of weights and overhead as the engine loads and reserves them."""
    weights = _parts(memory.weights)
    overhead = _parts(memory.overhead)
    outside = cache.outside_bytes_per_gpu
    beyond = f"; CUDA graphs of {outside / GIB:.1f} GiB lie beyond its share" if outside else ""
    return (
        f"as {cache.engine} {cache.version} allocates it, in GiB: weights {weights}; overhead {overhead}; activations"
        f" {memory.activations_bytes / GIB:.1f} at {cache.max_num_batched_tokens:,} tokens and {cache.max_num_seqs:,}"
        f" sequences an iteration{beyond}"
    )


def _parts(sizes: Mapping[str, int]) -> str:
    shown = {name: size for name, size in sizes.items() if size / GIB >= SMALLEST_SHOWN_GIB} or sizes
    return " + ".join(f"{PART_NAMES.get(name, name)} {size / GIB:.1f}" for name, size in shown.items()) or "0"


def cache_line(cache: CacheCapacity, workload: object) -> str:
    """Returns tokens of the KV cache, the longest request, and the requests in flight."""
    line = (
        f"{cache.pool_bytes_per_gpu / GIB:.1f} GiB a GPU hold {cache.tokens:,} tokens a replica; longest request"
        f" {cache.longest_request_tokens:,} tokens"
    )
    if isinstance(workload, InferenceWorkload):
        line += f"; {cache.requests_at_planned_length:,} requests of {workload.context_tokens:,} tokens in flight"
        if cache.max_context_tokens != workload.context_tokens:
            line += f", {cache.requests_at_max_context:,} of {cache.max_context_tokens:,}"
    return line


def software_line(software: SoftwareRequirement) -> str:
    """Returns the oldest driver and toolkit that work, the attention kernels, and the engines."""
    parts = [f"{software.stack} {software.min_version} or newer"]
    if software.min_driver is not None:
        parts.append(f"driver {software.min_driver} or newer")
    if software.attention is not None:
        parts.append(software.attention)
    if not software.weights_native:
        parts.append(software.kernel_path or "kernels convert the weights to 16 bits")
    if software.engines:
        engines = (f"{name} ({takes})" for name, takes in software.engines.items())
        parts.append(f"runs on {', '.join(engines)}")
    elif software.refused_engines:
        parts.append("no known serving engine supports it")
    return "; ".join(parts)


def operating_point(performance: InferencePerformance) -> str:
    """Returns words for the load at which latencies are predicted."""
    return "for one static batch" if _is_pinned_batch(performance) else "at the planned load"


def without_slot_wait(performance: InferencePerformance) -> str:
    """Returns words for the mean TTFT, which leaves out the wait for a batch slot; empty where no request waits."""
    queueing = performance.queueing
    return "" if queueing is None or queueing.slots is None else " without slot wait"


def _is_pinned_batch(performance: InferencePerformance) -> bool:
    """A pinned batch is served as one static pass, so its mean TTFT is the time of that pass."""
    return performance.queueing is None and performance.ttft_ms == performance.prefill_ms


def _cells(line: SloLine, performance: InferencePerformance) -> tuple[str, str, str, str, str]:
    name = f"{line.name} {line.statistic}"
    if (line.name, line.statistic) == ("TTFT", "mean"):
        name += without_slot_wait(performance)
    if line.predicted_ms is None or line.slack_ms is None:
        return name, f"{line.asked_ms:,.4g}", "queue grows", "", "[red]missed[/]"
    verdict = "[green]met[/]" if line.holds else "[red]missed[/]"
    return name, f"{line.asked_ms:,.4g}", f"{line.predicted_ms:,.4g}", f"{line.slack_ms:+,.4g}", verdict
