"""What `llmcluster diff` prints: on a terminal, as JSON, and as Markdown for a pull request."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

from rich import box
from rich.table import Table

from llmcluster.terminal import terminal
from planner.errors import SpecError
from planner.plan import Plan
from planner.plan_diff import Change, ItemChange, MoneyChange, PlanDiff, cluster_added, cluster_removed, diff_plans
from provider_catalog.catalog import Catalog
from provider_catalog.text import markdown_text
from stacks.locks import LOCK_SUFFIX, read_plan
from stacks.planning import plan_specs

PLAN_FILE = "plan.json"
NAMES_SHOWN = 5


def diff_output(old: Path, new: Path, form: str, prices: Path | None) -> None:
    """Print what changed from OLD to NEW, each a spec, a locked plan or an output folder.

    Raises:
        SpecError: a path holds no plan, or the two sides have no cluster in common.
    """
    diffs = list(_diffs(_plans(old, prices), _plans(new, prices), old, new))
    if form == "json":
        print(json.dumps([each.model_dump(mode="json") for each in diffs], indent=2))
    elif form == "markdown":
        print("\n".join(markdown(each) for each in diffs), end="")
    else:
        for each in diffs:
            _print(each)


def _plans(path: Path, prices: Path | None) -> dict[str, Plan]:
    if path.is_dir():
        plans = [read_plan(file) for file in sorted(path.rglob(PLAN_FILE))]
        if not plans:
            raise SpecError(
                f"{path}: holds no {PLAN_FILE}; name an output folder of synth, a spec or a {LOCK_SUFFIX} file"
            )
    elif path.suffix == ".json":
        plans = [read_plan(path)]
    else:
        plans = [plan_specs([path], Catalog.load(), prices)[0].plan]
    return {plan.name: plan for plan in plans}


def _diffs(before: dict[str, Plan], after: dict[str, Plan], old: Path, new: Path) -> Iterator[PlanDiff]:
    """Clusters of both sides by name, then those of one side alone."""
    if len(before) == len(after) == 1:
        # Two versions of one cluster may bear different names.
        yield diff_plans(next(iter(before.values())), next(iter(after.values())))
        return
    if not before.keys() & after.keys():
        raise SpecError(f"{old} and {new} have no cluster in common: {_some(before)} against {_some(after)}")
    yield from (diff_plans(plan, after[name]) for name, plan in before.items() if name in after)
    yield from (cluster_added(plan) for name, plan in after.items() if name not in before)
    yield from (cluster_removed(plan) for name, plan in before.items() if name not in after)


def _some(plans: dict[str, Plan]) -> str:
    names = list(plans)
    more = f" and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else ""
    return ", ".join(names[:NAMES_SHOWN]) + more


def markdown(diff: PlanDiff) -> str:
    """The difference as a comment on a pull request."""
    title = diff.new_name if diff.old_name == diff.new_name else f"{diff.old_name} → {diff.new_name}"
    lines = [f"### {title}: {_headline(diff)}", ""]
    if diff.same:
        return "\n".join([*lines, ""])
    lines += [f"No known price, and in no total, {_cell(each)}." for each in diff.left_out]
    lines += [""] if diff.left_out else []
    lines += ["| USD per | before | after | change |", "|---|--:|--:|--:|"]
    lines += [
        f"| {total.what} | {_usd(total.old_usd)} | {_usd(total.new_usd)} | {_change(total)} |" for total in diff.totals
    ]
    if diff.items:
        lines += ["", "| line of the bill | before, USD/month | after, USD/month | by price | by quantity | why |"]
        lines += ["|---|--:|--:|--:|--:|---|"]
        lines += [
            f"| {_cell(item.name)} | {_side(item, 'old')} | {_side(item, 'new')} |"
            f" {item.by_price_usd:+,.2f} | {item.by_quantity_usd:+,.2f} | {_cell(item.why)} |"
            for item in diff.items
        ]
    for heading, changes in (("decision", diff.decision), ("spec", diff.spec), ("catalog", diff.catalog)):
        if changes:
            lines += ["", f"| {heading} | before | after |", "|---|---|---|"]
            lines += [f"| {_cell(each.what)} | {_cell(each.old)} | {_cell(each.new)} |" for each in changes]
    if diff.causes:
        lines += ["", *(f"- {_cell(cause)}" for cause in diff.causes)]
    return "\n".join([*lines, ""])


def _print(diff: PlanDiff) -> None:
    screen = terminal()
    title = diff.new_name if diff.old_name == diff.new_name else f"{diff.old_name} to {diff.new_name}"
    screen.rule(f"[bold]{title}[/]", align="left")
    screen.print(_headline(diff), highlight=False)
    if diff.same:
        return
    for left_out in diff.left_out:
        screen.print(f"[yellow]no known price, and in no total,[/] {left_out}", highlight=False)
    screen.print(_table(("USD per", "before", "after", "change"),
        [(total.what, _usd(total.old_usd), _usd(total.new_usd), _change(total)) for total in diff.totals]))  # fmt: skip
    if diff.items:
        rows = [
            (item.name, _side(item, "old"), _side(item, "new"), f"{item.by_price_usd:+,.2f}",
             f"{item.by_quantity_usd:+,.2f}", item.why)
            for item in diff.items
        ]  # fmt: skip
        screen.print(_table(("USD a month", "before", "after", "by price", "by quantity", "why"), rows))
    for heading, changes in (("decision", diff.decision), ("spec", diff.spec), ("catalog", diff.catalog)):
        for each in changes:
            screen.print(f"[bold]{heading:<9}[/] {_line(each)}", highlight=False, markup=True)
    for cause in diff.causes:
        screen.print(f"[bold]why[/]       {cause}", highlight=False)


def _table(columns: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for index, column in enumerate(columns):
        table.add_column(column, justify="left" if index == 0 or column == "why" else "right")
    for row in rows:
        table.add_row(*row)
    return table


def _line(change: Change) -> str:
    return f"{change.what}: {change.old} -> {change.new}"


def _headline(diff: PlanDiff) -> str:
    if diff.same:
        return "nothing changed"
    wanted = {total.what: total for total in diff.totals}
    # A run against a service has the month in common.
    told = [total for what in ("run", "month") if (total := wanted.get(what)) is not None]
    total = next((each for each in told if each.old_usd is not None and each.new_usd is not None), None)
    if total is None or total.old_usd is None or total.new_usd is None:
        return _one_side(told)
    if abs(total.new_usd - total.old_usd) < 0.005:
        return f"costs the same, {_usd(total.new_usd)} USD a {total.what}"
    return f"{_change(total)} USD a {total.what}, {_usd(total.old_usd)} to {_usd(total.new_usd)}"


def _one_side(told: Sequence[MoneyChange]) -> str:
    for total in told:
        if total.new_usd is not None:
            return f"{_usd(total.new_usd)} USD a {total.what}, and nothing to compare it with before"
        if total.old_usd is not None:
            return f"{_usd(total.old_usd)} USD a {total.what} before, and nothing to compare it with after"
    return "the cost is not known"


def _change(total: MoneyChange) -> str:
    if total.old_usd is None or total.new_usd is None:
        return ""
    change = total.new_usd - total.old_usd
    share = f" ({change / total.old_usd:+.1%})" if total.old_usd else ""
    return f"{change:+,.2f}{share}"


def _usd(amount: float | None) -> str:
    if amount is None:
        return "–"
    return f"{amount:,.4f}" if 0 < amount < 0.1 else f"{amount:,.2f}"


def _side(item: ItemChange, side: Literal["old", "new"]) -> str:
    if item.unknown in (side, "both"):
        return "unknown"
    return _usd(item.old_usd_per_month if side == "old" else item.new_usd_per_month)


def _cell(text: str) -> str:
    """What a spec says (tags, names of files) is shown and never read as Markdown or HTML, and mentions nobody."""
    return markdown_text(text)
