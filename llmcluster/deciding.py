"""Planning for someone who reads along: what does not hold comes with what would help."""

from pathlib import Path

from planner.errors import InfeasibleError, SpecError
from planner.optimizer import plan
from planner.plan import Plan
from planner.serving.levers import holds, levers
from provider_catalog.catalog import Catalog
from provider_catalog.scenarios import PREFIX
from stacks.specs import LoadedSpec


def decide(loaded: LoadedSpec, catalog: Catalog) -> tuple[Plan, tuple[str, ...]]:
    """The plan, and what would help where pins make it miss its SLO or its memory.

    Raises:
        SpecError: the spec is wrong.
        InfeasibleError: nothing serves; holds the nearest misses and what would help.
    """
    try:
        decided = plan(loaded.spec, loaded.architecture, catalog)
    except InfeasibleError as error:
        helps = levers(loaded.spec, loaded.architecture, catalog)
        raise InfeasibleError(str(error), error.nearest, helps) from error
    return decided, () if holds(decided) else levers(loaded.spec, loaded.architecture, catalog)


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
