"""Decides the plan of a spec; where nothing serves, finds the nearest plans with one relaxed constraint."""

from planner.errors import InfeasibleError, NearestPlan, ShortfallKind
from planner.plan.plan import Plan
from planner.relax import serving, training
from planner.relax.verdict import fits_memory, meets_spec
from planner.search.budget import tightest
from planner.search.optimizer import plan
from planner.spec import Budget, ClusterSpec
from planner.training.step_cache import StepCache
from provider_catalog.architecture import ModelArchitecture
from provider_catalog.catalog import Catalog


def decide(
    spec: ClusterSpec, architecture: ModelArchitecture, catalog: Catalog, within: Budget | None = None
) -> tuple[Plan, tuple[NearestPlan, ...]]:
    """Returns the plan of a spec, and the nearest plans if pins make it miss its SLO, deadline or memory.

    Args:
        spec: The workload and its constraints.
        architecture: Architecture of its model.
        catalog: The catalog with machines and prices.
        within: Second budget, applied in addition to that of the spec.

    Raises:
        SpecError: the spec is wrong.
        InfeasibleError: nothing serves; the error holds the nearest misses and the nearest plans.
    """
    bounded = spec if within is None else spec.model_copy(update={"budget": tightest(spec.budget, within)})
    step_cache = StepCache()
    try:
        decided = plan(spec, architecture, catalog, within, step_cache=step_cache)
    except InfeasibleError as error:
        if spec.workload.kind == "inference":
            plans = serving.nearest_plans(bounded, architecture, catalog)
        else:
            plans = training.nearest_plans(bounded, architecture, catalog, error.lacks, step_cache, error.budget_excess)
        message = training.deadline_message(bounded, plans) if error.lacks == "time" else None
        raise InfeasibleError(message or str(error), error.nearest, plans, error.lacks, error.budget_excess) from error
    if meets_spec(decided):
        return decided, ()
    if spec.workload.kind == "inference":
        return decided, serving.nearest_plans(bounded, architecture, catalog)
    lacks: ShortfallKind = "time" if fits_memory(decided) else "memory"
    return decided, training.nearest_plans(bounded, architecture, catalog, lacks, step_cache)
