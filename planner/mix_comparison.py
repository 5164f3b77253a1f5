"""Ways to buy a planned cluster, judged on the same demand: policies over a year, or options for one run."""

from dataclasses import replace
from math import ceil
from typing import Final

from planner.capacity import BLOCK_DAYS, BLOCK_SIZES, Offers, mean_demand, serving_demand, serving_rates
from planner.errors import SpecError
from planner.goodput import INTERRUPTIONS_PER_GPU_HOUR, training_goodput
from planner.machines import OWN, offers_of
from planner.plan import Plan, TrainingPerformance
from planner.plan_model import PlanModel
from planner.purchase_policy import FIXED, POLICIES, Demand, Rates, Shares, optimal
from planner.purchase_simulation import HOURS_PER_YEAR, simulate_run, simulate_year
from planner.spec import ClusterSpec
from provider_catalog.catalog import Catalog
from provider_catalog.facts import Provenance
from provider_catalog.prices import InstancePrice, PurchaseOption

FLAT_DISCOUNT: Final = 0.40
"""The hardware guide's one figure for everything reserved: 40 % less than on-demand. Compared with, never used."""
TERMS: Final[tuple[tuple[str, PurchaseOption, int], ...]] = (("1-year", "reserved-1y", 1), ("3-year", "reserved-3y", 3))


class ReservedTerm(PlanModel):
    """A commitment and what it saves on the hour."""

    term: str
    usd_per_hour: float | None
    """Per node; None: no source knows it."""
    discount: float | None
    """Against on-demand."""
    breakeven_share: float | None
    """Of the hours, in use, from which on it costs less than on-demand."""
    provenance: Provenance | None


class PolicyYear(PlanModel):
    """A policy's mix and its simulated year."""

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
    """Cost beyond that of `optimal`, as a fraction of it."""


class RunOption(PlanModel):
    """One way to buy the nodes of one run."""

    option: str
    nodes: int
    days: float
    """Paid for."""
    usd: float | None
    """None: no source knows the price."""
    note: str


class MixComparison(PlanModel):
    """Ways to buy one planned cluster."""

    name: str
    instance_type: str
    region: str
    nodes: int
    gang_nodes: int
    mean_demand: float
    """As a fraction of the peak."""
    on_demand_usd_per_hour: float
    spot_usd_per_hour: float | None
    terms: tuple[ReservedTerm, ...]
    seed: int
    policies: tuple[PolicyYear, ...] = ()
    """Serving: a year each."""
    flat_discount_usd_per_year: float | None = None
    """Serving: the year of `optimal` if reserved capacity cost 40 % less, as the hardware guide has it."""
    run: tuple[RunOption, ...] = ()
    """Training: the run each."""


def compare_mixes(plan: Plan, catalog: Catalog, seed: int = 0) -> MixComparison:
    """The policies on the demand of a serving plan, or the options for the run of a training plan.

    Raises:
        SpecError: the plan is for hardware of one's own, or the instance type has no on-demand price to compare with.
    """
    choice, spec = plan.choice, plan.spec
    if choice.provider == OWN:
        raise SpecError(f"{plan.name}: nodes of one's own (pin.node) are not bought from a cloud; nothing to mix")
    instance_type = catalog.instance_type(choice.provider, choice.instance_type)
    offers = offers_of(spec, catalog, choice.region, choice.zone, instance_type)
    if offers.on_demand is None:
        raise SpecError(f"{choice.instance_type} has no on-demand price in {choice.region}; mixes cannot be compared")
    on_demand = offers.on_demand.usd_per_hour
    place = (choice.provider, choice.region, choice.instance_type)
    terms = tuple(
        _term(name, catalog.prices.instance(*place, option, choice.zone), on_demand) for name, option, _ in TERMS
    )
    comparison = MixComparison(
        name=plan.name,
        instance_type=choice.instance_type,
        region=choice.region,
        nodes=choice.nodes,
        gang_nodes=_gang(plan),
        mean_demand=1.0 if plan.performance.kind == "training" else mean_demand(spec.capacity),
        on_demand_usd_per_hour=on_demand,
        spot_usd_per_hour=offers.spot.usd_per_hour if offers.spot else None,
        terms=terms,
        seed=seed,
    )
    if isinstance(plan.performance, TrainingPerformance):
        block = catalog.prices.instance(*place, "capacity-block", choice.zone)
        run = _run_options(plan, plan.performance, on_demand, offers.spot, block, terms, seed)
        return comparison.model_copy(update={"run": run})
    policies, flat = _policy_years(spec, choice.nodes, comparison.gang_nodes, offers, seed)
    return comparison.model_copy(update={"policies": policies, "flat_discount_usd_per_year": flat})


