"""Overlay files: the user's negotiated prices, and regions and instance types that the catalog does not hold yet."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from pydantic import Field, model_validator

from provider_catalog.catalog import Catalog
from provider_catalog.data_files import LARGEST_FOREIGN_BYTES, fact, read_foreign_yaml
from provider_catalog.errors import CatalogError
from provider_catalog.facts import Fact, Provenance
from provider_catalog.hardware import InstanceType
from provider_catalog.price_layers import AddedRegion, PriceLayer, contents_digest
from provider_catalog.prices import InstancePrice, PurchaseOption, ServicePrice
from provider_catalog.suggestions import did_you_mean
from provider_catalog.text import kind_of, shortened, unsafe_part
from provider_catalog.text_files import read_file

KEYS: Final = ("source", "as_of", "currency", "regions", "instance_types", "prices")
LONGEST_SOURCE: Final = 500
"""Characters of the source of prices."""


class NegotiatedPrice(Fact):
    """One price of an overlay file: an instance type with a purchase option, or a service with its SKU."""

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


def read_overlay(path: Path, catalog: Catalog, folder: Path | None = None) -> PriceLayer:
    """Read the negotiated prices of a YAML file with `source`, `as_of` and a list of `prices`.

    The optional lists `regions` and `instance_types` add what the prices are for.

    Args:
        path: The file.
        catalog: The catalog whose prices are replaced.
        folder: Links below it may not lead out of it; None: whoever runs the command named the file.

    Raises:
        CatalogError: the file is missing or broken, or names a provider, region, instance type or SKU that `catalog`
            does not hold; the message suggests a similar name.
    """
    document = read_foreign_yaml(path, folder)
    if not isinstance(document, Mapping) or not isinstance(document.get("prices"), list):
        raise CatalogError(f"{path}: expected source, as_of and a list of prices; see docs/catalog.md for an example")
    for key in document:
        if key not in KEYS:
            raise CatalogError(f"{path}: unknown key {shortened(key)}; the keys are {', '.join(KEYS)}")
    _require_dollars(document.get("currency", "USD"), path)
    given = {key: _words(document[key], key, path) for key in ("source", "as_of") if document.get(key) is not None}
    provenance = fact(Provenance, {**given, "kind": "negotiated"}, str(path))
    digest = contents_digest([("overlay", read_file(path, largest_bytes=LARGEST_FOREIGN_BYTES, folder=folder))])
    facts = PriceLayer(
        path,
        digest,
        (),
        (),
        names_every_zone=False,
        regions=tuple(_added_regions(document, catalog, path)),
        instance_types=tuple(_added_types(document, catalog, provenance, path)),
    )
    extended = catalog.under(facts) if facts.regions or facts.instance_types else catalog
    instances: list[InstancePrice] = []
    services: list[ServicePrice] = []
    seen: set[tuple[Any, ...]] = set()
    for number, row in enumerate(document["prices"], start=1):
        where = f"{path}, price {number}"
        if not isinstance(row, Mapping):
            raise CatalogError(f"{where}: expected a mapping, found {kind_of(row)}")
        line = fact(NegotiatedPrice, row, where)
        _require_known(line, extended, where)
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
    return replace(facts, instances=tuple(instances), services=tuple(services))


def _require_dollars(currency: object, path: Path) -> None:
    """Refuse another currency: every price of the catalog is in US dollars, and no exchange rate is known."""
    if currency != "USD":
        raise CatalogError(
            f"{path}: currency is {shortened(currency)}; prices are in USD. Convert them, and name the rate in source"
        )


def _rows(document: Mapping[Any, Any], key: str, path: Path) -> Iterator[tuple[str, Mapping[Any, Any]]]:
    rows = document.get(key, [])
    if not isinstance(rows, list):
        raise CatalogError(f"{path}: {key} holds {kind_of(rows)}; give a list")
    for number, row in enumerate(rows, start=1):
        where = f"{path}, {key} {number}"
        if not isinstance(row, Mapping):
            raise CatalogError(f"{where}: expected a mapping, found {kind_of(row)}")
        yield where, row


class NewRegion(Fact):
    """A region that an overlay adds."""

    provider: str
    region: str = Field(pattern=r"^[a-z0-9-]{3,40}$")
    zone: str | None = Field(default=None, pattern=r"^[a-z0-9-]{1,40}$")


def _added_regions(document: Mapping[Any, Any], catalog: Catalog, path: Path) -> Iterator[AddedRegion]:
    for where, row in _rows(document, "regions", path):
        added = fact(NewRegion, row, where)
        _require("provider", added.provider, catalog.providers, where)
        yield AddedRegion(added.provider, added.region, added.zone)


def _added_types(
    document: Mapping[Any, Any], catalog: Catalog, provenance: Provenance, path: Path
) -> Iterator[InstanceType]:
    """Yield instance types with the columns of instances.csv; source and date are those of the overlay by default."""
    for where, row in _rows(document, "instance_types", path):
        added = fact(InstanceType, {"source": provenance.source, "as_of": provenance.as_of, **row}, where)
        _require("provider", added.provider, catalog.providers, where)
        _require("gpu", added.gpu, catalog.gpus, where)
        if unsafe := unsafe_part(added.name):
            raise CatalogError(f"{where}: name holds {unsafe}; give one line of printable text")
        yield added


def _words(value: object, key: str, path: Path) -> str:
    """Return where prices come from, as bills and plans repeat it."""
    text = str(value)
    if len(text) > LONGEST_SOURCE or (found := unsafe_part(text)):
        what = f"longer than {LONGEST_SOURCE} characters" if len(text) > LONGEST_SOURCE else f"holds {found}"
        raise CatalogError(f"{path}: {key} {what}; give one line of printable text")
    return text


def _instance_price(line: NegotiatedPrice, provenance: Provenance) -> InstancePrice:
    given = line.model_dump(include={"provider", "region", "zone", "instance_type", "option", "usd_per_hour"})
    return InstancePrice(**given, provenance=provenance)


def _service_price(line: NegotiatedPrice, provenance: Provenance, catalog: Catalog) -> ServicePrice:
    unit = next(p.unit for p in catalog.service_prices if (p.provider, p.sku) == (line.provider, line.sku))
    given = line.model_dump(include={"provider", "region", "sku", "unit_price_usd"})
    return ServicePrice(**given, unit=unit, provenance=provenance)


def _require_known(line: NegotiatedPrice, catalog: Catalog, where: str) -> None:
    """Refuse an unknown name: its price would never be used, and the list price would be billed silently."""
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
    hint = did_you_mean(value, names, at_most=3) or f"known are {', '.join(sorted(names)[:8])}"
    raise CatalogError(f"{where}: unknown {field} {shortened(value)}; {hint.strip()}")
