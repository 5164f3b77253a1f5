"""Zones in which a cloud sells an instance type."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from pydantic import Field, field_validator

from provider_catalog.data_files import fact, read_csv
from provider_catalog.errors import CatalogError
from provider_catalog.facts import Fact

FILE: Final = "instance_zones.csv"


class InstanceZones(Fact):
    """The zones of one region in which a type is sold."""

    region: str
    instance_type: str
    zones: tuple[str, ...] = Field(min_length=1)
    """Zone ids, sorted."""
    source: str
    as_of: str

    @field_validator("zones", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        # A CSV cell is one string, in which bars separate the zones.
        return tuple(value.split("|")) if isinstance(value, str) else value


def read_zones(folder: Path) -> Mapping[tuple[str, str], InstanceZones]:
    """The zones by region and instance type; empty for a cloud whose folder has no such file.

    Raises:
        CatalogError: a row is broken or repeated.
    """
    path = folder / FILE
    if not path.is_file():
        return {}
    found: dict[tuple[str, str], InstanceZones] = {}
    for line, row in read_csv(path):
        known = fact(InstanceZones, row, f"{path}, line {line}")
        key = (known.region, known.instance_type)
        if key in found:
            raise CatalogError(f"{path}, line {line}: {' '.join(key)} has two rows; remove one")
        found[key] = known
    return found
