"""Planning for someone who reads along: what does not hold comes with what would help."""

from pathlib import Path

from planner.errors import InfeasibleError, SpecError
from planner.optimizer import plan
from planner.plan import Plan
from planner.serving.levers import holds, levers
from planner.spec import Budget, ClusterSpec
from planner.training.nearest_plans import holds as meets_deadline
from planner.training.nearest_plans import nearest_plans, too_slow
from planner.trials import fits
from provider_catalog.catalog import Catalog
from provider_catalog.scenarios import PREFIX
from stacks.specs import LoadedSpec


def decide(
    loaded: LoadedSpec, catalog: Catalog, max_usd_per_month: float | None = None
) -> tuple[Plan, tuple[str, ...]]:
    """The plan, and what would help where pins make it miss its SLO or its memory.

    Raises:
        SpecError: the spec is wrong.
        InfeasibleError: nothing serves; holds the nearest misses and what would help.
    """
    bounded = _within(loaded.spec, max_usd_per_month)
    try:
        decided = plan(loaded.spec, loaded.architecture, catalog, max_usd_per_month)
    except InfeasibleError as error:
        helps = levers(bounded, loaded.architecture, catalog)
        plans = nearest_plans(bounded, loaded.architecture, catalog, error.lacks)
        message = too_slow(bounded, plans) if error.lacks == "time" else None
        raise InfeasibleError(message or str(error), error.nearest, helps, plans, error.lacks) from error
    if not meets_deadline(decided):
        plans = nearest_plans(bounded, loaded.architecture, catalog, "time" if fits(decided) else "memory")
        return decided, tuple(found.change for found in plans)
    return decided, () if holds(decided) else levers(bounded, loaded.architecture, catalog)


def _within(spec: ClusterSpec, max_usd_per_month: float | None) -> ClusterSpec:
    """The spec under the tighter of its own budget and a bound beside it."""
    if max_usd_per_month is None:
        return spec
    tighter = min(filter(None, (spec.budget.usd_per_month, max_usd_per_month)))
    return spec.model_copy(update={"budget": Budget(usd_per_month=tighter)})


def refuse_scenario(spec: Path) -> None:
    """Refuses to lock what is no file.

    Raises:
        SpecError: the spec is a named scenario.
    """
    name = str(spec)
    if name.startswith(PREFIX):
        raise SpecError(
            f"{name}: a scenario is no file that a lock could lie beside; save it first:"
            f" llmcluster scenario show {name.removeprefix(PREFIX)} > spec.yaml"
        )
