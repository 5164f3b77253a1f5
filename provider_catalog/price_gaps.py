"""Prices that the catalog lacks: services that a region bills, and purchase options of the types that it sells."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

from provider_catalog.catalog import Catalog
from provider_catalog.prices import PurchaseOption

SERVICE: Final = "service"
Subject = Literal["service", "on-demand", "spot", "capacity-block", "reserved-1y", "reserved-3y"]
COMMITTED: Final[tuple[PurchaseOption, ...]] = ("reserved-1y", "reserved-3y")
"""Commitments that lower the rate of every type that is sold on demand."""


@dataclass(frozen=True)
class PriceGap:
    """One price that no source gives for a region."""

    provider: str
    region: str
    subject: Subject
    """`service`, or the purchase option of an instance type."""
    name: str
    """SKU of the service, or name of the instance type."""


def price_gaps(catalog: Catalog) -> Iterator[PriceGap]:
    """Yield the unknown prices, cloud by cloud and region by region.

    An instance type without any price in a region may not be sold there, and is no gap.
    """
    for provider in catalog.providers:
        skus = list(dict.fromkeys(price.sku for price in catalog.service_prices if price.provider == provider))
        for region in catalog.regions(provider):
            for sku in skus:
                price = catalog.prices.service(provider, region, sku)
                if price is None or price.unit_price_usd is None:
                    yield PriceGap(provider, region, SERVICE, sku)
            yield from _of_instances(catalog, provider, region)


def _of_instances(catalog: Catalog, provider: str, region: str) -> Iterator[PriceGap]:
    for (owner, name), instance_type in catalog.instance_types.items():
        if owner != provider or region not in catalog.prices.regions(provider, name):
            continue
        sold_on_demand = "on-demand" in instance_type.purchase_options
        options: tuple[PurchaseOption, ...] = (
            *instance_type.purchase_options,
            *(COMMITTED if sold_on_demand else ()),
        )
        for option in options:
            if catalog.prices.instance(provider, region, name, option) is None:
                yield PriceGap(provider, region, option, name)
