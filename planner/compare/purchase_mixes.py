"""Compares ways to buy a planned cluster on the same demand: policies over a year, or options for one run."""

from dataclasses import replace

from planner.cost.price_ages import price_ages
from planner.errors import SpecError
from planner.market.offers import Offers, offers_of
from planner.market.place import place_of
from planner.plan.base import PlanModel
from planner.plan.performance import TrainingPerformance
from planner.plan.plan import Plan
from planner.purchase.mix import (
    BLOCK_DAYS,
    BLOCK_SIZES,
    block_days,
    block_instances,
    mean_demand,
    serving_demand,
    serving_rates,
)
from planner.purchase.policy import BASELINE_POLICIES, POLICIES, Demand, Rates
from planner.purchase.simulation import simulate_run, simulate_year
from planner.purchase.terms import TERMS, FlatRule, ReservedTerm, reserved_terms, with_years
from planner.reliability.failures import best_timing_at
from planner.reliability.spot_reclaims import SPOT_RECLAIMS_PER_NODE_HOUR
from planner.reliability.young_daly import time_shares
from planner.spec import Capacity
from provider_catalog.catalog import Catalog
from provider_catalog.prices import InstancePrice
from provider_catalog.units import HOURS_PER_YEAR


class PolicyYear(PlanModel):
    """The mix of a policy and the cost of its simulated year."""

    policy: str
    reserved_nodes: int
    spot_nodes: int
    on_demand_nodes: int
    usd_per_year: float
    reserved_usd: float
    spot_usd: float
    on_demand_usd: float
    interruptions: int
    lost_node_hours: float
    above_optimal: float
    """Extra cost over the `optimal` policy, as a fraction of its cost."""


class RunOption(PlanModel):
    """One way to buy the nodes of one run."""

    option: str
    nodes: int
    days: float
    """Days that are billed."""
    usd: float | None
    """Cost in USD; None if the price is unknown."""
    note: str


class MixComparison(PlanModel):
    """Ways to buy one planned cluster."""

    name: str
    instance_type: str
    region: str
    nodes: int
    gang_nodes: int
    mean_demand: float
    """Mean of the demand as a fraction of its peak."""
    on_demand_usd_per_hour: float
    spot_usd_per_hour: float | None
    terms: tuple[ReservedTerm, ...]
    price_ages: str | None = None
    """Words on prices of different age; None where they are of about the same age."""
    seed: int
    policies: tuple[PolicyYear, ...] = ()
    """Simulated year of each policy, for serving."""
    judged_at: str = "on-demand"
    """Commitment term used to price reserved nodes, for serving."""
    flat_rule: FlatRule | None = None
    """Year under the flat discount of the hardware guide, for serving."""
    run: tuple[RunOption, ...] = ()
    """Options to buy the nodes of the run, for training."""


def compare_mixes(plan: Plan, catalog: Catalog, seed: int = 0, term: str | None = None) -> MixComparison:
    """Compares the policies on the demand of a serving plan, or the options for the run of a training plan.

    Args:
        plan: A plan on a cloud.
        catalog: The catalog with prices.
        seed: Seed of the simulated reclaims.
        term: Commitment term used to price reserved nodes when serving: `1-year`, `3-year` or `none`. The default is
            the term of the spec; if the spec has none, the shortest term with a known rate.

    Raises:
        SpecError: the plan is for on-premises nodes, or the instance type has no on-demand price.
    """
    choice, spec = plan.choice, plan.spec
    if place_of(choice.provider, catalog).owned:
        raise SpecError(f"{plan.name}: on-premises nodes (pin.node) have no purchase options to compare")
    instance_type = catalog.instance_type(choice.provider, choice.instance_type)
    offers = offers_of(spec, catalog, choice.region, choice.zone, instance_type)
    if offers.on_demand is None:
        raise SpecError(
            f"{choice.instance_type} has no known on-demand price in {choice.region}; mixes cannot be compared"
        )
    on_demand = offers.on_demand.usd_per_hour
    place = (choice.provider, choice.region, choice.instance_type)
    terms = reserved_terms(catalog, place, choice.zone)
    comparison = MixComparison(
        name=plan.name,
        instance_type=choice.instance_type,
        region=choice.region,
        nodes=choice.nodes,
        gang_nodes=plan.gang_nodes,
        mean_demand=1.0 if plan.performance.kind == "training" else mean_demand(spec.capacity),
        on_demand_usd_per_hour=on_demand,
        spot_usd_per_hour=offers.spot.usd_per_hour if offers.spot else None,
        terms=terms,
        price_ages=_price_ages(offers, terms),
        seed=seed,
    )
    if isinstance(plan.performance, TrainingPerformance):
        block = catalog.prices.instance(*place, "capacity-block", choice.zone)
        run = _run_options(plan, plan.performance, on_demand, offers.spot, block, terms, seed)
        return comparison.model_copy(update={"run": run})
    capacity = spec.capacity
    gang = comparison.gang_nodes
    rates = serving_rates(choice.nodes, gang, capacity, offers)
    if rates is None:
        return comparison
    demand = serving_demand(choice.nodes, gang, capacity)
    judged_at, rate = _reserved_rate(term, capacity, terms, place)
    judged, flat = with_years(terms, demand, rates, gang, seed)
    if capacity.reservation == "auto":
        rates = replace(rates, reserved=gang * rate if rate is not None else rates.reserved and rates.on_demand)
    update = {
        "policies": _policy_years(choice.nodes, gang, demand, rates, seed),
        "judged_at": judged_at,
        "terms": judged,
        "flat_rule": flat,
    }
    return comparison.model_copy(update=update)


