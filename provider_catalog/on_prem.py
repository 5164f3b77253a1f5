"""Hardware of one's own: prices, power, housing and staff, each with its range and source."""

from functools import cache
from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from provider_catalog.catalog import Catalog
from provider_catalog.facts import CatalogError, Fact
from provider_catalog.tables import fact, read_yaml

Level = Literal["low", "expected", "high"]
FILE = "on_prem.yaml"


class Estimate(Fact):
    """A figure with its range; the unit is in the name of the field that holds it."""

    value: float = Field(ge=0)
    low: float = Field(ge=0)
    high: float = Field(ge=0)
    source: str
    as_of: str

    @model_validator(mode="after")
    def _in_order(self) -> "Estimate":
        if not self.low <= self.value <= self.high:
            raise ValueError(f"low {self.low}, value {self.value}, high {self.high} are not in order")
        return self

    def at(self, level: Level) -> float:
        """The figure at one end of its range, or the expected one."""
        return self.value if level == "expected" else self.low if level == "low" else self.high


class OwnServer(Fact):
    """A server that one can buy."""

    name: str
    gpu: str
    gpus: int = Field(gt=0)
    nic_gbit_per_s: float = Field(gt=0)
    price_usd: Estimate | None
    """None: no source knows it."""
    max_power_kw: Estimate


class OnPrem(Fact):
    """What owning hardware costs beside the servers."""

    depreciation_years: float = Field(gt=0)
    servers: tuple[OwnServer, ...]
    pue: Estimate
    tariff_usd_per_kwh: Estimate
    colocation_usd_per_kw_month: Estimate
    network_share: Estimate
    """Switches and cables, as a share of the servers' price."""
    support_share: Estimate
    """Of the purchase, a year."""
    staff_usd_per_year: Estimate
    staff_fte: Estimate
    staff_fte_per_server: Estimate
    updates_per_year: Estimate
    """New versions of the model that are taken into service."""
    staff_hours_per_update: Estimate
    cloud_pue: dict[str, Estimate]
    grid_kg_co2_per_kwh: dict[str, Estimate]

    def server(self, name: str) -> OwnServer:
        """The server of that name.

        Raises:
            CatalogError: there is none.
        """
        for server in self.servers:
            if server.name == name:
                return server
        raise CatalogError(f"no server {name!r} in {FILE}; known: {', '.join(server.name for server in self.servers)}")


def load_on_prem(catalog: Catalog) -> OnPrem:
    """The figures of the catalog's folder.

    Raises:
        CatalogError: the file is missing or broken.
    """
    return _load(catalog.folder / FILE)


@cache
def _load(path: Path) -> OnPrem:
    document = read_yaml(path)
    if not isinstance(document, dict):
        raise CatalogError(f"{path}: expected a mapping at the top, found {type(document).__name__}")
    return fact(OnPrem, document, str(path))
