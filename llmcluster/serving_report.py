"""What a terminal shows of serving: SLO against prediction, queueing, software."""

from collections.abc import Iterator

from rich import box
from rich.table import Table

from planner.plan.plan import InferencePerformance, Plan, SoftwareRequirement
from planner.serving.slo import SloLine, slo_lines
from planner.spec import InferenceWorkload


def slo_table(plan: Plan) -> Table | None:
    """SLO, prediction and slack; None for training."""
    performance, workload = plan.performance, plan.spec.workload
    if not isinstance(performance, InferencePerformance) or not isinstance(workload, InferenceWorkload):
        return None
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title="SLO against prediction (ms)", title_justify="left")
    table.add_column("latency")
    for column in ("asked", "predicted", "slack"):
        table.add_column(column, justify="right")
    table.add_column("")
    for line in slo_lines(performance, workload.slo):
        table.add_row(*_cells(line))
    return table


def serving_facts(plan: Plan) -> Iterator[tuple[str, str]]:
    """Labelled lines below the layout."""
    performance = plan.performance
    if isinstance(performance, InferencePerformance) and performance.queueing is not None:
        queueing = performance.queueing
        tail = ", ".join(
            f"{name} {'grows' if queueing.ttft_ms[name] is None else f'{queueing.ttft_ms[name]:,.0f} ms'}"
            for name in ("mean", "p50", "p95", "p99")
        )
        slots = "" if queueing.slot_load is None else f", {queueing.slot_load:.0%} of the batch's slots"
        yield "queueing", f"TTFT with all waits {tail}; prefill busy {queueing.prefill_load:.0%} of the time{slots}"
    if plan.software is not None:
        yield "software", software_line(plan.software)
    if plan.autoscaling is not None:
        scaling = plan.autoscaling
        yield "autoscaling", f"{scaling.min_nodes} to {scaling.max_nodes} nodes, {scaling.mean_nodes:.1f} on average"


def software_line(software: SoftwareRequirement) -> str:
    """Least driver and toolkit, kernels, engines."""
    parts = [f"{software.stack} {software.min_version} or newer"]
    if software.min_driver is not None:
        parts.append(f"driver {software.min_driver} or newer")
    if software.attention is not None:
        parts.append(software.attention)
    if not software.weights_native:
        parts.append("weights widened to 16 bits by the kernels")
    if software.engines:
        engines = (f"{name} ({takes})" for name, takes in software.engines.items())
        parts.append(f"runs on {', '.join(engines)}")
    elif software.refused_engines:
        parts.append("no known serving engine runs it")
    return "; ".join(parts)


def _cells(line: SloLine) -> tuple[str, str, str, str, str]:
    name = f"{line.name} {line.statistic}"
    if (line.name, line.statistic) == ("TTFT", "mean"):
        name += ", batch not full"
    if line.predicted_ms is None or line.slack_ms is None:
        return name, f"{line.asked_ms:,.4g}", "grows", "", "[red]missed[/]"
    verdict = "[green]holds[/]" if line.holds else "[red]missed[/]"
    return name, f"{line.asked_ms:,.4g}", f"{line.predicted_ms:,.4g}", f"{line.slack_ms:+,.4g}", verdict
