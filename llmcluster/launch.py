"""`llmcluster launch`: from a spec to the script that its nodes run."""

from pathlib import Path

from planner.errors import SpecError
from planner.launch.commands import Launch
from planner.launch.script import script
from planner.launch.serving import serving_launch
from planner.launch.training import training_launch
from planner.spec import InferenceWorkload
from provider_catalog.catalog import Catalog
from stacks.planning import plan_specs
from stacks.specs import load_spec

SCRIPT = "launch.sh"


def launch_of(spec: Path, engine: str | None) -> Launch:
    """The launch of a spec's plan; a locked plan is taken as it stands.

    Raises:
        SpecError: the spec is wrong, or the engine cannot run what was planned.
        InfeasibleError: nothing serves the spec.
    """
    catalog = Catalog.load()
    plan = plan_specs([spec], catalog)[0].plan
    architecture = load_spec(spec).architecture
    if isinstance(plan.spec.workload, InferenceWorkload):
        return serving_launch(plan, architecture, catalog.software, catalog.gpu(plan.choice.gpu), engine)
    if engine not in (None, "megatron-lm"):
        raise SpecError(f"engine is {engine!r}, but workload.kind is {plan.spec.workload.kind}; allowed: megatron-lm")
    return training_launch(plan, architecture, catalog.software)


def launch_json(launch: Launch) -> str:
    """The launch with its script, as JSON."""
    files = {SCRIPT: script(launch), **launch.files}
    return launch.model_copy(update={"files": files}).model_dump_json(indent=2)


def write_launch(launch: Launch, folder: Path) -> list[Path]:
    """Writes the script and the files beside it.

    Raises:
        OSError: the folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, content in {SCRIPT: script(launch), **launch.files}.items():
        path = folder / name
        path.write_text(content, encoding="utf-8")
        path.chmod(0o755 if name == SCRIPT else 0o644)
        written.append(path)
    return written
