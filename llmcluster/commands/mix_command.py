"""`llmcluster mix`: ways to buy a planned cluster, side by side."""

from pathlib import Path

import click

from llmcluster.commands.options import SPEC_FILE, json_option, prices_option
from llmcluster.errors import exit_codes
from llmcluster.price_age import max_price_age_option, recent, refuse_old_prices


@click.command(short_help="Compare ways to buy a planned cluster.")
@click.argument("spec", type=SPEC_FILE)
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of the simulated Spot interruptions.")
@click.option(
    "--term",
    type=click.Choice(["1-year", "3-year", "none"]),
    help="Commitment term used to price reserved nodes. Default: the spec's, else the shortest term with a price.",
)
@json_option
@max_price_age_option
@prices_option
def mix(spec: Path, seed: int, term: str | None, as_json: bool, max_price_age: int | None, prices: Path | None) -> None:
    """Compare ways to buy the cluster of SPEC: policies over a simulated year, or purchase options for one run.

    The plan and its bill use the same prices. A locked plan is not planned again.
    """
    with exit_codes():
        from llmcluster.reports.date_warnings import warn_of_dates
        from llmcluster.reports.mix_text import print_mix
        from planner.compare.purchase_mixes import compare_mixes
        from planner.workspace.planning import plan_specs
        from provider_catalog.catalog import Catalog

        (planned,) = plan_specs([spec], recent(Catalog.load(), max_price_age), prices)
        refuse_old_prices(planned.plan, planned.priced_catalog())
        warn_of_dates(planned.plan)
        comparison = compare_mixes(planned.plan, planned.priced_catalog(), seed, term)
        if as_json:
            click.echo(comparison.model_dump_json(indent=2))
        else:
            print_mix(comparison)
