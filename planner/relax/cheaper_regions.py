"""Regions in which a plan could cost less: those with the lowest prices of its instance types."""

from collections.abc import Iterable
from math import inf

from planner.plan.plan import Plan
from provider_catalog.catalog import Catalog
from provider_catalog.prices import PriceBook, PurchaseOption

BEST_REGIONS = 2
"""Regions that are planned, the lowest bill first."""


def regions_to_try(decided: Plan, catalog: Catalog, rivals: int, least_saving: float) -> tuple[str, ...]:
    """Returns the regions of the same cloud whose compute bill is the lowest, if it is lower than the plan's.

    The bill of a region is that of the cheapest of the plan and its first alternatives at the on-demand prices of the
    region; which of them is cheapest may differ between regions.

    Args:
        decided: The plan.
        catalog: The catalog with prices.
        rivals: Alternatives that are looked at.
        least_saving: Share of the bill that a region must save.
    """
    choice, prices = decided.choice, catalog.prices
    fleets = {choice.instance_type: choice.nodes}
    for other in decided.alternatives[:rivals]:
        if other.provider == choice.provider:
            fleets.setdefault(other.instance_type, other.nodes)
    option: PurchaseOption = "on-demand"
    now = _bill(prices, choice.provider, choice.region, {choice.instance_type: choice.nodes}, option)
    named = {choice.region, *decided.spec.placement.regions}
    bills = {
        region: _bill(prices, choice.provider, region, fleets, option)
        for region in _regions(prices, choice.provider, fleets)
        if region not in named and region in catalog.provider_defaults(choice.provider).default_zones
    }
    cheaper = [region for region, usd in bills.items() if usd < now * (1 - least_saving)]
    return tuple(sorted(cheaper, key=lambda region: (bills[region], region))[:BEST_REGIONS])


def _regions(prices: PriceBook, provider: str, fleets: Iterable[str]) -> set[str]:
    return {region for name in fleets for region in prices.regions(provider, name)}


def _bill(prices: PriceBook, provider: str, region: str, fleets: dict[str, int], option: PurchaseOption) -> float:
    """Returns the bill of the cheapest fleet in USD an hour; infinite where none has a price."""
    known = ((nodes, prices.instance(provider, region, name, option)) for name, nodes in fleets.items())
    return min((nodes * price.usd_per_hour for nodes, price in known if price is not None), default=inf)
