"""Finds what to change when serving is infeasible: each change is tried alone by planning again."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from decimal import ROUND_CEILING
from typing import Final

from planner.errors import NearestPlan
from planner.plan.performance import InferencePerformance
from planner.plan.plan import Plan
from planner.relax.replanning import Replanner, three_digits
from planner.serving.slo import slo_lines
from planner.spec import ClusterSpec, InferenceWorkload
from provider_catalog.architecture import ModelArchitecture
from provider_catalog.catalog import Catalog
from provider_catalog.precision import BITS_PER_VALUE

NO_LIMIT_MS = 1e7
"""SLO in milliseconds that stands for no limit."""
PRECISION = 1.03
"""Ratio to which bounds are found: 3 %."""
SHORTEST_PROMPT = 16
"""Shortest prompt that is tried, in tokens."""


def nearest_plans(spec: ClusterSpec, architecture: ModelArchitecture, catalog: Catalog) -> tuple[NearestPlan, ...]:
    """Returns plans that are feasible when one constraint of a serving spec is relaxed.

    The result is empty for training, and where no single change is enough.
    """
    if not isinstance(spec.workload, InferenceWorkload):
        return ()
    replanner = Replanner(spec, architecture, catalog, PRECISION)
    found = (plan for relax in RELAXATIONS for plan in relax(replanner, spec.workload))
    return tuple(plan for plan in found if plan.changes_something)


def _looser_slo(replanner: Replanner, workload: InferenceWorkload) -> Iterator[NearestPlan]:
    slo = workload.slo
    asked = {"ttft_ms": slo.ttft_ms, "tpot_ms": slo.tpot_ms}

    def relaxed(limits: dict[str, float], among: Plan | None) -> Plan | None:
        return replanner.planned(among, workload={"slo": {**slo.model_dump(exclude_unset=True), **limits}})

    def least(field: str, others: dict[str, float]) -> tuple[float, Plan] | None:
        return replanner.lowest_feasible(
            lambda ms, among: relaxed({**others, field: ms}, among),
            asked[field],
            NO_LIMIT_MS,
            lambda decided: _predicted_ms(decided, field),
        )

    found = {field: least(field, {}) for field in asked}
    for field, bound in found.items():
        if bound is not None:
            ms, decided = bound
            change = f"{ms:g} instead of {asked[field]:g} ({ms - asked[field]:.4g} ms more) is feasible on"
            yield _nearest_plan(decided, f"workload.slo.{field}", asked[field], ms, change)
    if not any(found.values()):
        apart = {field: least(field, dict.fromkeys(asked.keys() - {field}, NO_LIMIT_MS)) for field in asked}
        reached = {field: bound for field, bound in apart.items() if bound is not None}
        if reached:
            least_each = "; ".join(f"{field}: {ms:g} on {_plan_words(found)}" for field, (ms, found) in reached.items())
            _, decided = next(iter(reached.values()))
            sentence = f"workload.slo: relax both limits; the lowest value of each without the other is {least_each}"
            yield replace(_nearest_plan(decided, "workload.slo", None, None, ""), change=sentence)


def _lower_precision(replanner: Replanner, workload: InferenceWorkload) -> Iterator[NearestPlan]:
    del workload
    asked = replanner.spec.precision.weights
    weights = replanner.architecture.published_precision if asked == "auto" else asked
    if BITS_PER_VALUE[weights] > BITS_PER_VALUE["fp8"]:
        decided = replanner.planned(precision={"weights": "fp8", "kv_cache": "fp8"})
        if decided is not None:
            change = f"{{weights: fp8, kv_cache: fp8}} instead of {weights} is feasible on"
            yield _nearest_plan(decided, "precision", weights, "fp8", change)


def _shorter_prompt(replanner: Replanner, workload: InferenceWorkload) -> Iterator[NearestPlan]:
    def shortened(tokens: float, among: Plan | None) -> Plan | None:
        return replanner.planned(among, workload={"prompt_tokens": int(tokens)})

    shortest = shortened(SHORTEST_PROMPT, None)
    if workload.prompt_tokens <= SHORTEST_PROMPT or shortest is None:
        return
    low, decided = replanner.highest_feasible(
        shortened, float(SHORTEST_PROMPT), float(workload.prompt_tokens), shortest
    )
    change = (
        f"{int(low)} instead of {workload.prompt_tokens} (shorter, or only that much outside the prefix cache) is"
        " feasible on"
    )
    yield _nearest_plan(decided, "workload.prompt_tokens", workload.prompt_tokens, int(low), change)


def _other_hardware(replanner: Replanner, workload: InferenceWorkload) -> Iterator[NearestPlan]:
    del workload
    spec = replanner.spec
    if spec.pin.layout.tensor is not None or spec.pin.layout.pipeline is not None:
        decided = replanner.planned(pin={"layout": {}})
        if decided is not None:
            sentence = f"pin.layout: another layout is feasible: {_plan_words(decided)}"
            yield replace(_nearest_plan(decided, "pin.layout", None, None, ""), change=sentence)
    if spec.pin.nodes is not None:
        decided = replanner.planned(pin={"nodes": None})
        if decided is not None:
            nodes = decided.choice.nodes
            yield _nearest_plan(
                decided, "pin.nodes", spec.pin.nodes, nodes, f"{nodes} instead of {spec.pin.nodes} is feasible on"
            )
    if spec.placement.instance_types != "any" or spec.pin.instance_type is not None or spec.pin.node is not None:
        decided = replanner.planned(
            placement={"instance_types": "any"},
            pin={"instance_type": None, "node": None, "nodes": None, "layout": {}, "batch": None},
        )
        if decided is not None:
            change = "any instance type instead of the given one is feasible on"
            sentence = f"placement.instance_types: {change} {_plan_words(decided)}"
            yield replace(_nearest_plan(decided, "placement.instance_types", None, "any", ""), change=sentence)
            return
    if spec.placement.regions or spec.placement.providers:
        decided = replanner.planned(placement={"regions": [], "providers": []})
        if decided is not None:
            sentence = f"placement.regions: any provider in its default region is feasible: {_plan_words(decided)}"
            yield replace(_nearest_plan(decided, "placement.regions", None, None, ""), change=sentence)


def _no_budget(replanner: Replanner, workload: InferenceWorkload) -> Iterator[NearestPlan]:
    del workload
    budget = replanner.spec.budget.usd_per_month
    if budget is None:
        return
    decided = replanner.planned(budget={"usd_per_month": None})
    if decided is not None and decided.cost.usd_per_month is not None:
        needed = decided.cost.usd_per_month
        change = f"{needed:,.0f} instead of {budget:,.0f} is feasible on"
        yield _nearest_plan(decided, "budget.usd_per_month", budget, needed, change)


RELAXATIONS: Final[tuple[Callable[[Replanner, InferenceWorkload], Iterator[NearestPlan]], ...]] = (
    _looser_slo,
    _lower_precision,
    _shorter_prompt,
    _other_hardware,
    _no_budget,
)


def _predicted_ms(decided: Plan, field: str) -> float:
    performance, workload = decided.performance, decided.spec.workload
    if not isinstance(performance, InferencePerformance) or not isinstance(workload, InferenceWorkload):
        return NO_LIMIT_MS
    ttft, tpot = slo_lines(performance, workload.slo)
    predicted = (ttft if field == "ttft_ms" else tpot).predicted_ms
    return NO_LIMIT_MS if predicted is None else three_digits(predicted, ROUND_CEILING)


def _plan_words(decided: Plan) -> str:
    choice = decided.choice
    split = choice.layout.degree_names("tensor", "pipeline", always=("tensor", "pipeline"))
    money = "" if decided.cost.usd_per_hour is None else f" at {decided.cost.usd_per_hour:,.2f} USD/h"
    return f"{choice.nodes} x {choice.instance_type}, {split} {choice.weights}{money}"


def _nearest_plan(
    decided: Plan, field: str, given: str | float | None, needed: str | float | None, change: str
) -> NearestPlan:
    choice, cost = decided.choice, decided.cost
    return NearestPlan(
        field=field,
        given=given,
        needed=needed,
        change=f"{field}: {change} {_plan_words(decided)}",
        provider=choice.provider,
        region=choice.region,
        instance_type=choice.instance_type,
        nodes=choice.nodes,
        days=None,
        usd_per_month=cost.usd_per_month,
        usd_per_run=None,
    )
