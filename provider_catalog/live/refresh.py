"""One refresh: every source of the clouds asked for, each kept, held back or failed on its own."""

import importlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Literal

from provider_catalog.catalog import Catalog
from provider_catalog.errors import CatalogError, LiveError
from provider_catalog.live import price_store
from provider_catalog.live.live_source import Advance, Fetched, Limits, Request, Source
from provider_catalog.price_changes import PriceChange, price_changes
from provider_catalog.price_layers import PriceLayer

State = Literal["kept", "held back", "failed"]


@dataclass(frozen=True)
class Outcome:
    """What became of one source."""

    provider: str
    source: Source
    state: State
    prices: int
    changes: tuple[PriceChange, ...] = ()
    reasons: tuple[str, ...] = ()
    """Why it failed or was held back, or which regions of it failed."""
    notes: tuple[str, ...] = ()

    @property
    def is_complete(self) -> bool:
        """Whether everything that was asked for has been kept."""
        return self.state == "kept" and not self.reasons


@dataclass(frozen=True)
class Order:
    """What to refresh. Empty: everything."""

    providers: tuple[str, ...] = ()
    regions: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    accept: bool = False
    """Whether suspicious answers are kept all the same."""
    dry_run: bool = False


def sources_of(provider: str) -> tuple[Source, ...]:
    """The live sources of a cloud: `SOURCES` of the module of its name in this package; none where there is none."""
    name = f"{__package__}.{provider}"
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        return ()
    found: tuple[Source, ...] = module.SOURCES
    return found


def refresh(
    catalog: Catalog,
    folder: Path,
    order: Order,
    today: date,
    progress: Callable[[str, Source], Advance],
    limits: Limits = Limits(),  # noqa: B008 - frozen
) -> tuple[Outcome, ...]:
    """Fetch, check and write, source by source.

    Args:
        catalog: The prices in force, which answers are held against.
        folder: Where refreshed prices are kept.
        order: What to refresh.
        today: Date of the prices.
        progress: Called as a source starts, with cloud and source; gives what is called after each of its steps.
        limits: Time-outs and attempts.

    Raises:
        CatalogError: the order names an unknown cloud, region or source, or refreshed files are broken.
        OSError: the folder cannot be written at all, which is found out before anybody is asked.
    """
    tasks = tuple(_tasks(catalog, order))
    if not order.dry_run:
        price_store.check_writable(folder)
    outcomes: list[Outcome] = []
    for provider, regions, sources in tasks:
        request = Request(catalog, provider, regions, today, limits)
        for source in sources:
            outcome, request = _run(source, request, folder, order, progress(provider, source))
            outcomes.append(outcome)
    return tuple(outcomes)


def _run(source: Source, request: Request, folder: Path, order: Order, advance: Advance) -> tuple[Outcome, Request]:
    """The outcome of a source, and the request for the next: under the prices that this one has kept."""
    provider = request.provider
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
    if doubts and not order.accept:
        return Outcome(provider, source, "held back", prices, changes, doubts, notes), request
    if not order.dry_run:
        try:
            _write(folder, provider, source, fetched)
        except OSError as error:
            reason = f"{error.filename or folder}: {error.strerror or error}; what stood there still does"
            return Outcome(provider, source, "failed", 0, reasons=(reason,), notes=notes), request
    kept = Outcome(provider, source, "kept", prices, changes, tuple(fetched.failures), (*doubts, *notes))
    return kept, replace(request, catalog=after)


def _write(folder: Path, provider: str, source: Source, fetched: Fetched) -> None:
    if not (fetched.instances or fetched.services or fetched.scores):
        return
    with price_store.held(folder):
        if fetched.instances or fetched.services:
            stored = price_store.read_stored(folder, provider)
            price_store.write(folder, provider, price_store.merged(stored, source, fetched))
        if fetched.scores:
            elsewhere = [s for s in price_store.read_scores(folder, provider) if s.region not in fetched.answered]
            price_store.write_scores(folder, provider, (*elsewhere, *fetched.scores))


def _layer(folder: Path, fetched: Fetched) -> PriceLayer:
    return PriceLayer(folder, "", tuple(fetched.instances), tuple(fetched.services), names_every_zone=True)


def _tasks(catalog: Catalog, order: Order) -> Iterable[tuple[str, tuple[str, ...], tuple[Source, ...]]]:
    """Cloud, regions and sources, all checked before the first is asked."""
    providers = order.providers or tuple(name for name in catalog.providers if sources_of(name))
    tasks = []
    placed: set[str] = set()
    offered: set[str] = set()
    for provider in providers:
        _require("provider", (provider,), catalog.providers)
        sources = sources_of(provider)
        known = catalog.regions(provider)
        offered |= {source.name for source in sources}
        placed |= set(known)
        regions = tuple(region for region in order.regions if region in known) if order.regions else known
        wanted = tuple(source for source in sources if not order.sources or source.name in order.sources)
        if regions and wanted:
            tasks.append((provider, regions, wanted))
    _require("region", order.regions, sorted(placed))
    _require("source", order.sources, sorted(offered))
    return tasks


def _require(field: str, given: Sequence[str], known: Sequence[str]) -> None:
    for value in given:
        if value not in known:
            raise CatalogError(f"unknown {field} {value!r}; known: {', '.join(known)}")
