"""Purchase mix: how many nodes are reserved, Spot and on-demand for a demand profile."""

from dataclasses import dataclass
from math import ceil
from typing import Final

from planner.goodput import SPOT_INTERRUPTIONS_PER_NODE_HOUR, goodput
from planner.plan import Purchase
from planner.spec import Capacity, CapacityBlock
from provider_catalog.prices import InstancePrice

BUSINESS_HOURS: Final[tuple[float, ...]] = tuple(
    1.0 if weekday < 5 and 8 <= hour < 20 else 0.25 for weekday in range(7) for hour in range(24)
)
"""A named profile of our own: full load on weekdays from 8 to 20 h, a quarter of it otherwise."""
BLOCK_SIZES: Final = (1, 2, 4, 8, 16, 32, 64)
"""Instances of a Capacity Block (EC2 user guide, "Capacity Blocks for ML", reservation instance quantities)."""
SERVING_SPOT_SHARE: Final = 0.5
"""Serving fleets keep half of their nodes off Spot, so that a reclaim of all Spot nodes halves capacity at worst; the
hardware guide that this product follows draws the same line."""


@dataclass(frozen=True, slots=True)
class Offers:
    """Prices of one instance type in one region, per node; None where the option is not on sale or has no source."""

    on_demand: InstancePrice | None
    spot: InstancePrice | None
    commitment: InstancePrice | None
    """A one-year reservation or savings plan."""
    block: InstancePrice | None = None
    """A Capacity Block."""
    reservable: bool = True
    """Whether capacity of the type can be reserved at all."""
    gangs_can_be_reserved: bool = True
    """Whether reserved capacity can stand in one RDMA network (Azure: not with a single placement group)."""

    def can_reserve(self, gang: int) -> bool:
        """Whether nodes that work in gangs of that size can be reserved."""
        return self.reservable and (gang == 1 or self.gangs_can_be_reserved)


@dataclass(frozen=True, slots=True)
class Mix:
    """A purchase and what runs of it on average over the demand profile."""

    purchase: Purchase
    reserved_price: InstancePrice | None
    mean_spot_nodes: float
    mean_on_demand_nodes: float


def demand_fractions(capacity: Capacity) -> tuple[float, ...]:
    """Hourly fractions of the peak, relative to the profile's own highest hour."""
    if capacity.demand == "constant":
        return (1.0,)
    if capacity.demand == "business-hours":
        return BUSINESS_HOURS
    peak = max(capacity.demand)
    return tuple(fraction / peak for fraction in capacity.demand)


def serving_mix(nodes: int, gang: int, capacity: Capacity, offers: Offers) -> Mix | None:
    """Mix for a fleet of replicas of `gang` nodes each; None when nothing with a known price can carry it.

    Unit r is reserved while P(demand >= r) >= price reserved / price on demand (newsvendor); without a commitment
    price a reservation costs the on-demand rate and is taken for what runs all the time. Spot follows where
    interruption is tolerated and Spot, corrected for interruptions, is cheaper; on-demand carries the rest.
    """
    if offers.on_demand is None:
        return None
    demand = [gang * ceil(fraction * nodes / gang - 1e-9) for fraction in demand_fractions(capacity)]
    on_demand_usd = offers.on_demand.usd_per_hour
    reserved_price = offers.commitment or offers.on_demand
    reserved, spot = 0, 0
    if capacity.interruption == "tolerate" and offers.spot is not None:
        spot_goodput = goodput(gang * SPOT_INTERRUPTIONS_PER_NODE_HOUR)
        if offers.spot.usd_per_hour / spot_goodput < min(on_demand_usd, reserved_price.usd_per_hour):
            spot = int(nodes * SERVING_SPOT_SHARE) // gang * gang
    if capacity.reservation == "auto" and nodes > 1 and offers.can_reserve(gang):
        ratio = reserved_price.usd_per_hour / on_demand_usd
        while reserved + gang <= nodes - spot and _share_at_least(demand, reserved + gang) >= ratio:
            reserved += gang
    return Mix(
        purchase=Purchase(
            reserved_nodes=reserved,
            spot_nodes=spot,
            on_demand_nodes=nodes - reserved - spot,
            reason=_serving_reason(reserved, spot, nodes, offers),
        ),
        reserved_price=reserved_price,
        mean_spot_nodes=_mean(demand, reserved, spot),
        mean_on_demand_nodes=_mean(demand, reserved + spot, nodes),
    )


def training_mix(nodes: int, capacity: Capacity, offers: Offers, spot_goodput: float) -> Mix | None:
    """Mix for one gang that runs until it is done; None when nothing with a known price can carry it.

    An interruption costs the gang, not the node, so all of it is bought one way: Spot where it is tolerated and
    `usd / spot_goodput` is below on-demand, otherwise capacity held for the run.
    """
    if (
        capacity.interruption == "tolerate"
        and offers.spot is not None
        and (offers.on_demand is None or offers.spot.usd_per_hour / spot_goodput < offers.on_demand.usd_per_hour)
    ):
        reason = f"Spot costs less than on-demand even at a goodput of {spot_goodput:.0%}; interruption is tolerated"
        return Mix(Purchase(spot_nodes=nodes, reason=reason), None, float(nodes), 0.0)
    if offers.on_demand is None:
        return None
    if capacity.reservation == "auto" and nodes > 1 and offers.can_reserve(nodes):
        reason = "a gang needs all of its nodes at once: capacity is reserved for the run, at the on-demand rate"
        return Mix(Purchase(reserved_nodes=nodes, reason=reason), offers.on_demand, 0.0, 0.0)
    reason = "interruption is not tolerated"
    if capacity.reservation == "auto" and nodes > 1:
        reason += "; capacity of this type cannot be reserved inside one RDMA network"
    return Mix(Purchase(on_demand_nodes=nodes, reason=reason), None, 0.0, float(nodes))


def block_mix(nodes: int, block: CapacityBlock, offers: Offers) -> Mix:
    """Mix of a cluster that stands in one Capacity Block, bought at the next size on sale.

    Raises:
        ValueError: no block has room for `nodes`.
    """
    instances = next((size for size in BLOCK_SIZES if size >= nodes), None)
    if instances is None:
        raise ValueError(f"{nodes} nodes; a Capacity Block has at most {BLOCK_SIZES[-1]} instances")
    idle = f"; {instances - nodes} of them stand idle" if instances > nodes else ""
    reason = f"a Capacity Block of {instances} for {block.days} days from {block.start}, paid in advance{idle}"
    purchase = Purchase(capacity_block_nodes=nodes, capacity_block_instances=instances, reason=reason)
    return Mix(purchase, offers.block, 0.0, 0.0)


def _share_at_least(demand: list[int], nodes: int) -> float:
    return sum(needed >= nodes for needed in demand) / len(demand)


def _mean(demand: list[int], above: int, size: int) -> float:
    """Mean number of nodes in use of those that carry demand from `above` on."""
    return sum(min(max(needed - above, 0), size) for needed in demand) / len(demand)


def _serving_reason(reserved: int, spot: int, nodes: int, offers: Offers) -> str:
    parts = []
    if reserved:
        rate = "a one-year commitment" if offers.commitment else "the on-demand rate"
        parts.append(f"{reserved} nodes are busy often enough to be reserved at {rate}")
    if spot:
        parts.append(f"{spot} of {nodes} on Spot, as interruption is tolerated")
    if nodes - reserved - spot:
        parts.append("on-demand carries " + ("the rest" if parts else "all of it"))
    return "; ".join(parts)
