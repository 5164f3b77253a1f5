"""What a source of live prices is: a name for the command line, a permission, and a function that fetches."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from typing import Final

from pydantic import ValidationError

from provider_catalog.catalog import Catalog
from provider_catalog.errors import LiveError, NoAnswerError
from provider_catalog.facts import Fact, Provenance
from provider_catalog.prices import InstancePrice, PurchaseOption, ServicePrice

Advance = Callable[[int, int], None]
"""Called with the steps done and the steps in all."""

NO_MARKET: Final = 0.99
"""A Spot price of more than this share of on-demand means that the zone has no Spot market (docs/catalog.md)."""


UNANSWERED: Final = 2
"""Regions in a row that do not answer before any has, or look-ups in a row that fail: the others are not waited for."""


@dataclass(frozen=True)
class Limits:
    """How long to wait and how often to try. Between attempts the wait doubles, with jitter."""

    connect_timeout_s: float = 5
    read_timeout_s: float = 30
    attempts: int = 5
    backoff_s: float = 0.5
    """First wait; boto3 has its own."""


@dataclass(frozen=True)
class Request:
    """What is asked for."""

    catalog: Catalog
    provider: str
    regions: tuple[str, ...]
    today: date
    limits: Limits = Limits()

    @property
    def instance_types(self) -> tuple[str, ...]:
        """Names of the cloud's instance types in the catalog."""
        return tuple(name for provider, name in self.catalog.instance_types if provider == self.provider)

    def provenance(self, source: str) -> Provenance:
        """Live, as of today."""
        return Provenance(source=source, as_of=self.today.isoformat(), kind="live")

    def instance_price(
        self,
        place: tuple[str, str | None],
        instance_type: str,
        option: PurchaseOption,
        usd_per_hour: float,
        provenance: Provenance,
    ) -> InstancePrice:
        """A price of this cloud; `place` is region and zone, the zone None where it holds for the region."""
        region, zone = place
        return InstancePrice(
            provider=self.provider,
            region=region,
            zone=zone,
            instance_type=instance_type,
            option=option,
            usd_per_hour=round(usd_per_hour, 6),
            provenance=provenance,
        )

    def service_price(self, region: str, sku: str, unit_price_usd: float, provenance: Provenance) -> ServicePrice:
        """A price of this cloud for a SKU that its catalog bills, in the catalog's unit."""
        unit = next(p.unit for p in self.catalog.service_prices if (p.provider, p.sku) == (self.provider, sku))
        return ServicePrice(
            provider=self.provider,
            region=region,
            sku=sku,
            unit=unit,
            unit_price_usd=unit_price_usd,
            provenance=provenance,
        )


class PlacementScore(Fact):
    """How likely a Spot request is to be filled, 1 to 10, as the provider scores it."""

    provider: str
    region: str
    zone: str
    instance_type: str
    target_nodes: int
    score: int
    as_of: str


@dataclass
class Fetched:
    """What a source answered."""

    instances: list[InstancePrice] = field(default_factory=list)
    services: list[ServicePrice] = field(default_factory=list)
    scores: list[PlacementScore] = field(default_factory=list)
    answered: set[str] = field(default_factory=set)
    """Regions whose answer is complete: there, what was known before and is missing now has vanished."""
    failures: list[str] = field(default_factory=list)
    """Regions or pages that gave nothing, each with its reason."""
    notes: list[str] = field(default_factory=list)
    """What a maintainer of the catalog should know: a fact that differs, a meter that was not found."""


@dataclass(frozen=True)
class Source:
    """One interface of one cloud."""

    name: str
    title: str
    permission: str
    """What the caller must be allowed to do, as the provider writes it."""
    fetch: Callable[[Request, Advance], Fetched]
    options: frozenset[PurchaseOption] = frozenset()
    """Purchase options whose prices it replaces."""


@contextmanager
def documented_shape(where: str) -> Iterator[None]:
    """Turn what a strange answer does to the code that reads it into a LiveError.

    Raises:
        LiveError: a field is missing, or is not of the documented type.
    """
    try:
        yield
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        what = f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}, not {first['input']!r}"
        raise LiveError(f"{where}: the answer does not have the documented shape ({what})") from error
    except (LookupError, ValueError, TypeError, AttributeError) as error:
        raise LiveError(f"{where}: the answer does not have the documented shape ({error!r})") from error


def by_region(request: Request, advance: Advance, ask: Callable[[str, Fetched], None]) -> Fetched:
    """Ask region by region; one that fails is reported and the others are kept.

    Raises:
        LiveError: no region answered.
    """
    fetched = Fetched()
    reasons: list[str] = []
    unanswered = 0
    for done, region in enumerate(request.regions, start=1):
        try:
            with documented_shape(region):
                ask(region, fetched)
            fetched.answered.add(region)
        except LiveError as error:
            reasons.append(str(error))
            fetched.failures.append(f"{region}: {error}")
            unanswered += isinstance(error, NoAnswerError)
            if not fetched.answered and unanswered == UNANSWERED:
                raise LiveError(f"{reasons[0]} (the other regions were not asked)") from error
        advance(done, len(request.regions))
    if reasons and not fetched.answered:
        raise LiveError(reasons[0] + (f" (and {len(reasons) - 1} more regions)" if len(reasons) > 1 else ""))
    return fetched
