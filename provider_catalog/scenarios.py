"""Named scenarios: a workload, the hardware a guide names for it, and what that guide asks of storage and network."""

import difflib
from pathlib import Path
from typing import Any, Final

from pydantic import Field

from provider_catalog.facts import CatalogError, Fact
from provider_catalog.tables import fact, read_yaml
from provider_catalog.text import kind_of

PREFIX: Final = "scenario:"
"""`scenario:real-time-chat` stands for a spec file."""


class NamedHardware(Fact):
    """What the guide would buy."""

    gpu: str
    gpus: int = Field(gt=0)
    instance_type: str | None = None
    """The instance that is just this; None where nobody sells so few of these GPUs in one machine."""
    layout: dict[str, int] = Field(default_factory=dict)
    """Pinned when it is replayed; what is left out is derived."""


class Requirements(Fact):
    """What the guide asks for; None where it asks for nothing."""

    ttft_ms: float | None = Field(default=None, gt=0)
    tpot_ms: float | None = Field(default=None, gt=0)
    network_ms: float | None = Field(default=None, gt=0)
    """Round trip between servers and their callers, without the public internet."""
    rdma_ms: float | None = Field(default=None, gt=0)
    """One way between two nodes of a gang."""
    nvme_gb: float | None = Field(default=None, gt=0)
    """Local disks of one node, 10^9 bytes."""
    raid0: bool = False
    lustre_gb: float | None = Field(default=None, gt=0)
    """Shared file system, 10^9 bytes."""


class Scenario(Fact):
    """A preset workload with the guide's answer to it."""

    name: str
    title: str
    source: str
    as_of: str
    reading: str
    """What the guide says, and what is filled in where it says nothing."""
    spec: dict[str, Any]
    """A spec, as a user would write it."""
    hardware: NamedHardware
    requirements: Requirements


def scenario_names(folder: Path) -> tuple[str, ...]:
    """Names of the scenarios in a catalog folder."""
    return tuple(sorted(path.stem for path in (folder / "scenarios").glob("*.yaml")))


def load_scenario(folder: Path, name: str) -> Scenario:
    """The scenario of that name.

    Raises:
        CatalogError: there is none, or its file is broken.
    """
    known = scenario_names(folder)
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise CatalogError(f"unknown scenario {name!r}; {hint}known: {', '.join(known)}")
    path = folder / "scenarios" / f"{name}.yaml"
    row = read_yaml(path)
    if not isinstance(row, dict):
        raise CatalogError(f"{path}: expected a mapping at the top, found {kind_of(row)}")
    return fact(Scenario, row, str(path))
