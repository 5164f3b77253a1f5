"""The store of refreshed prices: price files of each cloud in the user's folder, each replaced in one step."""

import csv
import errno
import fcntl
import io
import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from provider_catalog.data_files import fact, read_csv
from provider_catalog.errors import NothingWrittenError
from provider_catalog.files import publish, staged, write_atomically, write_files
from provider_catalog.live.live_source import Fetched, LiveSource, PlacementScore
from provider_catalog.price_files import (
    INSTANCE_PRICES,
    SERVICE_PRICES,
    instance_prices_csv,
    read_instance_prices,
    read_service_prices,
    service_prices_csv,
)
from provider_catalog.prices import InstancePrice, ServicePrice

SCORES: Final = "spot_placement_scores.csv"
MAX_VANISHED_SHARE: Final = 0.2
"""Share of the known prices that an answer may lack; above it the answer is considered truncated. This is our own
choice, as no provider says how many offers it may withdraw at once."""
TENFOLD: Final = 10.0
"""Factor from which a price change is considered an error in the unit (cents, or per month). This is our own choice."""

_Prices = dict[tuple[str, ...], float]


@dataclass(frozen=True)
class StoredPrices:
    """The refreshed prices of one cloud."""

    instances: tuple[InstancePrice, ...]
    services: tuple[ServicePrice, ...]


def check_writable(folder: Path) -> None:
    """Check that a refresh can write to `folder`, which need not exist yet; the check itself writes nothing.

    Raises:
        NothingWrittenError: it cannot.
    """
    standing = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    if not standing.is_dir():
        raise NothingWrittenError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(standing))
    try:
        with tempfile.TemporaryFile(dir=standing):
            pass
    except OSError as error:
        raise NothingWrittenError(error.errno, error.strerror, str(standing)) from error


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Lock the folder against other refreshes, and make it if it is missing.

    A refresh reads, merges and writes, so two at once would lose prices.

    Raises:
        OSError: the folder cannot be made, or its file system does not support locks.
    """
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def read_stored(folder: Path, provider: str) -> StoredPrices:
    """Read the prices that earlier refreshes have written; empty without earlier refreshes.

    Raises:
        CatalogError: a file is broken.
    """
    place = folder / provider
    return StoredPrices(
        tuple(read_instance_prices(place, provider)) if (place / INSTANCE_PRICES).exists() else (),
        tuple(read_service_prices(place, provider)) if (place / SERVICE_PRICES).exists() else (),
    )


def merged(stored: StoredPrices, source: LiveSource, fetched: Fetched) -> StoredPrices:
    """Replace prices in `stored` by the answer of one source, in the regions that answered.

    A service price that the answer lacks is kept, because meters are looked up one by one and one may be missed.
    """
    kept = (p for p in stored.instances if not (p.option in source.options and p.region in fetched.answered))
    services = {(p.region, p.sku): p for p in stored.services} | {(p.region, p.sku): p for p in fetched.services}
    return StoredPrices((*kept, *fetched.instances), tuple(services.values()))


def suspicions(
    source: LiveSource,
    fetched: Fetched,
    before: tuple[Iterable[InstancePrice], Iterable[ServicePrice]],
) -> tuple[str, ...]:
    """Reasons why the answer should not replace the prices known `before` (instances and services of the cloud)."""
    old: _Prices = {
        _offer(price): price.usd_per_hour
        for price in before[0]
        if price.option in source.options and price.region in fetched.answered
    }
    new: _Prices = {_offer(price): price.usd_per_hour for price in fetched.instances}
    old_services: _Prices = {(p.region, p.sku): p.unit_price_usd for p in before[1] if p.unit_price_usd}
    new_services: _Prices = {(p.region, p.sku): p.unit_price_usd for p in fetched.services if p.unit_price_usd}
    found = []
    vanished = sorted(old.keys() - new.keys())
    if old and len(vanished) > MAX_VANISHED_SHARE * len(old):
        found.append(f"{len(vanished)} of {len(old)} prices vanished, such as {' '.join(reversed(vanished[0]))}")
    jumps = _jumps(old, new) + _jumps(old_services, new_services)
    if jumps:
        found.append(f"{len(jumps)} prices moved tenfold: {', '.join(jumps[:3])}")
    return tuple(found)


def write(folder: Path, provider: str, stored: StoredPrices) -> None:
    """Replaces both price files of a cloud, or neither of them.

    Raises:
        NothingWrittenError: the folder cannot be written; the old files are untouched.
    """
    files = {}
    if stored.instances:
        files[INSTANCE_PRICES] = instance_prices_csv(stored.instances)
    if stored.services:
        files[SERVICE_PRICES] = service_prices_csv(stored.services)
    place = folder / provider
    with staged(place) as stage:
        write_files(stage, files)
        publish({stage: place})


def read_scores(folder: Path, provider: str) -> tuple[PlacementScore, ...]:
    """Read the placement scores that a refresh has written; empty without any.

    Raises:
        CatalogError: the file is broken.
    """
    path = folder / provider / SCORES
    if not path.exists():
        return ()
    return tuple(
        fact(PlacementScore, {"provider": provider, **row}, f"{path}, line {line}") for line, row in read_csv(path)
    )


def write_scores(folder: Path, provider: str, scores: Iterable[PlacementScore]) -> None:
    """Write the placement scores of a cloud in one step.

    Raises:
        OSError: the folder cannot be written; the old scores are untouched.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    columns = [name for name in PlacementScore.model_fields if name != "provider"]
    writer.writerow(columns)
    writer.writerows(sorted([str(getattr(score, name)) for name in columns] for score in scores))
    (folder / provider).mkdir(parents=True, exist_ok=True)
    write_atomically(folder / provider / SCORES, text.getvalue())


def _jumps(before: _Prices, after: _Prices) -> list[str]:
    return [
        f"{' '.join(key)} from {before[key]:g} to {after[key]:g} USD"
        for key in sorted(before.keys() & after.keys())
        if max(before[key], after[key]) >= TENFOLD * min(before[key], after[key])
    ]


def _offer(price: InstancePrice) -> tuple[str, ...]:
    # The zone is left out, because Spot markets appear and vanish zone by zone.
    return price.region, price.option, price.instance_type
