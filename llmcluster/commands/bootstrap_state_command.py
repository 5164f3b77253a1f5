"""`llmcluster bootstrap-state`: the storage of Terraform's states."""

from pathlib import Path

import click

from llmcluster.commands.options import SPEC_FILE
from llmcluster.errors import exit_codes


@click.command("bootstrap-state", short_help="Write the stack that holds Terraform's states.")
@click.argument("spec", type=SPEC_FILE)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("bootstrap.out"),
    show_default=True,
    help="Folder for Terraform JSON.",
)
def bootstrap_state(spec: Path, out: Path) -> None:
    """Write the stack of the bucket or storage account that holds the states of SPEC. Apply it before all others."""
    with exit_codes():
        from stacks.state_bootstrap import bootstrap_state

        folder = bootstrap_state(spec, out)
        click.echo(f"{folder}\napply it once: terraform -chdir={folder} init && terraform -chdir={folder} apply")
