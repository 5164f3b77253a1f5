"""What `llmcluster mix` prints: ways to buy a planned cluster, side by side."""

from pathlib import Path

from rich import box
from rich.table import Table

from llmcluster.catalog.staleness import warn_of_age
from llmcluster.report import console
from planner.mix_comparison import FLAT_DISCOUNT, MixComparison, ReservedTerm, compare_mixes
from provider_catalog.catalog import Catalog
from stacks.planning import plan_specs
from stacks.specs import load_spec, priced_catalog


def mix_output(spec: Path, seed: int, as_json: bool, prices: Path | None) -> None:
    """Print the comparison for the plan of a spec; a locked plan is taken as it stands.

    Raises:
        SpecError: see `compare_mixes`.
    """
    catalog = priced_catalog(Catalog.load(), load_spec(spec), prices)
    decided = plan_specs([spec], catalog)[0].plan
    warn_of_age(decided)
    comparison = compare_mixes(decided, catalog, seed)
    if as_json:
        print(comparison.model_dump_json(indent=2))
    else:
        _print(comparison)


def _print(mix: MixComparison) -> None:
    screen = console()
    spot = "no Spot price" if mix.spot_usd_per_hour is None else f"Spot {mix.spot_usd_per_hour:,.4g}"
    screen.rule(f"[bold]{mix.name}[/]", align="left")
    screen.print(
        f"{mix.nodes} x {mix.instance_type} in {mix.region}, bought {mix.gang_nodes} at a time;"
        f" on-demand {mix.on_demand_usd_per_hour:,.4g}, {spot} USD a node and hour",
        highlight=False,
    )
    screen.print(_policies(mix) if mix.policies else _run(mix))
    for term in mix.terms:
        screen.print(f"[bold]{term.term:<12}[/] {_term(term)}", highlight=False)
    if mix.flat_discount_usd_per_year is not None:
        flat, ours = mix.flat_discount_usd_per_year, mix.policies[0].usd_per_year
        screen.print(
            f"[bold]flat {FLAT_DISCOUNT:.0%}[/]     if all that is reserved cost as the hardware guide has it:"
            f" {flat:,.0f} USD a year, {ours - flat:+,.0f} USD at the terms above",
            highlight=False,
        )


def _policies(mix: MixComparison) -> Table:
    title = f"a simulated year, demand {mix.mean_demand:.0%} of the peak on average (seed {mix.seed})"
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


def _term(term: ReservedTerm) -> str:
    if term.usd_per_hour is None or term.discount is None or term.provenance is None:
        return "price unknown: no public source"
    source = f"{term.provenance.source} ({term.provenance.as_of}, {term.provenance.kind})"
    return (
        f"{term.usd_per_hour:,.4g} USD a node and hour, {term.discount:.0%} less than on-demand; pays from"
        f" {term.breakeven_share:.0%} of the hours in use; {source}"
    )
