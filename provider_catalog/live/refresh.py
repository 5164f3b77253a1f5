"""A refresh: fetch prices from every requested source; each is kept, held back or failed by itself."""

import importlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Final, Literal

from provider_catalog.catalog import Catalog
from provider_catalog.errors import CatalogError, LiveError
from provider_catalog.live import price_store
from provider_catalog.live.live_source import Fetched, Limits, LiveSource, ReportProgress, Request
from provider_catalog.price_changes import PriceChange, price_changes
from provider_catalog.price_freshness import SERVICE
from provider_catalog.price_layers import PriceLayer
from provider_catalog.suggestions import did_you_mean

SERVICES: Final = "services"
"""Name of the source of service prices, the same on every cloud."""
State = Literal["kept", "held back", "failed", "skipped"]


@dataclass(frozen=True)
class Outcome:
    """The result of refreshing one source."""

    provider: str
    source: LiveSource
    state: State
    prices: int
    changes: tuple[PriceChange, ...] = ()
    reasons: tuple[str, ...] = ()
    """Reasons why the source failed or was held back, or why some of its regions failed."""
    notes: tuple[str, ...] = ()

    @property
    def is_complete(self) -> bool:
        """Whether the source was kept, or skipped for want of credentials, and none of its regions failed."""
        return self.state == "skipped" or (self.state == "kept" and not self.reasons)


@dataclass(frozen=True)
class RefreshOptions:
    """The clouds, regions and sources to refresh; an empty tuple means all of them."""

    providers: tuple[str, ...] = ()
    regions: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    accept: bool = False
    """Whether suspicious answers are kept instead of held back."""
    dry_run: bool = False


def sources_of(provider: str) -> tuple[LiveSource, ...]:
    """The live sources of a cloud: `SOURCES` of the module with its name in this package, or none without it."""
    name = f"{__package__}.{provider}"
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        return ()
    found: tuple[LiveSource, ...] = module.SOURCES
    return found


def subjects_of(catalog: Catalog, options: RefreshOptions) -> frozenset[str]:
    """Returns what the requested sources price: purchase options of instances, and `service`.

    Raises:
        CatalogError: the options name an unknown cloud, region or source.
    """
    found: set[str] = set()
    for _, _, sources in _tasks(catalog, options):
        for source in sources:
            found |= {*source.options, *({SERVICE} if source.name == SERVICES else ())}
    return frozenset(found)


def refresh(
    catalog: Catalog,
    folder: Path,
    options: RefreshOptions,
    today: date,
    progress: Callable[[str, LiveSource], ReportProgress],
    limits: Limits = Limits(),  # noqa: B008 - frozen
) -> tuple[Outcome, ...]:
    """Fetch, check and write the prices of each source.

    Args:
        catalog: The prices in force, which answers are compared with.
        folder: The folder of refreshed prices.
        options: What to refresh.
        today: The date of the prices.
        progress: Called with cloud and source when a source starts; returns the callback for its steps.
        limits: Time-outs and attempts.

    Raises:
        CatalogError: the options name an unknown cloud, region or source, or a file of refreshed prices is broken.
        OSError: the folder cannot be written; this is checked before any source is asked.
    """
    tasks = tuple(_tasks(catalog, options))
    if not options.dry_run:
        price_store.check_writable(folder)
    outcomes: list[Outcome] = []
    for provider, regions, sources in tasks:
        request = Request(catalog, provider, regions, today, limits)
        for source in sources:
            outcome, request = _run(source, request, folder, options, progress(provider, source))
            outcomes.append(outcome)
    return tuple(outcomes)


def _run(
    source: LiveSource, request: Request, folder: Path, options: RefreshOptions, advance: ReportProgress
) -> tuple[Outcome, Request]:
    """Refresh one source; return its outcome, and a request for the next source with the prices kept so far."""
    provider = request.provider
    missing = None if options.sources else source.missing_credentials()
    if missing is not None:
        return Outcome(provider, source, "skipped", 0, notes=(missing,)), request
    try:
        fetched = source.fetch(request, advance)
    except LiveError as error:
        return Outcome(provider, source, "failed", 0, reasons=(str(error),)), request
    before = (
        tuple(price for price in request.catalog.instance_prices if price.provider == provider),
        tuple(price for price in request.catalog.service_prices if price.provider == provider),
    )
    prices = len(fetched.instances) + len(fetched.services) + len(fetched.scores)
    doubts = price_store.suspicions(source, fetched, before)
    notes = (*fetched.notes,)
    after = request.catalog.under(_layer(folder, fetched))
    changes = price_changes(
        *before,
        (price for price in after.instance_prices if price.provider == provider),
        (price for price in after.service_prices if price.provider == provider),
    )
    if doubts and not options.accept:
        return Outcome(provider, source, "held back", prices, changes, doubts, notes), request
    if not options.dry_run:
        try:
            _write(folder, provider, source, fetched)
        except OSError as error:
            reason = f"{error.filename or folder}: {error.strerror or error}; the old file is unchanged"
            return Outcome(provider, source, "failed", 0, reasons=(reason,), notes=notes), request
    kept = Outcome(provider, source, "kept", prices, changes, tuple(fetched.failures), (*doubts, *notes))
    return kept, replace(request, catalog=after)


def _write(folder: Path, provider: str, source: LiveSource, fetched: Fetched) -> None:
    if not (fetched.instances or fetched.services or fetched.scores):
        return
    with price_store.locked(folder):
        if fetched.instances or fetched.services:
            stored = price_store.read_stored(folder, provider)
            price_store.write(folder, provider, price_store.merged(stored, source, fetched))
        if fetched.scores:
            elsewhere = [s for s in price_store.read_scores(folder, provider) if s.region not in fetched.answered]
            price_store.write_scores(folder, provider, (*elsewhere, *fetched.scores))


def _layer(folder: Path, fetched: Fetched) -> PriceLayer:
    return PriceLayer(folder, "", tuple(fetched.instances), tuple(fetched.services), names_every_zone=True)


def _tasks(catalog: Catalog, options: RefreshOptions) -> Iterable[tuple[str, tuple[str, ...], tuple[LiveSource, ...]]]:
    """List clouds with their regions and sources, after checking all names."""
    providers = options.providers or tuple(name for name in catalog.providers if sources_of(name))
    tasks = []
    placed: set[str] = set()
    offered: set[str] = set()
    for provider in providers:
        _require("provider", (provider,), catalog.providers)
        sources = sources_of(provider)
        known = catalog.regions(provider)
        offered |= {source.name for source in sources}
        placed |= set(known)
        regions = tuple(region for region in options.regions if region in known) if options.regions else known
        wanted = tuple(source for source in sources if not options.sources or source.name in options.sources)
        if regions and wanted:
            tasks.append((provider, regions, wanted))
    _require("region", options.regions, sorted(placed))
    _require("source", options.sources, sorted(offered))
    return tasks


def _require(field: str, given: Sequence[str], known: Sequence[str]) -> None:
    for value in given:
        if value not in known:
            raise CatalogError(f"unknown {field} {value!r}; {did_you_mean(value, known)}known: {', '.join(known)}")
