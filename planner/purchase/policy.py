"""Policies that split a fleet into reserved, Spot and on-demand units, for one demand and one set of prices.

A unit is a replica of one or more nodes, which are bought together. Under every policy demand takes reserved units
first, because they are paid for in any case, then Spot, then on-demand.
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from math import ceil
from typing import Final

from planner.reliability.recovery import SERVING_RESTART_S
from planner.reliability.spot_reclaims import SPOT_RECLAIMS_PER_NODE_HOUR

SERVING_SPOT_SHARE: Final = 0.5
"""Largest share of Spot in a serving fleet, so that a reclaim of all Spot nodes halves capacity at worst. The hardware
guide that this product follows sets the same limit."""
TIERED_RESERVED_SHARE: Final = 0.8
"""Share of the fleet up to which the guide reserves capacity; the nodes above it are on-demand."""


@dataclass(frozen=True, slots=True)
class Rates:
    """Price of one unit in USD an hour by purchase option; None where an option is not sold or not allowed."""

    on_demand: float
    reserved: float | None
    """Price of a reserved unit, billed in idle hours too."""
    spot: float | None
    spot_lost_share: float = 0.0
    """Hours lost to interruptions for each Spot hour; the work is repeated and billed again."""

    @property
    def spot_effective(self) -> float | None:
        """Price of an hour of finished work on Spot, with the repeated hours."""
        return None if self.spot is None else self.spot * (1 + self.spot_lost_share)


@dataclass(frozen=True, slots=True)
class Shares:
    """Units by purchase option."""

    reserved: int
    spot: int
    on_demand: int


class Demand:
    """Units in use in every hour, and the share of hours in which each unit is in use."""

    def __init__(self, hourly_units: Sequence[int], units: int) -> None:
        self.hourly_units = tuple(hourly_units)
        self.units = units
        counts = Counter(self.hourly_units)
        hours = len(self.hourly_units)
        below = 0
        self._share: list[float] = []
        for unit in range(units):
            below += counts.get(unit, 0)
            self._share.append((hours - below) / hours)
        self._cumulative = [0.0, *accumulate(self._share)]

    @classmethod
    def of(cls, fractions: Sequence[float], units: int) -> "Demand":
        """Builds the demand from hourly fractions of the peak, which needs all `units`."""
        return cls([ceil(fraction * units - 1e-9) for fraction in fractions], units)

    def share(self, units: int) -> float:
        """Returns P(demand >= units); `units` is at least 1."""
        return self._share[units - 1] if units <= self.units else 0.0

    def mean_units(self, first: int, last: int) -> float:
        """Returns the mean number in use of the units numbered above `first` up to `last`."""
        return self._cumulative[last] - self._cumulative[first]


def spot_lost_share(nodes_per_unit: int) -> float:
    """Returns the hours lost for each Spot hour of a unit: one reclaimed node stops it until the node is replaced."""
    return nodes_per_unit * SPOT_RECLAIMS_PER_NODE_HOUR * SERVING_RESTART_S / 3600


def usd_per_hour(shares: Shares, demand: Demand, rates: Rates) -> float:
    """Returns the expected cost of the fleet in USD an hour."""
    in_use = shares.reserved + shares.spot
    return (
        shares.reserved * (rates.reserved or 0.0)
        + demand.mean_units(shares.reserved, in_use) * (rates.spot_effective or 0.0)
        + demand.mean_units(in_use, demand.units) * rates.on_demand
    )


def optimal(demand: Demand, rates: Rates) -> Shares:
    """Returns the cheapest split within the Spot limit: a newsvendor problem with an unreliable second supplier.

    Without Spot, unit r is reserved while P(demand >= r) >= reserved / on-demand. With s units of Spot on top, one
    more reserved unit replaces a Spot unit at the lower edge and an on-demand unit at the upper one. It pays while
    reserved <= spot·P(demand >= r) + (on-demand - spot)·P(demand >= r + s). The right side falls with r, so the search
    ends at the first unit that does not pay. On a tie the unit is reserved, because that holds capacity.
    """
    units, on_demand = demand.units, rates.on_demand
    spot_usd = rates.spot_effective
    if spot_usd is None or spot_usd >= on_demand:
        spot_usd, may_spot = on_demand, 0
    else:
        may_spot = int(units * SERVING_SPOT_SHARE)
    reserved = 0
    if (reserved_usd := rates.reserved) is not None:

        def loss(one_more: int) -> float:
            replaced = spot_usd * demand.share(one_more + 1)
            return reserved_usd - replaced - (on_demand - spot_usd) * demand.share(one_more + 1 + may_spot)

        reserved = bisect_right(range(units), 1e-12 * on_demand, key=loss)
    spot = min(may_spot, units - reserved)
    return Shares(reserved, spot, units - reserved - spot)


def tiered(demand: Demand, rates: Rates) -> Shares:
    """Follows the hardware guide: Spot below half of the fleet, reserved below 80 %, on-demand above.

    The units of a tier that is not sold or not allowed go to the next tier.
    """
    units = demand.units
    spot = int(units * SERVING_SPOT_SHARE) if rates.spot is not None else 0
    reserved = int(units * TIERED_RESERVED_SHARE) - spot if rates.reserved is not None else 0
    return Shares(reserved, spot, units - reserved - spot)


def all_on_demand(demand: Demand, _: Rates) -> Shares:
    """Buys all units on demand."""
    return Shares(0, 0, demand.units)


def all_reserved(demand: Demand, rates: Rates) -> Shares:
    """Reserves all units; on-demand where reserved capacity is not sold."""
    return Shares(demand.units, 0, 0) if rates.reserved is not None else all_on_demand(demand, rates)


def half_spot(demand: Demand, rates: Rates) -> Shares:
    """Buys Spot up to the limit of a serving fleet, and the rest on demand."""
    spot = int(demand.units * SERVING_SPOT_SHARE) if rates.spot is not None else 0
    return Shares(0, spot, demand.units - spot)


Policy = Callable[[Demand, Rates], Shares]
POLICIES: Final[dict[str, Policy]] = {"optimal": optimal, "tiered": tiered}
"""Policies that `capacity.policy` selects."""
BASELINE_POLICIES: Final[dict[str, Policy]] = {
    "all on-demand": all_on_demand,
    "all reserved": all_reserved,
    "half Spot": half_spot,
}
"""Simple policies that the selectable ones are compared with."""
