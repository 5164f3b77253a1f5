"""Simulates a year of a fleet, or one training run, with reclaims of Spot nodes; policies are compared on it."""

from dataclasses import dataclass
from math import inf
from random import Random
from typing import Final

from planner.purchase.policy import Demand, Rates, Shares
from planner.reliability.recovery import SERVING_RESTART_S
from planner.reliability.spot_reclaims import SPOT_RECLAIMS_PER_NODE_HOUR
from planner.reliability.young_daly import CheckpointTiming
from provider_catalog.units import HOURS_PER_YEAR

HOURS_PER_WEEK: Final = 168


@dataclass(frozen=True, slots=True)
class SimulatedYear:
    """Cost of a fleet in a simulated year."""

    usd: float
    reserved_usd: float
    spot_usd: float
    on_demand_usd: float
    interruptions: int
    """Number of times that a reclaimed node stopped a unit."""
    lost_unit_hours: float
    """Unit-hours until stopped units were back; the work is repeated on Spot and billed again."""


def simulate_year(demand: Demand, shares: Shares, rates: Rates, nodes_per_unit: int, seed: int = 0) -> SimulatedYear:
    """Returns the cost of a year of the demand with units bought as `shares` says.

    Demand takes reserved units first, then Spot, then on-demand. Reclaims are a Poisson process over the node-hours on
    Spot, and each one stops a whole unit for the time of a restart. A demand of a day or a week is repeated for whole
    weeks and the sum is scaled to 8,760 hours, so that every weekday has the same weight. The same seed gives the same
    reclaims after the same number of Spot hours under every policy.
    """
    random = Random(seed)  # noqa: S311 - a simulation, no secret
    per_unit_hour = nodes_per_unit * SPOT_RECLAIMS_PER_NODE_HOUR
    hourly = demand.hourly_units
    hours = len(hourly) if len(hourly) >= HOURS_PER_YEAR else HOURS_PER_YEAR // HOURS_PER_WEEK * HOURS_PER_WEEK
    spot_hours = on_demand_hours = lost_hours = 0.0
    interruptions = 0
    until_reclaim = random.expovariate(per_unit_hour) if shares.spot else inf
    for hour in range(hours):
        needed = max(0, hourly[hour % len(hourly)] - shares.reserved)
        on_spot = min(needed, shares.spot)
        on_demand_hours += needed - on_spot
        spot_hours += on_spot
        until_reclaim -= on_spot
        while until_reclaim <= 0:
            interruptions += 1
            lost_hours += SERVING_RESTART_S / 3600
            until_reclaim += random.expovariate(per_unit_hour)
    to_a_year = HOURS_PER_YEAR / hours
    reserved_usd = shares.reserved * (rates.reserved or 0.0) * HOURS_PER_YEAR
    spot_usd = (spot_hours + lost_hours) * (rates.spot or 0.0) * to_a_year
    on_demand_usd = on_demand_hours * rates.on_demand * to_a_year
    return SimulatedYear(
        usd=reserved_usd + spot_usd + on_demand_usd,
        reserved_usd=reserved_usd,
        spot_usd=spot_usd,
        on_demand_usd=on_demand_usd,
        interruptions=round(interruptions * to_a_year),
        lost_unit_hours=lost_hours * to_a_year,
    )


@dataclass(frozen=True, slots=True)
class SimulatedRun:
    """Duration and interruptions of a simulated training run on Spot."""

    hours: float
    interruptions: int


def simulate_run(work_hours: float, mtbf_hours: float, timing: CheckpointTiming, seed: int = 0) -> SimulatedRun:
    """Simulates a gang with `work_hours` of undisturbed work, which stops whenever a node is reclaimed or fails.

    A stop costs the work since the last complete checkpoint and a restart, during which the gang can stop again.

    Args:
        work_hours: Time of the training steps alone.
        mtbf_hours: Mean time between stops of the whole gang.
        timing: Checkpoint interval, stall and restart times.
        seed: The same seed gives the same stops.
    """
    random = Random(seed)  # noqa: S311 - a simulation, no secret
    interval, stall = timing.interval_s / 3600, timing.stall_s / 3600
    recovery = (timing.restart_s + timing.lag_s) / 3600
    hours, done, interruptions = 0.0, 0.0, 0
    next_stop = random.expovariate(1 / mtbf_hours)
    while done < work_hours:
        step = min(interval, work_hours - done)
        takes = step + stall if step == interval else step
        if hours + takes <= next_stop:
            hours += takes
            done += step
            continue
        while True:
            interruptions += 1
            hours = next_stop
            next_stop = hours + random.expovariate(1 / mtbf_hours)
            if hours + recovery <= next_stop:
                hours += recovery
                break
    return SimulatedRun(hours, interruptions)
