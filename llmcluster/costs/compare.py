"""What `llmcluster compare` prints: clouds against servers of one's own, and published claims from their parts."""

import json
from pathlib import Path

from rich import box
from rich.table import Table

from llmcluster.terminal import terminal
from planner.compare.clouds import PlacementComparison, PlacementOption, compare_placements
from planner.compare.worked_examples import AMD_CLAIM, GuideExample, PeerComparison, guide_example, peer_comparisons
from planner.errors import SpecError
from planner.workspace.specs import load_spec, priced_catalog
from provider_catalog.catalog import Catalog
from provider_catalog.facts import CatalogError
from provider_catalog.on_prem import load_on_prem, with_own_figures


def compare_output(
    spec: Path | None,
    *,
    grid: str | None,
    guide: bool,
    peers: bool,
    as_json: bool,
    prices: Path | None,
    own: Path | None = None,
) -> None:
    """Print a comparison for a spec, the guide's 13B example, AMD against NVIDIA, or several of them.

    Raises:
        SpecError: nothing was asked for, or the spec or the grid is wrong.
    """
    if spec is None and not (guide or peers):
        raise SpecError("give a spec to compare, or --guide for the 13B example, or --peers for AMD against NVIDIA")
    catalog = Catalog.load()
    on_prem = load_on_prem(catalog)
    if own is not None:
        try:
            on_prem = with_own_figures(on_prem, own, catalog)
        except CatalogError as error:
            raise SpecError(f"--own: {error}") from error
    compared = None
    if spec is not None:
        loaded = load_spec(spec)
        catalog = priced_catalog(catalog, loaded, prices)
        compared = compare_placements(loaded.spec, loaded.architecture, catalog, on_prem, grid)
    example = guide_example(catalog, on_prem) if guide else None
    amd = peer_comparisons(catalog, on_prem) if peers else ()
    if as_json:
        document = {
            "comparison": None if compared is None else compared.model_dump(mode="json"),
            "guide": None if example is None else example.model_dump(mode="json"),
            "peers": [each.model_dump(mode="json") for each in amd],
        }
        print(json.dumps(document, indent=2))
        return
    if compared is not None:
        _print_comparison(compared)
    if example is not None:
        _print_guide(example)
    if amd:
        _print_peers(amd)


def _print_comparison(found: PlacementComparison) -> None:
    screen = terminal()
    screen.rule(f"[bold]{found.name}[/]: a {found.period}, {found.utilisation:.0%} in use", align="left")
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("where")
    table.add_column("machines, or why not")
    columns = [f"USD a {found.period}", "range", "breaks even after"] + (["t CO2"] if found.grid else [])
    for column in columns:
        table.add_column(column, justify="right")
    for option in sorted(found.options, key=lambda each: (not each.feasible, each.compared_usd)):
        cells = [_usd(option.usd) if option.feasible else "", _bounds(option), _break_even(option)]
        if found.grid:
            cells.append("" if option.co2_tonnes is None else f"{option.co2_tonnes:,.1f}")
        table.add_row(option.name, option.machines, *cells)
    screen.print(table)
    for option in found.options:
        if option.own_cost is not None:
            screen.print(f"[bold]{option.name}[/]: {_parts(option)}", highlight=False)
    for option in found.options:
        for note in option.notes:
            screen.print(f"[yellow]note[/] {option.name}: {note}", highlight=False)
    for note in found.notes:
        screen.print(f"[yellow]note[/] {note}", highlight=False)


def _usd(amount: float | None) -> str:
    return "unknown" if amount is None else f"{amount:,.0f}"


def _bounds(option: PlacementOption) -> str:
    if option.low_usd is None or option.high_usd is None:
        return ""
    return f"{option.low_usd:,.0f} to {option.high_usd:,.0f}"


def _break_even(option: PlacementOption) -> str:
    if not option.own or option.own_cost is None:
        return ""
    return "never" if option.break_even_months is None else f"{option.break_even_months:,.0f} months"


def _parts(option: PlacementOption) -> str:
    cost = option.own_cost
    if cost is None:
        return ""
    return (
        f"{cost.purchase_usd:,.0f} USD to buy; a year: depreciation {cost.depreciation_usd:,.0f}, support"
        f" {cost.support_usd:,.0f}, electricity {cost.electricity_usd:,.0f}, colocation {cost.colocation_usd:,.0f},"
        f" staff {cost.staff_usd:,.0f}, model updates {cost.model_updates_usd:,.0f}"
    )


def _print_guide(found: GuideExample) -> None:
    screen = terminal()
    screen.rule("[bold]the hardware guide's 13B model for a year[/]", align="left")
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("part", "USD a year"):
        table.add_column(column, justify="left" if column == "part" else "right")
    own = found.own
    table.add_row(f"cloud, as claimed: {found.cloud_usd_per_gpu_hour:.2f} USD a GPU hour", f"{found.cloud_usd:,.0f}")
    for rate in found.rates:
        where = f"{rate.instance_type}, {rate.region} ({rate.as_of})"
        table.add_row(f"  {where}: {rate.usd_per_gpu_hour:.2f}", f"{rate.usd_per_year:,.0f}")
    table.add_row("own, as claimed", f"{found.claimed_own_usd:,.0f}")
    years = own.purchase_usd / own.depreciation_usd if own.depreciation_usd else 0
    table.add_row(f"  depreciation of {own.purchase_usd:,.0f} in {years:.3g} years", f"{own.depreciation_usd:,.0f}")
    for name in ("support", "electricity", "colocation", "staff"):
        table.add_row(f"  {name}", f"{getattr(own, f'{name}_usd'):,.0f}")
    table.add_row(f"  sum, {found.own_low_usd:,.0f} to {found.own_high_usd:,.0f}", f"{found.own_usd:,.0f}")
    screen.print(table)
    months = "never" if found.break_even_months is None else f"after {found.break_even_months:.0f} months"
    lines = (
        f"breaks even {months}",
        f"holds while the GPUs are in use more than {found.break_even_utilisation:.0%} of the hours",
        f"holds while a GPU hour costs more than {found.break_even_usd_per_gpu_hour:.2f} USD in the cloud",
        f"holds while the servers take less than {found.staff_fte_at_break_even:.2f} of a member of staff",
    )
    for line in lines:
        screen.print(line, highlight=False)


def _print_peers(peers: tuple[PeerComparison, ...]) -> None:
    screen = terminal()
    screen.rule(f"[bold]AMD against NVIDIA: {AMD_CLAIM:.0%} cheaper at equal compute?[/]", align="left")
    for peer in peers:
        screen.print(f"[bold]{peer.amd} against {peer.nvidia}[/]: {peer.peak_ratio:.2f} of its peak", highlight=False)
        if peer.cost_at_equal_peak is None or peer.efficiency_for_claim is None or peer.amd_usd_per_year is None:
            screen.print("  no price of the server is public: the claim cannot be worked", highlight=False)
        else:
            verdict = "holds" if peer.cost_at_equal_peak <= 1 - AMD_CLAIM else "does not hold"
            screen.print(
                f"  {peer.amd_usd_per_year:,.0f} against {peer.nvidia_usd_per_year:,.0f} USD a year:"
                f" {peer.cost_at_equal_peak:.2f} of the cost at equal peak; the claim {verdict} there, and as long as"
                f" it reaches {peer.efficiency_for_claim:.0%} of the share of peak that NVIDIA's does",
                highlight=False,
            )
        screen.print(
            f"  at equal peak the claim holds up to {peer.amd_price_for_claim_usd:,.0f} USD for the server",
            highlight=False,
        )