def _price_ages(offers: Offers, terms: tuple[ReservedTerm, ...]) -> str | None:
    prices = {"on-demand": offers.on_demand, "Spot": offers.spot}
    dated = {name: None if price is None else price.provenance.as_of for name, price in prices.items()}
    dated |= {term.term: None if term.provenance is None else term.provenance.as_of for term in terms}
    return price_ages(dated)


def _reserved_rate(
    asked: str | None, capacity: Capacity, terms: tuple[ReservedTerm, ...], place: tuple[str, str, str]
) -> tuple[str, float | None]:
    """Returns name and rate of the term that prices reserved nodes; ("on-demand", None) if no rate is known."""
    known = {term.term: term.usd_per_hour for term in terms if term.usd_per_hour is not None}
    if asked not in (None, "none", *known):
        raise SpecError(
            f"the {asked} rate of {place[2]} in {place[1]} is unknown; known: {', '.join(known) or 'none'}. Fetch it"
            " with llmcluster catalog refresh, or give a negotiated rate in a price overlay (--prices, docs/catalog.md)"
        )
    name = asked or (capacity.commitment if capacity.commitment != "none" else next(iter(known), "none"))
    return (name, known[name]) if name in known else ("on-demand", None)


def _policy_years(nodes: int, gang: int, demand: Demand, rates: Rates, seed: int) -> tuple[PolicyYear, ...]:
    years = [
        (name, shares, simulate_year(demand, shares, rates, gang, seed))
        for name, policy in {**POLICIES, **BASELINE_POLICIES}.items()
        for shares in [policy(demand, rates)]
    ]
    least = years[0][2].usd
    return tuple(
        PolicyYear(
            policy=name,
            reserved_nodes=gang * shares.reserved,
            spot_nodes=gang * shares.spot,
            on_demand_nodes=nodes - gang * (shares.reserved + shares.spot),
            usd_per_year=round(year.usd, 6),  # the order of summation changes smaller digits
            reserved_usd=year.reserved_usd,
            spot_usd=year.spot_usd,
            on_demand_usd=year.on_demand_usd,
            interruptions=year.interruptions,
            lost_node_hours=gang * year.lost_unit_hours,
            above_optimal=round(year.usd / least - 1, 9),
        )
        for name, shares, year in years
    )


def _run_options(
    plan: Plan,
    performance: TrainingPerformance,
    on_demand_usd: float,
    spot: InstancePrice | None,
    block: InstancePrice | None,
    terms: tuple[ReservedTerm, ...],
    seed: int,
) -> tuple[RunOption, ...]:
    """Returns the options to buy the nodes of a run. Commitments are listed for comparison and never chosen."""
    nodes = plan.choice.nodes
    work_days = performance.days * performance.goodput
    reliability = performance.reliability
    if reliability is None:
        raise SpecError(f"{plan.name}: the locked plan has no reliability figures; plan it again")
    failure_hours = reliability.failure_mtbf_hours
    steady_days = work_days / time_shares(best_timing_at(reliability, failure_hours), failure_hours * 3600).useful
    options = [
        RunOption(
            option="for the run, on-demand rate",
            nodes=nodes,
            days=steady_days,
            usd=nodes * steady_days * 24 * on_demand_usd,
            note="a capacity reservation costs the same while it exists",
        )
    ]
    if spot is not None:
        mtbf_hours = 1 / (nodes * SPOT_RECLAIMS_PER_NODE_HOUR + 1 / failure_hours)
        run = simulate_run(work_days * 24, mtbf_hours, best_timing_at(reliability, mtbf_hours), seed)
        late = _late(plan, run.hours / 24)
        gang = "1 node" if nodes == 1 else f"all {nodes} nodes"
        options.append(
            RunOption(
                option="Spot",
                nodes=nodes,
                days=run.hours / 24,
                usd=nodes * run.hours * spot.usd_per_hour,
                note=f"simulated, {run.interruptions} interruptions; {gang} must be available at once{late}",
            )
        )
    options += _block_options(nodes, steady_days, block)
    for term, (_, _, years) in zip(terms, TERMS, strict=True):
        total = None if term.usd_per_hour is None else nodes * HOURS_PER_YEAR * years * term.usd_per_hour
        options.append(
            RunOption(
                option=f"{term.term} commitment",
                nodes=nodes,
                days=365 * years,
                usd=total,
                note=f"never chosen for a run: it is used {_used(plan, steady_days, years):.0%} of its term",
            )
        )
    return tuple(options)


def _used(plan: Plan, run_days: float, years: int) -> float:
    """Returns the share of a commitment term that one run or all updates use."""
    if plan.updates is not None:
        return min(1.0, plan.updates.hours * plan.updates.per_year / HOURS_PER_YEAR)
    return run_days / (365 * years)


def _late(plan: Plan, days: float) -> str:
    deadline = getattr(plan.spec.workload, "deadline_days", days)
    return f"; past the deadline of {deadline:g} days" if days > deadline else ""


def _block_options(nodes: int, run_days: float, block: InstancePrice | None) -> list[RunOption]:
    if block is None:
        return []
    days, size = block_days(run_days), block_instances(nodes)
    if days is None or size is None:
        limit = f"{BLOCK_SIZES[-1]} instances for {BLOCK_DAYS[-1]} days"
        note = f"does not fit: the largest block is {limit}"
        return [RunOption(option="Capacity Block", nodes=nodes, days=run_days, usd=None, note=note)]
    usd = size * days * 24 * block.usd_per_hour
    note = "paid in advance, for whole days"
    return [RunOption(option="Capacity Block", nodes=size, days=days, usd=usd, note=note)]
