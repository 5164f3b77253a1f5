"""`llmcluster catalog`: the facts and prices that plans use."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from llmcluster.commands.options import json_option
from llmcluster.errors import exit_codes
from llmcluster.price_age import Days

if TYPE_CHECKING:
    from provider_catalog.live.refresh import RefreshOptions

STALE_EXIT_CODE = 5
"""Exit code of `catalog refresh --check` where a price is older than the limit."""


@click.group(short_help="List, check and refresh facts and prices.")
def catalog() -> None:
    """List, show, compare and check the facts and prices of the catalog, and refresh its prices."""


@catalog.command(name="list")
@click.option("--provider", help="Only this cloud.")
@click.option("--region", help="Prices of this region. Default: the default region of each cloud.")
@json_option
def list_types(provider: str | None, region: str | None, as_json: bool) -> None:
    """List instance types with their prices by purchase option."""
    with exit_codes():
        from llmcluster.reports.catalog_listing import listing, print_listing
        from provider_catalog.catalog import Catalog

        rows = listing(Catalog.load(), provider, region)
        _print_json(rows) if as_json else print_listing(rows)


@catalog.command()
@click.argument("sku")
@json_option
def show(sku: str, as_json: bool) -> None:
    """Show everything that is known about SKU, with the source and date of every figure.

    SKU is an instance type, a GPU, a shared file system, or a service such as nat_gateway_hour.
    """
    with exit_codes():
        from llmcluster.reports.catalog_details import details, print_details
        from provider_catalog.catalog import Catalog

        found = details(Catalog.load(), sku)
        _print_json(found) if as_json else print_details(found)


@catalog.command()
@json_option
def counts(as_json: bool) -> None:
    """Count the prices by cloud, priced item and kind of source, with the unknown ones and the oldest."""
    with exit_codes():
        from dataclasses import asdict

        from llmcluster.reports.catalog_counts import print_counts
        from provider_catalog.catalog import Catalog
        from provider_catalog.price_counts import count_prices

        found = count_prices(Catalog.load())
        _print_json([asdict(row) for row in found]) if as_json else print_counts(found)


@catalog.command()
@click.option("--provider", help="Only this cloud.")
@click.option("--region", help="Only this region.")
@json_option
def gaps(provider: str | None, region: str | None, as_json: bool) -> None:
    """List the prices that no source gives, by region, with what bounds them on a bill."""
    with exit_codes():
        from llmcluster.reports.catalog_gaps import gaps as find
        from llmcluster.reports.catalog_gaps import print_gaps
        from provider_catalog.catalog import Catalog

        held = Catalog.load()
        found = find(held, provider, region)
        _print_json(found) if as_json else print_gaps(found, held)


@catalog.command(name="regions")
@click.option("--provider", help="Only this cloud.")
@json_option
def list_regions(provider: str | None, as_json: bool) -> None:
    """List the regions in which clusters can be planned, and how many prices are known there."""
    with exit_codes():
        from llmcluster.reports.catalog_regions import print_regions, regions
        from provider_catalog.catalog import Catalog

        rows = regions(Catalog.load(), provider)
        _print_json(rows) if as_json else print_regions(rows)


@catalog.command()
@click.argument("old", default="packaged")
@click.argument("new", default="current")
@json_option
def diff(old: str, new: str, as_json: bool) -> None:
    """Show the prices that differ between OLD and NEW, the largest changes first.

    OLD and NEW are each `packaged` (the installed snapshot), `current` (that snapshot with the last refresh), a catalog
    folder, a folder of refreshed prices, or a file of negotiated prices.
    """
    with exit_codes():
        from llmcluster.reports.price_changes_text import differences, print_changes

        changes = differences(old, new)
        _print_json([change.as_json() for change in changes]) if as_json else print_changes(changes)


@catalog.command()
@json_option
def verify(as_json: bool) -> None:
    """Check every data file: it is readable, each row has a source and a date, prices are plausible and not stale.

    The exit code is 2 when there is an error, and 0 when there are only warnings.
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
@click.option("--provider", "providers", multiple=True, help="Only this cloud; the option may be repeated.")
@click.option("--region", "regions", multiple=True, help="Only this region; the option may be repeated.")
@click.option("--what", default="", help="Sources separated by commas, such as prices,spot. Default: all.")
@click.option("--into", type=click.Path(path_type=Path), help="Folder to write to. Default: the user's data folder.")
@click.option("--accept", is_flag=True, help="Accept answers that lack many prices or change one tenfold.")
@click.option("--dry-run", is_flag=True, help="Fetch and compare; write nothing.")
@click.option("--check", is_flag=True, help="Fetch nothing; exit 5 if a price in use is older than --max-age.")
@click.option("--max-age", type=Days(), metavar="DAYS", help="Limit of --check. Default: 180 days.")
@json_option
def refresh(
    providers: tuple[str, ...],
    regions: tuple[str, ...],
    what: str,
    into: Path | None,
    accept: bool,
    dry_run: bool,
    check: bool,
    max_age: int | None,
    as_json: bool,
) -> None:
    """Fetch today's prices from the clouds. They take precedence over the packaged snapshot.

    Each source is kept, held back or fails by itself; where no new prices are kept, the old ones stay. The exit code is
    4 unless all requested sources were kept. With --check nothing is fetched, and the exit code is 5 if a price is too
    old.
    """
    with exit_codes():
        from datetime import date

        from llmcluster.reports.refresh_text import print_outcomes, progress_bars
        from planner.errors import SpecError
        from provider_catalog.catalog import Catalog
        from provider_catalog.live.refresh import RefreshOptions
        from provider_catalog.live.refresh import refresh as refresh_prices
        from provider_catalog.price_layers import LIVE_PRICES_VARIABLE, live_folder

        names = tuple(name.strip() for name in what.split(",") if name.strip())
        folder = into or live_folder()
        if check:
            _check(RefreshOptions(tuple(providers), tuple(regions), names), folder, max_age, as_json)
            return
        if max_age is not None:
            raise SpecError("--max-age is the limit of --check; give both, or leave it out")
        if folder is None:
            raise SpecError(
                f"{LIVE_PRICES_VARIABLE} is none, which switches refreshed prices off; unset it or give --into"
            )
        order = RefreshOptions(tuple(providers), tuple(regions), names, accept, dry_run)
        with progress_bars() as progress:
            outcomes = refresh_prices(Catalog.load(), folder, order, date.today(), progress)
        print_outcomes(outcomes, folder, dry_run=dry_run, as_json=as_json)
        if not all(outcome.is_complete for outcome in outcomes):
            sys.exit(4)


