"""Purchase mix: how many nodes are reserved, Spot and on-demand for a demand profile."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from planner.errors import SpecError
from planner.market.offers import Offers
from planner.plan.plan import Purchase
from planner.purchase.policy import POLICIES, Demand, Rates, spot_lost_share
from planner.spec import Capacity, CapacityBlock, OwnReservation
from provider_catalog.prices import InstancePrice

BUSINESS_HOURS: Final[tuple[float, ...]] = tuple(
    1.0 if weekday < 5 and 8 <= hour < 20 else 0.25 for weekday in range(7) for hour in range(24)
)
"""A named profile of our own: full load on weekdays from 8 to 20 h, a quarter of it otherwise."""
BLOCK_SIZES: Final = (1, 2, 4, 8, 16, 32, 64)
"""Instances of a Capacity Block (EC2 user guide, "Capacity Blocks for ML", reservation instance quantities)."""

BLOCK_DAYS: Final = (*range(1, 15), *range(21, 183, 7))
"""Days of a Capacity Block: 1 to 14, then whole weeks up to 182 (the same guide)."""


@dataclass(frozen=True, slots=True)
class Mix:
    """A purchase and what runs of it on average over the demand profile."""

    purchase: Purchase
    reserved_price: InstancePrice | None
    mean_spot_nodes: float
    mean_on_demand_nodes: float
    mean_demand: float = 1.0
    """As a fraction of the peak."""


def demand_fractions(capacity: Capacity) -> tuple[float, ...]:
    """Hourly fractions of the peak, relative to the profile's own highest hour.

    Raises:
        SpecError: the demand is still the name of a file.
    """
    if capacity.demand == "constant":
        return (1.0,)
    if capacity.demand == "business-hours":
        return BUSINESS_HOURS
    if isinstance(capacity.demand, str):
        raise SpecError(
            f"capacity.demand: {capacity.demand} is a file that nobody has read; load the spec from its file"
        )
    peak = max(capacity.demand)
    return tuple(fraction / peak for fraction in capacity.demand)


def mean_demand(capacity: Capacity) -> float:
    """Mean of the demand, as a fraction of its peak."""
    fractions = demand_fractions(capacity)
    return sum(fractions) / len(fractions)


def serving_rates(nodes: int, gang: int, capacity: Capacity, offers: Offers) -> Rates | None:
    """What an hour of one replica of `gang` nodes costs in each way that the spec allows; None without a price.

    Without a commitment price a reservation costs the on-demand rate, and a single node has no use for one.
    """
    if offers.on_demand is None:
        return None
    may_spot = capacity.interruption == "tolerate" and offers.spot is not None
    worth_it = nodes > 1 or offers.commitment is not None
    may_reserve = capacity.reservation == "auto" and worth_it and offers.can_reserve(gang)
    return Rates(
        on_demand=gang * offers.on_demand.usd_per_hour,
        reserved=gang * (offers.commitment or offers.on_demand).usd_per_hour if may_reserve else None,
        spot=gang * offers.spot.usd_per_hour if may_spot and offers.spot else None,
        spot_lost_share=spot_lost_share(gang),
    )


def serving_demand(nodes: int, gang: int, capacity: Capacity) -> Demand:
    """Replicas in use over the demand profile."""
    return _demand(demand_fractions(capacity), nodes // gang)


@lru_cache(maxsize=256)
def _demand(fractions: tuple[float, ...], replicas: int) -> Demand:
    # The search asks for the same few fleets over and over, and a year has 8,760 hours.
    return Demand.of(fractions, replicas)


def serving_mix(nodes: int, gang: int, capacity: Capacity, offers: Offers) -> Mix | None:
    """Mix for a fleet of replicas of `gang` nodes each; None when nothing with a known price can carry it.

    The policy of the spec decides (`planner.purchase.policy`): `optimal` is the cheapest, `tiered` the hardware
    guide's.
    """
    rates = serving_rates(nodes, gang, capacity, offers)
    if rates is None:
        return None
    demand = serving_demand(nodes, gang, capacity)
    shares = POLICIES[capacity.policy](demand, rates)
    reserved, spot = gang * shares.reserved, gang * shares.spot
    in_use = shares.reserved + shares.spot
    return Mix(
        purchase=Purchase(
            reserved_nodes=reserved,
            spot_nodes=spot,
            on_demand_nodes=nodes - reserved - spot,
            reason=_serving_reason(reserved, spot, nodes, capacity, offers),
        ),
        reserved_price=offers.commitment or offers.on_demand,
        mean_spot_nodes=gang * demand.mean_units(shares.reserved, in_use) * (1 + rates.spot_lost_share),
        mean_on_demand_nodes=gang * demand.mean_units(in_use, demand.units),
        mean_demand=mean_demand(capacity),
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


def own_reservation_mix(nodes: int, own: OwnReservation, offers: Offers) -> Mix:
    """Mix of a cluster whose nodes all run in a reservation that exists already."""
    reason = f"the nodes run in {own.name}, which is paid for whether they run or not"
    return Mix(Purchase(reserved_nodes=nodes, reason=reason), offers.commitment or offers.on_demand, 0.0, 0.0)


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


def _serving_reason(reserved: int, spot: int, nodes: int, capacity: Capacity, offers: Offers) -> str:
    parts = []
    if capacity.policy == "tiered":
        parts.append("tiers of the hardware guide: Spot below half, reserved below 80 %, on-demand above")
    if reserved:
        rate = f"a {capacity.commitment} commitment" if offers.commitment else "the on-demand rate"
        why = "are busy often enough to be reserved" if capacity.policy == "optimal" else "are reserved"
        parts.append(f"{reserved} nodes {why} at {rate}")
    if spot:
        parts.append(f"{spot} of {nodes} on Spot, as interruption is tolerated")
    if nodes - reserved - spot:
        parts.append("on-demand carries " + ("the rest" if parts else "all of it"))
    return "; ".join(parts)
