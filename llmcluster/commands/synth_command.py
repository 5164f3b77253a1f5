"""`llmcluster synth`: the Terraform stacks of specs."""

from pathlib import Path

import click

from llmcluster.commands.options import HCL_OUTDIR, OUTDIR, SPEC_FILE, example_specs, prices_option
from llmcluster.errors import exit_codes


@click.command(short_help="Write the Terraform stacks of specs.")
@click.argument("specs", nargs=-1, type=SPEC_FILE)
@click.option(
    "--out", type=click.Path(path_type=Path), default=OUTDIR, show_default=True, help="Folder for Terraform JSON."
)
@click.option(
    "--hcl-out",
    type=click.Path(path_type=Path),
    default=HCL_OUTDIR,
    show_default=True,
    help="Folder for the same stacks as HCL, to be reviewed.",
)
@click.option("--no-hcl", is_flag=True, help="Write only the JSON that Terraform applies.")
@prices_option
def synth(specs: tuple[Path, ...], out: Path, hcl_out: Path, no_hcl: bool, prices: Path | None) -> None:
    """Write the Terraform stacks of SPECS, with plan and cost beside them. Without SPECS it takes clusters/*.yaml."""
    with exit_codes():
        from stacks.app import synthesize

        for stack in synthesize(specs or example_specs(), out, None if no_hcl else hcl_out, prices):
            locked = " (from its lock)" if stack.locked else ""
            click.echo(f"{stack.name}{locked}: {stack.folder}" + (f", {stack.hcl_folder}" if stack.hcl_folder else ""))
