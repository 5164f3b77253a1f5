"""What a refresh writes: price files a cloud in the user's folder, each replaced in one step, never by less."""

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

from provider_catalog.errors import NothingWrittenError
from provider_catalog.files import publish, staged, write_atomically, write_files
from provider_catalog.live.source import Fetched, PlacementScore, Source
from provider_catalog.price_files import (
    INSTANCE_PRICES,
    SERVICE_PRICES,
    instance_prices_csv,
    read_instance_prices,
    read_service_prices,
    service_prices_csv,
)
from provider_catalog.prices import InstancePrice, ServicePrice
from provider_catalog.tables import fact, read_csv

SCORES: Final = "spot_placement_scores.csv"
MOST_VANISHED: Final = 0.2
"""Share of prices known before that an answer may lack: beyond it the answer is taken for a truncated one. A choice of
ours, as no provider says how many offers it may withdraw at once."""
TENFOLD: Final = 10.0
"""A price that moves by this much is taken for a slip in a unit (cents, or per month). A choice of ours."""

_Prices = dict[tuple[str, ...], float]


@dataclass(frozen=True)
class Stored:
    """Refreshed prices of one cloud."""

    instances: tuple[InstancePrice, ...]
    services: tuple[ServicePrice, ...]


def check_writable(folder: Path) -> None:
    """Makes sure that a refresh can leave something in `folder`, which need not exist yet; leaves nothing itself.

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
def held(folder: Path) -> Iterator[None]:
    """Makes other refreshes of the folder, which is made where it is missing, wait: each reads, merges and writes.

    Raises:
        OSError: the folder cannot be made, or its file system knows no locks.
    """
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def read_stored(folder: Path, provider: str) -> Stored:
    """What earlier refreshes left; empty where there were none.

    Raises:
        CatalogError: a file is broken.
    """
    place = folder / provider
    return Stored(
        tuple(read_instance_prices(place, provider)) if (place / INSTANCE_PRICES).exists() else (),
        tuple(read_service_prices(place, provider)) if (place / SERVICE_PRICES).exists() else (),
    )


def merged(stored: Stored, source: Source, fetched: Fetched) -> Stored:
    """`stored` with the answer of one source in place of what that source said before, in the regions that answered.

    A service price that the source does not name stays: meters are looked up one by one, and one may be missed.
    """
    kept = (p for p in stored.instances if not (p.option in source.options and p.region in fetched.answered))
    services = {(p.region, p.sku): p for p in stored.services} | {(p.region, p.sku): p for p in fetched.services}
    return Stored((*kept, *fetched.instances), tuple(services.values()))


def suspicions(
    source: Source,
    fetched: Fetched,
    before: tuple[Iterable[InstancePrice], Iterable[ServicePrice]],
) -> tuple[str, ...]:
    """Why the answer should not replace what was known `before` (instance and service prices of the cloud)."""
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
    if old and len(vanished) > MOST_VANISHED * len(old):
        found.append(f"{len(vanished)} of {len(old)} prices vanished, such as {' '.join(reversed(vanished[0]))}")
    jumps = _jumps(old, new) + _jumps(old_services, new_services)
    if jumps:
        found.append(f"{len(jumps)} moved tenfold: {', '.join(jumps[:3])}")
    return tuple(found)


def write(folder: Path, provider: str, stored: Stored) -> None:
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
    """Placement scores that a refresh left; none where there was none.

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
    """Replaces the placement scores of a cloud in one step.

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
    # Without the zone: a Spot market comes and goes by zone.
    return price.region, price.option, price.instance_type
