"""Named scenarios: a workload, and the hardware, storage and network that a published guide recommends for it."""

from pathlib import Path
from typing import Any, Final

from pydantic import Field

from provider_catalog.data_files import fact, read_yaml
from provider_catalog.errors import CatalogError
from provider_catalog.facts import Fact
from provider_catalog.suggestions import did_you_mean
from provider_catalog.text import kind_of

PREFIX: Final = "scenario:"
"""Prefix of a scenario's name where a spec file is expected, as in `scenario:real-time-chat`."""


class NamedHardware(Fact):
    """The hardware that the guide recommends."""

    gpu: str
    gpus: int = Field(gt=0)
    instance_type: str | None = None
    """Instance type with exactly this hardware; None where no cloud sells so few of these GPUs in one machine."""
    layout: dict[str, int] = Field(default_factory=dict)
    """Layout that is pinned when the recommendation is replayed; missing entries are derived."""


class Requirements(Fact):
    """The requirements that the guide states; None where it states none."""

    ttft_ms: float | None = Field(default=None, gt=0)
    tpot_ms: float | None = Field(default=None, gt=0)
    network_ms: float | None = Field(default=None, gt=0)
    """Round trip between servers and their callers, without the public Internet."""
    rdma_ms: float | None = Field(default=None, gt=0)
    """One-way latency between two nodes of a gang."""
    nvme_gb: float | None = Field(default=None, gt=0)
    """Capacity of the local disks of one node, in 10^9 bytes."""
    raid0: bool = False
    lustre_gb: float | None = Field(default=None, gt=0)
    """Capacity of the shared file system, in 10^9 bytes."""


class Scenario(Fact):
    """A named workload and the recommendation of a guide for it."""

    name: str
    title: str
    source: str
    as_of: str
    reading: str
    """Statements of the guide, and the assumptions where it states nothing."""
    spec: dict[str, Any]
    """The spec, as a user would write it."""
    hardware: NamedHardware
    requirements: Requirements


def scenario_names(folder: Path) -> tuple[str, ...]:
    """The names of the scenarios in a catalog folder, sorted."""
    return tuple(sorted(path.stem for path in (folder / "scenarios").glob("*.yaml")))


def load_scenario(folder: Path, name: str) -> Scenario:
    """Read the scenario of that name.

    Raises:
        CatalogError: no scenario has that name, or its file is broken.
    """
    known = scenario_names(folder)
    if name not in known:
        raise CatalogError(f"unknown scenario {name!r}; {did_you_mean(name, known)}known: {', '.join(known)}")
    path = folder / "scenarios" / f"{name}.yaml"
    row = read_yaml(path)
    if not isinstance(row, dict):
        raise CatalogError(f"{path}: expected a mapping at the top, found {kind_of(row)}")
    return fact(Scenario, row, str(path))
