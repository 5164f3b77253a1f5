"""Bounds and refusals of the command `plan`."""

from pathlib import Path

from planner.errors import SpecError
from planner.plan.plan import Plan
from planner.relax.decide import decide as decide_spec
from planner.spec import Budget
from planner.workspace.specs import LoadedSpec
from provider_catalog.catalog import Catalog
from provider_catalog.scenarios import PREFIX


def decide(loaded: LoadedSpec, catalog: Catalog, within: Budget | None = None) -> tuple[Plan, tuple[str, ...]]:
    """The plan, and what would help where pins make it miss its SLO or its memory."""
    plan, nearest = decide_spec(loaded.spec, loaded.architecture, catalog, within)
    return plan, tuple(found.change for found in nearest)


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
