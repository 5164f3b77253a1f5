"""Purchase mix: how many nodes are reserved, Spot and on-demand for a demand profile."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final, Literal

from planner.errors import SpecError
from planner.market.offers import Offers
from planner.plan.choice import Purchase
from planner.purchase.policy import POLICIES, Demand, Rates, Shares, spot_lost_share
from planner.purchase.schedule import WeeklySchedule, hourly_units, schedule_of, units_with_lead, week_of
from planner.spec import Capacity, CapacityBlock, OwnReservation
from provider_catalog.prices import InstancePrice
from provider_catalog.purchase_kinds import PurchaseKind

BUSINESS_HOURS: Final[tuple[float, ...]] = tuple(
    1.0 if weekday < 5 and 8 <= hour < 20 else 0.25 for weekday in range(7) for hour in range(24)
)
"""The profile `business-hours`: full load on weekdays from 8 to 20 h, a quarter of it otherwise. Our assumption."""
BLOCK_SIZES: Final = (1, 2, 4, 8, 16, 32, 64)
"""Instance counts at which a Capacity Block is sold (EC2 user guide, "Capacity Blocks for ML", reservation instance
quantities)."""

BLOCK_DAYS: Final = (*range(1, 15), *range(21, 183, 7))
"""Durations of a Capacity Block in days: 1 to 14, then whole weeks up to 182 (the same guide)."""

Scaler = Literal["schedule", "jobs", "nothing", "unknown"]
"""What starts and stops the nodes of a serving fleet as its demand varies: scheduled actions, the jobs in the queue of
Slurm, nothing (all nodes run all the time), or something outside of the stacks."""


@dataclass(frozen=True, slots=True)
class Mix:
    """A purchase, and the nodes that run on average over the demand profile."""

    purchase: Purchase
    reserved_price: InstancePrice | None
    mean_spot_nodes: float
    mean_on_demand_nodes: float
    mean_demand: float = 1.0
    """Mean of the demand as a fraction of its peak."""
    scaler: Scaler = "unknown"
    schedule: Mapping[PurchaseKind, WeeklySchedule] = field(default_factory=dict)
    """Schedules by purchase kind, where scheduled actions start and stop nodes. Nodes of other kinds always run."""
    spot_restart_share: float = 0.0
    """Node-hours of Spot that restarts after reclaims add, as a share of those in use; `mean_spot_nodes` has them."""


def demand_fractions(capacity: Capacity) -> tuple[float, ...]:
    """Returns the demand of every hour as a fraction of the highest hour of the profile.

    Raises:
        SpecError: the demand names a file whose hours have not been read.
    """
    if capacity.demand == "constant":
        return (1.0,)
    if capacity.demand == "business-hours":
        return BUSINESS_HOURS
    if isinstance(capacity.demand, str):
        raise SpecError(f"capacity.demand: the file {capacity.demand} has not been read; load the spec from its file")
    peak = max(capacity.demand)
    return tuple(fraction / peak for fraction in capacity.demand)


def mean_demand(capacity: Capacity) -> float:
    """Returns the mean of the demand as a fraction of its peak."""
    fractions = demand_fractions(capacity)
    return sum(fractions) / len(fractions)


def serving_rates(nodes: int, gang: int, capacity: Capacity, offers: Offers) -> Rates | None:
    """Returns the price of one replica of `gang` nodes by purchase option; None without an on-demand price.

    A reservation costs the on-demand rate where no commitment price is known. A single node is reserved only with a
    commitment.
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
    """Returns the replicas in use over the demand profile."""
    return _demand(demand_fractions(capacity), nodes // gang)


@lru_cache(maxsize=256)
def _demand(fractions: tuple[float, ...], replicas: int) -> Demand:
    # The search evaluates the same few fleets many times, and a year has 8,760 hours.
    return Demand.of(fractions, replicas)


def serving_mix(
    nodes: int,
    gang: int,
    capacity: Capacity,
    offers: Offers,
    *,
    scaler: Scaler = "unknown",
    spare_nodes: int = 0,
) -> Mix | None:
    """Returns the mix for a fleet of replicas of `gang` nodes each; None without an on-demand price.

    The policy of the spec decides (`planner.purchase.policy`): `optimal` is the cheapest, `tiered` follows the hardware
    guide. It decides on the hours that the nodes will run: those of the schedule where one starts and stops them, all
    hours where nothing does.

    Args:
        nodes: Nodes of the whole fleet.
        gang: Nodes of one replica.
        capacity: Capacity section of the spec.
        offers: Prices of a node.
        scaler: What starts and stops the nodes; a schedule needs replicas of one node.
        spare_nodes: Nodes that a schedule runs beyond the load at every hour.
    """
    rates = serving_rates(nodes, gang, capacity, offers)
    if rates is None:
        return None
    hourly = _scheduled_hours(nodes, capacity, spare_nodes) if scaler == "schedule" else ()
    demand = _running(nodes, gang, capacity, scaler, hourly)
    shares = POLICIES[capacity.policy](demand, rates)
    reserved, spot = gang * shares.reserved, gang * shares.spot
    in_use = shares.reserved + shares.spot
    schedule = _schedules(hourly, shares) if hourly else {}
    means: dict[PurchaseKind, float] = {
        "spot": demand.mean_units(shares.reserved, in_use),
        "on_demand": demand.mean_units(in_use, demand.units),
        **{kind: scheduled.mean_nodes for kind, scheduled in schedule.items()},
    }
    return Mix(
        purchase=Purchase(
            reserved_nodes=reserved,
            spot_nodes=spot,
            on_demand_nodes=nodes - reserved - spot,
            reason=_serving_reason(reserved, spot, nodes, capacity, offers),
        ),
        reserved_price=offers.commitment or offers.on_demand,
        mean_spot_nodes=gang * means["spot"] * (1 + rates.spot_lost_share),
        mean_on_demand_nodes=gang * means["on_demand"],
        mean_demand=mean_demand(capacity),
        scaler=scaler,
        schedule=schedule,
        spot_restart_share=rates.spot_lost_share if spot else 0.0,
    )


def _scheduled_hours(nodes: int, capacity: Capacity, spare_nodes: int) -> tuple[int, ...]:
    """Returns the nodes that a schedule runs in each hour of a week."""
    week = week_of(demand_fractions(capacity), 0 if isinstance(capacity.demand, str) else capacity.first_hour)
    return hourly_units(week, nodes, spare_nodes, capacity.min_nodes or 0)


def _running(nodes: int, gang: int, capacity: Capacity, scaler: Scaler, hourly: tuple[int, ...]) -> Demand:
    """Returns the replicas that run over time."""
    if hourly:
        return _units(units_with_lead(hourly), nodes)
    return _demand((1.0,), nodes // gang) if scaler == "nothing" else serving_demand(nodes, gang, capacity)


@lru_cache(maxsize=256)
def _units(running: tuple[int, ...], units: int) -> Demand:
    return Demand(running, units)


def _schedules(hourly: tuple[int, ...], shares: Shares) -> dict[PurchaseKind, WeeklySchedule]:
    """Returns the schedules of the purchase kinds whose number of nodes varies: Spot before on-demand."""
    found: dict[PurchaseKind, WeeklySchedule] = {
        "spot": schedule_of(hourly, shares.reserved, shares.spot),
        "on_demand": schedule_of(hourly, shares.reserved + shares.spot, shares.on_demand),
    }
    return {kind: scheduled for kind, scheduled in found.items() if scheduled.steps}


def training_mix(nodes: int, capacity: Capacity, offers: Offers, spot_goodput: float) -> Mix | None:
    """Returns the mix for the gang of one training run; None when no usable option has a known price.

    An interruption stops the whole gang, so all nodes use the same purchase option: Spot where interruption is
    tolerated and `usd / spot_goodput` is below on-demand, otherwise capacity that is held for the run.
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
        reason = "the run needs all of its nodes at once: capacity is reserved for the run at the on-demand rate"
        return Mix(Purchase(reserved_nodes=nodes, reason=reason), offers.on_demand, 0.0, 0.0)
    reason = "interruption is not tolerated"
    if capacity.reservation == "auto" and nodes > 1:
        reason += "; capacity of this type cannot be reserved inside one RDMA network"
    return Mix(Purchase(on_demand_nodes=nodes, reason=reason), None, 0.0, float(nodes))


def block_instances(nodes: int) -> int | None:
    """Returns the smallest Capacity Block with room for `nodes`, in instances; None if the largest is too small."""
    return next((size for size in BLOCK_SIZES if size >= nodes), None)


def block_days(days: float) -> int | None:
    """Returns the shortest Capacity Block of at least `days`, in days; None if the longest is too short."""
    return next((term for term in BLOCK_DAYS if term >= days), None)


def own_reservation_mix(nodes: int, own: OwnReservation, offers: Offers) -> Mix:
    """Mix of a cluster whose nodes all run in a reservation that exists already."""
    reason = f"the nodes run in {own.name}, which is paid for whether they run or not"
    return Mix(
        Purchase(reserved_nodes=nodes, reason=reason), offers.commitment or offers.on_demand, 0.0, 0.0, scaler="nothing"
    )


def block_mix(nodes: int, block: CapacityBlock, offers: Offers) -> Mix:
    """Returns the mix of a cluster in one Capacity Block of the next purchasable size.

    Raises:
        ValueError: the largest block has fewer instances than `nodes`.
    """
    instances = block_instances(nodes)
    if instances is None:
        raise ValueError(f"{nodes} nodes; a Capacity Block has at most {BLOCK_SIZES[-1]} instances")
    idle = f"; {instances - nodes} of them idle" if instances > nodes else ""
    size = f"{instances} instance{'' if instances == 1 else 's'}"
    reason = f"a Capacity Block of {size} for {block.days} days from {block.start}, paid in advance{idle}"
    purchase = Purchase(capacity_block_nodes=nodes, capacity_block_instances=instances, reason=reason)
    return Mix(purchase, offers.block, 0.0, 0.0, scaler="nothing")


def _serving_reason(reserved: int, spot: int, nodes: int, capacity: Capacity, offers: Offers) -> str:
    parts = []
    if capacity.policy == "tiered":
        parts.append("tiered policy of the hardware guide: Spot below half, reserved below 80 %, on-demand above")
    if reserved:
        nodes_reserved = f"{reserved} node{'' if reserved == 1 else 's'}"
        if offers.commitment:
            worth = ", busy often enough to pay off" if capacity.policy == "optimal" else ""
            parts.append(f"{nodes_reserved} under a {capacity.commitment} commitment{worth}")
        else:
            parts.append(
                f"{nodes_reserved} in capacity reservations: capacity is held, without a discount, and idle hours are"
                " billed"
            )
    if spot:
        parts.append(f"{spot} of {nodes} nodes on Spot, since interruption is tolerated")
    if nodes - reserved - spot:
        parts.append("the rest on-demand" if parts else "all nodes on-demand")
    return "; ".join(parts)
