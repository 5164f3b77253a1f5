"""One way in for whatever a plan does: serve or train."""

from planner.errors import SpecError
from planner.launch.commands import Launch
from planner.launch.script import script
from planner.launch.serving import serving_launch
from planner.launch.training import ENGINE, training_launch
from planner.plan.plan import Plan
from planner.spec import InferenceWorkload
from provider_catalog.architecture import ModelArchitecture
from provider_catalog.catalog import Catalog

SCRIPT = "launch.sh"


def launch_of(plan: Plan, architecture: ModelArchitecture, catalog: Catalog, engine: str | None = None) -> Launch:
    """The launch of a plan.

    Args:
        plan: What was decided.
        architecture: Of its model.
        catalog: Holds the software matrix.
        engine: Which engine; None takes the spec's, else the first that runs the plan.

    Raises:
        SpecError: the engine cannot run what was planned.
    """
    if isinstance(plan.spec.workload, InferenceWorkload):
        return serving_launch(plan, architecture, catalog.software, catalog.gpu(plan.choice.gpu), engine)
    if engine not in (None, ENGINE):
        raise SpecError(f"engine is {engine!r}, but workload.kind is {plan.spec.workload.kind}; allowed: {ENGINE}")
    return training_launch(plan, architecture, catalog.software)


def launch_files(launch: Launch) -> dict[str, str]:
    """The script and the files beside it, by name."""
    return {SCRIPT: script(launch), **launch.files}
