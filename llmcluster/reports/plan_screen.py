"""The default screen of `llmcluster plan`: the decision on about 20 lines of 80 columns; `--detail` prints the rest."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

from rich.console import Console

from llmcluster.reports.plan_targets import Target, targets
from llmcluster.reports.plan_words import bill_words, bought, cache_words, layout_words, short_usd, title
from llmcluster.reports.terminal import plain, terminal
from planner.cost.price_ages import compute_as_of, price_ages
from planner.market.place import place_of
from planner.plan.alternatives import Alternative
from planner.plan.performance import InferencePerformance
from planner.plan.plan import Plan
from planner.relax.cheaper import CheaperPlan, bill_usd
from planner.search.quotas import needed_quotas
from planner.search.spot_advice import NO_SPOT
from planner.spec import InferenceWorkload
from provider_catalog.catalog import Catalog
from provider_catalog.price_dates import STALE_DAYS, days_apart
from provider_catalog.scenarios import PREFIX

WIDTH: Final = 80
"""Columns of the screen, also where the terminal is wider: short lines are read faster."""
LABEL_COLUMNS: Final = 8
RUNNERS_UP: Final = 3
SEPARATOR: Final = " · "
HELPS_SHOWN: Final = 3


def print_plan_screen(
    plan: Plan, catalog: Catalog, spec: Path, cheaper: Sequence[CheaperPlan] = (), changes: Sequence[str] = ()
) -> None:
    """Prints what to buy, its cost, whether it meets its targets, cheaper changes, checks and the next commands.

    Args:
        plan: The plan.
        catalog: Facts and prices that it was made with.
        spec: Path of its spec, as the user gave it.
        cheaper: Cheaper plans of one change each.
        changes: Changes of the spec, any of which makes a plan meet its targets that misses them now.
    """
    screen = terminal()
    screen.width = min(screen.width, WIDTH)
    met = tuple(targets(plan))
    missed = [target for target in met if not target.holds]
    for target in missed:
        _print(screen, f"[red]✗ {target.verdict}[/]")
    _print_title(screen, plan, met)
    compared = {plan.choice.instance_type: compute_as_of(plan.cost)}
    compared |= {f"{other.instance_type} in {other.region}": other.price_as_of for other in plan.alternatives}
    if (ages := price_ages(compared)) is not None:
        _print_hanging(screen, "  ", 2, f"[yellow]{ages}[/]")
    _print_rows(screen, _decision_rows(plan, met))
    if changes:
        _print(screen, "\n  [bold]What would help[/], one change each")
        for change in changes[:HELPS_SHOWN]:
            _print_hanging(screen, " " * 4, 4, change)
    _print_cheaper(screen, plan, cheaper)
    others = _others(plan, screen.width - 2 - LABEL_COLUMNS)
    if others:
        _print(screen, "")
        _print_rows(screen, [("Others", others)])
    _print(screen, "")
    checks = [("Check" if index == 0 else "", text) for index, text in enumerate(_checks(plan, catalog))]
    _print_rows(screen, checks)
    for index, command in enumerate(_next(plan, spec)):
        # A command is copied: it is never broken, however long the path is.
        _print(screen, f"  [bold]{'Next' if index == 0 else '':<{LABEL_COLUMNS}}[/]{command}", whole=True)


def _print(screen: Console, markup: str, *, whole: bool = False) -> None:
    screen.print(plain(screen, markup), highlight=False, soft_wrap=whole)


def _print_rows(screen: Console, rows: Iterable[tuple[str, str]]) -> None:
    """Prints labels and texts in two columns; a long text goes on below itself."""
    for label, text in rows:
        _print_hanging(screen, f"  [bold]{label:<{LABEL_COLUMNS}}[/]", 2 + LABEL_COLUMNS, text)


def _print_hanging(screen: Console, label: str, columns: int, markup: str) -> None:
    """Prints a label of so many columns, and beside it a text that is wrapped at words."""
    lines = screen.render_str(plain(screen, markup)).wrap(screen, screen.width - columns)
    for index, line in enumerate(lines):
        line.rstrip()
        screen.print(screen.render_str(label if index == 0 else " " * columns) + line, highlight=False)


def _print_title(screen: Console, plan: Plan, met: Sequence[Target]) -> None:
    """Prints name and task, and the verdict at the right end where everything holds."""
    name, task = f"[bold]{plan.name}[/]", title(plan)
    if not met or not all(target.holds for target in met):
        _print(screen, f"{name}  {task}")
        return
    verdict = f"✓ meets {_listed([target.name for target in met])}"
    left = len(plan.name) + 2 + len(title(plan))
    gap = screen.width - left - len(plain(screen, verdict))
    _print(screen, f"{name}  {task}{' ' * gap if gap > 1 else chr(10) + '  '}[green]{verdict}[/]")


def _listed(names: Sequence[str]) -> str:
    unique = list(dict.fromkeys(names))
    return unique[0] if len(unique) == 1 else f"{', '.join(unique[:-1])} and {unique[-1]}"


def _decision_rows(plan: Plan, met: Sequence[Target]) -> Iterator[tuple[str, str]]:
    choice = plan.choice
    where = "on-premises" if choice.provider == "own" else f"{choice.region}, {bought(plan)}"
    gpus = f"{choice.gpus:,} × {choice.gpu}"
    yield "Buy", f"{choice.nodes:,} × {choice.instance_type} ({gpus}), {where}"
    yield "Cost", bill_words(plan)
    for target in met:
        if target.label:
            yield target.label, target.text
    yield "Layout", layout_words(plan)
    cache = plan.performance.cache if isinstance(plan.performance, InferencePerformance) else None
    if cache is not None and isinstance(plan.spec.workload, InferenceWorkload):
        yield "Cache", cache_words(cache, plan.spec.workload)


def _print_cheaper(screen: Console, plan: Plan, cheaper: Sequence[CheaperPlan]) -> None:
    if not cheaper:
        return
    _print(screen, f"\n  [bold]Cheaper[/], one change each{_price_dates(plan, cheaper)}")
    rows = [_cheaper_cells(plan, option) for option in cheaper]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    for change, usd, saving, nodes in rows:
        left = f"    {change:<{widths[0]}}  {usd:>{widths[1]}}  {saving:>{widths[2]}}  "
        _print_hanging(screen, plain(screen, left), 4 + sum(widths) + 6, nodes)


def _price_dates(plan: Plan, cheaper: Sequence[CheaperPlan]) -> str:
    """Returns the dates of the compared compute prices where they are far apart."""
    found = (compute_as_of(each.cost) for each in (plan, *(option.plan for option in cheaper)))
    dates = sorted({as_of for as_of in found if as_of})
    return f"; prices of {dates[0]} to {dates[-1]}" if days_apart(dates) > STALE_DAYS else ""


def _cheaper_cells(plan: Plan, option: CheaperPlan) -> tuple[str, str, str, str]:
    choice = option.plan.choice
    same = (choice.nodes, choice.instance_type) == (plan.choice.nodes, plan.choice.instance_type)
    return (
        f"{option.field}: {option.value}",
        f"{short_usd(option.usd)} USD{_period(plan)}",
        f"−{option.saving:.0%}",
        "same nodes" if same else f"{choice.nodes:,} × {choice.instance_type}",
    )


def _period(plan: Plan) -> str:
    return "/month" if plan.updates is not None or plan.cost.usd_per_run is None else "/run"


def _others(plan: Plan, columns: int) -> str:
    """Returns alternatives with their price against the plan's, as many as fit one line, and how many were rejected.

    Another layout on the same nodes is nothing else to buy.
    """
    now, choice = bill_usd(plan), plan.choice
    rejected = f"{len(plan.rejected):,} rejected (--detail)" if plan.rejected else ""
    seen = {(choice.instance_type, choice.region, choice.nodes)}
    rivals = []
    for each in plan.alternatives:
        nodes = (each.instance_type, each.region, each.nodes)
        if nodes not in seen:
            seen.add(nodes)
            rivals.append(each)
    shown: list[str] = []
    for other in rivals[:RUNNERS_UP]:
        longer = [*shown, _runner_up(other, now, plan.updates is None)]
        if shown and len(SEPARATOR.join([*longer, rejected])) > columns:
            break
        shown = longer
    return SEPARATOR.join(filter(None, [*shown, rejected]))


def _runner_up(other: Alternative, now: float | None, compares_bills: bool) -> str:
    usd = other.usd_per_month if other.usd_per_run is None else other.usd_per_run
    difference = f" {usd / now - 1:+.1%}".replace("-", "−") if usd and now and compares_bills else ""
    return f"{other.nodes:,} × {other.instance_type}{difference}"


def _checks(plan: Plan, catalog: Catalog) -> Iterator[str]:
    """Yields what to look at before buying."""
    choice, cost = plan.choice, plan.cost
    place = place_of(choice.provider, catalog)
    sold = None if place.owned else place.instance_type(choice.instance_type)
    quotas = needed_quotas(choice.purchase, place, choice.instance_type)
    for need in quotas:
        yield f"vCPU quota {need.code} ≥ {need.vcpus:,} in {choice.region}"
    if sold is not None and not quotas and not choice.purchase.capacity_block_nodes:
        yield f"vCPU quota of {sold.name} ≥ {choice.nodes * sold.vcpus:,} in {choice.region}"
    yield from (note for note in plan.notes if note.startswith(NO_SPOT))
    if plan.spec.capacity.block is not None and plan.spec.capacity.block.reservation_id is None:
        yield "the Capacity Block is not bought yet; Terraform does not buy it"
    dates = sorted({item.provenance.as_of for item in cost.items if item.role.startswith("compute")})
    if sold is not None and dates:
        yield f"compute price of {dates[0]} → llmcluster catalog refresh"
    if cost.unknown:
        yield f"no known price, so not in the cost: {', '.join(cost.unknown)}"
    spares = cost.spare_nodes
    if spares is not None:
        usd = (
            f"{spares.usd_per_hour:,.0f} USD/h"
            if spares.usd_per_run is None
            else f"{short_usd(spares.usd_per_run)} USD"
        )
        yield f"{spares.nodes:,} spare node{'' if spares.nodes == 1 else 's'} advised, not in the cost: +{usd}"
    yield from plan.model.warnings


def _next(plan: Plan, spec: Path) -> tuple[str, ...]:
    """Returns the next commands."""
    name = str(spec)
    detail = f"llmcluster plan {name} --detail"
    if name.startswith(PREFIX):
        return detail, f"llmcluster scenario show {name.removeprefix(PREFIX)} > spec.yaml"
    synth = () if plan.choice.provider == "own" else (f"llmcluster synth {name}",)
    return detail, *synth, f"llmcluster launch {name}"
