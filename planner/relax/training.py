"""Finds what to change when a training run is infeasible: each constraint is relaxed alone by planning again."""

from collections.abc import Callable, Iterator
from decimal import ROUND_CEILING, ROUND_FLOOR
from math import ceil
from typing import Any, Final

from planner.cost.updates import EVALUATION_SHARE, START_H
from planner.errors import PERIOD_WORDS, BudgetExcess, NearestPlan, ShortfallKind, times
from planner.plan.performance import TrainingPerformance
from planner.plan.plan import Plan
from planner.relax.replanning import PlanAt, Replanner, three_digits
from planner.spec import Budget, ClusterSpec, Pin, TrainingWorkload
from planner.training.step_cache import StepCache
from provider_catalog.architecture import ModelArchitecture
from provider_catalog.catalog import Catalog

LONGEST_DAYS: Final = 3650.0
"""Longest deadline that is tried, in days."""
MOST_NODES: Final = 16384
"""Largest node count that is tried."""
PRECISION: Final = 1.08
"""Ratio to which bounds are found: 8 %. The days of a plan within that ratio are a bound too."""
DEADLINES: Final = ("workload.deadline_days", "workload.every_days")
WITH_TIME_LEFT: Final = 1.1
"""Factor on the shortest duration of an update that leaves time to load weights and data."""
SMALLEST_TOKEN_SHARE: Final = 1 / 64
"""Smallest share of the requested tokens that is tried; fewer tokens would be a different run."""


def nearest_plans(
    spec: ClusterSpec,
    architecture: ModelArchitecture,
    catalog: Catalog,
    lacks: ShortfallKind,
    step_cache: StepCache | None = None,
    budget_excess: BudgetExcess | None = None,
) -> tuple[NearestPlan, ...]:
    """Returns plans that are feasible when one constraint of a training spec is relaxed; empty for serving.

    Args:
        spec: The infeasible spec.
        architecture: Architecture of its model.
        catalog: The catalog with machines and prices.
        lacks: Constraint that the nearest candidate misses; only changes that may help with it are tried.
        step_cache: Step times of the infeasible plan.
        budget_excess: By how much the nearest candidate exceeds the budget, if it misses nothing else.
    """
    workload = spec.workload
    if not isinstance(workload, TrainingWorkload):
        return ()
    replanner = Replanner(spec, architecture, catalog, PRECISION, step_cache or StepCache())
    money = () if budget_excess is None else _budgets(replanner, budget_excess)
    found = (*money, *(plan for relax in RELAXATIONS[lacks] for plan in relax(replanner, workload)))
    return tuple(plan for plan in found if plan.changes_something)


def deadline_message(spec: ClusterSpec, plans: tuple[NearestPlan, ...]) -> str | None:
    """Returns a message on how far the fastest plan misses the deadline; None if no such plan is known."""
    fastest = next((found for found in plans if found.field in DEADLINES), None)
    if fastest is None or not isinstance(fastest.given, float) or fastest.days is None:
        return None
    return (
        f"no cluster carries {spec.name!r}: the fastest takes {fastest.days:.3g} days ({fastest.nodes:,} x"
        f" {fastest.instance_type}), {times(fastest.days / fastest.given)} what {fastest.field}"
        f" ({fastest.given:g}) allows"
    )


def _deadline(replanner: Replanner, workload: TrainingWorkload) -> Iterator[NearestPlan]:
    deadline_given = "deadline_days" in workload.model_fields_set
    if workload.every_days is not None:
        # Without a deadline in the spec, an update only has to end before the next one starts.
        def attempt(days: float, among: Plan | None) -> Plan | None:
            return replanner.planned(
                among, workload={"every_days": days, **({} if deadline_given else {"deadline_days": days})}
            )

        found = _fastest_update(replanner, attempt)
        if found is None:
            found = replanner.lowest_feasible(attempt, workload.every_days, LONGEST_DAYS, lambda _: LONGEST_DAYS)
        yield from _longer_time("workload.every_days", workload.every_days, found)
    fastest = _fastest_days(replanner) if workload.every_days is None else None
    if fastest is not None:
        days = three_digits(fastest, ROUND_CEILING)
        decided = replanner.planned(workload={"deadline_days": days})
        if decided is not None:
            yield from _longer_time("workload.deadline_days", workload.deadline_days, (days, decided))
            return
    if workload.every_days is None or deadline_given:
        longest = workload.every_days or LONGEST_DAYS
        found = replanner.lowest_feasible(
            lambda days, among: replanner.planned(among, workload={"deadline_days": days}),
            workload.deadline_days,
            longest,
            _days,
        )
        yield from _longer_time("workload.deadline_days", workload.deadline_days, found)


