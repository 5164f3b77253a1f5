"""The report of `llmcluster catalog gaps`: prices that no source gives, by region, and what bounds them on a bill."""

from collections.abc import Sequence
from typing import Any, Final

from llmcluster.reports.tables import report_table
from llmcluster.reports.terminal import terminal
from planner.cost.unpriced import price_bounds
from planner.market.regions import require_region
from provider_catalog.catalog import Catalog
from provider_catalog.price_gaps import SERVICE, PriceGap, price_gaps

REGIONS_SHOWN: Final = 4


def gaps(catalog: Catalog, provider: str | None, region: str | None) -> list[dict[str, Any]]:
    """Returns a row per unknown price: cloud, region, subject, name, and the bounds of a service (None without).

    Raises:
        CatalogError: the cloud or the region is unknown.
    """
    if provider is not None:
        catalog.provider_defaults(provider)
    if region is not None:
        require_region(region, catalog, provider)
    found = [gap for gap in price_gaps(catalog) if provider in (None, gap.provider) and region in (None, gap.region)]
    return [_row(catalog, gap) for gap in found]


def _row(catalog: Catalog, gap: PriceGap) -> dict[str, Any]:
    bounds = price_bounds(catalog, gap.provider, gap.name) if gap.subject == SERVICE else None
    return {
        "provider": gap.provider,
        "region": gap.region,
        "subject": gap.subject,
        "name": gap.name,
        "least_usd": bounds and bounds.least_usd,
        "most_usd": bounds and bounds.most_usd,
        "bound": bounds and bounds.where,
    }


def print_gaps(rows: Sequence[dict[str, Any]], catalog: Catalog) -> None:
    """Prints the unknown prices, those of one service or option in one line, and the totals of each cloud."""
    grouped: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    for row in rows:
        name = row["name"] if row["subject"] == SERVICE else row["subject"]
        grouped.setdefault((row["provider"], row["subject"], name), []).append(row)
    screen = terminal()
    for provider in dict.fromkeys(row["provider"] for row in rows):
        cells = [_cells(name, found) for (owner, _, name), found in grouped.items() if owner == provider]
        screen.print(
            report_table(
                ("unknown price", "regions", "where", "bound in USD a unit"),
                cells,
                texts=(0, 2, 3),
                title=f"{provider}: prices without a public source",
            )
        )
    for provider in dict.fromkeys(row["provider"] for row in rows):
        mine = [row for row in rows if row["provider"] == provider]
        services = [row for row in mine if row["subject"] == SERVICE]
        unbounded = sum(row["bound"] is None for row in services)
        screen.print(
            f"{provider}: {len(services):,} unknown service prices ({unbounded:,} without a bound) and"
            f" {len(mine) - len(services):,} unknown instance prices in {len(catalog.regions(provider))} regions",
            highlight=False,
        )
    if not rows:
        screen.print("every price is known", highlight=False)


def _cells(name: str, found: Sequence[dict[str, Any]]) -> tuple[str, str, str, str]:
    regions = list(dict.fromkeys(row["region"] for row in found))
    more = f" and {len(regions) - REGIONS_SHOWN} more" if len(regions) > REGIONS_SHOWN else ""
    first = found[0]
    if first["subject"] != SERVICE:
        types = len({row["name"] for row in found})
        name = f"{name} rate of {types} instance type{'' if types == 1 else 's'}"
        bound = "the option is not offered"
    elif first["bound"] is None:
        bound = "none; left out of the bill"
    else:
        bound = f"{first['least_usd']:.4g} to {first['most_usd']:.4g} {first['bound']}"
    return name, str(len(regions)), ", ".join(regions[:REGIONS_SHOWN]) + more, bound
