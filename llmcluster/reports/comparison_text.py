"""The report of `llmcluster compare`: clouds against servers of your own, and published cost claims recomputed."""

import json

from llmcluster.reports.tables import report_table
from llmcluster.reports.terminal import terminal
from planner.compare.placements import PlacementComparison, PlacementOption
from planner.compare.worked_examples import AMD_CLAIM, GuideExample, PeerComparison


def print_comparisons(
    compared: PlacementComparison | None, guide: GuideExample | None, peers: tuple[PeerComparison, ...], as_json: bool
) -> None:
    """Prints those of the three comparisons that there are, as text or as one JSON document."""
    if as_json:
        document = {
            "comparison": None if compared is None else compared.model_dump(mode="json"),
            "guide": None if guide is None else guide.model_dump(mode="json"),
            "peers": [each.model_dump(mode="json") for each in peers],
        }
        print(json.dumps(document, indent=2))
        return
    if compared is not None:
        _print_comparison(compared)
    if guide is not None:
        _print_guide(guide)
    if peers:
        _print_peers(peers)


def _print_comparison(found: PlacementComparison) -> None:
    screen = terminal()
    screen.rule(f"[bold]{found.name}[/]: cost per {found.period} at {found.utilisation:.0%} utilisation", align="left")
    if found.price_ages:
        screen.print(f"[yellow]{found.price_ages}[/]", highlight=False)
    headings = ["place", "machines, or why there are none", f"USD/{found.period}", "range", "breaks even after"]
    rows = []
    for option in sorted(found.options, key=lambda each: (not each.feasible, each.compared_usd)):
        cells = [_usd(option.usd) if option.feasible else "", _bounds(option), _break_even(option)]
        if found.grid:
            cells.append("" if option.co2_tonnes is None else f"{option.co2_tonnes:,.1f}")
        rows.append((option.name, option.machines, *cells))
    if found.grid:
        headings.append("t CO2")
    table = report_table(headings, rows, texts=(0, 1, 3, 4), right=(3, 4))
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
        f"purchase {cost.purchase_usd:,.0f} USD; per year: depreciation {cost.depreciation_usd:,.0f}, support"
        f" {cost.support_usd:,.0f}, electricity {cost.electricity_usd:,.0f}, colocation {cost.colocation_usd:,.0f},"
        f" staff {cost.staff_usd:,.0f}, model updates {cost.model_updates_usd:,.0f}"
    )


def _print_guide(found: GuideExample) -> None:
    screen = terminal()
    screen.rule("[bold]the hardware guide's example: a 13B model for one year[/]", align="left")
    own = found.own
    years = own.purchase_usd / own.depreciation_usd if own.depreciation_usd else 0
    rows = [
        (f"cloud, guide's claim: {found.cloud_usd_per_gpu_hour:.2f} USD per GPU-hour", f"{found.cloud_usd:,.0f}"),
        *(
            (
                f"  {rate.instance_type}, {rate.region} ({rate.as_of}): {rate.usd_per_gpu_hour:.2f}",
                f"{rate.usd_per_year:,.0f}",
            )
            for rate in found.rates
        ),
        ("own servers, guide's claim", f"{found.claimed_own_usd:,.0f}"),
        (f"  depreciation of {own.purchase_usd:,.0f} over {years:.3g} years", f"{own.depreciation_usd:,.0f}"),
        *(
            (f"  {name}", f"{getattr(own, f'{name}_usd'):,.0f}")
            for name in ("support", "electricity", "colocation", "staff")
        ),
        (f"  sum, range {found.own_low_usd:,.0f} to {found.own_high_usd:,.0f}", f"{found.own_usd:,.0f}"),
    ]
    table = report_table(("part", "USD/year"), rows, texts=(0,))
    screen.print(table)
    months = "never" if found.break_even_months is None else f"after {found.break_even_months:.0f} months"
    lines = (
        f"own servers break even: {months}",
        f"they are cheaper while the GPUs are in use more than {found.break_even_utilisation:.0%} of the hours",
        f"they are cheaper while a GPU-hour costs more than {found.break_even_usd_per_gpu_hour:.2f} USD in the cloud",
        f"they are cheaper while running them takes less than {found.staff_fte_at_break_even:.2f} full-time staff",
    )
    for line in lines:
        screen.print(line, highlight=False)


def _print_peers(peers: tuple[PeerComparison, ...]) -> None:
    screen = terminal()
    screen.rule(f"[bold]Is AMD {AMD_CLAIM:.0%} cheaper than NVIDIA at equal compute?[/]", align="left")
    for peer in peers:
        screen.print(
            f"[bold]{peer.amd} against {peer.nvidia}[/]: {peer.peak_ratio:.2f} times its peak FLOPS", highlight=False
        )
        if peer.cost_at_equal_peak is None or peer.efficiency_for_claim is None or peer.amd_usd_per_year is None:
            screen.print("  the server has no public price, so the claim cannot be checked", highlight=False)
        else:
            verdict = "holds" if peer.cost_at_equal_peak <= 1 - AMD_CLAIM else "does not hold"
            screen.print(
                f"  {peer.amd_usd_per_year:,.0f} against {peer.nvidia_usd_per_year:,.0f} USD/year:"
                f" {peer.cost_at_equal_peak:.2f} times the cost at equal peak FLOPS; the claim {verdict} there. It"
                f" needs AMD to reach {peer.efficiency_for_claim:.0%} of NVIDIA's efficiency (achieved share of peak)",
                highlight=False,
            )
        screen.print(
            f"  at equal peak FLOPS the claim holds up to a server price of {peer.amd_price_for_claim_usd:,.0f} USD",
            highlight=False,
        )
