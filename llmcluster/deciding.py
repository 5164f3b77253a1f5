"""Planning for someone who reads along: what does not hold comes with what would help."""

from pathlib import Path

from planner.errors import InfeasibleError, Lack, SpecError
from planner.plan.plan import Plan
from planner.relax.serving import holds, levers
from planner.relax.training import holds as meets_deadline
from planner.relax.training import nearest_plans, too_slow
from planner.relax.trials import fits
from planner.search.budget import tightest
from planner.search.optimizer import plan
from planner.spec import Budget
from planner.training.step_cache import StepCache
from planner.workspace.specs import LoadedSpec
from provider_catalog.catalog import Catalog
from provider_catalog.scenarios import PREFIX


def decide(loaded: LoadedSpec, catalog: Catalog, within: Budget | None = None) -> tuple[Plan, tuple[str, ...]]:
    """The plan, and what would help where pins make it miss its SLO or its memory.

    Raises:
        SpecError: the spec is wrong.
        InfeasibleError: nothing serves; holds the nearest misses and what would help.
    """
    bounded = loaded.spec
    if within is not None:
        bounded = bounded.model_copy(update={"budget": tightest(bounded.budget, within)})
    step_cache = StepCache()
    try:
        decided = plan(loaded.spec, loaded.architecture, catalog, within, step_cache=step_cache)
    except InfeasibleError as error:
        helps = levers(bounded, loaded.architecture, catalog)
        plans = nearest_plans(bounded, loaded.architecture, catalog, error.lacks, step_cache, error.exceeded)
        message = too_slow(bounded, plans) if error.lacks == "time" else None
        text = message or str(error)
        raise InfeasibleError(text, error.nearest, helps, plans, error.lacks, error.exceeded) from error
    if not meets_deadline(decided):
        lacks: Lack = "time" if fits(decided) else "memory"
        plans = nearest_plans(bounded, loaded.architecture, catalog, lacks, step_cache)
        return decided, tuple(found.change for found in plans)
    return decided, () if holds(decided) else levers(bounded, loaded.architecture, catalog)


def bounds(loaded: LoadedSpec, usd_per_month: float | None, usd_per_run: float | None) -> Budget | None:
    """Bounds given on the command line; None without.

    Raises:
        SpecError: a bound for the run of a workload without end.
    """
    if usd_per_run is not None and loaded.spec.workload.kind == "inference":
        raise SpecError(
            f"--max-usd-per-run is {usd_per_run:g}, but workload.kind is inference, which has no end; use"
            " --max-usd-per-month"
        )
    if usd_per_month is None and usd_per_run is None:
        return None
    return Budget(usd_per_month=usd_per_month, usd_per_run=usd_per_run)


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
