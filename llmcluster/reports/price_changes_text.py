"""The report of `llmcluster catalog diff`: prices that differ between two catalogs."""

from collections.abc import Sequence
from pathlib import Path

import click

from provider_catalog.catalog import Catalog
from provider_catalog.errors import CatalogError
from provider_catalog.price_changes import PriceChange, price_changes
from provider_catalog.price_layers import read_live
from provider_catalog.price_overlay import read_overlay


def differences(old: str, new: str) -> tuple[PriceChange, ...]:
    """Returns the prices that differ between two named or stored catalogs.

    Raises:
        CatalogError: a name is neither a catalog nor a file or folder of prices.
    """
    before, after = _catalog(old), _catalog(new)
    return price_changes(before.instance_prices, before.service_prices, after.instance_prices, after.service_prices)


def print_changes(changes: Sequence[PriceChange]) -> None:
    """Prints one line per change."""
    for change in changes:
        click.echo(price_change_line(change))
    click.echo(f"{len(changes)} prices differ" if changes else "no prices differ")


def price_change_line(change: PriceChange) -> str:
    """Returns a change as one line."""
    place = change.region + (f" {change.zone}" if change.zone else "")
    what = f"{change.provider} {change.name}, {change.what}, {place}"
    if change.old_usd is None:
        return f"{what}: new, {change.new_usd:g} USD"
    if change.new_usd is None:
        return f"{what}: {change.old_usd:g} USD, now without a price"
    percent = "" if change.ratio is None else f" ({change.ratio - 1:+.1%})"
    return f"{what}: {change.old_usd:g} to {change.new_usd:g} USD{percent}"


def _catalog(name: str) -> Catalog:
    if name == "packaged":
        return Catalog.packaged()
    if name == "current":
        return Catalog.load()
    path = Path(name)
    if path.is_file():
        return Catalog.packaged().under(read_overlay(path, Catalog.packaged()))
    if (path / "gpus.yaml").is_file():
        return Catalog.load(path)
    live = read_live(path) if path.is_dir() else None
    if live is None:
        raise CatalogError(f"{name}: neither packaged, current, a catalog folder, refreshed prices nor an overlay file")
    return Catalog.packaged().under(live)
