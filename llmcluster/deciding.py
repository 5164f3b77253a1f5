"""Planning for someone who reads along: what does not hold comes with what would help."""

from planner.errors import InfeasibleError
from planner.optimizer import plan
from planner.plan import Plan
from planner.serving.levers import holds, levers
from provider_catalog.catalog import Catalog
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
