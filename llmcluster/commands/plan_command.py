"""`llmcluster plan`: which cluster carries a workload."""

from pathlib import Path

import click

from llmcluster.commands.options import SPEC_FILE, Money, json_option, prices_option
from llmcluster.errors import exit_codes


@click.command(short_help="Decide which cluster carries a workload.")
@click.argument("spec", type=SPEC_FILE)
@json_option
@click.option("--lock", is_flag=True, help="Save the plan beside the spec; synth then reproduces it byte for byte.")
@click.option(
    "--max-usd-per-month", type=Money(), help="Refuse plans above this amount; exit 3 and show the closest plan."
)
@click.option(
    "--max-usd-per-run", type=Money(), help="The same limit for a whole training run, or for one update of it."
)
@prices_option
def plan(
    spec: Path,
    as_json: bool,
    lock: bool,
    max_usd_per_month: float | None,
    max_usd_per_run: float | None,
    prices: Path | None,
) -> None:
    """Decide which cluster carries the workload of SPEC: size, layout, purchase mix, cost, alternatives."""
    with exit_codes(as_json):
        from llmcluster.deciding import bounds, decide, refuse_scenario
        from llmcluster.reports.date_warnings import warn_of_dates
        from planner.workspace.locks import plan_json, write_lock
        from planner.workspace.specs import load_spec, priced_catalog
        from provider_catalog.catalog import Catalog

        if lock:
            refuse_scenario(spec)
        loaded = load_spec(spec)
        catalog = priced_catalog(Catalog.load(), loaded, prices)
        decided, changes = decide(loaded, catalog, bounds(loaded, max_usd_per_month, max_usd_per_run))
        warn_of_dates(decided)
        if as_json:
            click.echo(plan_json(decided), nl=False)
        else:
            from llmcluster.reports.plan_text import print_plan

            print_plan(decided, changes)
        if lock:
            click.echo(f"plan locked in {write_lock(decided, spec)}", err=True)
