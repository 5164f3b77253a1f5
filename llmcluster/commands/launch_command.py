"""`llmcluster launch`: the script that nodes run to start what was planned."""

from pathlib import Path

import click

from llmcluster.commands.options import SPEC_FILE, json_option
from llmcluster.errors import exit_codes


@click.command(short_help="Print the script that starts the planned layout.")
@click.argument("spec", type=SPEC_FILE)
@click.option(
    "--engine",
    type=click.Choice(["vllm", "sglang", "tensorrt-llm", "megatron-lm"]),
    default=None,
    help="Engine that runs the model. Default: the spec's, else the first that supports the plan.",
)
@json_option
@click.option(
    "--out", type=click.Path(path_type=Path), default=None, help="Write the script and its files to this folder."
)
def launch(spec: Path, engine: str | None, as_json: bool, out: Path | None) -> None:
    """Print the script that starts the planned layout of SPEC on each node, with the flags its engine documents."""
    with exit_codes():
        from planner.launch.launch_files import SCRIPT, launch_files, launch_of
        from planner.workspace.planning import plan_specs
        from provider_catalog.catalog import Catalog
        from provider_catalog.files import publish, staged, write_files

        (planned,) = plan_specs([spec], Catalog.load())
        made = launch_of(planned.plan, planned.architecture, planned.catalog, engine)
        files = launch_files(made)
        if out is not None:
            with staged(out) as stage:
                write_files(stage, files, executable={SCRIPT})
                publish({stage: out})
            for name in files:
                click.echo(str(out / name), err=as_json)
        if as_json:
            click.echo(made.model_copy(update={"files": files}).model_dump_json(indent=2))
        elif out is None:
            click.echo(files[SCRIPT], nl=False)
