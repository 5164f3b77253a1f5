"""Price files: each cloud has a CSV of instance prices and one of service prices, packaged or refreshed."""

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, TypeVar

from provider_catalog.data_files import fact, read_csv
from provider_catalog.errors import CatalogError
from provider_catalog.facts import Provenance
from provider_catalog.prices import EVERY_REGION, InstancePrice, ServicePrice

PriceT = TypeVar("PriceT", InstancePrice, ServicePrice)

INSTANCE_PRICES: Final = "instance_prices.csv"
SERVICE_PRICES: Final = "service_prices.csv"
_KEYS: Final = {INSTANCE_PRICES: ("region", "zone", "instance_type", "option"), SERVICE_PRICES: ("region", "sku")}
_PROVENANCE: Final = ("source", "as_of", "kind")
_ZONE_SEPARATOR: Final = "|"
"""Separator of the zones of a row whose price holds in several zones of the region."""


def read_instance_prices(folder: Path, provider: str) -> Iterator[InstancePrice]:
    """Read the rows of `instance_prices.csv` in the folder of one cloud.

    Raises:
        CatalogError: the file is missing or empty, or a row is broken or repeated.
    """
    return _read(folder / INSTANCE_PRICES, provider, InstancePrice)


def read_service_prices(folder: Path, provider: str) -> Iterator[ServicePrice]:
    """Read the rows of `service_prices.csv` in the folder of one cloud.

    Raises:
        CatalogError: the file is missing or empty, or a row is broken or repeated.
    """
    return _read(folder / SERVICE_PRICES, provider, ServicePrice)


def in_each_region(prices: Iterable[ServicePrice], regions: Mapping[str, Sequence[str]]) -> Iterator[ServicePrice]:
    """Yield a price for each region of its cloud in place of a price that holds in every region."""
    listed = tuple(prices)
    own = {(price.provider, price.region, price.sku) for price in listed}
    for price in listed:
        if price.region != EVERY_REGION:
            yield price
            continue
        for region in regions[price.provider]:
            if (price.provider, region, price.sku) not in own:
                yield price.model_copy(update={"region": region})


def instance_prices_csv(prices: Iterable[InstancePrice]) -> str:
    """The text of an `instance_prices.csv`, with its rows in a fixed order."""
    rows = [
        (p.region, p.zone or "", p.instance_type, p.option, repr(p.usd_per_hour), *_origin(p.provenance))
        for p in prices
    ]
    return _text(("region", "zone", "instance_type", "option", "usd_per_hour"), rows)


def service_prices_csv(prices: Iterable[ServicePrice]) -> str:
    """The text of a `service_prices.csv`, with its rows in a fixed order."""
    rows = [
        (p.region, p.sku, p.unit, "" if p.unit_price_usd is None else repr(p.unit_price_usd), *_origin(p.provenance))
        for p in prices
    ]
    return _text(("region", "sku", "unit", "unit_price_usd"), rows)


def _read(path: Path, provider: str, model: type[PriceT]) -> Iterator[PriceT]:
    """Read prices, one for each zone of a row; rows with equal provenance columns share one Provenance."""
    provenances: dict[tuple[str | None, ...], Provenance] = {}
    seen: set[tuple[str | None, ...]] = set()
    for line, row in read_csv(path):
        where = f"{path}, line {line}"
        given = {column: row.pop(column) for column in _PROVENANCE if column in row}
        origin = tuple(given.values())
        if origin not in provenances:
            provenances[origin] = fact(Provenance, given, where)
        price = fact(model, {"provider": provider, **row, "provenance": provenances[origin]}, where)
        for zone in (row.get("zone") or "").split(_ZONE_SEPARATOR):
            key = tuple(zone if column == "zone" else row[column] for column in _KEYS[path.name])
            if key in seen:
                raise CatalogError(f"{where}: {', '.join(filter(None, key))} is priced twice; remove one row")
            seen.add(key)
            yield price if zone == (row.get("zone") or "") else price.model_copy(update={"zone": zone})
    if not seen:
        raise CatalogError(f"{path}: holds no price; the file may have been cut off")


def _origin(provenance: Provenance) -> tuple[str, str, str]:
    return provenance.source, provenance.as_of, provenance.kind


def _text(columns: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow((*columns, *_PROVENANCE))
    writer.writerows(sorted(rows))
    return text.getvalue()
