"""The launch of a plan and the files that it is written to, for serving and training alike."""

from planner.errors import SpecError
from planner.launch.commands import Launch
from planner.launch.script import script
from planner.launch.serving_launch import serving_launch
from planner.launch.training_launch import ENGINE, training_launch
from planner.market.pinned_gpu import gpu_of_plan
from planner.plan.plan import Plan
from planner.spec import InferenceWorkload
from provider_catalog.architecture import ModelArchitecture
from provider_catalog.catalog import Catalog

SCRIPT = "launch.sh"


def launch_of(plan: Plan, architecture: ModelArchitecture, catalog: Catalog, engine: str | None = None) -> Launch:
    """Return the launch of a plan.

    Args:
        plan: The plan to launch.
        architecture: Architecture of the plan's model.
        catalog: Catalog with the software matrix.
        engine: Name of the engine; None takes the spec's, else the first that runs the plan.

    Raises:
        SpecError: The engine cannot run the plan.
    """
    if isinstance(plan.spec.workload, InferenceWorkload):
        return serving_launch(
            plan, architecture, catalog.software, gpu_of_plan(plan.spec, plan.choice.gpu, catalog), engine
        )
    if engine not in (None, ENGINE):
        raise SpecError(f"engine is {engine!r}, but workload.kind is {plan.spec.workload.kind}; allowed: {ENGINE}")
    return training_launch(plan, architecture, catalog.software)


def launch_files(launch: Launch) -> dict[str, str]:
    """Return the content of the script and of the files beside it, by name."""
    return {SCRIPT: script(launch), **launch.files}
