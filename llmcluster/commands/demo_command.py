"""`llmcluster demo`: the example clusters from spec to stacks."""

import click

from llmcluster.commands.options import HCL_OUTDIR, OUTDIR, example_specs
from llmcluster.errors import exit_codes


@click.command(short_help="Plan and synthesize the example clusters.")
def demo() -> None:
    """Plan and synthesize the example clusters; print every decision."""
    with exit_codes():
        from llmcluster.reports.plan_screen import print_plan_screen
        from llmcluster.reports.stack_folders import print_stack_folders
        from planner.relax.cheaper import cheaper_plans
        from planner.workspace.planning import plan_specs
        from provider_catalog.catalog import Catalog
        from stacks.app import write_stacks

        planned = plan_specs(example_specs(), Catalog.load())
        written = write_stacks(planned, OUTDIR, HCL_OUTDIR)
        for entry in planned:
            proposals = cheaper_plans(entry.plan, entry.architecture, entry.catalog)
            print_plan_screen(entry.plan, entry.catalog, entry.path, proposals)
            print_stack_folders([stack for stack in written if stack.cluster == entry.plan.name])