def _fastest_days(replanner: Replanner) -> float | None:
    """Returns the days of the fastest run if neither a budget nor a pin can make it infeasible; else None."""
    spec = replanner.spec
    return None if spec.budget != Budget() or spec.pin != Pin() else replanner.fastest_days


def _fastest_update(replanner: Replanner, attempt: PlanAt) -> tuple[float, Plan] | None:
    """Returns the shortest `every_days` with its plan.

    The time beside training is taken from the plan of an update with some time left.
    """
    fastest = _fastest_days(replanner)
    if fastest is None:
        return None
    training_h = fastest * 24 * (1 + EVALUATION_SHARE)
    loose = attempt(three_digits((training_h + START_H) / 24 * WITH_TIME_LEFT, ROUND_CEILING), None)
    if loose is None or loose.updates is None:
        return None
    beside_h = loose.updates.hours - sum(loose.updates.hours_by_part[part] for part in ("train", "evaluate"))
    days = three_digits((training_h + beside_h) / 24, ROUND_CEILING)
    decided = attempt(days, None)
    return None if decided is None else (days, decided)


def _longer_time(field: str, given: float, found: tuple[float, Plan] | None) -> Iterator[NearestPlan]:
    if found is not None and found[0] > given:
        needed, decided = found
        change = f"{needed:g} instead of {given:g} ({needed - given:.3g} days more, {times(needed / given)})"
        yield _nearest_plan(decided, field, given, needed, change)


def _budgets(replanner: Replanner, budget_excess: BudgetExcess) -> Iterator[NearestPlan]:
    """Yields the budget that the nearest candidate needs, with the other budget unchanged."""
    field = "usd_per_month" if budget_excess.period == "month" else "usd_per_run"
    decided = replanner.planned(budget={field: budget_excess.usd * (1 + 1e-9)})
    usd = None if decided is None else _monthly(decided) if budget_excess.period == "month" else _run_usd(decided)
    if decided is not None and usd is not None:
        given = budget_excess.budget_usd
        change = f"{usd:,.0f} instead of {given:,.0f} ({usd - given:,.0f} USD more, {times(usd / given)})"
        yield _nearest_plan(decided, f"budget.{field}", given, _cents_up(usd), change)


def _cents_up(usd: float) -> float:
    """Rounds an amount up to whole cents, so that it fits into that budget."""
    return ceil(usd * 100) / 100


def _nodes(replanner: Replanner, workload: TrainingWorkload) -> Iterator[NearestPlan]:
    del workload
    given = replanner.spec.placement.max_nodes
    if given >= MOST_NODES or replanner.spec.pin.nodes is not None:
        return
    decided = replanner.planned(placement={"max_nodes": MOST_NODES})
    if decided is not None:
        needed = decided.choice.nodes
        change = f"{needed:,} instead of {given:,} ({needed - given:,} more)"
        yield _nearest_plan(decided, "placement.max_nodes", given, needed, change)


def _machines(replanner: Replanner, workload: TrainingWorkload) -> Iterator[NearestPlan]:
    del workload
    placement, pin = replanner.spec.placement, replanner.spec.pin
    if pin.instance_type is not None:
        decided = replanner.planned(pin=_without(pin, "instance_type"))
        if decided is not None:
            yield _nearest_plan(
                decided, "pin.instance_type", pin.instance_type, decided.choice.instance_type, "left out"
            )
        return
    if pin.node is not None:
        return
    if placement.instance_types != "any":
        given = ", ".join(placement.instance_types)
        decided = replanner.planned(placement={"instance_types": "any"})
        if decided is not None:
            yield _nearest_plan(decided, "placement.instance_types", given, "any", "any")
    if placement.providers or placement.regions:
        given = ", ".join((*placement.providers, *placement.regions))
        decided = replanner.planned(placement={"providers": [], "regions": [], "zone": None})
        if decided is not None:
            yield _nearest_plan(decided, "placement.regions", given, None, "any provider in its default region")


