"""Prices laid over the snapshot: what a refresh has fetched, and what one has negotiated."""

import difflib
import hashlib
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pydantic import Field, model_validator

from provider_catalog.facts import CatalogError, Fact, Provenance
from provider_catalog.files import read_file
from provider_catalog.price_files import INSTANCE_PRICES, SERVICE_PRICES, read_instance_prices, read_service_prices
from provider_catalog.prices import InstancePrice, PurchaseOption, ServicePrice
from provider_catalog.tables import LARGEST_FOREIGN_BYTES, fact, read_foreign_yaml
from provider_catalog.text import kind_of, shortened, unsafe_part

if TYPE_CHECKING:
    from provider_catalog.catalog import Catalog

LONGEST_SOURCE: Final = 500

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


class NegotiatedPrice(Fact):
    """One line of an overlay file: an instance type by purchase option, or a service by its SKU."""

    provider: str
    region: str
    zone: str | None = None
    instance_type: str | None = None
    option: PurchaseOption | None = None
    usd_per_hour: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    sku: str | None = None
    unit_price_usd: float | None = Field(default=None, ge=0, allow_inf_nan=False)

    @model_validator(mode="after")
    def _one_thing(self) -> "NegotiatedPrice":
        instance = (self.instance_type, self.option, self.usd_per_hour)
        service = (self.sku, self.unit_price_usd)
        if all(value is not None for value in instance) and service == (None, None):
            return self
        if all(value is not None for value in service) and instance == (None, None, None) and self.zone is None:
            return self
        raise ValueError("give either instance_type, option and usd_per_hour (and a zone), or sku and unit_price_usd")


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
    return PriceLayer(folder, _digest(contents), tuple(instances), tuple(services), names_every_zone=True)


def read_overlay(path: Path, catalog: "Catalog", folder: Path | None = None) -> PriceLayer:
    """Negotiated prices of a YAML file with `source`, `as_of` and `prices`, one line a price.

    Args:
        path: The file.
        catalog: What is priced anew.
        folder: Links below it may not lead out of it; None: whoever runs the command named the file.

    Raises:
        CatalogError: the file is missing or broken, or names a provider, region, instance type or SKU that `catalog`
            does not hold; the message names the nearest.
    """
    document = read_foreign_yaml(path, folder)
    if not isinstance(document, Mapping) or not isinstance(document.get("prices"), list):
        raise CatalogError(f"{path}: expected source, as_of and a list of prices; see docs/catalog.md for an example")
    for key in document:
        if key not in ("source", "as_of", "prices"):
            raise CatalogError(f"{path}: unknown key {shortened(key)}; the keys are source, as_of and prices")
    given = {key: _words(document[key], key, path) for key in ("source", "as_of") if document.get(key) is not None}
    provenance = fact(Provenance, {**given, "kind": "negotiated"}, str(path))
    instances: list[InstancePrice] = []
    services: list[ServicePrice] = []
    seen: set[tuple[Any, ...]] = set()
    for number, row in enumerate(document["prices"], start=1):
        where = f"{path}, price {number}"
        if not isinstance(row, Mapping):
            raise CatalogError(f"{where}: expected a mapping, found {kind_of(row)}")
        line = fact(NegotiatedPrice, row, where)
        _require_known(line, catalog, where)
        key = (line.provider, line.region, line.zone, line.instance_type or line.sku, line.option)
        if key in seen:
            raise CatalogError(
                f"{where}: {line.instance_type or line.sku} in {line.region} is priced twice; remove one"
            )
        seen.add(key)
        if line.sku is None:
            instances.append(_instance_price(line, provenance))
        else:
            services.append(_service_price(line, provenance, catalog))
    digest = _digest([("overlay", read_file(path, largest_bytes=LARGEST_FOREIGN_BYTES, folder=folder))])
    return PriceLayer(path, digest, tuple(instances), tuple(services), names_every_zone=False)


def _words(value: object, key: str, path: Path) -> str:
    """Where prices come from, as bills and plans repeat it."""
    text = str(value)
    if len(text) > LONGEST_SOURCE or (found := unsafe_part(text)):
        what = f"longer than {LONGEST_SOURCE} characters" if len(text) > LONGEST_SOURCE else f"holds {found}"
        raise CatalogError(f"{path}: {key} {what}; give one line of printable text")
    return text


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


def _instance_price(line: NegotiatedPrice, provenance: Provenance) -> InstancePrice:
    given = line.model_dump(include={"provider", "region", "zone", "instance_type", "option", "usd_per_hour"})
    return InstancePrice(**given, provenance=provenance)


def _service_price(line: NegotiatedPrice, provenance: Provenance, catalog: "Catalog") -> ServicePrice:
    unit = next(p.unit for p in catalog.service_prices if (p.provider, p.sku) == (line.provider, line.sku))
    given = line.model_dump(include={"provider", "region", "sku", "unit_price_usd"})
    return ServicePrice(**given, unit=unit, provenance=provenance)


def _require_known(line: NegotiatedPrice, catalog: "Catalog", where: str) -> None:
    """A misspelt name would never be read, and the list price would be charged without a word."""
    _require("provider", line.provider, catalog.providers, where)
    _require("region", line.region, catalog.regions(line.provider), where)
    if line.instance_type is not None:
        known = [name for provider, name in catalog.instance_types if provider == line.provider]
        _require("instance_type", line.instance_type, known, where)
    else:
        skus = {price.sku for price in catalog.service_prices if price.provider == line.provider}
        _require("sku", line.sku or "", sorted(skus), where)


def _require(field: str, value: str, known: Iterable[str], where: str) -> None:
    names = list(known)
    if value in names:
        return
    nearest = difflib.get_close_matches(value, names, n=3, cutoff=0.4) or sorted(names)[:8]
    raise CatalogError(f"{where}: unknown {field} {shortened(value)}; nearest: {', '.join(nearest)}")


def _digest(contents: Iterable[tuple[str, bytes]]) -> str:
    digest = hashlib.sha256()
    for name, content in contents:
        digest.update(f"{name}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()
