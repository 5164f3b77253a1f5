"""Prices at which one instance type can be bought in one place."""

from dataclasses import dataclass

from planner.spec import ClusterSpec
from provider_catalog.catalog import Catalog
from provider_catalog.hardware import InstanceType
from provider_catalog.prices import InstancePrice
from provider_catalog.purchase_kinds import COMMITTED_OPTIONS


@dataclass(frozen=True, slots=True)
class Offers:
    """Prices of one instance type in one region, per node; None where the option is not on sale or has no source."""

    on_demand: InstancePrice | None
    spot: InstancePrice | None
    commitment: InstancePrice | None
    """Price under a reservation or savings plan with the term of `capacity.commitment`."""
    block: InstancePrice | None = None
    """Price of an instance-hour in a Capacity Block."""
    reservable: bool = True
    """Whether the cloud takes capacity reservations for the type."""
    gangs_can_be_reserved: bool = True
    """Whether reserved nodes can share one RDMA network (on Azure, not in a single placement group)."""

    def can_reserve(self, gang: int) -> bool:
        """Returns whether nodes that work in gangs of `gang` nodes can be reserved."""
        return self.reservable and (gang == 1 or self.gangs_can_be_reserved)


def offers_of(
    spec: ClusterSpec, catalog: Catalog, region: str, zone: str | None, instance_type: InstanceType
) -> Offers:
    """Returns the prices of one instance type in one place, with the commitment that the spec names."""
    provider, name, prices = instance_type.provider, instance_type.name, catalog.prices
    term = COMMITTED_OPTIONS.get(spec.capacity.commitment)
    return Offers(
        on_demand=prices.instance(provider, region, name, "on-demand", zone),
        spot=prices.instance(provider, region, name, "spot", zone),
        commitment=None if term is None else prices.instance(provider, region, name, term, zone),
        block=prices.instance(provider, region, name, "capacity-block", zone),
        reservable=instance_type.reservable,
        gangs_can_be_reserved=catalog.provider_defaults(provider).gangs_can_be_reserved,
    )
