"""What a year of a serving fleet costs under a real commitment, and under the hardware guide's one figure for all."""

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
"""The hardware guide's one figure for everything reserved: 40 % less than on-demand. Compared with, never used."""
TERMS: Final[tuple[tuple[str, PurchaseOption, int], ...]] = tuple(
    (term, option, COMMITMENT_YEARS[term]) for term, option in COMMITTED_OPTIONS.items()
)
"""Name, price option and years of each term."""


class TermYear(PlanModel):
    """The cheapest mix under a rate for what is reserved, and its simulated year."""

    reserved_nodes: int
    spot_nodes: int
    on_demand_nodes: int
    usd_per_year: float
    saved_usd_per_year: float
    """Against the same demand with nothing committed."""
    committed_usd: float
    """Signed for: what the reserved nodes cost over the whole term, in use or not."""


class FlatRule(TermYear):
    """The year of `optimal` if reserved capacity cost 40 % less, as the hardware guide has it."""

    discount: float = FLAT_DISCOUNT


class ReservedTerm(PlanModel):
    """A commitment: its rate, what it saves, and what the flat rule gets wrong about it."""

    term: str
    usd_per_hour: float | None
    """Per node, nothing paid up front; None: no source knows it."""
    discount: float | None
    """Against on-demand."""
    breakeven_share: float | None
    """Of the hours, in use, from which on it costs less than on-demand."""
    provenance: Provenance | None
    discount_range: tuple[float, float] | None = None
    """Least and most that other types of the cloud save at this term: an estimate where the rate is unknown."""
    year: TermYear | None = None
    """Serving, at a known rate."""
    year_range_usd: tuple[float, float] | None = None
    """Serving, at an unknown rate: the year of the cheapest mix at both ends of `discount_range`."""
    flat_mix_usd_per_year: float | None = None
    """The mix that the flat rule buys, billed at the real rate."""


def reserved_terms(catalog: Catalog, place: tuple[str, str, str], zone: str | None) -> tuple[ReservedTerm, ...]:
    """The terms of one instance type in one region, known or not; `place` is provider, region, type."""
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
    """Least and most that a term saves against on-demand, over all types and regions of a cloud; None without any."""
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
    """Each term with the year of its cheapest mix, and the flat rule's, all on the same simulated demand.

    Args:
        terms: From `reserved_terms`.
        demand: Replicas in use by the hour.
        rates: Of one replica; what is reserved is set here. A commitment is a matter of the bill: it takes no
            reservation of capacity.
        gang: Nodes of a replica.
        seed: Of the simulated reclaims.
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
    """A demand and its rates, but for that of what is reserved."""

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
        """The year with nothing committed."""
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
