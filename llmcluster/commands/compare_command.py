"""`llmcluster compare`: clouds against servers of your own, and published cost claims."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from llmcluster.commands.options import SPEC_FILE, json_option, prices_option
from llmcluster.errors import exit_codes
from llmcluster.price_age import max_price_age_option, recent

if TYPE_CHECKING:
    from provider_catalog.catalog import Catalog
    from provider_catalog.on_prem import OnPrem


@click.command(short_help="Compare clouds with servers of your own.")
@click.argument("spec", required=False, type=SPEC_FILE)
@click.option(
    "--co2", "grid", metavar="GRID", help="Also print emissions on the power grid of a country, such as us or de."
)
@click.option("--guide", is_flag=True, help="Recompute the hardware guide's example of a 13B model from its parts.")
@click.option("--peers", is_flag=True, help="Compare AMD's servers with NVIDIA's at equal compute.")
@json_option
@max_price_age_option
@prices_option
@click.option(
    "--own",
    type=click.Path(path_type=Path),
    help="Your own figures for servers, power, housing and staff (YAML), used instead of the catalog's.",
)
def compare(
    spec: Path | None,
    grid: str | None,
    guide: bool,
    peers: bool,
    as_json: bool,
    max_price_age: int | None,
    prices: Path | None,
    own: Path | None,
) -> None:
    """Compare SPEC on every cloud and on servers of your own: cost, range, break-even month, CO2."""
    with exit_codes():
        from llmcluster.reports.comparison_text import print_comparisons
        from planner.compare.placements import compare_placements
        from planner.compare.worked_examples import guide_example, peer_comparisons
        from planner.errors import SpecError
        from planner.workspace.specs import load_spec, priced_catalog
        from provider_catalog.catalog import Catalog

        if spec is None and not (guide or peers):
            raise SpecError("give a spec to compare, or --guide for the 13B example, or --peers for AMD against NVIDIA")
        facts = recent(Catalog.load(), max_price_age)
        on_prem = _on_prem(facts, own)
        compared = None
        if spec is None:
            catalog = priced_catalog(facts, None, prices)
        else:
            loaded = load_spec(spec)
            catalog = priced_catalog(facts, loaded, prices)
            compared = compare_placements(loaded.spec, loaded.architecture, catalog, on_prem, grid)
        print_comparisons(
            compared,
            guide_example(catalog, on_prem) if guide else None,
            peer_comparisons(catalog, on_prem) if peers else (),
            as_json,
        )


def _on_prem(catalog: "Catalog", own: Path | None) -> "OnPrem":
    """Returns the figures for servers of one's own: the catalog's under those of the file `own`.

    Raises:
        SpecError: the file is wrong.
    """
    from planner.errors import SpecError
    from provider_catalog.errors import CatalogError
    from provider_catalog.on_prem import load_on_prem, with_own_figures

    on_prem = load_on_prem(catalog)
    if own is None:
        return on_prem
    try:
        return with_own_figures(on_prem, own, catalog)
    except CatalogError as error:
        raise SpecError(f"--own: {error}") from error