def _spot(replanner: Replanner, workload: TrainingWorkload) -> Iterator[NearestPlan]:
    del workload
    if replanner.spec.capacity.interruption == "tolerate" or replanner.spec.capacity.block is not None:
        return
    decided = replanner.planned(capacity={"interruption": "tolerate"})
    if decided is not None and decided.choice.purchase.spot_nodes:
        yield _nearest_plan(decided, "capacity.interruption", "never", "tolerate", "tolerate, on Spot nodes")


def _block(replanner: Replanner, workload: TrainingWorkload) -> Iterator[NearestPlan]:
    del workload
    block = replanner.spec.capacity.block
    if block is None:
        return
    decided = replanner.planned(capacity={"block": None})
    if decided is not None:
        yield _nearest_plan(
            decided, "capacity.block", f"{block.days} days", None, "left out, with nodes bought for the run"
        )


def _tokens(replanner: Replanner, workload: TrainingWorkload) -> Iterator[NearestPlan]:
    """Yields the largest feasible number of tokens, within the precision."""
    if workload.dataset is None:
        field, given = "workload.tokens", float(workload.tokens or 0.0)
    else:
        field, given = "workload.dataset.examples", float(workload.dataset.examples)

    def attempt(share: float, among: Plan | None) -> Plan | None:
        amount = three_digits(share * given, ROUND_FLOOR)
        if workload.dataset is None:
            return replanner.planned(among, workload={"tokens": amount})
        data = workload.dataset.model_dump(mode="json", exclude_unset=True)
        return replanner.planned(among, workload={"dataset": {**data, "examples": max(1, int(amount))}})

    fastest = _fastest_days(replanner) if workload.every_days is None else None
    if fastest is not None:
        # Days are proportional to steps; rounding or the last step can exceed the deadline, so 99 % is tried too.
        for share in (workload.deadline_days / fastest, 0.99 * workload.deadline_days / fastest):
            most = attempt(share, None) if SMALLEST_TOKEN_SHARE <= share < 1 else None
            if most is not None:
                needed = three_digits(share * given, ROUND_FLOOR)
                yield _nearest_plan(most, field, given, needed, f"{needed:,g} instead of {given:,g} ({share:.0%})")
                return
    # Halve the share until it is feasible, then search upwards.
    high, low, decided = 1.0, 0.5, None
    while low >= SMALLEST_TOKEN_SHARE and (decided := attempt(low, None)) is None:
        high, low = low, low / 2
    if decided is None:
        return
    low, decided = replanner.highest_feasible(attempt, low, high, decided)
    needed = three_digits(low * given, ROUND_FLOOR)
    yield _nearest_plan(decided, field, given, needed, f"{needed:,g} instead of {given:,g} ({low:.0%})")


def _method(replanner: Replanner, workload: TrainingWorkload) -> Iterator[NearestPlan]:
    if workload.kind != "finetuning" or workload.method == "qlora":
        return
    for method in ("lora", "qlora"):
        if method == workload.method:
            continue
        decided = replanner.planned(workload={"method": method})
        if decided is not None:
            yield _nearest_plan(
                decided, "workload.method", workload.method, method, f"{method} instead of {workload.method}"
            )
            return


def _optimizer(replanner: Replanner, workload: TrainingWorkload) -> Iterator[NearestPlan]:
    smaller = "adamw-8bit" if workload.method == "full" else "paged-adamw"
    if workload.optimizer == smaller:
        return
    decided = replanner.planned(workload={"optimizer": smaller, "gradient_precision": "bf16"})
    if decided is not None:
        change = f"{smaller} instead of {workload.optimizer}, with gradient_precision bf16"
        yield _nearest_plan(decided, "workload.optimizer", workload.optimizer, smaller, change)


def _sequence(replanner: Replanner, workload: TrainingWorkload) -> Iterator[NearestPlan]:
    """Yields the longest feasible sequence among repeated halves; a model trained on shorter sequences learns less."""
    length = workload.sequence_length // 2
    while length >= 512:
        decided = replanner.planned(workload={"sequence_length": length})
        if decided is not None:
            change = f"{length:,} instead of {workload.sequence_length:,}"
            yield _nearest_plan(decided, "workload.sequence_length", workload.sequence_length, length, change)
            return
        length //= 2


