"""The report of `llmcluster diff`: on a terminal, as JSON, and as Markdown for a pull request."""

import json
from collections.abc import Sequence
from typing import Final, Literal

from llmcluster.reports.tables import report_table
from llmcluster.reports.terminal import terminal
from planner.compare.plan_diff import Change, Effect, ItemChange, MoneyChange, PlanDiff
from provider_catalog.text import markdown_text

RESOURCES_SHOWN: Final = 3
WORDS: Final = {
    "none": "no resource changes",
    "in place": "changed in place",
    "rolling": "nodes are replaced one by one",
    "replaced": "destroyed and created again",
    "refused": "refused",
}
"""Words for the verdicts of `Effect`."""


def print_diffs(diffs: Sequence[PlanDiff], form: str) -> None:
    """Prints differences between plans as `text`, `json` or `markdown`."""
    if form == "json":
        print(json.dumps([each.model_dump(mode="json") for each in diffs], indent=2))
    elif form == "markdown":
        print("\n".join(markdown(each) for each in diffs), end="")
    else:
        for each in diffs:
            _print(each)


def markdown(diff: PlanDiff) -> str:
    """Returns the difference as a comment on a pull request."""
    title = diff.new_name if diff.old_name == diff.new_name else f"{diff.old_name} → {diff.new_name}"
    lines = [f"### {title}: {_headline(diff)}", ""]
    if diff.same:
        return "\n".join([*lines, ""])
    lines += [f"{_cell(diff.price_ages[:1].upper() + diff.price_ages[1:])}.", ""] if diff.price_ages else []
    lines += [f"Not in any total, because it has no known price: {_cell(each)}." for each in diff.left_out]
    lines += [""] if diff.left_out else []
    lines += ["| USD per | before | after | change |", "|---|--:|--:|--:|"]
    lines += [
        f"| {_what(diff, total)} | {_usd(total.old_usd)} | {_usd(total.new_usd)} | {_change(total)} |"
        for total in diff.totals
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
    if diff.effects:
        lines += ["", "| field | on the running cluster |", "|---|---|"]
        lines += [f"| {_cell(each.field)} | {_cell(effect_words(each))} |" for each in diff.effects]
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
    if diff.price_ages:
        screen.print(f"[yellow]{diff.price_ages}[/]", highlight=False)
    for left_out in diff.left_out:
        screen.print(f"[yellow]not in any total, because it has no known price:[/] {left_out}", highlight=False)
    totals = [(_what(diff, total), _usd(total.old_usd), _usd(total.new_usd), _change(total)) for total in diff.totals]
    screen.print(report_table(("USD per", "before", "after", "change"), totals, texts=(0,)))
    if diff.items:
        rows = [
            (item.name, _side(item, "old"), _side(item, "new"), f"{item.by_price_usd:+,.2f}",
             f"{item.by_quantity_usd:+,.2f}", item.why)
            for item in diff.items
        ]  # fmt: skip
        headings = ("USD/month", "before", "after", "by price", "by quantity", "why")
        screen.print(report_table(headings, rows, texts=(0, 5)))
    for heading, changes in (("decision", diff.decision), ("spec", diff.spec), ("catalog", diff.catalog)):
        for each in changes:
            screen.print(f"[bold]{heading:<9}[/] {_line(each)}", highlight=False, markup=True)
    for effect in diff.effects:
        style = "red" if effect.verdict in ("replaced", "refused") else "bold"
        screen.print(f"[{style}]running[/]   {effect.field}: {effect_words(effect)}", highlight=False)
    for cause in diff.causes:
        screen.print(f"[bold]why[/]       {cause}", highlight=False)


def effect_words(effect: Effect) -> str:
    """Returns what a change does to the running cluster, with the resources and the reason."""
    shown = ", ".join(effect.resources[:RESOURCES_SHOWN])
    more = len(effect.resources) - RESOURCES_SHOWN
    named = f" ({shown}{f' and {more} more' if more > 0 else ''})" if shown else ""
    return f"{WORDS[effect.verdict]}{named}" + (f": {effect.reason}" if effect.reason else "")


def _line(change: Change) -> str:
    return f"{change.what}: {change.old} -> {change.new}"


def _headline(diff: PlanDiff) -> str:
    if diff.same:
        return "nothing changed"
    wanted = {total.what: total for total in diff.totals}
    # A training run and a service have only the month in common.
    told = [total for what in ("run", "month") if (total := wanted.get(what)) is not None]
    total = next((each for each in told if each.old_usd is not None and each.new_usd is not None), None)
    if total is None or total.old_usd is None or total.new_usd is None:
        return _one_side(diff, told)
    if abs(total.new_usd - total.old_usd) < 0.005:
        return f"same cost, {_usd(total.new_usd)} USD per {_what(diff, total)}"
    to = f"from {_usd(total.old_usd)} to {_usd(total.new_usd)}"
    return f"{_change(total)} USD per {_what(diff, total)}, {to}"


def _what(diff: PlanDiff, total: MoneyChange) -> str:
    """Return the period or unit of a total, with the remark that it leaves out unpriced items where it does."""
    return f"{total.what} without unpriced items" if diff.left_out else total.what


def _one_side(diff: PlanDiff, told: Sequence[MoneyChange]) -> str:
    for total in told:
        if total.new_usd is not None:
            return f"{_usd(total.new_usd)} USD per {_what(diff, total)}; the cost before is unknown"
        if total.old_usd is not None:
            return f"{_usd(total.old_usd)} USD per {_what(diff, total)} before; the cost after is unknown"
    return "the cost is unknown"


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
    """Escapes text of a spec (tags, file names), so that it is neither Markdown nor HTML and mentions nobody."""
    return markdown_text(text)
