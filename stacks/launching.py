"""Launch scripts beside the stack of the nodes that run them."""

from planner.errors import SpecError
from planner.launch.launch_files import launch_files, launch_of
from planner.workspace.planning import PlannedSpec
from stacks.clouds import BuiltStack


def launch_sidecars(entry: PlannedSpec, built: BuiltStack) -> dict[str, str]:
    """Content by file name; nothing for other stacks, and where no known engine runs the plan.

    `llmcluster launch` says why in that case.
    """
    if built.role != "compute":
        return {}
    try:
        return launch_files(launch_of(entry.plan, entry.architecture, entry.catalog))
    except SpecError:
        return {}
