"""The report of `llmcluster catalog list`: instance types with their prices by purchase option."""

from collections.abc import Sequence
from typing import Any, Final

from llmcluster.reports.tables import report_table
from llmcluster.reports.terminal import terminal
from planner.market.regions import require_region
from provider_catalog.catalog import Catalog
from provider_catalog.prices import PurchaseOption

OPTIONS: Final[tuple[PurchaseOption, ...]] = ("on-demand", "spot", "reserved-1y", "reserved-3y", "capacity-block")


def listing(catalog: Catalog, provider: str | None, region: str | None) -> list[dict[str, Any]]:
    """Returns a row per instance type: hardware, region, and USD per hour by purchase option (None where unknown).

    Raises:
        CatalogError: the cloud or the region is unknown.
    """
    if provider is not None:
        catalog.provider_defaults(provider)
    providers = [name for name in catalog.providers if provider in (None, name)]
    if region is not None:
        require_region(region, catalog, provider)
    rows = []
    for (owner, name), instance_type in sorted(catalog.instance_types.items()):
        place = region or catalog.provider_defaults(owner).default_region
        if owner not in providers or place not in catalog.regions(owner):
            continue
        found = {option: catalog.prices.instance(owner, place, name, option) for option in OPTIONS}
        dates = [price.provenance.as_of for price in found.values() if price is not None]
        rows.append(
            {
                "provider": owner,
                "region": place,
                "instance_type": name,
                "gpu": instance_type.gpu,
                "gpus": instance_type.gpus,
                "usd_per_hour": {option: price and price.usd_per_hour for option, price in found.items()},
                "prices_as_of": max(dates, default=None),
            }
        )
    return rows


HEADINGS: Final = ("on demand", "Spot", "1 year", "3 years", "capacity block")
"""Headings of the prices, in the order of `OPTIONS`."""
WIDE: Final = 100
"""Columns from which on every row shows the date of its prices."""


def print_listing(rows: Sequence[dict[str, Any]]) -> None:
    """Prints the rows as a table per region. A dash stands for a price without a source."""
    screen = terminal()
    dated = screen.width >= WIDE
    for place in dict.fromkeys((row["provider"], row["region"]) for row in rows):
        here = [row for row in rows if (row["provider"], row["region"]) == place]
        dates = sorted(row["prices_as_of"] for row in here if row["prices_as_of"])
        until = f", prices as of {dates[0]} to {dates[-1]}" if dates and not dated else ""
        screen.print(
            report_table(
                ("instance type", "GPUs", *HEADINGS, *(["as of"] if dated else [])),
                [_row(row, dated) for row in here],
                texts=(0, 1),
                title=f"{' '.join(place)}: USD per hour of the whole instance in its cheapest zone{until}",
            )
        )


def _row(row: dict[str, Any], dated: bool) -> tuple[str, ...]:
    prices = ("-" if price is None else f"{price:,.4g}" for price in row["usd_per_hour"].values())
    date = [row["prices_as_of"] or "-"] if dated else []
    return (row["instance_type"], f"{row['gpus']} x {row['gpu']}", *prices, *date)
