"""Properties of every purchase mix, whatever the demand and the prices."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.market.offers import Offers
from planner.purchase.mix import serving_mix, training_mix
from planner.purchase.policy import BASELINE_POLICIES, POLICIES, Demand, Rates, Shares, optimal, spot_lost_share
from planner.purchase.simulation import SimulatedYear, simulate_year
from planner.purchase.terms import TERMS, ReservedTerm, discount_range, with_years
from planner.spec import Capacity
from provider_catalog.catalog import Catalog
from provider_catalog.facts import Provenance
from provider_catalog.prices import InstancePrice, PurchaseOption

HOURS = 8760

days = st.lists(st.floats(0, 1), min_size=24, max_size=24)
weeks = st.lists(days, min_size=7, max_size=7).map(lambda week: [hour for day in week for hour in day])
traces = (days | weeks).filter(any).map(lambda hours: tuple(hour / max(hours) for hour in hours))
gangs = st.integers(1, 16)
shares_of_on_demand = st.floats(0.2, 1)


@st.composite
def offers(draw: st.DrawFn) -> Offers:
    on_demand = draw(st.floats(1, 100))

    def price(option: PurchaseOption, usd: float | None) -> InstancePrice | None:
        origin = Provenance(source="drawn", as_of="2026-11-24", kind="list")
        if usd is None:
            return None
        return InstancePrice(
            provider="aws", region="r", zone=None, instance_type="t", option=option, usd_per_hour=usd, provenance=origin
        )

    commitment = draw(st.none() | shares_of_on_demand)
    spot = draw(st.none() | st.floats(0.05, 1.2))
    return Offers(
        on_demand=price("on-demand", on_demand),
        spot=price("spot", spot and spot * on_demand),
        commitment=price("reserved-1y", commitment and commitment * on_demand),
        reservable=draw(st.booleans()),
        gangs_can_be_reserved=draw(st.booleans()),
    )


@st.composite
def capacities(draw: st.DrawFn) -> Capacity:
    return Capacity.model_validate(
        {
            "demand": draw(traces),
            "interruption": draw(st.sampled_from(["never", "tolerate"])),
            "reservation": draw(st.sampled_from(["auto", "none"])),
            "policy": draw(st.sampled_from(sorted(POLICIES))),
            "commitment": "1-year",
        }
    )


@st.composite
def all_rates(draw: st.DrawFn) -> tuple[Rates, int]:
    """Draw the rates of a replica, and its number of nodes."""
    gang = draw(gangs)
    on_demand = gang * draw(st.floats(1, 100))
    reserved, spot = draw(st.none() | shares_of_on_demand), draw(st.none() | st.floats(0.05, 1.2))
    return Rates(
        on_demand=on_demand,
        reserved=None if reserved is None else reserved * on_demand,
        spot=None if spot is None else spot * on_demand,
        spot_lost_share=spot_lost_share(gang),
    ), gang


@given(replicas=st.integers(1, 30), gang=gangs, capacity=capacities(), on_sale=offers())
def test_a_serving_fleet_is_bought_whole_and_by_whole_gangs(
    replicas: int, gang: int, capacity: Capacity, on_sale: Offers
) -> None:
    nodes = replicas * gang
    mix = serving_mix(nodes, gang, capacity, on_sale)
    assert mix is not None
    bought = (mix.purchase.reserved_nodes, mix.purchase.spot_nodes, mix.purchase.on_demand_nodes)
    assert sum(bought) == nodes
    assert all(part >= 0 and part % gang == 0 for part in bought)
    if capacity.interruption == "never" or on_sale.spot is None:
        assert mix.purchase.spot_nodes == 0
    assert mix.purchase.spot_nodes <= nodes / 2
    if capacity.reservation == "none" or not on_sale.can_reserve(gang):
        assert mix.purchase.reserved_nodes == 0


@given(nodes=st.integers(1, 256), capacity=capacities(), on_sale=offers(), goodput=st.floats(0.05, 1))
def test_a_gang_in_training_is_bought_in_one_way_and_spot_pays_for_what_it_loses(
    nodes: int, capacity: Capacity, on_sale: Offers, goodput: float
) -> None:
    mix = training_mix(nodes, capacity, on_sale, goodput)
    assert mix is not None and on_sale.on_demand is not None
    bought = (mix.purchase.reserved_nodes, mix.purchase.spot_nodes, mix.purchase.on_demand_nodes)
    assert sorted(bought) == [0, 0, nodes]
    useful_hour = None if on_sale.spot is None else on_sale.spot.usd_per_hour / goodput
    cheaper = useful_hour is not None and useful_hour < on_sale.on_demand.usd_per_hour
    assert (mix.purchase.spot_nodes == nodes) == (capacity.interruption == "tolerate" and cheaper)
    # A run is bought for its window: what is reserved is paid at the on-demand rate, whatever a year would cost
    assert mix.reserved_price in (None, on_sale.on_demand)


def simulated(demand: Demand, shares: Shares, rates: Rates, gang: int, seed: int) -> tuple[SimulatedYear, float]:
    """Return a year, and the cost in USD by which the drawn reclaims differ from the expected ones."""
    year = simulate_year(demand, shares, rates, gang, seed)
    expected = HOURS * demand.mean_units(shares.reserved, shares.reserved + shares.spot) * rates.spot_lost_share
    return year, abs(year.lost_unit_hours - expected) * (rates.spot or 0)


@settings(max_examples=25)
@given(trace=traces, drawn=all_rates(), units=st.integers(1, 30), seed=st.integers(0, 9))
def test_optimal_costs_no_more_than_any_policy_but_for_the_luck_of_reclaims(
    trace: tuple[float, ...], drawn: tuple[Rates, int], units: int, seed: int
) -> None:
    (rates, gang), demand = drawn, Demand.of(trace, units)
    ours, luck = simulated(demand, optimal(demand, rates), rates, gang, seed)
    for policy in (*POLICIES.values(), *BASELINE_POLICIES.values()):
        theirs, their_luck = simulated(demand, policy(demand, rates), rates, gang, seed)
        assert ours.usd - luck <= (theirs.usd + their_luck) * (1 + 1e-9)


@settings(max_examples=25)
@given(
    trace=traces,
    drawn=all_rates(),
    units=st.integers(1, 30),
    cut=st.floats(0.1, 1),
    which=st.sampled_from(["on_demand", "reserved", "spot"]),
    seed=st.integers(0, 9),
)
def test_a_cheaper_price_never_raises_the_simulated_year(
    trace: tuple[float, ...], drawn: tuple[Rates, int], units: int, cut: float, which: str, seed: int
) -> None:
    (rates, gang), demand = drawn, Demand.of(trace, units)
    given_usd = getattr(rates, which)
    cheaper = rates if given_usd is None else replace(rates, **{which: given_usd * cut})
    before, luck = simulated(demand, optimal(demand, rates), rates, gang, seed)
    after, new_luck = simulated(demand, optimal(demand, cheaper), cheaper, gang, seed)
    assert after.usd - new_luck <= (before.usd + luck) * (1 + 1e-9)


@settings(max_examples=25)
@given(trace=traces, drawn=all_rates(), units=st.integers(1, 30), hour=st.integers(0, 23), seed=st.integers(0, 9))
def test_more_hours_in_use_never_cost_less_in_the_simulated_year(
    trace: tuple[float, ...], drawn: tuple[Rates, int], units: int, hour: int, seed: int
) -> None:
    rates, gang = drawn
    fewer = Demand.of(trace, units)
    hourly = list(fewer.hourly_units)
    hourly[hour] = units
    more = Demand(hourly, units)
    before, luck = simulated(fewer, optimal(fewer, rates), rates, gang, seed)
    after, new_luck = simulated(more, optimal(more, rates), rates, gang, seed)
    assert after.usd + new_luck >= (before.usd - luck) * (1 - 1e-9)


@given(trace=traces, drawn=all_rates(), units=st.integers(1, 40), repeats=st.integers(2, 9))
def test_a_longer_demand_of_the_same_shape_keeps_the_mix(
    trace: tuple[float, ...], drawn: tuple[Rates, int], units: int, repeats: int
) -> None:
    rates, _ = drawn
    for policy in POLICIES.values():
        assert policy(Demand.of(trace, units), rates) == policy(Demand.of(trace * repeats, units), rates)


def term(name: str, discount: float | None, bounds: tuple[float, float] | None = None) -> ReservedTerm:
    return ReservedTerm(
        term=name,
        usd_per_hour=None if discount is None else 1 - discount,
        discount=discount,
        breakeven_share=None if discount is None else 1 - discount,
        provenance=None,
        discount_range=bounds,
    )


@settings(max_examples=25)
@given(trace=traces, drawn=all_rates(), units=st.integers(1, 20), one=st.floats(0, 0.6), more=st.floats(0, 0.3))
def test_a_term_never_costs_more_than_no_term_and_a_deeper_one_never_more_than_a_shallow_one(
    trace: tuple[float, ...], drawn: tuple[Rates, int], units: int, one: float, more: float
) -> None:
    rates, gang = drawn
    certain = replace(rates, spot_lost_share=0, spot=None)
    terms, flat = with_years(
        (term("1-year", one), term("3-year", one + more)), Demand.of(trace, units), certain, gang, 0
    )
    slack = 1e-6 * certain.on_demand * units * HOURS
    first, second = (found.year for found in terms)
    assert first is not None and second is not None
    assert first.saved_usd_per_year >= -slack
    assert second.usd_per_year <= first.usd_per_year + slack
    for found, year in zip(terms, (first, second), strict=True):
        assert year.reserved_nodes + year.spot_nodes + year.on_demand_nodes == gang * units
        # Whatever the flat rule buys, the term's own mix is no dearer at the term's rate
        assert found.flat_mix_usd_per_year is not None
        assert year.usd_per_year <= found.flat_mix_usd_per_year + slack
    # The flat rule is right about the money exactly where the term saves what it says
    assert (flat.usd_per_year >= first.usd_per_year - slack) or one < 0.4
    assert second.committed_usd == pytest.approx(
        3 * HOURS * second.reserved_nodes / gang * (1 - one - more) * certain.on_demand, abs=slack
    )


@given(trace=traces, drawn=all_rates(), units=st.integers(1, 20), low=st.floats(0, 0.5), width=st.floats(0, 0.3))
@settings(max_examples=20)
def test_an_unknown_term_is_bounded_by_the_terms_of_others(
    trace: tuple[float, ...], drawn: tuple[Rates, int], units: int, low: float, width: float
) -> None:
    rates, gang = drawn
    certain = replace(rates, spot_lost_share=0, spot=None)
    bounds = (low, low + width)
    (unknown, known), _ = with_years(
        (term("1-year", None, bounds), term("3-year", low + width / 2)), Demand.of(trace, units), certain, gang, 0
    )
    assert unknown.year is None
    assert unknown.year_range_usd is not None and known.year is not None
    least, most = unknown.year_range_usd
    slack = 1e-6 * certain.on_demand * units * HOURS
    assert least - slack <= known.year.usd_per_year <= most + slack


@pytest.mark.parametrize("provider", Catalog.packaged().providers)
@pytest.mark.parametrize(("name", "option", "years"), TERMS)
def test_terms_on_file_save_what_commitments_save(provider: str, name: str, option: Any, years: int) -> None:
    # "Up to 72 %" is the most that AWS's Savings Plans and Azure's reservations promise (aws.amazon.com/savingsplans,
    # azure.microsoft.com/pricing/reserved-vm-instances); longer terms save more.
    found = discount_range(Catalog.packaged().instance_prices, provider, option)
    assert found is not None
    least, most = found
    assert 0.1 < least <= most < 0.72
    if years == 3:
        shorter = discount_range(Catalog.packaged().instance_prices, provider, "reserved-1y")
        assert shorter is not None and least > shorter[0] and most > shorter[1]
