"""On-premises figures: server prices, power, housing and staff, each with its range and source."""

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from provider_catalog.catalog import Catalog
from provider_catalog.data_files import fact, read_foreign_yaml, read_yaml
from provider_catalog.errors import CatalogError
from provider_catalog.facts import Fact
from provider_catalog.text import kind_of

Level = Literal["low", "expected", "high"]
FILE = "on_prem.yaml"


class RangedFigure(Fact):
    """A figure with its range and source; the name of the field that holds it states the unit."""

    value: float = Field(ge=0, allow_inf_nan=False)
    low: float = Field(ge=0, allow_inf_nan=False)
    high: float = Field(ge=0, allow_inf_nan=False)
    source: str
    as_of: str

    @model_validator(mode="after")
    def _in_order(self) -> "RangedFigure":
        if not self.low <= self.value <= self.high:
            raise ValueError(
                f"low {self.low}, value {self.value}, high {self.high} are not in this order: low, value, high"
            )
        return self

    def at(self, level: Level) -> float:
        """The expected figure, or one end of its range."""
        return self.value if level == "expected" else self.low if level == "low" else self.high


class OwnServer(Fact):
    """A server for sale."""

    name: str
    gpu: str
    gpus: int = Field(gt=0)
    nic_gbit_per_s: float = Field(gt=0)
    price_usd: RangedFigure | None
    """Price of one server; None if no source states it."""
    max_power_kw: RangedFigure


class OnPrem(Fact):
    """The servers for sale, and the other costs of owning hardware."""

    depreciation_years: float = Field(gt=0)
    servers: tuple[OwnServer, ...]
    pue: RangedFigure
    tariff_usd_per_kwh: RangedFigure
    colocation_usd_per_kw_month: RangedFigure
    network_share: RangedFigure
    """Price of switches and cables, as a share of the servers' price."""
    support_share: RangedFigure
    """Yearly cost of support, as a share of the purchase price."""
    staff_usd_per_year: RangedFigure
    staff_fte: RangedFigure
    staff_fte_per_server: RangedFigure
    updates_per_year: RangedFigure
    """New versions of the model put into service in a year."""
    staff_hours_per_update: RangedFigure
    cloud_pue: dict[str, RangedFigure]
    grid_kg_co2_per_kwh: dict[str, RangedFigure]

    def server(self, name: str) -> OwnServer:
        """The server of that name.

        Raises:
            CatalogError: no server has that name.
        """
        for server in self.servers:
            if server.name == name:
                return server
        raise CatalogError(f"no server {name!r} in {FILE}; known: {', '.join(server.name for server in self.servers)}")


def load_on_prem(catalog: Catalog) -> OnPrem:
    """Read the figures of the catalog's folder.

    Raises:
        CatalogError: the file is missing or broken.
    """
    return _load(catalog.folder / FILE)


@cache
def _load(path: Path) -> OnPrem:
    document = read_yaml(path)
    if not isinstance(document, dict):
        raise CatalogError(f"{path}: expected a mapping at the top, found {kind_of(document)}")
    return fact(OnPrem, document, str(path))


def with_own_figures(on_prem: OnPrem, path: Path, catalog: Catalog) -> OnPrem:
    """Replace figures of `on_prem` by those of a YAML file with `source`, `as_of` and any fields of OnPrem.

    A figure is a number, or a mapping of `value`, `low` and `high`. A server with a known name replaces only the fields
    that the file gives; a server with a new name is added.

    Raises:
        CatalogError: the file is missing or broken, or names a field or a GPU that does not exist.
    """
    document = read_foreign_yaml(path)
    known = ("source", "as_of", *OnPrem.model_fields)
    if not isinstance(document, Mapping) or any(document.get(key) is None for key in ("source", "as_of")):
        raise CatalogError(f"{path}: expected source, as_of and figures; see docs/cost.md for an example")
    for key in document:
        if key not in known:
            raise CatalogError(f"{path}: unknown key {key!r}; the keys are {', '.join(known)}")
    origin = {key: str(document[key]) for key in ("source", "as_of")}
    merged = on_prem.model_dump()
    for field in (key for key in document if key not in origin):
        given = document[field]
        if field == "servers":
            merged[field] = _servers(merged[field], given, origin, str(path))
        elif isinstance(merged[field], dict) and "value" not in merged[field]:
            if not isinstance(given, Mapping):
                raise CatalogError(f"{path}: {field} is {given!r}; give a mapping of names to figures")
            merged[field] |= {name: _figure(figure, origin) for name, figure in given.items()}
        else:
            merged[field] = given if field == "depreciation_years" else _figure(given, origin)
    own = fact(OnPrem, merged, str(path))
    for server in own.servers:
        catalog.gpu(server.gpu)
    return own


def _servers(known: Sequence[Any], given: Any, origin: Mapping[str, str], where: str) -> tuple[Any, ...]:
    servers = {server["name"]: server for server in known}
    rows: list[Any] = given if isinstance(given, list) else [None]
    if not all(isinstance(row, Mapping) and isinstance(row.get("name"), str) for row in rows):
        raise CatalogError(f"{where}: servers must be a list of servers, each with its name as text")
    for row in rows:
        figures = {name: _figure(row[name], origin) for name in ("price_usd", "max_power_kw") if name in row}
        servers[row["name"]] = {**servers.get(row["name"], {}), **row, **figures}
    return tuple(servers.values())


def _figure(given: Any, origin: Mapping[str, str]) -> Any:
    """Complete a figure with its range and origin; anything but a number or a mapping is left to later validation."""
    if isinstance(given, Mapping):
        return {"low": given.get("value"), "high": given.get("value"), **given, **origin}
    if isinstance(given, int | float) and not isinstance(given, bool):
        return {"value": given, "low": given, "high": given, **origin}
    return given
