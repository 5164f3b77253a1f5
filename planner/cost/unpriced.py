"""Bounds for items without a known price, taken from known prices of comparable items."""

from collections.abc import Iterable
from functools import lru_cache
from typing import Final, NamedTuple

from planner.cost.bill import hours_per_unit
from planner.plan.cost import Cost, CostDriver, CostItem, CostRange
from provider_catalog.catalog import Catalog
from provider_catalog.prices import ServicePrice
from provider_catalog.storage import FileSystemSku

UNPRICED_DRIVER: Final = "unknown prices"
"""Name of the cost driver for unpriced items in the range of a bill."""


class PriceBounds(NamedTuple):
    """Lowest and highest known price of comparable items in USD a unit, and where it is asked."""

    least_usd: float
    most_usd: float
    where: str


@lru_cache(maxsize=256)
def price_bounds(catalog: Catalog, provider: str, sku: str) -> PriceBounds | None:
    """Returns bounds for an unknown service price; None where nothing comparable has a price.

    The bounds are the prices of the same cloud in other regions, else those of other clouds for the same SKU, else
    those of a file system that could replace it: as persistent, with the same or the next higher throughput per TiB.
    """
    same = [price for price in catalog.service_prices if price.sku == sku]
    return (
        _bounds((price for price in same if price.provider == provider), "in other regions")
        or _bounds(same, "on other clouds")
        or _of_file_systems(catalog, provider, sku)
    )


def without_unpriced(items: int) -> str:
    """Return the remark of a total that leaves out items without a known price; empty where there are none."""
    return "" if not items else f", without {items} unpriced item{'' if items == 1 else 's'}"


def unpriced_upper_bound_usd(bounds: CostRange | None) -> float:
    """Returns the upper bound for unpriced items in USD for the period of the range; 0 if all prices are known."""
    drivers = () if bounds is None else bounds.drivers
    return sum((driver.high_usd for driver in drivers if driver.name == UNPRICED_DRIVER), 0.0)


def unpriced_upper_bound_usd_per_hour(cost: Cost, catalog: Catalog, provider: str) -> float:
    """Returns the upper bound for unpriced items in USD an hour; items without any bound count as 0."""
    if not cost.unknown:
        return 0.0
    driver = unpriced_driver(1.0, cost, catalog, provider)
    return 0.0 if driver is None else driver.high_usd


def unpriced_driver(hours: float, cost: Cost, catalog: Catalog, provider: str) -> CostDriver | None:
    """Returns the cost driver of the unpriced items, which the total leaves out; None if all items are priced."""
    unknown = [item for item in cost.items if item.usd_per_hour is None]
    if not unknown:
        return None
    least = most = 0.0
    bounded, unbounded = [], []
    for item in unknown:
        bounds = price_bounds(catalog, provider, item.sku)
        if bounds is None:
            unbounded.append(item.name)
            continue
        least += _usd(item, bounds.least_usd, hours)
        most += _usd(item, bounds.most_usd, hours)
        bounded.append(f"{item.name} at prices {bounds.where} ({bounds.least_usd:.4g} to {bounds.most_usd:.4g} USD)")
    parts = []
    if bounded:
        parts.append(f"left out of the total, {least:,.0f} to {most:,.0f} USD: {'; '.join(bounded)} (estimate)")
    if unbounded:
        parts.append(
            f"left out of the total and of this range, since no comparable item has a price: {'; '.join(unbounded)}"
        )
    return CostDriver(name=UNPRICED_DRIVER, assumption="; ".join(parts), low_usd=0.0, high_usd=most)


def _usd(item: CostItem, unit_price_usd: float, hours: float) -> float:
    return item.quantity * unit_price_usd * hours / hours_per_unit(item.unit)


def _bounds(prices: Iterable[ServicePrice], where: str) -> PriceBounds | None:
    known = [price.unit_price_usd for price in prices if price.unit_price_usd is not None]
    return PriceBounds(min(known), max(known), where) if known else None


def _of_file_systems(catalog: Catalog, provider: str, sku: str) -> PriceBounds | None:
    target = next((system for system in catalog.shared_file_systems.get(provider, ()) if system.sku == sku), None)
    if target is None:
        return None
    systems = (system for systems in catalog.shared_file_systems.values() for system in systems)
    peers = sorted(
        (each for each in systems if _could_replace(each, target)), key=lambda each: each.throughput_mb_per_s_per_tib
    )
    for peer in peers:
        prices = (price for price in catalog.service_prices if (price.provider, price.sku) == (peer.provider, peer.sku))
        if found := _bounds(prices, f"of {peer.sku} on {peer.provider}"):
            return found
    return None


def _could_replace(peer: FileSystemSku, target: FileSystemSku) -> bool:
    as_fast = peer.throughput_mb_per_s_per_tib >= target.throughput_mb_per_s_per_tib
    return peer.sku != target.sku and peer.persistent >= target.persistent and as_fast
