"""What a price that nobody has sourced may come to: bounds from where the same thing has a price, never a price."""

from collections.abc import Iterable
from functools import lru_cache
from typing import Final, NamedTuple

from planner.cost.bill import hours_of
from planner.plan.plan import Cost, CostDriver, CostItem, CostRange
from provider_catalog.catalog import Catalog
from provider_catalog.prices import ServicePrice
from provider_catalog.storage import FileSystemSku

UNKNOWN_PRICES: Final = "unknown prices"
"""Name of the driver of a bill's range."""


class PriceBounds(NamedTuple):
    """Least and most that is asked for a thing elsewhere, USD a unit."""

    least_usd: float
    most_usd: float
    where: str


@lru_cache(maxsize=256)
def price_bounds(catalog: Catalog, provider: str, sku: str) -> PriceBounds | None:
    """Bounds of an unknown price of a service; None where nothing like it has a price.

    They are what the same cloud asks in other regions, else other clouds for the same role, else other clouds for a
    shared file system that keeps data and has the same throughput per TiB, or the next higher one.
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


def most_unknown_usd(bounds: CostRange | None) -> float:
    """Most that unknown prices add to a bill, USD for the period of its range; 0 where every price is known."""
    drivers = () if bounds is None else bounds.drivers
    return sum((driver.high_usd for driver in drivers if driver.name == UNKNOWN_PRICES), 0.0)


def most_unknown_usd_per_hour(cost: Cost, catalog: Catalog, provider: str) -> float:
    """Most that the lines without a known price come to in an hour, as far as anything bounds them."""
    if not cost.unknown:
        return 0.0
    driver = unknown_prices(1.0, cost, catalog, provider)
    return 0.0 if driver is None else driver.high_usd


def unknown_prices(hours: float, cost: Cost, catalog: Catalog, provider: str) -> CostDriver | None:
    """What the lines without a known price may add to a total that leaves them out; None where every line has one."""
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
        bounded.append(f"{item.name} as {bounds.where} ({bounds.least_usd:.4g} to {bounds.most_usd:.4g} USD)")
    parts = []
    if bounded:
        parts.append(f"left out of the total, {least:,.0f} to {most:,.0f} USD: {'; '.join(bounded)} (estimate)")
    if unbounded:
        parts.append(f"left out of the total and of this range, as nothing like it has a price: {'; '.join(unbounded)}")
    return CostDriver(name=UNKNOWN_PRICES, assumption="; ".join(parts), low_usd=0.0, high_usd=most)


def _usd(item: CostItem, unit_price_usd: float, hours: float) -> float:
    return item.quantity * unit_price_usd * hours / hours_of(item.unit)


def _bounds(prices: Iterable[ServicePrice], where: str) -> PriceBounds | None:
    known = [price.unit_price_usd for price in prices if price.unit_price_usd is not None]
    return PriceBounds(min(known), max(known), where) if known else None


def _of_file_systems(catalog: Catalog, provider: str, sku: str) -> PriceBounds | None:
    own = next((system for system in catalog.shared_file_systems.get(provider, ()) if system.sku == sku), None)
    if own is None:
        return None
    systems = (system for systems in catalog.shared_file_systems.values() for system in systems)
    peers = sorted(
        (each for each in systems if _could_replace(each, own)), key=lambda each: each.throughput_mb_per_s_per_tib
    )
    for peer in peers:
        prices = (price for price in catalog.service_prices if (price.provider, price.sku) == (peer.provider, peer.sku))
        if found := _bounds(prices, f"{peer.sku} of {peer.provider}"):
            return found
    return None


def _could_replace(peer: FileSystemSku, own: FileSystemSku) -> bool:
    faster = peer.throughput_mb_per_s_per_tib >= own.throughput_mb_per_s_per_tib
    return peer.sku != own.sku and peer.persistent >= own.persistent and faster
