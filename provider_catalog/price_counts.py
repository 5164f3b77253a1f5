"""Counts of the prices in force by cloud, subject and kind of source, with their oldest and newest dates."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby
from typing import Final

from provider_catalog.catalog import Catalog
from provider_catalog.facts import Provenance

SERVICE: Final = "service"
"""Subject of the prices of services; the other subjects are the purchase options of instances."""
UNKNOWN: Final = "unknown"
"""Kind of a service whose price has no source; the other kinds are those of a provenance."""


@dataclass(frozen=True)
class PriceCount:
    """The number and the dates of the prices of one cloud with the same subject and kind."""

    provider: str
    priced: str
    """Subject of the prices: a purchase option of instances, or `service`."""
    kind: str
    """Kind of the source; `unknown` where a service is billed and its price is not known."""
    prices: int
    oldest: str | None
    newest: str | None


def count_prices(catalog: Catalog) -> tuple[PriceCount, ...]:
    """Count every price in force once; an instance without a price has no row and is not counted."""
    rows: list[tuple[str, str, str, Provenance | None]] = [
        (price.provider, price.option, price.provenance.kind, price.provenance) for price in catalog.instance_prices
    ]
    for price in catalog.service_prices:
        known = price.unit_price_usd is not None
        kind = price.provenance.kind if known else UNKNOWN
        rows.append((price.provider, SERVICE, kind, price.provenance if known else None))
    rows.sort(key=lambda row: (row[:3], row[3].as_of if row[3] else ""))
    grouped = groupby(rows, key=lambda row: row[:3])
    return tuple(
        _holding(provider, priced, kind, [row[3] for row in group]) for (provider, priced, kind), group in grouped
    )


def _holding(provider: str, priced: str, kind: str, sources: Iterable[Provenance | None]) -> PriceCount:
    """Count one group; `sources` are sorted by date."""
    found = list(sources)
    dates = [source.as_of for source in found if source is not None]
    return PriceCount(provider, priced, kind, len(found), dates[0] if dates else None, dates[-1] if dates else None)
