"""`llmcluster cost`: the bill of a plan, or of Terraform resources."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from llmcluster.commands.options import json_option, prices_option
from llmcluster.errors import exit_codes
from llmcluster.price_age import max_price_age_option, recent, refuse_old_prices

if TYPE_CHECKING:
    from planner.plan.plan import Plan
    from provider_catalog.catalog import Catalog

TERRAFORM_SUFFIX = ".json"


@click.command(short_help="Print the bill of a plan or of Terraform resources.")
@click.argument("paths", nargs=-1, required=True, metavar="PATH...", type=click.Path(path_type=Path))
@json_option
@click.option("--format", "form", type=click.Choice(["text", "json", "infracost"]), default="text", show_default=True)
@click.option(
    "--usage",
    type=click.Path(path_type=Path),
    help="Quantities of what is billed by use: a cost.json, or its field `usage` alone.",
)
@click.option("--region", help="Region whose prices apply to resources that name none.")
@max_price_age_option
@prices_option
def cost(
    paths: tuple[Path, ...],
    as_json: bool,
    form: str,
    usage: Path | None,
    region: str | None,
    max_price_age: int | None,
    prices: Path | None,
) -> None:
    """Print the bill of PATH, line by line with the source of every price.

    PATH is a spec or a locked plan (a locked plan is not planned again); or what Terraform would build: an output
    folder of synth, or the output of `terraform show -json`. Those are priced from their resources alone.
    """
    with exit_codes():
        from llmcluster.reports.date_warnings import warn_of_dates
        from llmcluster.reports.estimate_text import print_estimates
        from llmcluster.reports.plan_text import print_bill_with_sources
        from planner.errors import SpecError
        from planner.workspace.specs import priced_catalog
        from provider_catalog.catalog import Catalog

        form = "json" if as_json else form
        facts = recent(Catalog.load(), max_price_age)
        decided = _plan_at(paths, facts, prices)
        if decided is None:
            from stacks.estimate.bill import estimate

            catalog = priced_catalog(facts, None, prices)
            print_estimates(estimate(paths, catalog, usage, region), form)
            return
        if form == "infracost" or usage is not None or region is not None:
            raise SpecError(
                "--format infracost, --usage and --region apply to Terraform resources only; give an output folder of"
                " synth or a `terraform show -json` file instead of a spec"
            )
        refuse_old_prices(decided, facts)
        warn_of_dates(decided)
        if form == "json":
            click.echo(decided.cost.model_dump_json(indent=2))
        else:
            print_bill_with_sources(decided)


def _plan_at(paths: Sequence[Path], catalog: "Catalog", prices: Path | None) -> "Plan | None":
    """Returns the plan of one spec or of one locked plan; None where the paths hold Terraform resources.

    Raises:
        SpecError: the paths mix specs and resources, or name several specs.
    """
    from planner.errors import SpecError
    from planner.workspace.locks import holds_plan, read_plan

    if len(paths) == 1 and paths[0].suffix == TERRAFORM_SUFFIX and holds_plan(paths[0]):
        return read_plan(paths[0])
    if all(path.is_dir() or path.suffix == TERRAFORM_SUFFIX for path in paths):
        return None
    if len(paths) > 1:
        raise SpecError("give one spec, or output folders and `terraform show -json` files, not a mix")
    from planner.workspace.planning import plan_specs

    return plan_specs(paths, catalog, prices)[0].plan
