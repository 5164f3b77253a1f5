"""Layers of prices that replace those of the packaged snapshot, and the layer that a refresh has written."""

import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from provider_catalog.errors import CatalogError
from provider_catalog.hardware import InstanceType
from provider_catalog.price_files import INSTANCE_PRICES, SERVICE_PRICES, read_instance_prices, read_service_prices
from provider_catalog.prices import InstancePrice, ServicePrice

LIVE_PRICES_VARIABLE: Final = "LLMCLUSTER_PRICES"
"""Environment variable with the folder of refreshed prices; `none` switches refreshed prices off."""


@dataclass(frozen=True)
class AddedRegion:
    """A region that a layer adds to a cloud."""

    provider: str
    region: str
    zone: str | None
    """Zone that plans use by default; None in a region without zones."""


@dataclass(frozen=True)
class PriceLayer:
    """Prices that replace the prices of the layers below, and the regions and instance types that they are for."""

    source: Path
    digest: str
    """SHA-256 of the files that the layer was read from; it is part of the catalog's version."""
    instances: tuple[InstancePrice, ...]
    services: tuple[ServicePrice, ...]
    names_every_zone: bool
    """Whether a type and option that this layer prices by zone has no price in the zones that the layer leaves out."""
    regions: tuple[AddedRegion, ...] = ()
    instance_types: tuple[InstanceType, ...] = ()


def live_folder() -> Path | None:
    """The folder of refreshed prices: `$LLMCLUSTER_PRICES`, else `llmcluster/prices` in the user's data folder.

    Returns:
        The folder, which need not exist; None when the variable is `none`.
    """
    given = os.environ.get(LIVE_PRICES_VARIABLE)
    if given == "none":
        return None
    if given:
        return Path(given)
    data_home = os.environ.get("XDG_DATA_HOME")
    return (Path(data_home) if data_home else Path.home() / ".local" / "share") / "llmcluster" / "prices"


def read_live(folder: Path) -> PriceLayer | None:
    """Read the prices that refreshes have written to `folder`; None when there are none.

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
                f"{error}; `llmcluster catalog refresh` wrote this file: remove it and refresh again"
            ) from error
    contents = [(path.relative_to(folder).as_posix(), path.read_bytes()) for path in paths]
    return PriceLayer(folder, contents_digest(contents), tuple(instances), tuple(services), names_every_zone=True)


def lay_instances(below: Iterable[InstancePrice], layer: PriceLayer) -> tuple[InstancePrice, ...]:
    """Replace prices of `below` by those of `layer`.

    A price for a whole region replaces the price of each zone and keeps the list of zones, because a new price does not
    change where an instance type is available.
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
    """Replace prices of `below` by those of `above`."""
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
