"""The report of `llmcluster cost` for Terraform resources: a bill worked out from the resources alone."""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from llmcluster.reports.tables import report_table
from llmcluster.reports.terminal import terminal
from provider_catalog.units import HOURS_PER_MONTH

if TYPE_CHECKING:
    from stacks.estimate.bill import Estimate


def print_estimates(estimates: "Sequence[Estimate]", form: str) -> None:
    """Prints bills of Terraform resources as `text`, `json` or `infracost`."""
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
    screen.rule(f"[bold]{estimate.name}[/]: bill of its Terraform resources", align="left")
    rows = []
    for line in estimate.lines:
        price = "unknown" if line.unit_price_usd is None else f"{line.unit_price_usd:,.4g} / {line.meter.unit}"
        amount = "unknown" if line.usd_per_hour is None else f"{line.usd_per_hour:,.4f}"
        used = " (usage-based)" if line.meter.by_use else ""
        name = line.meter.name + used
        rows.append((line.resource.address, name, f"{line.meter.quantity:,.1f}", price, amount))
    headings = ("resource", "billed item", "quantity", "unit price", "USD/h")
    table = report_table(headings, rows, texts=(0, 1, 3), right=(3,))
    screen.print(table)
    hourly = estimate.usd_per_hour
    total = (
        "unknown"
        if hourly is None
        else f"{hourly:,.2f} USD/h, {hourly * HOURS_PER_MONTH:,.0f} USD/month ({HOURS_PER_MONTH} h)"
    )
    screen.print(f"[bold]cost[/]         {total}; prices of {estimate.region or 'no region'}", highlight=False)
    if estimate.usage is not None:
        screen.print(f"[bold]usage[/]        quantities of {estimate.usage_source}", highlight=False)
    for resource, reason in estimate.not_priced:
        screen.print(f"[yellow]not priced[/] {resource.address} ({resource.stack}): {reason}", highlight=False)
    if estimate.unknown:
        names = ", ".join(f"{line.resource.address}: {line.meter.name}" for line in estimate.unknown)
        screen.print(f"[yellow]note[/] the total leaves out items without a known price: {names}", highlight=False)
