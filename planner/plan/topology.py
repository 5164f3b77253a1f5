"""The part of a plan about the topology of nodes and the placement of communication groups."""

from typing import Literal

from pydantic import Field

from planner.plan.base import PlanModel
from provider_catalog.collective_environment import Variable
from provider_catalog.hardware import Paths

GroupKind = Literal["tensor", "context", "expert", "data", "expert-data", "pipeline"]
Level = Literal["alone", "nvlink", "pcie", "rail", "network"]
"""Slowest link that the messages of a group cross: none (a single rank), NVLink, PCIe inside a node, a rail (network
cards at the same position in different nodes), or any path of the network between nodes."""


class GroupPlacement(PlanModel):
    """All groups of one kind. They are placed alike, on different nodes."""

    kind: GroupKind
    size: int
    """Number of ranks in a group."""
    groups: int
    """Number of groups."""
    stride: int
    """Difference between the ranks of two neighbouring members."""
    ranks_per_node: int
    """Largest number of members of a group in one node."""
    nodes: int
    """Largest number of nodes over which a group is spread."""
    level: Level
    card_aligned: bool
    """Whether members in different nodes have the same positions, so that messages stay on one rail."""
    breakdown: str | None = None
    """Key of `performance.breakdown_s` that counts the exposed time of the messages; None if there is none."""
    step_bytes: float | None = None
    """Training: predicted bytes that a GPU sends per step, averaged over pipeline stages, overlapped or not."""


class Topology(PlanModel):
    """Links of the chosen nodes, the placement of communication groups, and the environment of the fabric."""

    rank_order: str
    """Parallel dimensions, the fastest varying first. Ranks are numbered within a node first."""
    fabric: Literal["efa", "infiniband", "ethernet"]
    gpus_per_node: int
    nvlink_domain_gpus: int
    """GPUs that are connected by NVLink or Infinity Fabric; 1 if there is only PCIe."""
    links: Literal["switch", "mesh", "bridge", "none"]
    cards_per_node: int | None
    rails: int | None
    gpus_per_pcie_switch: int | None
    gpus_per_numa_node: int | None
    paths: Paths
    network: str = ""
    """Description of the network between nodes, with its source."""
    groups: tuple[GroupPlacement, ...]
    exposed_s: dict[Level, float] = Field(default_factory=dict)
    """Training: seconds per step in which computation waits for messages, by the slowest link that they cross. They sum
    to the communication in `performance.breakdown_s`."""
    environment: tuple[Variable, ...] = ()
    """Variables of NCCL or RCCL and libfabric on these nodes, each with a reason. A variable without a value stays at
    its default."""
