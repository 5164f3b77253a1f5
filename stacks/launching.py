"""Launch scripts beside the stack of the nodes that run them."""

from planner.errors import SpecError
from planner.launch.of_plan import launch_files, launch_of
from provider_catalog.catalog import Catalog
from stacks.clouds import BuiltStack
from stacks.planning import PlannedSpec


def launch_sidecars(entry: PlannedSpec, built: BuiltStack, catalog: Catalog) -> dict[str, str]:
    """Content by file name; nothing for other stacks, and where no known engine runs the plan.

    `llmcluster launch` says why in that case.
    """
    if built.role != "compute":
        return {}
    try:
        return launch_files(launch_of(entry.plan, entry.loaded.architecture, catalog))
    except SpecError:
        return {}
