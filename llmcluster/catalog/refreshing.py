"""`catalog refresh` on a terminal: a bar a source, then what became of each."""

import json
from collections.abc import Sequence
from datetime import date
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from llmcluster.catalog.differences import sentence
from planner.errors import SpecError
from provider_catalog.catalog import Catalog
from provider_catalog.live.live_source import LiveSource, ReportProgress
from provider_catalog.live.refresh import Outcome, RefreshOptions, refresh
from provider_catalog.price_layers import LIVE_PRICES_VARIABLE, live_folder

CHANGES_SHOWN = 10
NOTES_SHOWN = 20


def run(
    providers: Sequence[str],
    regions: Sequence[str],
    sources: Sequence[str],
    into: Path | None,
    accept: bool,
    dry_run: bool,
    as_json: bool,
) -> bool:
    """Refresh, and print what became of each source.

    Returns:
        Whether everything that was asked for has been kept.

    Raises:
        SpecError: refreshed prices are switched off and no folder is given.
        CatalogError, OSError: see `provider_catalog.live.refresh.refresh`.
    """
    folder = into or live_folder()
    if folder is None:
        raise SpecError(f"{LIVE_PRICES_VARIABLE} is none: refreshed prices are switched off; unset it or give --into")
    order = RefreshOptions(tuple(providers), tuple(regions), tuple(sources), accept, dry_run)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    # On stderr, so that --json leaves stdout to the document.
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:

        def progress(provider: str, source: LiveSource) -> ReportProgress:
            task = bar.add_task(f"{provider} {source.title}", total=None)
            return lambda done, total: bar.update(task, completed=done, total=total)

        outcomes = refresh(Catalog.load(), folder, order, date.today(), progress)
    if as_json:
        click.echo(json.dumps([_as_json(outcome) for outcome in outcomes], indent=2))
    else:
        for outcome in outcomes:
            _print(outcome)
        if dry_run:
            click.echo("nothing was written (--dry-run)")
        elif any(outcome.state == "kept" and outcome.prices for outcome in outcomes):
            click.echo(f"written to {folder}")
    return all(outcome.is_complete for outcome in outcomes)


def _print(outcome: Outcome) -> None:
    name = f"{outcome.provider} {outcome.source.name}"
    if outcome.state == "failed":
        click.echo(f"{name}: failed, the old prices stay", err=True)
    elif outcome.state == "held back":
        click.echo(f"{name}: suspicious, the old prices stay; --accept takes the new ones over", err=True)
    else:
        click.echo(f"{name}: {outcome.prices} prices, {len(outcome.changes)} changed")
        for change in outcome.changes[:CHANGES_SHOWN]:
            click.echo(f"  {sentence(change)}")
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