def _batch(replanner: Replanner, workload: TrainingWorkload) -> Iterator[NearestPlan]:
    """Yields the smallest feasible multiple of the batch; its effect on convergence is not modelled."""
    given = workload.global_batch_tokens
    for factor in (2, 4, 16, 64):
        decided = replanner.planned(workload={"global_batch_tokens": factor * given})
        if decided is not None:
            change = f"{factor * given:,g} instead of {given:,g}, if training converges as well"
            yield _nearest_plan(decided, "workload.global_batch_tokens", given, factor * given, change)
            return


def _scratch(replanner: Replanner, workload: TrainingWorkload) -> Iterator[NearestPlan]:
    del workload
    given = replanner.spec.storage.scratch_gb
    if not given:
        return
    largest = max(kind.nvme_total_gb for kind in replanner.catalog.instance_types.values())
    decided = replanner.planned(storage={"scratch_gb": min(given, largest)}) or replanner.planned(
        storage={"scratch_gb": 0}
    )
    if decided is not None:
        choice = decided.choice
        has = replanner.catalog.instance_type(choice.provider, choice.instance_type).nvme_total_gb
        yield _nearest_plan(decided, "storage.scratch_gb", given, has, f"{has:,} instead of {given:,g}")


def _pins(replanner: Replanner, workload: TrainingWorkload) -> Iterator[NearestPlan]:
    del workload
    pin = replanner.spec.pin
    if pin.nodes is not None:
        decided = replanner.planned(pin=_without(pin, "nodes"))
        if decided is not None:
            nodes = decided.choice.nodes
            yield _nearest_plan(decided, "pin.nodes", pin.nodes, nodes, f"{nodes:,} instead of {pin.nodes:,}")
    if pin.layout != Pin().layout:
        decided = replanner.planned(pin=_without(pin, "layout"))
        if decided is not None:
            yield _nearest_plan(decided, "pin.layout", str(pin.layout.model_dump(exclude_none=True)), None, "left out")


RELAXATIONS: Final[dict[ShortfallKind, tuple[Callable[[Replanner, TrainingWorkload], Iterator[NearestPlan]], ...]]] = {
    "budget": (_deadline, _spot, _machines, _tokens, _method),
    "time": (_deadline, _nodes, _machines, _tokens, _batch, _method, _block, _pins),
    "memory": (_nodes, _machines, _method, _optimizer, _sequence, _pins),
    "other": (_machines, _spot, _block, _scratch, _pins),
}
"""Relaxations that may help, by the constraint that is missed."""


def _without(pin: Pin, field: str) -> dict[str, Any]:
    empty = Pin().model_dump(mode="json")
    return {**pin.model_dump(mode="json"), field: empty[field]}


def _days(decided: Plan) -> float:
    performance = decided.performance
    return three_digits(performance.days, ROUND_CEILING) if isinstance(performance, TrainingPerformance) else 0.0


def _monthly(decided: Plan) -> float | None:
    """Returns the amount that a monthly budget bounds, in USD."""
    return decided.cost.usd_per_month if decided.updates is None else decided.updates.usd_per_month


def _run_usd(decided: Plan) -> float | None:
    """Returns the amount that a budget per run bounds, in USD."""
    return decided.cost.usd_per_run if decided.updates is None else decided.updates.usd_per_update


def _nearest_plan(
    decided: Plan, field: str, given: str | float | None, needed: str | float | None, change: str
) -> NearestPlan:
    choice, performance = decided.choice, decided.performance
    days = performance.days if isinstance(performance, TrainingPerformance) else None
    usd = _run_usd(decided)
    money = "" if usd is None else f", {usd:,.0f} USD {PERIOD_WORDS['run' if decided.updates is None else 'update']}"
    where = f"{choice.nodes:,} x {choice.instance_type} in {choice.region}"
    return NearestPlan(
        field=field,
        given=given,
        needed=needed,
        change=f"{field}: {change}; then {where}, {days:.3g} days{money}",
        provider=choice.provider,
        region=choice.region,
        instance_type=choice.instance_type,
        nodes=choice.nodes,
        days=days,
        usd_per_month=_monthly(decided),
        usd_per_run=usd,
    )
