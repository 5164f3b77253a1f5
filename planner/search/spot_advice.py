"""Why a workload that tolerates interruptions is planned without Spot nodes."""

from planner.cost.priced import Priced, on_spot
from planner.plan.performance import TrainingPerformance
from planner.purchase.mix import serving_demand, serving_rates
from planner.purchase.policy import SERVING_SPOT_SHARE
from planner.spec import ClusterSpec, TrainingWorkload
from provider_catalog.catalog import Catalog

REGIONS_SHOWN = 4
NO_SPOT = "capacity.interruption: tolerate buys no Spot node"
"""First words of the reason, by which reports find it among the notes of a plan."""


def no_spot_reason(spec: ClusterSpec, catalog: Catalog, best: Priced) -> str | None:
    """Returns why `capacity.interruption: tolerate` buys no Spot node; None where it does, or is not set."""
    if spec.capacity.interruption != "tolerate" or best.mix.purchase.spot_nodes or best.machine.place.owned:
        return None
    reason = _reason(spec, catalog, best)
    return f"{NO_SPOT}: {reason}"


def _reason(spec: ClusterSpec, catalog: Catalog, best: Priced) -> str:
    if spec.capacity.block is not None:
        return "a Capacity Block is paid for its whole term"
    spot = best.machine.offers.spot
    if spot is None:
        return _no_market(catalog, best)
    performance = best.candidate.performance
    if isinstance(spec.workload, TrainingWorkload) and isinstance(performance, TrainingPerformance):
        return _training_reason(spec.workload, performance, best, spot.usd_per_hour)
    return _serving_reason(spec, best)


def _no_market(catalog: Catalog, best: Priced) -> str:
    """Says where the type has a Spot price, if not here."""
    machine = best.machine
    where = machine.region if machine.zone is None else f"{machine.region} ({machine.zone})"
    option = catalog.prices.instance(machine.provider, machine.region, machine.name, "spot")
    if option is not None:
        return f"{machine.name} has no Spot market in {where}; it has one in {option.zone}, see placement.zone"
    elsewhere = [
        region
        for region in catalog.prices.regions(machine.provider, machine.name)
        if catalog.prices.instance(machine.provider, region, machine.name, "spot") is not None
    ]
    known = f"; known in {', '.join(elsewhere[:REGIONS_SHOWN])}" if elsewhere else " anywhere"
    return f"no Spot price of {machine.name} is known in {where}{known}"


def _training_reason(
    workload: TrainingWorkload, performance: TrainingPerformance, best: Priced, spot_usd_per_hour: float
) -> str:
    offers = best.machine.offers
    reclaimed = on_spot(performance, best.candidate)
    if reclaimed.days > workload.deadline_days:
        return (
            f"with its reclaims the run takes {reclaimed.days:,.1f} days; workload.deadline_days is"
            f" {workload.deadline_days:g}"
        )
    goodput = reclaimed.goodput / performance.goodput
    useful = spot_usd_per_hour / goodput
    paid = "" if offers.on_demand is None else f", and on-demand {offers.on_demand.usd_per_hour:,.4g}"
    return (
        f"one reclaimed node stops the whole run, and at a goodput of {goodput:.0%} an hour of finished work on Spot"
        f" costs {useful:,.4g} USD a node{paid}"
    )


def _serving_reason(spec: ClusterSpec, best: Priced) -> str:
    candidate, offers = best.candidate, best.machine.offers
    demand = serving_demand(candidate.nodes, candidate.gang, spec.capacity)
    if int(demand.units * SERVING_SPOT_SHARE) == 0:
        return (
            f"at most {SERVING_SPOT_SHARE:.0%} of the replicas may be on Spot, so that a reclaim leaves the service up,"
            f" and this fleet has {demand.units} replica{'' if demand.units == 1 else 's'}"
        )
    rates = serving_rates(candidate.nodes, candidate.gang, spec.capacity, offers)
    if rates is None or rates.spot_effective is None:
        return "without an on-demand price Spot cannot be compared"
    if rates.spot_effective >= rates.on_demand:
        return (
            f"with the work that reclaims repeat, a replica on Spot costs {rates.spot_effective:,.4g} USD an hour, and"
            f" on-demand {rates.on_demand:,.4g}"
        )
    reserved = rates.reserved if rates.reserved is not None else rates.on_demand
    return (
        f"reserved replicas at {reserved:,.4g} USD an hour are busy often enough to cost less than Spot at"
        f" {rates.spot_effective:,.4g}"
    )
