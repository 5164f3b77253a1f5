"""What `llmcluster cost` prints: the bill of a plan, or the bill read back from Terraform resources."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich import box
from rich.table import Table

from llmcluster.catalog.staleness import warn_of_dates
from llmcluster.report import print_cost
from llmcluster.terminal import terminal
from planner.errors import SpecError
from planner.plan.plan import Plan
from provider_catalog.catalog import Catalog
from provider_catalog.errors import CatalogError
from provider_catalog.price_overlay import read_overlay
from provider_catalog.units import HOURS_PER_MONTH

if TYPE_CHECKING:
    from stacks.estimate.bill import Estimate

TERRAFORM_SUFFIX = ".json"


def cost_output(paths: Sequence[Path], form: str, usage: Path | None, region: str | None, prices: Path | None) -> None:
    """Print the bill of one spec, or of the Terraform resources at `paths`.

    Args:
        paths: One spec; or output folders of synth and files of `terraform show -json`.
        form: text, json or infracost.
        usage: What is billed by use, for resources.
        region: Where resources are priced when they do not say.
        prices: Negotiated prices over those of the catalog.

    Raises:
        SpecError: a path or a combination of options is wrong.
    """
    decided = _planned(paths, prices)
    if decided is None:
        _of_resources(paths, form, usage, region, prices)
        return
    if form == "infracost" or usage is not None or region is not None:
        raise SpecError(
            "--format infracost, --usage and --region are about Terraform resources; give an output folder of synth or"
            " a `terraform show -json` file instead of a spec"
        )
    warn_of_dates(decided)
    if form == "json":
        print(decided.cost.model_dump_json(indent=2))
    else:
        print_cost(decided)


def _planned(paths: Sequence[Path], prices: Path | None) -> Plan | None:
    """The plan of one spec or of one locked plan; None where the paths hold resources."""
    from planner.workspace.locks import holds_plan, read_plan

    if len(paths) == 1 and paths[0].suffix == TERRAFORM_SUFFIX and holds_plan(paths[0]):
        return read_plan(paths[0])
    if all(path.is_dir() or path.suffix == TERRAFORM_SUFFIX for path in paths):
        return None
    if len(paths) > 1:
        raise SpecError("give one spec, or output folders and `terraform show -json` files, not a mix")
    from planner.workspace.planning import plan_specs

    return plan_specs(paths, Catalog.load(), prices)[0].plan


def _of_resources(
    paths: Sequence[Path], form: str, usage: Path | None, region: str | None, prices: Path | None
) -> None:
    from stacks.estimate.bill import estimate

    catalog = Catalog.load()
    if prices is not None:
        try:
            catalog = catalog.under(read_overlay(prices, catalog))
        except CatalogError as error:
            raise SpecError(f"--prices: {error}") from error
    estimates = estimate(paths, catalog, usage, region)
    if form == "infracost":
        from stacks.estimate.infracost import breakdown_json

        print(json.dumps(breakdown_json(estimates), indent=2))
    elif form == "json":
        print(json.dumps([_document(each) for each in estimates], indent=2, allow_nan=False))
    else:
        for each in estimates:
            _print_estimate(each)


def _document(estimate: "Estimate") -> dict[str, Any]:
    hourly = estimate.usd_per_hour
    return {
        "cluster": estimate.name,
        "region": estimate.region,
        "prices_as_of": estimate.prices_as_of,
        "usd_per_hour": hourly,
        "usd_per_month": None if hourly is None else hourly * HOURS_PER_MONTH,
        "usage": None if estimate.usage is None else estimate.usage.model_dump(mode="json"),
        "usage_source": estimate.usage_source,
        "items": [
            {
                "name": line.meter.name,
                "role": line.meter.role,
                "stack": line.resource.stack,
                "resource": line.resource.address,
                "quantity": line.meter.quantity,
                "unit": line.meter.unit,
                "unit_price_usd": line.unit_price_usd,
                "usd_per_hour": line.usd_per_hour,
                "by_use": line.meter.by_use,
                "provenance": None if line.provenance is None else line.provenance.model_dump(mode="json"),
            }
            for line in estimate.lines
        ],
        "unknown": [f"{line.resource.address}: {line.meter.name}" for line in estimate.unknown],
        "not_priced": [
            {"stack": resource.stack, "resource": resource.address, "reason": reason}
            for resource, reason in estimate.not_priced
        ],
    }


def _print_estimate(estimate: "Estimate") -> None:
    screen = terminal()
    screen.rule(f"[bold]{estimate.name}[/], from its resources", align="left")
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("resource", "billed for", "quantity", "unit price", "USD/h"):
        table.add_column(column, justify="left" if column in ("resource", "billed for") else "right")
    for line in estimate.lines:
        price = "unknown" if line.unit_price_usd is None else f"{line.unit_price_usd:,.4g} / {line.meter.unit}"
        amount = "unknown" if line.usd_per_hour is None else f"{line.usd_per_hour:,.4f}"
        used = " (by use)" if line.meter.by_use else ""
        table.add_row(line.resource.address, line.meter.name + used, f"{line.meter.quantity:,.1f}", price, amount)
    screen.print(table)
    hourly = estimate.usd_per_hour
    total = "unknown"
    if hourly is not None:
        total = f"{hourly:,.2f} USD/h, {hourly * HOURS_PER_MONTH:,.0f} USD/month ({HOURS_PER_MONTH} h)"
    screen.print(f"[bold]cost[/]         {total}; prices of {estimate.region or 'no region'}", highlight=False)
    if estimate.usage is not None:
        screen.print(f"[bold]by use[/]       as assumed in {estimate.usage_source}", highlight=False)
    for resource, reason in estimate.not_priced:
        screen.print(f"[yellow]not priced[/] {resource.address} ({resource.stack}): {reason}", highlight=False)
    if estimate.unknown:
        names = ", ".join(f"{line.resource.address}: {line.meter.name}" for line in estimate.unknown)
        screen.print(f"[yellow]note[/] the total leaves out what has no known price: {names}", highlight=False)