def _check(asked: "RefreshOptions", folder: Path | None, limit_days: int | None, as_json: bool) -> None:
    """Prints the age of the prices in force; exits 5 if one is older than the limit.

    Raises:
        CatalogError: the options name an unknown cloud, region or source, or a file of refreshed prices is broken.
        SpecError: the clock of this machine lies before the newest price.
    """
    from datetime import date

    from llmcluster.price_age import require_clock
    from llmcluster.reports.refresh_text import print_freshness
    from provider_catalog.catalog import Catalog
    from provider_catalog.live.refresh import subjects_of
    from provider_catalog.price_dates import STALE_DAYS
    from provider_catalog.price_freshness import freshness
    from provider_catalog.price_layers import read_live

    today, limit_days = date.today(), STALE_DAYS if limit_days is None else limit_days
    live = None if folder is None else read_live(folder)
    held = Catalog.packaged() if live is None else Catalog.packaged().under(live)
    require_clock(held, today)
    subjects = subjects_of(held, asked)
    rows = freshness(held, today, limit_days, providers=asked.providers, regions=asked.regions, subjects=subjects)
    print_freshness(rows, limit_days, as_json=as_json)
    if any(row.too_old for row in rows):
        sys.exit(STALE_EXIT_CODE)


def _print_json(document: object) -> None:
    import json

    click.echo(json.dumps(document, indent=2))
