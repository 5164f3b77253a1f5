"""How many prices there are, by cloud, by what they are for and by kind of source, and how old they are."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby
from typing import Final

from provider_catalog.catalog import Catalog
from provider_catalog.facts import Provenance

SERVICE: Final = "service"
"""Beside the purchase options of instances, what a price is for."""
UNKNOWN: Final = "unknown"
"""Beside the kinds of provenance, that of a service whose price nobody has sourced."""


@dataclass(frozen=True)
class Holding:
    """Prices of one cloud that are for the same and of the same kind."""

    provider: str
    priced: str
    """A purchase option of instances, or `service`."""
    kind: str
    """Of the source, or `unknown`: the role is on the bill and has no price."""
    prices: int
    oldest: str | None
    newest: str | None


def holdings(catalog: Catalog) -> tuple[Holding, ...]:
    """Every price that is in force, counted once; instances without a price have no row to count."""
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


def _holding(provider: str, priced: str, kind: str, sources: Iterable[Provenance | None]) -> Holding:
    """`sources` are in the order of their dates."""
    found = list(sources)
    dates = [source.as_of for source in found if source is not None]
    return Holding(provider, priced, kind, len(found), dates[0] if dates else None, dates[-1] if dates else None)
