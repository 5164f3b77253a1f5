"""How old the prices in force are, by cloud and by what they are for: the check of a scheduled refresh."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date

from provider_catalog.catalog import Catalog
from provider_catalog.price_dates import age_days

SERVICE = "service"
"""Subject of the prices of services; the other subjects are purchase options of instances."""


@dataclass(frozen=True)
class Freshness:
    """The age of the prices of one cloud and subject."""

    provider: str
    priced: str
    prices: int
    oldest: str
    age_days: int
    """The most days that may have passed since the oldest price."""
    too_old: int
    """Prices that may be older than the limit."""


def freshness(
    catalog: Catalog,
    today: date,
    limit_days: int,
    *,
    providers: Collection[str] = (),
    regions: Collection[str] = (),
    subjects: Collection[str] = (),
) -> tuple[Freshness, ...]:
    """Returns the age of every known price in force; negotiated prices hold for their term and are left out.

    Args:
        catalog: The prices in force.
        today: The day that ages are counted to.
        limit_days: Age above which a price is too old.
        providers: Clouds; empty for all.
        regions: Regions; empty for all.
        subjects: Purchase options and `service`; empty for all.
    """
    rows = [(price.provider, price.region, str(price.option), price.provenance) for price in catalog.instance_prices]
    rows += [
        (price.provider, price.region, SERVICE, price.provenance)
        for price in catalog.service_prices
        if price.unit_price_usd is not None
    ]
    ages: dict[tuple[str, str], list[tuple[int, str]]] = {}
    for provider, region, subject, provenance in rows:
        asked = (not providers or provider in providers) and (not regions or region in regions)
        age = age_days(provenance.as_of, today)
        if asked and (not subjects or subject in subjects) and provenance.kind != "negotiated" and age is not None:
            ages.setdefault((provider, subject), []).append((age, provenance.as_of))
    rows_by_subject = []
    for (provider, subject), found in sorted(ages.items()):
        age, as_of = max(found)
        late = sum(days > limit_days for days, _ in found)
        rows_by_subject.append(Freshness(provider, subject, len(found), as_of, age, late))
    return tuple(rows_by_subject)
