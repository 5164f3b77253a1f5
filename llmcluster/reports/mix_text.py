"""The report of `llmcluster mix`: ways to buy a planned cluster, side by side."""

from typing import Final

from rich.table import Table

from llmcluster.reports.tables import report_table
from llmcluster.reports.terminal import terminal
from planner.compare.purchase_mixes import MixComparison
from planner.purchase.terms import FlatRule, ReservedTerm, TermYear

FLAT_RULE: Final = "the hardware guide's discount for all reserved nodes; no cloud offers it, so no plan uses it"


def print_mix(mix: MixComparison) -> None:
    """Prints the comparison of ways to buy a planned cluster."""
    screen = terminal()
    spot = "no Spot price" if mix.spot_usd_per_hour is None else f"Spot {mix.spot_usd_per_hour:,.4g} USD"
    screen.rule(f"[bold]{mix.name}[/]", align="left")
    if mix.price_ages:
        screen.print(f"[yellow]{mix.price_ages}[/]", highlight=False)
    screen.print(
        f"{mix.nodes} x {mix.instance_type} in {mix.region}; smallest purchase: {_count(mix.gang_nodes, 'node')};"
        f" price of a node-hour: on-demand {mix.on_demand_usd_per_hour:,.4g} USD, {spot}",
        highlight=False,
    )
    screen.print(_policies(mix) if mix.policies else _run(mix))
    if mix.flat_rule is not None:
        screen.print(_years(mix.terms, mix.flat_rule))
    for term in mix.terms:
        screen.print(f"[bold]{term.term:<9}[/] {_term(term)}", highlight=False)
    if mix.flat_rule is not None:
        screen.print(f"[bold]flat {mix.flat_rule.discount:.0%}[/]  {FLAT_RULE}", highlight=False)


def _policies(mix: MixComparison) -> Table:
    rate = "on-demand" if mix.judged_at == "on-demand" else mix.judged_at
    title = (
        f"a simulated year (seed {mix.seed}): demand averages {mix.mean_demand:.0%} of its peak, reserved nodes are"
        f" billed at the {rate} rate"
    )
    headings = ("policy", "reserved", "Spot", "on demand", "USD/year", "above optimal", "stops", "lost node hours")
    rows = [
        (
            year.policy,
            *(f"{nodes:,}" for nodes in (year.reserved_nodes, year.spot_nodes, year.on_demand_nodes)),
            f"{year.usd_per_year:,.0f}",
            f"{year.above_optimal:+.1%}",
            f"{year.interruptions:,}",
            f"{year.lost_node_hours:,.1f}",
        )
        for year in mix.policies
    ]
    return report_table(headings, rows, texts=(0,), title=title)


def _run(mix: MixComparison) -> Table:
    rows = [
        (
            option.option,
            f"{option.nodes:,}",
            f"{option.days:,.1f}",
            "unknown" if option.usd is None else f"{option.usd:,.0f}",
            option.note,
        )
        for option in mix.run
    ]
    title = "ways to buy the nodes of one run"
    return report_table(("purchase", "nodes", "days paid", "USD", ""), rows, texts=(0, 4), title=title)


def _years(terms: tuple[ReservedTerm, ...], flat: FlatRule) -> Table:
    """Returns the cheapest mix at each term with a known price, and the mix of the flat rule on the same demand."""
    headings = ("term", "discount", "nodes", "USD/year", "savings", "vs flat rule", "USD committed")

    def row(name: str, discount: float, year: TermYear, against: str) -> tuple[str, ...]:
        kinds = {"reserved": year.reserved_nodes, "Spot": year.spot_nodes, "on-demand": year.on_demand_nodes}
        nodes = ", ".join(f"{count:,} {kind}" for kind, count in kinds.items() if count)
        money = (f"{year.usd_per_year:,.0f}", f"{year.saved_usd_per_year:,.0f}", against, f"{year.committed_usd:,.0f}")
        return (name, f"{discount:.1%}", nodes, *money)

    rows = [
        row(term.term, term.discount, term.year, f"{term.year.usd_per_year - flat.usd_per_year:+,.0f}")
        for term in terms
        if term.year is not None and term.discount is not None
    ]
    rows.append(row(f"flat {flat.discount:.0%}", flat.discount, flat, ""))
    return report_table(headings, rows, texts=(0, 2), title="cheapest mix at each term")


def _term(term: ReservedTerm) -> str:
    if term.usd_per_hour is None or term.discount is None or term.provenance is None:
        return _unknown(term)
    against = f"{abs(term.discount):.1%} {'less' if term.discount >= 0 else 'more'} than on-demand"
    price = f"{term.usd_per_hour:,.4g} USD per node-hour, no upfront payment, {against}"
    source = f"{term.provenance.source} ({term.provenance.as_of}, {term.provenance.kind})"
    price += f"; pays off when a node is in use more than {term.breakeven_share:.1%} of the hours"
    if term.flat_mix_usd_per_year is None:
        return f"{price}; {source}"
    flat = f"the mix of the flat rule would cost {term.flat_mix_usd_per_year:,.0f} USD/year at this rate"
    return f"{price}; {flat}; {source}"


def _unknown(term: ReservedTerm) -> str:
    text = "rate unknown: no public source"
    if term.discount_range is None:
        return text
    least, most = term.discount_range
    text += f"; other instance types of this cloud are {least:.1%} to {most:.1%} cheaper at this term"
    if term.year_range_usd is None:
        return text
    low, high = term.year_range_usd
    return f"{text}, at which the year would cost {low:,.0f} to {high:,.0f} USD (an estimate)"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
