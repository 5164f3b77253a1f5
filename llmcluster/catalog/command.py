"""The command group `llmcluster catalog`. Each command imports what it needs when it runs."""

import sys
from pathlib import Path

import click

from llmcluster.errors import exit_codes

_JSON_HELP = "Print as JSON."


@click.group()
def catalog() -> None:
    """What the catalog holds, what changed in it, whether it is sound, and today's prices for it."""


@catalog.command(name="list")
@click.option("--provider", help="Only this cloud.")
@click.option("--region", help="Prices of this region; the cloud's default region when left out.")
@click.option("--json", "as_json", is_flag=True, help=_JSON_HELP)
def list_types(provider: str | None, region: str | None, as_json: bool) -> None:
    """List instance types with their prices by purchase option."""
    with exit_codes():
        from llmcluster.catalog.listing import listing, print_listing
        from provider_catalog.catalog import Catalog

        rows = listing(Catalog.load(), provider, region)
        _print_json(rows) if as_json else print_listing(rows)


@catalog.command()
@click.argument("sku")
@click.option("--json", "as_json", is_flag=True, help=_JSON_HELP)
def show(sku: str, as_json: bool) -> None:
    """Show all that is known of SKU, with the source and date of every figure.

    SKU is an instance type, a GPU, a shared file system, or a service such as nat_gateway_hour.
    """
    with exit_codes():
        from llmcluster.catalog.details import details, print_details
        from provider_catalog.catalog import Catalog

        found = details(Catalog.load(), sku)
        _print_json(found) if as_json else print_details(found)


@catalog.command()
@click.option("--json", "as_json", is_flag=True, help=_JSON_HELP)
def counts(as_json: bool) -> None:
    """Count the prices by cloud, by what they are for and by kind of source, with the unknown and the oldest."""
    with exit_codes():
        from dataclasses import asdict

        from llmcluster.catalog.counts import print_counts
        from provider_catalog.catalog import Catalog
        from provider_catalog.price_counts import count_prices

        found = count_prices(Catalog.load())
        _print_json([asdict(row) for row in found]) if as_json else print_counts(found)


@catalog.command()
@click.argument("old", default="packaged")
@click.argument("new", default="current")
@click.option("--json", "as_json", is_flag=True, help=_JSON_HELP)
def diff(old: str, new: str, as_json: bool) -> None:
    """Show the prices that differ from OLD to NEW, the largest sums first.

    Each is `packaged` (the snapshot that is installed), `current` (with the last refresh over it), a catalog folder, a
    folder of refreshed prices, or an overlay file of negotiated prices.
    """
    with exit_codes():
        from llmcluster.catalog.differences import differences, print_changes

        changes = differences(old, new)
        _print_json([change.as_json() for change in changes]) if as_json else print_changes(changes)


@catalog.command()
@click.option("--json", "as_json", is_flag=True, help=_JSON_HELP)
def verify(as_json: bool) -> None:
    """Check every data file: it reads, each row has a source and a date, prices are in proportion and not stale.

    Exit code 2 when something is wrong; a warning alone is 0.
    """
    with exit_codes():
        from dataclasses import asdict
        from datetime import date

        from provider_catalog.catalog import Catalog
        from provider_catalog.verification import verify as find

        held = Catalog.load()
        findings = find(held, date.today())
        if as_json:
            _print_json([asdict(finding) for finding in findings])
        else:
            for finding in findings:
                click.echo(f"{finding.level}: {finding.where}: {finding.message}")
            known = sum(price.unit_price_usd is not None for price in held.service_prices)
            click.echo(
                f"{len(held.gpus)} GPUs, {len(held.instance_types)} instance types, "
                f"{len(held.instance_prices)} instance prices, {known} service prices "
                f"({len(held.service_prices) - known} unknown), version {held.version}"
            )
        if any(finding.level == "error" for finding in findings):
            sys.exit(2)


@catalog.command()
@click.option("--provider", "providers", multiple=True, help="Only this cloud; may be given more than once.")
@click.option("--region", "regions", multiple=True, help="Only this region; may be given more than once.")
@click.option("--what", default="", help="Sources, separated by commas, such as prices,spot; all when left out.")
@click.option("--into", type=click.Path(path_type=Path), help="Folder to write to; the user's data folder if left out.")
@click.option("--accept", is_flag=True, help="Keep answers that lack many prices or move one tenfold.")
@click.option("--dry-run", is_flag=True, help="Fetch and compare; write nothing.")
@click.option("--json", "as_json", is_flag=True, help=_JSON_HELP)
def refresh(
    providers: tuple[str, ...],
    regions: tuple[str, ...],
    what: str,
    into: Path | None,
    accept: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Fetch today's prices from the clouds and lay them over the packaged snapshot.

    Each source is kept, held back or failed on its own; what was there before stays where nothing better came. Exit
    code 4 unless everything that was asked for has been kept.
    """
    with exit_codes():
        from llmcluster.catalog.refreshing import run

        names = tuple(name.strip() for name in what.split(",") if name.strip())
        if not run(providers, regions, names, into, accept, dry_run, as_json):
            sys.exit(4)


def _print_json(document: object) -> None:
    import json

    click.echo(json.dumps(document, indent=2))
