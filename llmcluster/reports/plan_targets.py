"""The targets of a plan (memory, load, SLO, deadline) and whether it meets them, each in one line of words."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from llmcluster.reports.plan_words import requests_per_s
from planner.plan.performance import InferencePerformance, TrainingPerformance
from planner.plan.plan import Plan
from planner.relax.verdict import fits_memory
from planner.serving.slo import SloLine, slo_lines
from planner.spec import InferenceWorkload, TrainingWorkload

TIGHT: Final = 0.1
"""Share of a limit below which its slack is called tight."""
ROUNDING: Final = 1e-9
GIB: Final = 2**30


@dataclass(frozen=True)
class Target:
    """One target of a plan."""

    label: str
    """Label of its line; empty for a target without a line of its own."""
    name: str
    """The target as the verdict names it, such as SLO."""
    holds: bool
    text: str
    """Prediction against limit, in rich's markup."""
    verdict: str
    """Sentence that says how it is missed; empty where it holds."""


def targets(plan: Plan) -> Iterator[Target]:
    """Yields the targets of a plan, those with a line in the order of the screen."""
    memory = plan.memory_per_gpu
    if not fits_memory(plan):
        sentence = (
            f"does not fit: {memory.total_bytes / GIB:.1f} GiB on the fullest GPU,"
            f" {memory.capacity_bytes / GIB:.1f} GiB may be used"
        )
        yield Target("", "memory", False, "", sentence)
    performance, workload = plan.performance, plan.spec.workload
    if isinstance(performance, InferencePerformance) and isinstance(workload, InferenceWorkload):
        ttft, tpot = slo_lines(performance, workload.slo)
        yield _load(plan, performance, workload)
        yield _latency(ttft, _tail(performance, ttft))
        yield _latency(tpot, "")
    elif isinstance(performance, TrainingPerformance) and isinstance(workload, TrainingWorkload):
        yield from _deadline(plan, performance, workload)


def _load(plan: Plan, performance: InferencePerformance, workload: InferenceWorkload) -> Target:
    """The load is missed only where the spec states one: a pinned cluster without a stated load just carries less."""
    replicas = next((pool.replicas for pool in performance.pools if pool.role == "decode"), plan.choice.layout.data)
    in_flight, most = performance.batch * replicas, performance.max_concurrency
    if workload.concurrency is not None:
        holds = most >= workload.concurrency
        text = f"{workload.concurrency:,} requests in flight asked, {most:,} possible"
        verdict = f"misses the load: {most:,} of {workload.concurrency:,} requests in flight fit"
        used = workload.concurrency / most
    else:
        asked, carried = workload.offered_requests_per_s, performance.requests_per_s
        holds = workload.stated_requests_per_s is None or carried >= asked * (1 - ROUNDING)
        stated = asked if workload.stated_requests_per_s is not None else min(asked, carried)
        text = f"{requests_per_s(stated)}: {in_flight:,} in flight, {most:,} possible"
        verdict = f"misses the load: carries {carried:,.3g} of {asked:,.4g} requests/s"
        used = in_flight / most
    return Target("Load", "load", holds, f"{text} {_mark(holds, 1 - used)}", "" if holds else verdict)


def _latency(line: SloLine, more: str) -> Target:
    asked = milliseconds(line.asked_ms)
    limit = f"limit {asked}"
    if line.predicted_ms is None or line.slack_ms is None:
        text = f"{line.statistic} grows without end   {limit} [red]✗[/]"
        return Target(
            line.name, "SLO", False, text, f"misses the SLO: the queue grows without end, so {line.name} has no bound"
        )
    predicted = milliseconds(line.predicted_ms)
    text = f"{line.statistic} {predicted} ms, {limit} {_mark(line.holds, line.slack_ms / line.asked_ms)}{more}"
    verdict = f"misses the SLO: {line.name} {line.statistic} is {predicted} ms, the limit is {asked} ms"
    return Target(line.name, "SLO", line.holds, text, "" if line.holds else verdict)


def _tail(performance: InferencePerformance, line: SloLine) -> str:
    """Returns p95 of TTFT with every wait, where the SLO bounds the mean."""
    queueing = performance.queueing
    if line.statistic != "mean" or queueing is None:
        return ""
    p95 = queueing.ttft_ms.get("p95")
    if p95 is None:
        return " · [yellow]p95 grows without end[/]"
    return f" · p95 {milliseconds(p95)} ms with queueing"


def _deadline(plan: Plan, performance: TrainingPerformance, workload: TrainingWorkload) -> Iterator[Target]:
    days, deadline = performance.days, workload.deadline_days
    error = next((d.high_usd for d in plan.cost.range.drivers if d.name == "MFU"), 0.0) if plan.cost.range else 0.0
    expected = plan.cost.range.expected_usd if plan.cost.range else 0.0
    share = error / expected if expected else 0.0
    likely = f" (likely {_two(days * (1 - share))}–{_two(days * (1 + share))})" if share else ""
    slack = deadline - days
    holds = slack >= 0
    text = f"{_days(days)} days{likely}, deadline {deadline:,.4g}:"
    if holds:
        at_risk = days * (1 + share) > deadline
        text += f" {_days(slack)} days slack {_mark(True, 0.0 if at_risk else 1.0)}"
    else:
        text += " [red]✗[/]"
    verdict = "" if holds else f"misses the deadline: takes {_days(days)} days, allowed are {deadline:,.4g}"
    yield Target("Time", "the deadline", holds, text, verdict)
    useful = days * performance.goodput
    outlook = performance.reliability
    stops = "" if outlook is None else f" ({_two(outlook.interruptions)} expected)"
    text = f"{_days(useful)} effective days, {_two(days - useful)} lost to checkpoints and failures{stops}"
    yield Target("Work", "the deadline", True, text, "")
    if plan.spec.capacity.block is not None and days > plan.spec.capacity.block.days:
        sentence = f"outlasts the Capacity Block: takes {_days(days)} days of {plan.spec.capacity.block.days}"
        yield Target("", "the Capacity Block", False, "", sentence)


def _mark(holds: bool, slack: float) -> str:
    if not holds:
        return "[red]✗[/]"
    return "[green]✓[/] [yellow](tight)[/]" if slack < TIGHT else "[green]✓[/]"


def milliseconds(value: float) -> str:
    """Returns milliseconds with three digits and without an exponent."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _days(days: float) -> str:
    return f"{days:,.0f}" if days >= 100 else f"{days:.3g}"


def _two(value: float) -> str:
    """Returns a number with two digits and without an exponent."""
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"