def _gang(plan: Plan) -> int:
    choice = plan.choice
    if plan.performance.kind == "training":
        return choice.nodes
    return max(1, ceil(choice.layout.gpus_per_replica * choice.nodes / choice.gpus))


def _term(name: str, price: InstancePrice | None, on_demand: float) -> ReservedTerm:
    ratio = None if price is None else price.usd_per_hour / on_demand
    return ReservedTerm(
        term=name,
        usd_per_hour=None if price is None else price.usd_per_hour,
        discount=None if ratio is None else 1 - ratio,
        breakeven_share=ratio,
        provenance=None if price is None else price.provenance,
    )


def _policy_years(
    spec: ClusterSpec, nodes: int, gang: int, offers: Offers, seed: int
) -> tuple[tuple[PolicyYear, ...], float | None]:
    rates = serving_rates(nodes, gang, spec.capacity, offers)
    if rates is None:
        return (), None
    demand = serving_demand(nodes, gang, spec.capacity)
    years = [
        (name, shares, simulate_year(demand, shares, rates, gang, seed))
        for name, policy in {**POLICIES, **FIXED}.items()
        for shares in [policy(demand, rates)]
    ]
    least = years[0][2].usd
    policies = tuple(
        PolicyYear(
            policy=name,
            reserved_nodes=gang * shares.reserved,
            spot_nodes=gang * shares.spot,
            on_demand_nodes=nodes - gang * (shares.reserved + shares.spot),
            usd_per_year=round(year.usd, 6),  # below a millionth the order of summation decides
            reserved_usd=year.reserved_usd,
            spot_usd=year.spot_usd,
            on_demand_usd=year.on_demand_usd,
            interruptions=year.interruptions,
            lost_node_hours=gang * year.lost_unit_hours,
            above_optimal=round(year.usd / least - 1, 9),
        )
        for name, shares, year in years
    )
    return policies, _flat(demand, rates, gang, seed)


def _flat(demand: Demand, rates: Rates, gang: int, seed: int) -> float | None:
    if rates.reserved is None:
        return None
    flat = replace(rates, reserved=(1 - FLAT_DISCOUNT) * rates.on_demand)
    shares: Shares = optimal(demand, flat)
    return round(simulate_year(demand, shares, flat, gang, seed).usd, 6)


def _run_options(
    plan: Plan,
    performance: TrainingPerformance,
    on_demand_usd: float,
    spot: InstancePrice | None,
    block: InstancePrice | None,
    terms: tuple[ReservedTerm, ...],
    seed: int,
) -> tuple[RunOption, ...]:
    """A deadline run is bought for its window. What a year would cost is shown, and never chosen."""
    choice, nodes = plan.choice, plan.choice.nodes
    work_days = performance.days * performance.goodput
    gpu_failures = choice.gpus * INTERRUPTIONS_PER_GPU_HOUR
    steady_days = work_days / training_goodput(choice.gpus)
    options = [
        RunOption(
            option="for the run, on-demand rate",
            nodes=nodes,
            days=steady_days,
            usd=nodes * steady_days * 24 * on_demand_usd,
            note="reserved capacity costs the same while it stands",
        )
    ]
    if spot is not None:
        run = simulate_run(work_days * 24, nodes, gpu_failures, seed)
        late = _late(plan, run.hours / 24)
        options.append(
            RunOption(
                option="Spot",
                nodes=nodes,
                days=run.hours / 24,
                usd=nodes * run.hours * spot.usd_per_hour,
                note=f"simulated, {run.interruptions} stops; the market must have all {nodes} nodes at once{late}",
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
                note=f"not offered to a run: it is used {steady_days / (365 * years):.0%} of its term",
            )
        )
    return tuple(options)


def _late(plan: Plan, days: float) -> str:
    deadline = getattr(plan.spec.workload, "deadline_days", days)
    return f"; past the deadline of {deadline:g} days" if days > deadline else ""


def _block_options(nodes: int, run_days: float, block: InstancePrice | None) -> list[RunOption]:
    if block is None:
        return []
    days = next((days for days in BLOCK_DAYS if days >= run_days), None)
    size = next((size for size in BLOCK_SIZES if size >= nodes), None)
    if days is None or size is None:
        limit = f"{BLOCK_SIZES[-1]} instances for {BLOCK_DAYS[-1]} days"
        note = f"does not fit: a block has at most {limit}"
        return [RunOption(option="Capacity Block", nodes=nodes, days=run_days, usd=None, note=note)]
    usd = size * days * 24 * block.usd_per_hour
    note = "paid in advance, for whole days"
    return [RunOption(option="Capacity Block", nodes=size, days=days, usd=usd, note=note)]
