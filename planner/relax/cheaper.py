"""Cheaper plans that differ from a spec in one field, each found by planning again."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from planner.market.place import place_of
from planner.plan.plan import Plan
from planner.purchase.terms import reserved_terms
from planner.relax.cheaper_regions import regions_to_try
from planner.relax.replanning import Replanner
from planner.relax.verdict import meets_spec
from planner.search.budget import tightest
from planner.spec import Budget, InferenceWorkload, Pin
from planner.training.step_cache import StepCache
from provider_catalog.architecture import ModelArchitecture
from provider_catalog.catalog import Catalog
from provider_catalog.precision import BITS_PER_VALUE

MOST_CHANGES: Final = 3
LEAST_SAVING: Final = 0.01
"""Share of the bill below which a change is not worth proposing."""
RIVALS: Final = 3
"""Instance types of the alternatives that a trial searches beside that of the plan, which bounds its time."""


@dataclass(frozen=True)
class CheaperPlan:
    """A plan that holds, costs less, and differs from the spec in one field."""

    field: str
    """Field of the spec, such as precision.weights."""
    value: str
    """Value that the field takes."""
    usd: float
    """Bill over the same period as that of the plan it is compared with."""
    saving: float
    """Share of the bill that the change saves, above 0."""
    plan: Plan


def cheaper_plans(
    decided: Plan, architecture: ModelArchitecture, catalog: Catalog, within: Budget | None = None
) -> tuple[CheaperPlan, ...]:
    """Returns up to three cheaper plans of one change each, the largest saving first.

    The best change of every field comes before a second change of the same field.

    Args:
        decided: The plan; one that misses its targets has no cheaper one.
        architecture: Architecture of its model.
        catalog: Facts and prices.
        within: Bounds on the bill beside the budget of the spec.
    """
    spec = decided.spec
    if within is not None:
        spec = spec.model_copy(update={"budget": tightest(spec.budget, within)})
    now = bill_usd(decided)
    if now is None or now <= 0 or not meets_spec(decided):
        return ()
    below = now * (1 - LEAST_SAVING)
    bound = Budget(usd_per_month=below) if decided.cost.usd_per_run is None else Budget(usd_per_run=below)
    # A budget lets the search leave out early what cannot be cheaper; bills of updates have another period.
    bounded = spec if decided.updates is not None else spec.model_copy(update={"budget": tightest(spec.budget, bound)})
    trial = Replanner(bounded, architecture, catalog, 1.0, StepCache())
    found: list[CheaperPlan] = []
    for field, value, changed in _changes(decided, trial):
        usd = None if changed is None else bill_usd(changed)
        if changed is None or usd is None or not set(changed.cost.unknown) <= set(decided.cost.unknown):
            continue
        saving = 1 - usd / now
        if saving >= LEAST_SAVING:
            found.append(CheaperPlan(field, value, usd, saving, changed))
    by_saving = sorted(found, key=lambda each: -each.saving)
    best = {each.field: each for each in reversed(by_saving)}
    ranked = sorted(by_saving, key=lambda each: best[each.field] is not each)
    return tuple(sorted(ranked[:MOST_CHANGES], key=lambda each: -each.saving))


def bill_usd(plan: Plan) -> float | None:
    """Returns the bill that plans of one spec are compared by: of an update, of a run, or else of a month, in USD."""
    if plan.updates is not None:
        return plan.updates.usd_per_month
    return plan.cost.usd_per_month if plan.cost.usd_per_run is None else plan.cost.usd_per_run


Change = tuple[str, str, Plan | None]
"""Field, value, and the plan with that change; None where it does not hold."""


def _changes(decided: Plan, trial: Replanner) -> Iterator[Change]:
    spec, place = trial.spec, place_of(decided.choice.provider, trial.catalog)
    yield from _lower_precision(decided, trial)
    if place.owned or spec.capacity.block is not None:
        return
    yield from _commitments(decided, trial)
    if spec.capacity.interruption == "never":
        yield (
            "capacity.interruption",
            "tolerate",
            _among_rivals(decided, trial, "capacity", {"interruption": "tolerate"}),
        )
    yield from _other_regions(decided, trial)
    if spec.placement.instance_types != "any" and spec.pin == Pin():
        yield "placement.instance_types", "any", trial.planned(placement={"instance_types": "any"})


def _lower_precision(decided: Plan, trial: Replanner) -> Iterator[Change]:
    """Eight-bit weights and an eight-bit KV cache. Four bits cost accuracy and are not proposed."""
    if not isinstance(trial.spec.workload, InferenceWorkload):
        return
    if BITS_PER_VALUE[decided.choice.weights] > BITS_PER_VALUE["fp8"]:
        yield "precision.weights", "fp8", trial.planned(precision={"weights": "fp8"})
    if BITS_PER_VALUE[decided.choice.kv_cache] > BITS_PER_VALUE["fp8"]:
        yield "precision.kv_cache", "fp8", _among_rivals(decided, trial, "precision", {"kv_cache": "fp8"})


def _commitments(decided: Plan, trial: Replanner) -> Iterator[Change]:
    """Terms whose rate is known for the chosen instance type. A training run is bought for its window."""
    if not isinstance(trial.spec.workload, InferenceWorkload):
        return
    choice = decided.choice
    for term in reserved_terms(trial.catalog, (choice.provider, choice.region, choice.instance_type), choice.zone):
        if term.usd_per_hour is not None and term.term != trial.spec.capacity.commitment:
            yield (
                "capacity.commitment",
                term.term,
                _among_rivals(decided, trial, "capacity", {"commitment": term.term}),
            )


def _other_regions(decided: Plan, trial: Replanner) -> Iterator[Change]:
    """Regions of the same cloud with the lowest prices of the plan's type and of its rivals."""
    spec, choice = trial.spec, decided.choice
    if spec.placement.zone is not None or spec.network.vpc_id is not None or spec.imports:
        return
    for region in regions_to_try(decided, trial.catalog, RIVALS, LEAST_SAVING):
        where = {"regions": [region], "providers": [choice.provider]}
        yield "placement.regions", f"[{region}]", _among_rivals(decided, trial, "placement", where)


def _among_rivals(decided: Plan, trial: Replanner, part: str, fields: dict[str, Any]) -> Plan | None:
    """The plan with some fields changed, among the types of the plan and of its first alternatives."""
    changes: dict[str, dict[str, Any] | None] = {part: fields}
    if trial.spec.pin.instance_type is None:
        types = {other.instance_type for other in decided.alternatives[:RIVALS]} | {decided.choice.instance_type}
        placement = fields if part == "placement" else {}
        changes["placement"] = {**placement, "instance_types": sorted(types)}
    return trial.planned(None, **changes)
