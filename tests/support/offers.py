"""Prices of one made-up instance type."""

from planner.market.offers import Offers
from provider_catalog.facts import Provenance
from provider_catalog.prices import InstancePrice, PurchaseOption


def offer(option: PurchaseOption, usd_per_hour: float) -> InstancePrice:
    """Return one price of an instance type."""
    return InstancePrice(
        provider="x",
        region="r",
        zone=None,
        instance_type="t",
        option=option,
        usd_per_hour=usd_per_hour,
        provenance=Provenance(source="test", as_of="2026", kind="list"),
    )


def offers(on_demand: float = 10, spot: float | None = None, commitment: float | None = None) -> Offers:
    """Return the purchase options of an instance type at prices in USD per hour; None where one is not sold."""
    return Offers(
        on_demand=offer("on-demand", on_demand),
        spot=None if spot is None else offer("spot", spot),
        commitment=None if commitment is None else offer("reserved-1y", commitment),
    )
