"""Policies that split a fleet into reserved, Spot and on-demand units, for one demand and one set of prices.

A unit is what is bought together: a replica of one or more nodes. Whatever a policy buys is used in the same order:
reserved units first, which are paid for anyway, then Spot, then on-demand.
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
"""Serving fleets keep half of their nodes off Spot, so that a reclaim of all Spot nodes halves capacity at worst; the
hardware guide that this product follows draws the same line."""
TIERED_RESERVED_SHARE: Final = 0.8
"""The guide's second line: below it capacity is reserved, above it on-demand."""


@dataclass(frozen=True, slots=True)
class Rates:
    """USD of one unit for one hour; None where the option is not on sale or not allowed."""

    on_demand: float
    reserved: float | None
    """Paid in every hour, in use or not."""
    spot: float | None
    spot_lost_share: float = 0.0
    """Hours lost to interruptions for each hour of Spot; they are run again, and paid again."""

    @property
    def spot_effective(self) -> float | None:
        """What an hour of work on Spot costs."""
        return None if self.spot is None else self.spot * (1 + self.spot_lost_share)


@dataclass(frozen=True, slots=True)
class Shares:
    """Units by way of buying."""

    reserved: int
    spot: int
    on_demand: int


class Demand:
    """Units in use hour by hour, and how many of them are in use how often."""

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
        """From hourly fractions of the peak, which takes all `units`."""
        return cls([ceil(fraction * units - 1e-9) for fraction in fractions], units)

    def share(self, units: int) -> float:
        """P(demand >= units), with at least one unit asked for."""
        return self._share[units - 1] if units <= self.units else 0.0

    def mean_units(self, first: int, last: int) -> float:
        """Units in use on average, of those that carry demand above `first` up to `last`."""
        return self._cumulative[last] - self._cumulative[first]


def spot_lost_share(nodes_per_unit: int) -> float:
    """Hours lost for each Spot hour of a unit: any reclaimed node stops all of it until it is replaced."""
    return nodes_per_unit * SPOT_RECLAIMS_PER_NODE_HOUR * SERVING_RESTART_S / 3600


def usd_per_hour(shares: Shares, demand: Demand, rates: Rates) -> float:
    """Expected cost of an hour; see `Rates`."""
    in_use = shares.reserved + shares.spot
    return (
        shares.reserved * (rates.reserved or 0.0)
        + demand.mean_units(shares.reserved, in_use) * (rates.spot_effective or 0.0)
        + demand.mean_units(in_use, demand.units) * rates.on_demand
    )


def optimal(demand: Demand, rates: Rates) -> Shares:
    """The cheapest split that keeps the share of Spot: the newsvendor's, with a second supplier who may fail.

    Without Spot, unit r is reserved while P(demand >= r) >= reserved / on-demand. With s units of Spot on top, one
    more reserved unit replaces Spot at the lower edge and on-demand at the upper one: it pays while
    reserved <= spot·P(demand >= r) + (on-demand - spot)·P(demand >= r + s). The right side falls with r, so the first
    unit that does not pay ends the search. Where it makes no difference a unit is reserved: that holds capacity.
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
    """The hardware guide's policy: Spot below half of the fleet, reserved below 80 %, on-demand above.

    A tier that is not on sale, or not allowed, goes to the next one.
    """
    units = demand.units
    spot = int(units * SERVING_SPOT_SHARE) if rates.spot is not None else 0
    reserved = int(units * TIERED_RESERVED_SHARE) - spot if rates.reserved is not None else 0
    return Shares(reserved, spot, units - reserved - spot)


def all_on_demand(demand: Demand, _: Rates) -> Shares:
    """Nothing committed."""
    return Shares(0, 0, demand.units)


def all_reserved(demand: Demand, rates: Rates) -> Shares:
    """Everything committed, where that is on sale."""
    return Shares(demand.units, 0, 0) if rates.reserved is not None else all_on_demand(demand, rates)


def half_spot(demand: Demand, rates: Rates) -> Shares:
    """Spot up to the share that a serving fleet may have, on-demand above."""
    spot = int(demand.units * SERVING_SPOT_SHARE) if rates.spot is not None else 0
    return Shares(0, spot, demand.units - spot)


Policy = Callable[[Demand, Rates], Shares]
POLICIES: Final[dict[str, Policy]] = {"optimal": optimal, "tiered": tiered}
"""What `capacity.policy` selects."""
FIXED: Final[dict[str, Policy]] = {
    "all on-demand": all_on_demand,
    "all reserved": all_reserved,
    "half Spot": half_spot,
}
"""What they are compared with."""
