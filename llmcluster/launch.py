"""`llmcluster launch`: from a spec to the script that its nodes run."""

from pathlib import Path

from planner.launch.commands import Launch
from planner.launch.launch_files import SCRIPT, launch_files, launch_of
from planner.workspace.planning import plan_specs
from provider_catalog.catalog import Catalog


def launch_of_spec(spec: Path, engine: str | None) -> Launch:
    """The launch of a spec's plan; a locked plan is taken as it stands.

    Raises:
        SpecError: the spec is wrong, or the engine cannot run what was planned.
        InfeasibleError: nothing serves the spec.
    """
    (planned,) = plan_specs([spec], Catalog.load())
    return launch_of(planned.plan, planned.architecture, planned.catalog, engine)


def launch_json(launch: Launch) -> str:
    """The launch with its script, as JSON."""
    return launch.model_copy(update={"files": launch_files(launch)}).model_dump_json(indent=2)


def write_launch(launch: Launch, folder: Path) -> list[Path]:
    """Writes the script and the files beside it.

    Raises:
        OSError: the folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, content in launch_files(launch).items():
        path = folder / name
        path.write_text(content, encoding="utf-8", newline="\n")
        path.chmod(0o755 if name == SCRIPT else 0o644)
        written.append(path)
    return written
