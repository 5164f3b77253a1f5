"""Prices with their place, date and source; a price without a source stays unknown and is never invented."""

from collections.abc import Iterable
from typing import Final, Literal

from pydantic import Field

from provider_catalog.facts import Fact, Provenance

MarketOption = Literal["on-demand", "spot", "capacity-block"]
CommittedOption = Literal["reserved-1y", "reserved-3y"]
PurchaseOption = Literal[MarketOption, CommittedOption]
"""A row of the price list: a market in which instances are sold, or a commitment that lowers the on-demand rate."""


EVERY_REGION: Final = "*"
"""Region of a service price that holds in every region without a price of its own."""


class InstancePrice(Fact):
    """The price in USD per hour of one Linux instance in a region or zone."""

    provider: str
    region: str
    zone: str | None
    """Zone id (AWS) of a price that holds in one zone only; None for a price of the whole region."""
    instance_type: str
    option: PurchaseOption
    usd_per_hour: float = Field(gt=0, allow_inf_nan=False)
    provenance: Provenance


class ServicePrice(Fact):
    """The unit price of a service: anything on the bill that is not an instance."""

    provider: str
    region: str
    sku: str
    """Name of the service, the same on every cloud (`nat_gateway_hour`), or the SKU of a file system."""
    unit: str
    """Unit that the price is for, as in "USD per …": `hour`, `GB`, `GiB-month`."""
    unit_price_usd: float | None = Field(ge=0, allow_inf_nan=False)
    """Price of one unit; None if no source was found."""
    provenance: Provenance


class PriceBook:
    """Look-up of prices by provider, region and name; a look-up returns None for an unknown price."""

    def __init__(self, instances: Iterable[InstancePrice], services: Iterable[ServicePrice]) -> None:
        self._instances: dict[tuple[str, str, str, PurchaseOption], list[InstancePrice]] = {}
        zones: dict[tuple[str, str, str], set[str]] = {}
        for price in instances:
            key = (price.provider, price.region, price.instance_type, price.option)
            self._instances.setdefault(key, []).append(price)
            in_region = zones.setdefault(key[:3], set())
            if price.zone is not None:
                in_region.add(price.zone)
        self._zones = {key: tuple(sorted(found)) for key, found in zones.items()}
        services = tuple(services)
        self._sold = {(price.provider, price.sku) for price in services}
        self._services = {(price.provider, price.region, price.sku): price for price in services}

    def instance(
        self, provider: str, region: str, instance_type: str, option: PurchaseOption, zone: str | None = None
    ) -> InstancePrice | None:
        """The price of an instance type by purchase option, in `zone` or else in the cheapest zone of the region."""
        candidates = self._instances.get((provider, region, instance_type, option), [])
        if zone is not None:
            candidates = [price for price in candidates if price.zone in (None, zone)]
        return min(candidates, key=lambda price: (price.usd_per_hour, price.zone or ""), default=None)

    def zones(self, provider: str, region: str, instance_type: str) -> tuple[str, ...]:
        """The zones in which the type has a price, sorted; empty where its prices hold for the whole region."""
        return self._zones.get((provider, region, instance_type), ())

    def regions(self, provider: str, instance_type: str) -> tuple[str, ...]:
        """The regions in which the type has a price, sorted."""
        return tuple(sorted({r for (p, r, t) in self._zones if (p, t) == (provider, instance_type)}))

    def sells(self, provider: str, sku: str) -> bool:
        """Whether the provider bills for `sku` in any region, even if the price is unknown."""
        return (provider, sku) in self._sold

    def service(self, provider: str, region: str, sku: str) -> ServicePrice | None:
        """The unit price of a service in a region, or else in every region; None when the catalog has no row for it."""
        key = (provider, region, sku)
        if key not in self._services:
            everywhere = self._services.get((provider, EVERY_REGION, sku))
            if everywhere is None:
                return None
            self._services[key] = everywhere.model_copy(update={"region": region})
        return self._services[key]
