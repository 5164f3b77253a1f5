"""Yearly cost of a serving fleet under each commitment term, and under the flat discount of the hardware guide."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final

from planner.plan.base import PlanModel
from planner.purchase.policy import Demand, Rates, Shares, optimal
from planner.purchase.simulation import simulate_year
from provider_catalog.catalog import Catalog
from provider_catalog.facts import Provenance
from provider_catalog.prices import InstancePrice, PurchaseOption
from provider_catalog.purchase_kinds import COMMITMENT_YEARS, COMMITTED_OPTIONS
from provider_catalog.units import HOURS_PER_YEAR

FLAT_DISCOUNT: Final = 0.40
"""Discount on on-demand that the hardware guide assumes for all reserved capacity. It is compared with, never used."""
TERMS: Final[tuple[tuple[str, PurchaseOption, int], ...]] = tuple(
    (term, option, COMMITMENT_YEARS[term]) for term, option in COMMITTED_OPTIONS.items()
)
"""Name, price option and years of each term."""


class TermYear(PlanModel):
    """The cheapest mix at one rate for reserved nodes, and the cost of its simulated year."""

    reserved_nodes: int
    spot_nodes: int
    on_demand_nodes: int
    usd_per_year: float
    saved_usd_per_year: float
    """Saving over the cheapest mix for the same demand without a commitment."""
    committed_usd: float
    """Cost of the reserved nodes over the whole term, billed in idle hours too."""


class FlatRule(TermYear):
    """Year of the cheapest mix if reserved capacity cost 40 % less, as the hardware guide assumes."""

    discount: float = FLAT_DISCOUNT


class ReservedTerm(PlanModel):
    """A commitment term: its rate, its saving, and the error of the flat discount."""

    term: str
    usd_per_hour: float | None
    """Price of a node-hour with no upfront payment; None if unknown."""
    discount: float | None
    """Discount on the on-demand price, as a fraction."""
    breakeven_share: float | None
    """Share of hours in use above which the commitment costs less than on-demand."""
    provenance: Provenance | None
    discount_range: tuple[float, float] | None = None
    """Smallest and largest discount of other types of the cloud at this term; given where the rate is unknown."""
    year: TermYear | None = None
    """Simulated year of a serving fleet at the known rate; None if unknown or for training."""
    year_range_usd: tuple[float, float] | None = None
    """Yearly cost of the cheapest serving mix at both ends of `discount_range`; given where the rate is unknown."""
    flat_mix_usd_per_year: float | None = None
    """Yearly cost of the mix chosen under the flat discount, billed at the real rate."""


def reserved_terms(catalog: Catalog, place: tuple[str, str, str], zone: str | None) -> tuple[ReservedTerm, ...]:
    """Returns all terms of one instance type in one region, with or without a known rate.

    Args:
        catalog: The catalog with prices.
        place: Provider, region and instance type.
        zone: Availability zone; None for any.
    """
    on_demand = catalog.prices.instance(*place, "on-demand", zone)
    terms = []
    for name, option, _ in TERMS:
        price = catalog.prices.instance(*place, option, zone)
        ratio = None if price is None or on_demand is None else price.usd_per_hour / on_demand.usd_per_hour
        terms.append(
            ReservedTerm(
                term=name,
                usd_per_hour=None if price is None else price.usd_per_hour,
                discount=None if ratio is None else 1 - ratio,
                breakeven_share=ratio,
                provenance=None if price is None else price.provenance,
                discount_range=discount_range(catalog.instance_prices, place[0], option) if price is None else None,
            )
        )
    return tuple(terms)


def discount_range(
    prices: Iterable[InstancePrice], provider: str, option: PurchaseOption
) -> tuple[float, float] | None:
    """Returns the smallest and largest discount of a term over all types and regions of a cloud; None without any."""
    found: dict[tuple[str, str], dict[PurchaseOption, float]] = {}
    for price in prices:
        if price.provider == provider and price.option in (option, "on-demand"):
            offered = found.setdefault((price.region, price.instance_type), {})
            offered[price.option] = min(price.usd_per_hour, offered.get(price.option, price.usd_per_hour))
    saved = [1 - both[option] / both["on-demand"] for both in found.values() if len(both) == 2]
    return (min(saved), max(saved)) if saved else None


def with_years(
    terms: tuple[ReservedTerm, ...], demand: Demand, rates: Rates, gang: int, seed: int
) -> tuple[tuple[ReservedTerm, ...], FlatRule]:
    """Adds to each term the year of its cheapest mix, and returns the year of the flat discount on the same demand.

    Args:
        terms: The terms from `reserved_terms`.
        demand: Replicas in use by the hour.
        rates: Prices of one replica; the reserved rate is replaced by that of each term. A commitment affects only the
            bill and reserves no capacity.
        gang: Nodes of one replica.
        seed: Seed of the simulated reclaims.
    """
    fleet = _Fleet(demand, rates, gang, seed)
    flat_rate = (1 - FLAT_DISCOUNT) * rates.on_demand
    flat = FlatRule(**fleet.year(flat_rate, 1).model_dump())

    def completed(term: ReservedTerm, years: int) -> ReservedTerm:
        if term.discount is not None:
            rate = (1 - term.discount) * rates.on_demand
            billed = fleet.usd(fleet.mix(flat_rate), rate)
            return term.model_copy(update={"year": fleet.year(rate, years), "flat_mix_usd_per_year": billed})
        if term.discount_range is None:
            return term
        least, most = (
            fleet.year((1 - discount) * rates.on_demand, years).usd_per_year for discount in term.discount_range
        )
        return term.model_copy(update={"year_range_usd": (most, least)})

    return tuple(completed(term, years) for term, (_, _, years) in zip(terms, TERMS, strict=True)), flat


@dataclass(frozen=True)
class _Fleet:
    """A demand and its rates; the reserved rate is a parameter of each method."""

    demand: Demand
    rates: Rates
    gang: int
    seed: int

    def mix(self, reserved: float | None) -> Shares:
        return optimal(self.demand, replace(self.rates, reserved=reserved))

    def usd(self, shares: Shares, reserved: float | None) -> float:
        rates = replace(self.rates, reserved=reserved)
        return round(simulate_year(self.demand, shares, rates, self.gang, self.seed).usd, 6)

    @cached_property
    def uncommitted_usd(self) -> float:
        """Yearly cost of the cheapest mix without a commitment."""
        return self.usd(self.mix(None), None)

    def year(self, reserved: float, years: int) -> TermYear:
        shares = self.mix(reserved)
        usd = self.usd(shares, reserved)
        return TermYear(
            reserved_nodes=self.gang * shares.reserved,
            spot_nodes=self.gang * shares.spot,
            on_demand_nodes=self.gang * shares.on_demand,
            usd_per_year=usd,
            saved_usd_per_year=round(self.uncommitted_usd - usd, 6),
            committed_usd=shares.reserved * reserved * HOURS_PER_YEAR * years,
        )
