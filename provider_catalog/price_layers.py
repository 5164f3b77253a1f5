"""Layers of prices that take the place of packaged prices; this module reads the layer that a refresh left."""

import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from provider_catalog.errors import CatalogError
from provider_catalog.price_files import INSTANCE_PRICES, SERVICE_PRICES, read_instance_prices, read_service_prices
from provider_catalog.prices import InstancePrice, ServicePrice

LIVE_PRICES_VARIABLE: Final = "LLMCLUSTER_PRICES"
"""Folder of refreshed prices, or `none` for the packaged snapshot alone."""


@dataclass(frozen=True)
class PriceLayer:
    """Prices that win over those below them."""

    source: Path
    digest: str
    """SHA-256 of the files it was read from; it enters the catalog's version."""
    instances: tuple[InstancePrice, ...]
    services: tuple[ServicePrice, ...]
    names_every_zone: bool
    """Whether a zone that it does not name, of a type and option that it prices by zone, has no price."""


def live_folder() -> Path | None:
    """Where refreshed prices are kept: `$LLMCLUSTER_PRICES`, else `llmcluster/prices` in the user's data folder.

    Returns:
        None when the variable says `none`. The folder need not exist.
    """
    given = os.environ.get(LIVE_PRICES_VARIABLE)
    if given == "none":
        return None
    if given:
        return Path(given)
    data_home = os.environ.get("XDG_DATA_HOME")
    return (Path(data_home) if data_home else Path.home() / ".local" / "share") / "llmcluster" / "prices"


def read_live(folder: Path) -> PriceLayer | None:
    """The prices that a refresh left in `folder`, or None when there are none.

    Raises:
        CatalogError: a file is broken.
    """
    paths = sorted(path for name in (INSTANCE_PRICES, SERVICE_PRICES) for path in folder.glob(f"*/{name}"))
    if not paths:
        return None
    instances: list[InstancePrice] = []
    services: list[ServicePrice] = []
    for path in paths:
        provider = path.parent.name
        try:
            if path.name == INSTANCE_PRICES:
                instances += read_instance_prices(path.parent, provider)
            else:
                services += read_service_prices(path.parent, provider)
        except CatalogError as error:
            raise CatalogError(
                f"{error}; this file is of `llmcluster catalog refresh`: remove it and refresh again"
            ) from error
    contents = [(path.relative_to(folder).as_posix(), path.read_bytes()) for path in paths]
    return PriceLayer(folder, contents_digest(contents), tuple(instances), tuple(services), names_every_zone=True)


def lay_instances(below: Iterable[InstancePrice], layer: PriceLayer) -> tuple[InstancePrice, ...]:
    """`below` with the prices of `layer` in place of its own.

    A price for a whole region takes the place of each zone's price and leaves the zones as they are: where an instance
    type stands is not a matter of its price.
    """
    placed: dict[tuple[str, str, str, str], dict[str | None, InstancePrice]] = {}
    for price in below:
        placed.setdefault(_offer(price), {})[price.zone] = price
    offered: dict[tuple[str, str, str, str], dict[str | None, InstancePrice]] = {}
    for price in layer.instances:
        offered.setdefault(_offer(price), {})[price.zone] = price
    for key, by_zone in offered.items():
        standing = {} if layer.names_every_zone and None not in by_zone else placed.get(key, {})
        regional = by_zone.pop(None, None)
        if regional is not None:
            zones = set(standing) | set(by_zone) or {None}
            standing = {zone: regional.model_copy(update={"zone": zone}) for zone in sorted(zones, key=_zone_order)}
        placed[key] = standing | by_zone
    return tuple(price for by_zone in placed.values() for price in by_zone.values())


def lay_services(below: Iterable[ServicePrice], above: Iterable[ServicePrice]) -> tuple[ServicePrice, ...]:
    """`below` with the prices of `above` in place of its own."""
    placed = {(price.provider, price.region, price.sku): price for price in below}
    placed |= {(price.provider, price.region, price.sku): price for price in above}
    return tuple(placed.values())


def _zone_order(zone: str | None) -> str:
    return zone or ""


def _offer(price: InstancePrice) -> tuple[str, str, str, str]:
    return price.provider, price.region, price.instance_type, price.option


def contents_digest(contents: Iterable[tuple[str, bytes]]) -> str:
    """SHA-256 in hex over names and contents of files."""
    digest = hashlib.sha256()
    for name, content in contents:
        digest.update(f"{name}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()
