"""The report of `llmcluster catalog refresh`: a progress bar per source, then the result of each."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from llmcluster.reports.price_changes_text import price_change_line
from provider_catalog.live.live_source import LiveSource, ReportProgress
from provider_catalog.live.refresh import Outcome
from provider_catalog.price_freshness import Freshness

CHANGES_SHOWN = 10
NOTES_SHOWN = 20


@contextmanager
def progress_bars() -> Iterator[Callable[[str, LiveSource], ReportProgress]]:
    """Yields a function that starts a progress bar for a source of a cloud. Bars are drawn on a terminal alone."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    # On stderr, so that --json leaves stdout to the document.
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:

        def start(provider: str, source: LiveSource) -> ReportProgress:
            task = bar.add_task(f"{provider} {source.title}", total=None)
            return lambda done, total: bar.update(task, completed=done, total=total)

        yield start


def print_outcomes(outcomes: Sequence[Outcome], folder: Path, *, dry_run: bool, as_json: bool) -> None:
    """Prints the result of each source, and whether prices were written to `folder`."""
    if as_json:
        click.echo(json.dumps([_as_json(outcome) for outcome in outcomes], indent=2))
        return
    for outcome in outcomes:
        _print(outcome)
    if dry_run:
        click.echo("nothing was written (--dry-run)")
    elif any(outcome.state == "kept" and outcome.prices for outcome in outcomes):
        click.echo(f"written to {folder}")


def print_freshness(rows: Sequence[Freshness], limit_days: int, *, as_json: bool) -> None:
    """Prints the age of the prices in force by cloud and subject, and what is older than the limit."""
    if as_json:
        click.echo(json.dumps([asdict(row) for row in rows], indent=2))
        return
    for row in rows:
        late = f"; {row.too_old:,} older than {limit_days:,} days" if row.too_old else ""
        click.echo(
            f"{row.provider} {row.priced}: {row.prices:,} prices, the oldest of {row.oldest} is up to"
            f" {row.age_days:,} days old{late}"
        )
    late_clouds = sorted({row.provider for row in rows if row.too_old})
    for provider in late_clouds:
        click.echo(f"too old: {provider}; llmcluster catalog refresh --provider {provider}", err=True)


def _print(outcome: Outcome) -> None:
    name = f"{outcome.provider} {outcome.source.name}"
    if outcome.state == "failed":
        click.echo(f"{name}: failed; the old prices stay", err=True)
    elif outcome.state == "skipped":
        click.echo(f"{name}: skipped, {outcome.notes[0]}")
        return
    elif outcome.state == "held back":
        click.echo(f"{name}: suspicious; the old prices stay, --accept takes the new ones", err=True)
    else:
        click.echo(f"{name}: {outcome.prices} prices, {len(outcome.changes)} changed")
        for change in outcome.changes[:CHANGES_SHOWN]:
            click.echo(f"  {price_change_line(change)}")
        if len(outcome.changes) > CHANGES_SHOWN:
            click.echo(f"  and {len(outcome.changes) - CHANGES_SHOWN} more (`llmcluster catalog diff`)")
    for reason in outcome.reasons:
        click.echo(f"  {reason}", err=True)
    for note in outcome.notes[:NOTES_SHOWN]:
        click.echo(f"  note: {note}")
    if len(outcome.notes) > NOTES_SHOWN:
        click.echo(f"  and {len(outcome.notes) - NOTES_SHOWN} more notes (--json shows all)")


def _as_json(outcome: Outcome) -> dict[str, object]:
    return {
        "provider": outcome.provider,
        "source": outcome.source.name,
        "state": outcome.state,
        "prices": outcome.prices,
        "changes": [change.as_json() for change in outcome.changes],
        "reasons": list(outcome.reasons),
        "notes": list(outcome.notes),
    }
