"""The report of `llmcluster catalog regions`: where clusters can be planned, and what is known there."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from llmcluster.reports.tables import report_table
from llmcluster.reports.terminal import terminal
from provider_catalog.catalog import Catalog
from provider_catalog.price_gaps import SERVICE, price_gaps


def regions(catalog: Catalog, provider: str | None) -> list[dict[str, Any]]:
    """Returns a row per region: default zone, instance types on sale, and unknown service prices.

    Raises:
        CatalogError: the cloud is unknown.
    """
    if provider is not None:
        catalog.provider_defaults(provider)
    unknown = Counter((gap.provider, gap.region) for gap in price_gaps(catalog) if gap.subject == SERVICE)
    rows = []
    for owner in (name for name in catalog.providers if provider in (None, name)):
        zones = catalog.provider_defaults(owner).default_zones
        skus = {price.sku for price in catalog.service_prices if price.provider == owner}
        for region in catalog.regions(owner):
            mine = [price for price in catalog.instance_prices if (price.provider, price.region) == (owner, region)]
            sold = {option: {p.instance_type for p in mine if p.option == option} for option in ("on-demand", "spot")}
            rows.append(
                {
                    "provider": owner,
                    "region": region,
                    "zone": zones.get(region),
                    "instance_types": len({price.instance_type for price in mine}),
                    "on_demand": len(sold["on-demand"]),
                    "spot": len(sold["spot"]),
                    "known_services": len(skus) - unknown[owner, region],
                    "unknown_services": unknown[owner, region],
                }
            )
    return rows


def print_regions(rows: Sequence[dict[str, Any]]) -> None:
    """Prints the rows as a table per cloud; a dash stands for a region without availability zones."""
    for provider in dict.fromkeys(row["provider"] for row in rows):
        cells = [
            (
                row["region"],
                row["zone"] or "-",
                str(row["on_demand"]),
                str(row["spot"]),
                str(row["known_services"]),
                str(row["unknown_services"]),
            )
            for row in rows
            if row["provider"] == provider
        ]
        headings = ("region", "default zone", "types on demand", "types on Spot", "services known", "unknown")
        terminal().print(report_table(headings, cells, texts=(0, 1), title=provider))
