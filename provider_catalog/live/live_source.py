"""Sources of live prices: their description, the request that they answer, and the answer."""

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

ReportProgress = Callable[[int, int], None]
"""Callback for progress; its arguments are the number of finished steps and the number of all steps."""

NO_SPOT_MARKET_SHARE: Final = 0.99
"""Share of the on-demand price above which a Spot price means that the zone has no Spot market (docs/catalog.md)."""


MAX_UNANSWERED: Final = 2
"""Unanswered requests after which a source gives up: regions before any has answered, or look-ups in a row."""


@dataclass(frozen=True)
class Limits:
    """Time-outs and number of attempts; the wait between attempts doubles, with jitter."""

    connect_timeout_s: float = 3
    read_timeout_s: float = 10
    """Longest wait for the next bytes of an answer."""
    attempts: int = 3
    backoff_s: float = 0.5
    """First wait between attempts; boto3 uses its own instead."""


@dataclass(frozen=True)
class Request:
    """The cloud, regions and date that prices are requested for."""

    catalog: Catalog
    provider: str
    regions: tuple[str, ...]
    today: date
    limits: Limits = Limits()

    @property
    def instance_types(self) -> tuple[str, ...]:
        """The names of the cloud's instance types in the catalog."""
        return tuple(name for provider, name in self.catalog.instance_types if provider == self.provider)

    def provenance(self, source: str) -> Provenance:
        """The provenance of a live price from `source`, as of today."""
        return Provenance(source=source, as_of=self.today.isoformat(), kind="live")

    def instance_price(
        self,
        place: tuple[str, str | None],
        instance_type: str,
        option: PurchaseOption,
        usd_per_hour: float,
        provenance: Provenance,
    ) -> InstancePrice:
        """Make an instance price of this cloud.

        Args:
            place: region and zone; the zone is None for a price of the whole region.
            instance_type: name of the instance type.
            option: purchase option.
            usd_per_hour: price of one instance.
            provenance: source and date.
        """
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
        """Make a service price of this cloud, in the unit that the catalog uses for the SKU."""
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
    """The provider's score, 1 to 10, of how likely a Spot request is to be filled."""

    provider: str
    region: str
    zone: str
    instance_type: str
    target_nodes: int
    score: int
    as_of: str


@dataclass
class Fetched:
    """The answer of a source."""

    instances: list[InstancePrice] = field(default_factory=list)
    services: list[ServicePrice] = field(default_factory=list)
    scores: list[PlacementScore] = field(default_factory=list)
    answered: set[str] = field(default_factory=set)
    """Regions with a complete answer; a known price that is missing from it has vanished."""
    failures: list[str] = field(default_factory=list)
    """Reason for each region or page that gave nothing."""
    notes: list[str] = field(default_factory=list)
    """Notes for maintainers of the catalog, such as a fact that differs or a meter that was not found."""


@dataclass(frozen=True)
class LiveSource:
    """One interface of one cloud that prices are fetched from."""

    name: str
    """Name on the command line."""
    title: str
    permission: str
    """Permission that the caller needs, as the provider writes it."""
    fetch: Callable[[Request, ReportProgress], Fetched]
    options: frozenset[PurchaseOption] = frozenset()
    """Purchase options whose prices the source replaces."""
    missing_credentials: Callable[[], str | None] = lambda: None
    """Returns why the caller has no credentials for the source; None where it has some, or needs none."""


@contextmanager
def documented_shape(where: str) -> Iterator[None]:
    """Turn errors in reading an unexpected answer into a LiveError.

    Raises:
        LiveError: a field is missing or has another type than documented.
    """
    try:
        yield
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        what = f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}, not {first['input']!r}"
        raise LiveError(f"{where}: the answer does not have the documented shape ({what})") from error
    except (LookupError, ValueError, TypeError, AttributeError) as error:
        raise LiveError(f"{where}: the answer does not have the documented shape ({error!r})") from error


def by_region(request: Request, advance: ReportProgress, ask: Callable[[str, Fetched], None]) -> Fetched:
    """Ask region by region, report the regions that fail, and keep the answers of the others.

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
            if not fetched.answered and unanswered == MAX_UNANSWERED:
                raise LiveError(f"{reasons[0]} (the other regions were not asked)") from error
        advance(done, len(request.regions))
    if reasons and not fetched.answered:
        raise LiveError(reasons[0] + (f" (and {len(reasons) - 1} more regions)" if len(reasons) > 1 else ""))
    return fetched
