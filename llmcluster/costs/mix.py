"""What `llmcluster mix` prints: ways to buy a planned cluster, side by side."""

from pathlib import Path

from rich import box
from rich.table import Table

from llmcluster.catalog.staleness import warn_of_dates
from llmcluster.terminal import terminal
from planner.compare.purchase_mixes import MixComparison, compare_mixes
from planner.purchase.terms import FlatRule, ReservedTerm, TermYear
from planner.workspace.planning import plan_specs
from provider_catalog.catalog import Catalog


def mix_output(spec: Path, seed: int, as_json: bool, prices: Path | None, term: str | None = None) -> None:
    """Print the comparison for the plan of a spec; a locked plan is taken as it stands.

    Raises:
        SpecError: see `compare_mixes`.
    """
    (planned,) = plan_specs([spec], Catalog.load(), prices)
    warn_of_dates(planned.plan)
    comparison = compare_mixes(planned.plan, planned.catalog, seed, term)
    if as_json:
        print(comparison.model_dump_json(indent=2))
    else:
        _print(comparison)


def _print(mix: MixComparison) -> None:
    screen = terminal()
    spot = "no Spot price" if mix.spot_usd_per_hour is None else f"Spot {mix.spot_usd_per_hour:,.4g} USD"
    screen.rule(f"[bold]{mix.name}[/]", align="left")
    screen.print(
        f"{mix.nodes} x {mix.instance_type} in {mix.region}, bought {mix.gang_nodes} at a time;"
        f" a node and hour cost on-demand {mix.on_demand_usd_per_hour:,.4g} USD, {spot}",
        highlight=False,
    )
    screen.print(_policies(mix) if mix.policies else _run(mix))
    if mix.flat_rule is not None:
        screen.print(_years(mix.terms, mix.flat_rule))
    for term in mix.terms:
        screen.print(f"[bold]{term.term:<9}[/] {_term(term)}", highlight=False)
    if mix.flat_rule is not None:
        screen.print(f"[bold]flat {mix.flat_rule.discount:.0%}[/]  {_flat(mix.flat_rule)}", highlight=False)


def _policies(mix: MixComparison) -> Table:
    rate = "on-demand" if mix.judged_at == "on-demand" else mix.judged_at
    title = (
        f"a simulated year, demand {mix.mean_demand:.0%} of the peak on average (seed {mix.seed}), reserved at the"
        f" {rate} rate"
    )
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title=title, title_justify="left")
    table.add_column("policy")
    for column in ("reserved", "Spot", "on-demand", "USD a year", "against optimal", "reclaims", "node hours lost"):
        table.add_column(column, justify="right")
    for year in mix.policies:
        nodes = (year.reserved_nodes, year.spot_nodes, year.on_demand_nodes)
        lost = (f"{year.interruptions:,}", f"{year.lost_node_hours:,.1f}")
        table.add_row(year.policy, *map(str, nodes), f"{year.usd_per_year:,.0f}", f"{year.above_optimal:+.1%}", *lost)
    return table


def _run(mix: MixComparison) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title="one run", title_justify="left")
    table.add_column("bought")
    for column in ("nodes", "days paid", "USD"):
        table.add_column(column, justify="right")
    table.add_column("")
    for option in mix.run:
        usd = "unknown" if option.usd is None else f"{option.usd:,.0f}"
        table.add_row(option.option, str(option.nodes), f"{option.days:,.1f}", usd, option.note)
    return table


def _years(terms: tuple[ReservedTerm, ...], flat: FlatRule) -> Table:
    """The cheapest mix at each known term, and what the flat rule makes of the same demand."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title="optimal at each term", title_justify="left")
    table.add_column("term")
    for column in ("below on-demand", "pays from", "reserved", "Spot", "on-demand", "USD a year", "saved by it"):
        table.add_column(column, justify="right")
    table.add_column("against flat", justify="right")
    table.add_column("signed for", justify="right")

    def row(name: str, discount: float, year: TermYear, against: str) -> None:
        nodes = (year.reserved_nodes, year.spot_nodes, year.on_demand_nodes)
        money = (f"{year.usd_per_year:,.0f}", f"{year.saved_usd_per_year:,.0f}", against, f"{year.committed_usd:,.0f}")
        table.add_row(name, f"{discount:.1%}", f"{1 - discount:.1%}", *map(str, nodes), *money)

    for term in terms:
        if term.year is not None and term.discount is not None:
            row(term.term, term.discount, term.year, f"{term.year.usd_per_year - flat.usd_per_year:+,.0f}")
    row(f"flat {flat.discount:.0%}", flat.discount, flat, "")
    return table


def _term(term: ReservedTerm) -> str:
    if term.usd_per_hour is None or term.discount is None or term.provenance is None:
        return _unknown(term)
    against = f"{abs(term.discount):.1%} {'less' if term.discount >= 0 else 'more'} than on-demand"
    price = f"{term.usd_per_hour:,.4g} USD a node and hour, nothing up front, {against}"
    source = f"{term.provenance.source} ({term.provenance.as_of}, {term.provenance.kind})"
    if term.flat_mix_usd_per_year is None:
        return f"{price}; pays from {term.breakeven_share:.1%} of the hours in use; {source}"
    return f"{price}; the mix of the flat rule would cost {term.flat_mix_usd_per_year:,.0f} USD at it; {source}"


def _unknown(term: ReservedTerm) -> str:
    said = "rate unknown: no public source"
    if term.discount_range is None:
        return said
    least, most = term.discount_range
    said += f"; other types of this cloud save {least:.1%} to {most:.1%} at this term"
    if term.year_range_usd is None:
        return said
    low, high = term.year_range_usd
    return f"{said}, which would make {low:,.0f} to {high:,.0f} USD a year (an estimate)"


def _flat(flat: FlatRule) -> str:
    return "what the hardware guide puts on everything reserved; no offer, so nothing is planned with it"
