"""Differences between two sets of prices, the largest first."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Literal

from provider_catalog.prices import InstancePrice, ServicePrice


@dataclass(frozen=True)
class PriceChange:
    """A price that changed, appeared or vanished."""

    provider: str
    region: str
    zone: str | None
    name: str
    """Name of the instance type, or SKU of the service."""
    what: str
    """Purchase option of an instance, or unit of a service."""
    old_usd: float | None
    """Old price; None if there was none."""
    new_usd: float | None
    """New price; None if there is none now."""
    kind: Literal["instance", "service"]

    @property
    def difference_usd(self) -> float:
        """The absolute change in USD; a price that appears or vanishes changes by its whole amount."""
        return abs((self.new_usd or 0) - (self.old_usd or 0))

    @property
    def ratio(self) -> float | None:
        """The new price divided by the old; None where a price is missing or the old one is zero."""
        return self.new_usd / self.old_usd if self.old_usd and self.new_usd is not None else None

    def as_json(self) -> dict[str, object]:
        """The fields and the ratio as a JSON object."""
        return {**asdict(self), "ratio": self.ratio}


_Key = tuple[str, str, str | None, str, str]


def price_changes(
    old_instances: Iterable[InstancePrice],
    old_services: Iterable[ServicePrice],
    new_instances: Iterable[InstancePrice],
    new_services: Iterable[ServicePrice],
) -> tuple[PriceChange, ...]:
    """All changes, also prices that appeared or vanished: instances before services, each group with the largest first.

    A new source or date for the same amount is not a change.
    """
    instances = _changed(_instances(old_instances), _instances(new_instances), "instance")
    services = _changed(_services(old_services), _services(new_services), "service")
    return tuple(sorted(instances, key=_order)) + tuple(sorted(services, key=_order))


def _changed(old: dict[_Key, float], new: dict[_Key, float], kind: Literal["instance", "service"]) -> list[PriceChange]:
    return [
        PriceChange(*key, old_usd=old.get(key), new_usd=new.get(key), kind=kind)
        for key in old.keys() | new.keys()
        if old.get(key) != new.get(key)
    ]


def _instances(prices: Iterable[InstancePrice]) -> dict[_Key, float]:
    return {(p.provider, p.region, p.zone, p.instance_type, p.option): p.usd_per_hour for p in prices}


def _services(prices: Iterable[ServicePrice]) -> dict[_Key, float]:
    return {
        (p.provider, p.region, None, p.sku, p.unit): p.unit_price_usd for p in prices if p.unit_price_usd is not None
    }


def _order(change: PriceChange) -> tuple[float, tuple[str, ...]]:
    where = (change.provider, change.region, change.zone or "", change.name, change.what)
    return -change.difference_usd, where
