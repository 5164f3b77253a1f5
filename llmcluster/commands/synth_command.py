"""`llmcluster synth`: the Terraform stacks of specs."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from llmcluster.commands.options import HCL_OUTDIR, OUTDIR, SPEC_FILE, example_specs, prices_option
from llmcluster.errors import exit_codes

if TYPE_CHECKING:
    from planner.workspace.planning import PlannedSpec

PLAN_FILE = "plan.json"


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

        def review(planned: "Sequence[PlannedSpec]") -> None:
            _warn_of_replacements(planned, out)

        for stack in synthesize(specs or example_specs(), out, None if no_hcl else hcl_out, prices, review=review):
            locked = " (from its lock)" if stack.locked else ""
            click.echo(f"{stack.name}{locked}: {stack.folder}" + (f", {stack.hcl_folder}" if stack.hcl_folder else ""))


def _warn_of_replacements(planned: "Sequence[PlannedSpec]", out: Path) -> None:
    """Warns where the new documents would replace a resource of a cluster that the documents in `out` describe."""
    from llmcluster.reports.diff_text import effect_words
    from planner.compare.plan_diff import diff_plans
    from planner.errors import SpecError
    from planner.workspace.locks import read_plan
    from stacks.changes import effects
    from stacks.clouds import stack_id

    for entry in planned:
        earlier = out / "stacks" / stack_id(entry.plan, "network") / PLAN_FILE
        if not earlier.exists():
            continue
        try:
            old = read_plan(earlier)
        except SpecError:
            # The plan of another version: there is nothing to compare with.
            continue
        for effect in effects(diff_plans(old, entry.plan), old, entry.plan):
            if effect.verdict in ("replaced", "refused"):
                click.echo(f"warning: {entry.plan.name}: {effect.field}: {effect_words(effect)}", err=True)
